// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/service_manager.hpp"

#include <systemd/sd-daemon.h>

#include <csignal>
#include <cstdlib>
#include <utility>

namespace tandem::cli {
namespace {

/// A twin that catches up with a large table may take longer than the unit's start may: it asks for this much more each time.
constexpr const char* kNotYet = "EXTEND_TIMEOUT_USEC=30000000\n";

}  // namespace

std::string notification(const NodeState& state, bool was_ready) {
  std::string text;
  if (state.stopping) text += "STOPPING=1\n";
  if (state.ready)
    text += was_ready ? "" : "READY=1\n";
  else if (!was_ready)
    text += kNotYet;
  text += "WATCHDOG=1\nSTATUS=";
  switch (state.role) {
    case Role::alone:
      text += state.ready ? "alone, unreplicated" : "starting";
      break;
    case Role::primary:
      text += state.is_protected ? "primary, protected by a twin" : "primary, unprotected: no twin has joined";
      break;
    case Role::twin:
      text += state.ready ? "twin, ready to take over" : "twin, catching up";
      break;
  }
  return text + "\n";
}

ServiceManager::ServiceManager() {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return;
  // Signals are for the node's thread alone.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ServiceManager::~ServiceManager() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ServiceManager::tell(const NodeState& state) {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    state_ = state;
    untold_ = true;
  }
  changed_.notify_one();
}

void ServiceManager::run() {
  bool was_ready = false;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return untold_ || ends_; });
    if (!std::exchange(untold_, false)) return;
    const std::string text = notification(state_, was_ready);
    was_ready = was_ready || state_.ready;
    lock.unlock();
    sd_notify(0, text.c_str());
    lock.lock();
  }
}

}  // namespace tandem::cli
