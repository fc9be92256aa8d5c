// SPDX-License-Identifier: BSD-3-Clause
#include "lab.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>

#include "tandem/loop.hpp"

namespace tandem::test {
namespace {

UniqueFd current_namespace() { return UniqueFd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)); }

void enter(const UniqueFd& network) { REQUIRE(::setns(network.get(), CLONE_NEWNET) == 0); }

}  // namespace

bool lab_possible() {
  const UniqueFd before = current_namespace();
  if (::geteuid() == 0 && ::unshare(CLONE_NEWNET) == 0) {
    ::setns(before.get(), CLONE_NEWNET);
    return true;
  }
  const char* optional = std::getenv("TANDEM_LAB_OPTIONAL");
  std::cerr << "This test makes network namespaces of its own, which needs root; it did not run.\n";
  if (optional != nullptr && std::string_view(optional) == "1") return false;
  FAIL("run it as root, or set TANDEM_LAB_OPTIONAL=1 to do without it");
  return false;
}

Lab::Lab(bool veth) : original_(current_namespace()) {
  REQUIRE(::unshare(CLONE_NEWNET) == 0);
  peer_namespace_ = current_namespace();
  REQUIRE(::unshare(CLONE_NEWNET) == 0);
  REQUIRE(run("ip link set lo up") == 0);
  REQUIRE(run_at_peer("ip link set lo up") == 0);
  if (!veth) return;
  const std::string peer = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(peer_namespace_.get());
  REQUIRE(run(std::string("ip link add ") + kOurs + " numtxqueues 1 numrxqueues 1 type veth peer name " + kPeers +
              " numtxqueues 1 numrxqueues 1 netns " + peer) == 0);
  REQUIRE(run(std::string("ip link set ") + kOurs + " address 02:00:00:00:00:0a up") == 0);
  REQUIRE(run_at_peer(std::string("ip link set ") + kPeers + " address 02:00:00:00:00:0b up") == 0);
  REQUIRE(run_at_peer(std::string("ip addr add 10.77.0.2/24 dev ") + kPeers) == 0);
}

Lab::~Lab() { ::setns(original_.get(), CLONE_NEWNET); }

int Lab::run(const std::string& command) {
  const int status = std::system(("timeout 20 " + std::string("sh -c '") + command + "'").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int Lab::run_at_peer(const std::string& command) const {
  const UniqueFd ours = current_namespace();
  enter(peer_namespace_);
  const int code = run(command);
  enter(ours);
  return code;
}

pid_t Lab::fork_at_peer(const std::function<int()>& body) const {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::setns(peer_namespace_.get(), CLONE_NEWNET) != 0) ::_exit(120);
  ::_exit(body());
}

int wait_exit(pid_t child, std::uint64_t bound_ns) {
  if (child <= 0) return -1;  // there is no such child, and to kill() these numbers are many processes
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  Loop loop(LoopOptions{0, false});
  bool gone = false;
  if (pidfd.valid()) loop.watch(pidfd.get(), 1 /* POLLIN */, [&](short) { gone = true; });
  const std::uint64_t bound = monotonic_ns() + bound_ns;
  while (!gone && monotonic_ns() < bound) loop.run_once(bound);
  if (!gone) ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  return gone && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace tandem::test
