// SPDX-License-Identifier: BSD-3-Clause
//
// The primary's side of attaching: who may, who becomes a member, who is removed (design.md section 3, "Who is a member").
#include <poll.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "membership.hpp"
#include "node_impl.hpp"
#include "system.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

using ha::ReaderState;

namespace {

constexpr std::uint64_t kHandshake_ns = 5'000'000'000;
constexpr std::size_t kMaxSessions = 8;
/// What bringing up a late joiner may add to one turn.
constexpr std::uint64_t kJoinSlice_ns = 60'000;

}  // namespace

bool Node::Impl::session_is_gone(const Session& session) const { return ha::system::has_hung_up(session.socket.get()); }

Node::Impl::Session* Node::Impl::reader_session() {
  for (const auto& session : sessions_) {
    if (session->reader && !session->removed) return session.get();
  }
  return nullptr;
}

bool Node::Impl::twin_is_member() const {
  if (group_ == nullptr) return false;
  return std::any_of(group_->readers.begin(), group_->readers.end(), [](const ha::ReaderSlot& slot) {
    return slot.state.load(std::memory_order_relaxed) == ReaderState::member;
  });
}

void Node::Impl::serve_attaches() {
  if (!rendezvous_ || now_ns_ < attach_from_ns_) return;
  while (attach_ready_ && sessions_.size() < kMaxSessions) {
    ha::Descriptor socket = ha::system::accept_connection(descriptors_.attach.get());
    if (!socket.valid()) {
      attach_ready_ = false;
      break;
    }
    auto session = std::make_unique<Session>();
    session->socket = std::move(socket);
    session->deadline_ns = now_ns_ + kHandshake_ns;
    session->watch = loop_->watch(session->socket.get(), POLLIN | POLLRDHUP, [this](short) { session_event_ = true; });
    sessions_.push_back(std::move(session));
    TANDEM_STEP("attach.accepted");
    session_event_ = true;
  }
  if (!session_event_ && now_ns_ < sessions_checked_ns_ + 1'000'000'000) return;
  session_event_ = false;
  sessions_checked_ns_ = now_ns_;
  for (const auto& session : sessions_) serve_session(*session);
  std::erase_if(sessions_, [this](const std::unique_ptr<Session>& session) {
    if (!session->finished) return false;
    loop_->unwatch(session->watch);
    return true;
  });
}

void Node::Impl::serve_session(Session& session) {
  while (!session.finished) {
    ha::AttachMessage message;
    std::vector<ha::Descriptor> descriptors;
    switch (ha::receive_message(session.socket.get(), message, descriptors)) {
      case ha::ReceiveResult::nothing_yet:
        if (!session.ready && now_ns_ > session.deadline_ns)
          refuse(session, exit_code::kProtocol, "the handshake took longer than 5 seconds");
        return;
      case ha::ReceiveResult::closed:
        drop_reader(session, "it has gone");
        session.finished = true;
        return;
      case ha::ReceiveResult::garbage:
        refuse(session, exit_code::kProtocol,
               "the message is none of this version's attach protocol; run the same version on both sides");
        return;
      case ha::ReceiveResult::message:
        break;
    }
    if (const auto* hello = std::get_if<ha::Hello>(&message); hello != nullptr && !session.welcomed) {
      greet(session, *hello);
    } else if (std::holds_alternative<ha::Ready>(message) && session.welcomed && !session.ready) {
      begin_join(session);
    } else {
      refuse(session, exit_code::kProtocol, "a message of the attach protocol came out of order");
    }
  }
}

void Node::Impl::refuse(Session& session, int code, const std::string& text) {
  ++counters_.attaches_refused;
  log("refused pid " + std::to_string(session.pid) + " as a twin: " + text, LogLevel::warning);
  ha::send_message(session.socket.get(), ha::Refusal{code, text});
  drop_reader(session, "it was refused");
  session.finished = true;
}

void Node::Impl::greet(Session& session, const ha::Hello& hello) {
  const auto peer = ha::trusted_peer(session.socket.get());
  if (!peer)
    return refuse(session, exit_code::kPrivilege, "the process belongs to another user. Start both as the same user.");
  session.pid = peer->pid;
  if (hello.log_format_version != ha::kLogFormatVersion || hello.group_layout_version != ha::kGroupLayoutVersion) {
    return refuse(session, exit_code::kProtocol,
                  "the twin speaks log format " + std::to_string(hello.log_format_version) + " and group layout " +
                      std::to_string(hello.group_layout_version) + ", the primary " +
                      std::to_string(ha::kLogFormatVersion) + " and " + std::to_string(ha::kGroupLayoutVersion) +
                      ". Install the same version on both sides.");
  }
  if (const std::string text = ha::differences(fingerprint(), hello.fingerprint); !text.empty()) {
    return refuse(session, exit_code::kMismatch,
                  "the options do not fit: " + text + ". Start both with the same options.");
  }
  if (!options_.mirror) {
    return refuse(session, exit_code::kMismatch, "the primary was started with --no-mirror and takes no twin.");
  }
  if (Session* other = reader_session()) {
    const bool follows = group_->readers[*other->reader].state.load() != ReaderState::ineligible;
    if (follows && !session_is_gone(*other)) {
      return refuse(session, exit_code::kTwinAttached,
                    "the group \"" + options_.group + "\" has its twin already (pid " + std::to_string(other->pid) +
                        "). Stop that one first, or use another --group.");
    }
    drop_reader(*other, follows ? "it has gone" : "it could not follow the log");
    other->finished = session_is_gone(*other);
  }
  const auto is_served = [this](std::uint32_t index) {
    return std::any_of(sessions_.begin(), sessions_.end(), [index](const auto& item) { return item->reader == index; });
  };
  const auto reader =
      ha::usable_slot(*group_, static_cast<std::uint32_t>(session.pid), is_served, ha::system::process_exists);
  if (!reader) return refuse(session, exit_code::kBusy, "removed twins still hold every reader slot. End them.");
  ha::ReaderSlot& slot = group_->readers[*reader];
  slot.position.store(group_->published.load());
  slot.pid.store(static_cast<std::uint32_t>(session.pid));
  slot.state.store(ReaderState::joining, std::memory_order_release);
  session.reader = *reader;
  TANDEM_STEP("attach.joining");

  ha::Welcome welcome;
  welcome.reader = *reader;
  welcome.position = group_->published.load();
  welcome.log_bytes = options_.log_bytes;
  welcome.adoption_info = device_->adoption_info();
  std::vector<NamedDescriptor> passed = {{"group", group_file_.get()},
                                         {"log", log_file_.get()},
                                         {"lock", descriptors_.lock.get()},
                                         {"attach", descriptors_.attach.get()},
                                         {"control", descriptors_.control.get()}};
  for (NamedDescriptor& item : device_->descriptors()) passed.push_back(std::move(item));
  std::vector<int> descriptors;
  for (const NamedDescriptor& item : passed) {
    welcome.descriptor_names.push_back(item.name);
    descriptors.push_back(item.fd);
  }
  session.welcomed = true;
  if (!ha::send_message(session.socket.get(), welcome, descriptors)) {
    const int error = errno;
    return refuse(session, exit_code::kSystem,
                  std::string("the descriptors could not be passed: ") + std::strerror(error));
  }
  TANDEM_STEP("attach.welcomed");
}

void Node::Impl::begin_join(Session& session) {
  session.ready = true;
  ++counters_.twins_attached;
  join_began_ns_ = now_ns_;
  join_longest_turn_ns_ = 0;
  reader_seen_ns_ = now_ns_;
  reader_seen_position_ = group_->readers[*session.reader].position.load();
  writer_->set_time(now_ns_);
  last_publish_ns_ = 0;
  snapshot_ = std::make_unique<ha::Snapshot>(*stack_, node_, application_, *writer_, *recorder_);
  unprotected_why_ = "the twin is being brought up to date";
  TANDEM_STEP("attach.begun");
}

void Node::Impl::continue_join() {
  if (!snapshot_) return;
  // The snapshot shares the turn's reserve with nothing else once the handlers are done, but the queues of one connection may
  // be larger than what is left of it: then it waits for the twin to read.
  const std::uint64_t room = writer_->room();
  if (room < options_.log_bytes / 2) return;
  const std::size_t bytes = std::min<std::uint64_t>(room / 8, 512 * 1024);
  join_ended_ = snapshot_->step({now_ns_ + kJoinSlice_ns, bytes});
}

void Node::Impl::end_join() {
  join_ended_ = false;
  TANDEM_STOP_POINT("snapshot.end");
  Session* session = reader_session();
  join_connections_ = snapshot_->connections();
  snapshot_.reset();
  if (session == nullptr) return;
  // Everything is published, and at `shm` that is committed: from here on the twin may be promoted.
  if (!ha::make_member(group_->readers[*session->reader])) return;
  TANDEM_STEP("attach.member");
  join_took_ns_ = monotonic_ns() - join_began_ns_;
  unprotected_why_.clear();
#ifdef TANDEM_STOP_POINTS
  count_turn_stop_points(true);
#endif
  log("protected: twin " + std::to_string(session->pid) + " holds " + std::to_string(join_connections_) +
      " connections, brought up in " + std::to_string(join_took_ns_ / 1000) + " us, longest turn " +
      std::to_string(join_longest_turn_ns_ / 1000) + " us");
}

void Node::Impl::drop_reader(Session& session, std::string_view why) {
  if (!session.reader) return;
  ha::ReaderSlot& slot = group_->readers[*session.reader];
  // Ineligible first, and only then do outputs leave without it: a removed twin is never promoted. One that has begun a takeover
  // is about to fence this process, so nothing leaves without it.
  if (ha::withdraw_eligibility(slot) == ReaderState::promoted && !session_is_gone(session)) return;
  TANDEM_STEP("attach.ineligible");
  if (!session.removed) {
    session.removed = true;
#ifdef TANDEM_STOP_POINTS
    count_turn_stop_points(false);
#endif
    ++counters_.twins_removed;
    recorder_->stop();
    snapshot_.reset();
    join_ended_ = false;
    if (low_windows_) stack_->clamp_windows(0);
    low_windows_ = false;
    log_short_since_ns_ = 0;
    // An open transaction is finished, so that the log stays whole for the next reader.
    if (writer_->in_transaction()) writer_->publish(published_mark_.rx_index, published_mark_.tx_index);
    unprotected_why_ = "the twin (pid " + std::to_string(session.pid) + ") was removed: " + std::string(why);
    log("unprotected: " + unprotected_why_, LogLevel::warning);
    TANDEM_STEP("attach.dropped");
  }
  // Only when the process has gone can it no longer write its position into the slot.
  if (session_is_gone(session)) {
    slot.state.store(ReaderState::free, std::memory_order_release);
    session.reader.reset();
  }
}

void Node::Impl::watch_reader() {
  Session* session = reader_session();
  if (session == nullptr || !session->ready) return;
  if (group_->readers[*session->reader].state.load(std::memory_order_relaxed) == ReaderState::ineligible)
    return drop_reader(*session, "it could not follow the log");
  const std::uint64_t position = group_->readers[*session->reader].position.load(std::memory_order_acquire);
  if (position != reader_seen_position_ || position == group_->published.load(std::memory_order_relaxed)) {
    reader_seen_position_ = position;
    reader_seen_ns_ = now_ns_;
    return;
  }
  const std::uint64_t limit_ns = std::max<std::uint64_t>(500, std::uint64_t{4} * options_.detect_ms) * 1'000'000;
  if (now_ns_ - reader_seen_ns_ > limit_ns) drop_reader(*session, "it reads the log no longer (stopped or stalled)");
}

}  // namespace tandem
