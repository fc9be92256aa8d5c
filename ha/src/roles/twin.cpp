// SPDX-License-Identifier: BSD-3-Clause
//
// The twin: attaches, follows the log, and watches the primary's claim to the rings.
#include <poll.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "members/eligibility_word.hpp"
#include "members/fencing.hpp"
#include "members/starvation_probe.hpp"
#include "node/node_impl.hpp"
#include "node/system.hpp"
#include "roles/prefault.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem {

using ha::NodeError;
using ha::OwnerFate;
using ha::ReaderState;

namespace {

/// How often a sleeping twin takes what has been published, while there is something and while there is not.
constexpr std::uint64_t kFollowBusy_ns = 1'000'000;
/// What lies unread when the primary dies is read before anything else, so it is kept short: a twin that finds more than this looks
/// twice as often, down to the shortest nap.
constexpr std::uint64_t kUnreadBytes = 64 * 1024;
constexpr std::uint64_t kFollowOften_ns = 250'000;
constexpr std::uint64_t kFollowIdle_ns = 5'000'000;
constexpr std::uint64_t kStaysBusy_ns = 50'000'000;
constexpr std::uint64_t kAside_ns = 2'000'000;
constexpr std::uint64_t kWelcomeWithin_ns = 15'000'000'000;
/// What is published is applied in slices of this length. After each the twin says where it is, and looks at its primary.
constexpr std::uint64_t kApplySlice_ns = 1'000'000;
/// A slice of at least so many bytes tells what a byte costs.
constexpr std::uint64_t kMeasuredBytes = 16 * 1024;

/// The new measure counts a quarter.
std::uint32_t smoothed_ps(std::uint32_t before, std::uint64_t took_ns, std::uint64_t bytes) {
  const auto now = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(took_ns * 1000 / bytes, 1, UINT32_MAX / 4));
  return before == 0 ? now : before - before / 4 + now / 4;
}

/// The process that gave its role away has lowered itself, and may run another node afterwards.
bool stepped_aside = false;

/// Invalid when the primary could not make it.
ha::Descriptor take_optional(std::vector<ha::Descriptor>& descriptors, const std::vector<std::string>& names,
                             std::string_view name) {
  for (std::size_t i = 0; i < names.size() && i < descriptors.size(); ++i) {
    if (names[i] == name) return std::move(descriptors[i]);
  }
  return {};
}

ha::Descriptor take(std::vector<ha::Descriptor>& descriptors, const std::vector<std::string>& names,
                    std::string_view name) {
  ha::Descriptor found = take_optional(descriptors, names, name);
  if (found.valid()) return found;
  throw NodeError(exit_code::kProtocol, "the primary did not pass the descriptor \"" + std::string(name) +
                                            "\". Run the same version on both sides.");
}

}  // namespace

void Node::Impl::step_back() {
  // Bringing up a twin costs more than a takeover: it is not to cost the primary its processor. Only whoever may undo it does it.
  if (!nice_before_) nice_before_ = ha::system::lower_priority();
}

void Node::Impl::step_forward() {
  if (nice_before_) ha::system::restore_priority(*nice_before_);
  nice_before_.reset();
}

void Node::Impl::step_aside() {
  // Tearing down takes milliseconds of processor, and nobody is to wait for it. The way back takes root.
  stepped_aside = ha::system::enter_idle(rejoin_wanted_);
  // Whoever was woken before that is let in only by sleeping; and the twin is to have sent something first.
  const std::uint64_t until = monotonic_ns() + kAside_ns;
  do {
    ha::system::sleep(200'000);
  } while (group_->last_takeover.first_packet == 0 && monotonic_ns() < until);
  device_->give_back_memory();
  ha::system::give_back(log_mapping_);
}

void Node::Impl::step_in() {
  if (std::exchange(stepped_aside, false)) ha::system::leave_idle();
}

/// False when the primary has gone meanwhile.
bool Node::Impl::say_hello(int socket) {
  const std::vector<std::uint8_t>& text = options_text();
  const std::uint64_t length = text.size();
  // The options themselves are looked at only if they do not fit.
  const ha::Descriptor file = ha::make_shared_file("tandem-options", sizeof length + text.size());
  const ha::Mapping mapping(file.get(), sizeof length + text.size(), false);
  std::memcpy(mapping.data(), &length, sizeof length);
  std::memcpy(mapping.data() + sizeof length, text.data(), text.size());
  ha::Hello hello;
  hello.identity = identity_;
  hello.number = static_cast<std::uint32_t>(ha::system::process_id());
  hello.options_digest = ha::digest_of(text);
  hello.descriptor_names = {"options"};
  std::vector<int> passed = {file.get()};
  const ha::Descriptor process = ha::system::own_process();
  if (process.valid()) {
    hello.descriptor_names.emplace_back("process");
    passed.push_back(process.get());
  }
  if (ha::send_message(socket, hello, passed)) return true;
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return false;
  throw NodeError(exit_code::kSystem, std::string("the primary cannot be told what this process speaks: ") +
                                          std::strerror(errno) + ". Look at its attach.sock, then start again.");
}

void Node::Impl::attach(ha::Descriptor socket) {
  attach_socket_.reset();
  attach_failure_ = "the primary went away before it had taken this process in";
  // Before anything that belongs to the group is on its way here.
  holder_ = rendezvous_->announce(identity_);
  step_back();
  if (!ha::trusted_peer(socket.get())) {
    throw NodeError(exit_code::kPrivilege, "the process that listens in " + rendezvous_->directory() +
                                               " belongs to another user. Start primary and twin as the same user.");
  }
  if (!say_hello(socket.get())) return;
  TANDEM_STEP("twin.hello");

  ha::AttachMessage message;
  std::vector<ha::Descriptor> descriptors;
  const std::uint64_t until = monotonic_ns() + kWelcomeWithin_ns;
  for (bool waiting = true; waiting;) {
    std::string why;
    switch (ha::receive_message(socket.get(), message, descriptors, &why)) {
      case ha::ReceiveResult::message:
        waiting = false;
        break;
      case ha::ReceiveResult::closed:
        return;
      case ha::ReceiveResult::garbage:
      case ha::ReceiveResult::first_version:
        throw NodeError(exit_code::kProtocol, "the primary's answer is none of this version's attach protocol" +
                                                  (why.empty() ? why : ": " + why) +
                                                  ". Run the same version on both sides.");
      case ha::ReceiveResult::nothing_yet: {
        if (stopping()) return;
        // Others may hold its listening socket, and then nobody says that it has gone.
        if (rendezvous_->try_lock().valid()) return;
        if (monotonic_ns() > until) {
          throw NodeError(exit_code::kBusy,
                          "the primary of group \"" + options_.group +
                              "\" did not answer for 15 seconds. It may be "
                              "stopped or hung: look at it, or end it so that this process can become primary.");
        }
        report_state(monotonic_ns(), false);
        ha::system::wait_readable(socket.get(), 20);
        loop_->run_once(0);
        break;
      }
    }
  }
  if (const auto* refusal = std::get_if<ha::Refusal>(&message))
    throw NodeError(refusal->exit_code, "not taken as a twin: " + refusal->text);
  const auto* welcome = std::get_if<ha::Welcome>(&message);
  if (welcome == nullptr)
    throw NodeError(exit_code::kProtocol, "the primary's answer is out of order. Run the same version on both sides.");

  role_ = Role::twin;
  group_file_ = take(descriptors, welcome->descriptor_names, "group");
  log_file_ = take(descriptors, welcome->descriptor_names, "log");
  descriptors_.attach = take(descriptors, welcome->descriptor_names, "attach");
  descriptors_.control = take(descriptors, welcome->descriptor_names, "control");
  const std::uint64_t log_bytes = welcome->log_bytes;
  if (ha::sealed_file_bytes(group_file_.get()) < sizeof(ha::SharedGroup) || log_bytes == 0 ||
      (log_bytes & (log_bytes - 1)) != 0 || ha::sealed_file_bytes(log_file_.get()) != log_bytes ||
      welcome->reader >= ha::kMaxReaders || welcome->log_format < ha::kOldestLogFormat ||
      welcome->log_format > ha::kLogFormatVersion) {
    throw NodeError(exit_code::kProtocol,
                    "the primary's shared memory is not of this version's layout. Run the same version on both sides.");
  }
  group_mapping_ = ha::Mapping(group_file_.get(), sizeof(ha::SharedGroup), false);
  log_mapping_ = ha::Mapping(log_file_.get(), log_bytes, true);
  options_.log_bytes = log_bytes;
  group_ = reinterpret_cast<ha::SharedGroup*>(group_mapping_.data());
  if (group_->magic != ha::kGroupMagic || group_->layout_version != ha::kGroupLayoutVersion ||
      group_->bytes != sizeof(ha::SharedGroup)) {
    throw NodeError(exit_code::kProtocol,
                    "the group's shared memory has another layout. Run the same version on both sides.");
  }
  TANDEM_STEP("twin.mapped");
  reader_ = welcome->reader;
  ha::ReaderSlot& self = group_->readers[reader_];
  if (!ha::hold_place(self, identity_)) {
    attach_failure_ = "the place that the primary made for this process was given to another one";
    return;
  }
  place_held_ = true;
  owner_process_ = take_optional(descriptors, welcome->descriptor_names, "process");
  owner_stat_ = take_optional(descriptors, welcome->descriptor_names, "stat");
  owner_schedstat_ = take_optional(descriptors, welcome->descriptor_names, "schedstat");
  fencing_ = ha::system::may_kill(owner_process_.get());
  self.fencing.store(fencing_);
  hang_said_at_ = UINT64_MAX;

  std::vector<NamedDescriptor> passed;
  for (std::size_t i = 0; i < welcome->descriptor_names.size() && i < descriptors.size(); ++i) {
    if (descriptors[i].valid()) passed.push_back({welcome->descriptor_names[i], descriptors[i].get()});
  }
  try {
    device_ = attach_device(options_.device, welcome->adoption_info, passed);
  } catch (const DeviceError& error) {
    // The primary waits for its interface to come back, and there is nothing to share until then.
    if (error.kind() != DeviceError::Kind::no_interface) throw;
    attach_failure_ = error.what();
    return;
  }
  TANDEM_STEP("twin.device");
  make_stack();
  watch_link();
  replica_ = std::make_unique<ha::Replica>(*stack_, node_, application_,
                                           ha::LogReader(log_mapping_.data(), log_bytes, welcome->position),
                                           group_->epoch.load());
  if (!ha::send_message(socket.get(), ha::Ready{})) return;
  TANDEM_STEP("twin.ready");
  attach_socket_ = std::move(socket);
  const std::uint32_t owner_number = group_->owners[group_->owner.load() % ha::kOwnerSlots].number.load();
  log("twin of pid " + std::to_string(owner_number) + " on " + device_->description());
  if (loop_->futex_waits_in_thread())
    log("a thread waits for the primary's end, which takes some tens of microseconds longer: io_uring of this kernel "
        "cannot "
        "(Linux 6.7 can)",
        LogLevel::info);
  if (fencing_ != ha::Fencing::possible)
    log("a primary that hangs will not be taken over from, only one that ends: " + ha::why_no_fence(fencing_),
        LogLevel::warning);
}

Node::Impl::TwinEnd Node::Impl::run_twin() {
  // What a takeover would have to ask of the kernel.
  ha::prepare_ownership();
  ha::install_crash_notice();
  ha::prefault_program();
  stack_->prepare();
  const std::uint32_t owner_index = group_->owner.load(std::memory_order_acquire) % ha::kOwnerSlots;
  const ha::OwnerSlot& owner = group_->owners[owner_index];
  ha::ReaderSlot& self = group_->readers[reader_];
  socket_closed_ = word_watched_ = false;
  socket_watch_ = loop_->watch(attach_socket_.get(), POLLIN | POLLRDHUP, [this](short) { socket_closed_ = true; });
  // The options of the loop are the primary's. A twin spins when it was told to and else sleeps, so that it takes no processor
  // from its primary.
  loop_->set_options({.spin_us = 0, .spin_always = options_.twin_spins});
  const auto leave = [&](TwinEnd end) {
    loop_->set_spin_condition({});
    // What else there is to undo can wait until a promoted process has sent its first packet.
    if (end != TwinEnd::take_over) {
      stop_watching_owner();
      loop_->set_options(options_.loop);
    }
    return end;
  };
  ha::ProgramText text;
  if (options_.twin_spins) {
    loop_->set_spin_condition([&, this] {
      text.touch_next();
      return ha::owner_fate(owner.life.word.load(std::memory_order_relaxed)) != OwnerFate::alive ||
             group_->published.load(std::memory_order_relaxed) != replica_->position();
    });
  } else {
    loop_->set_spin_condition({});
  }

  ha::HangDetector hang(options_.detect_ms);
  ha::StarvationProbe starvation(owner_stat_.get(), owner_schedstat_.get());
  std::uint64_t busy_until_ns = 0;
  std::uint64_t busy_nap_ns = kFollowBusy_ns;
  bool realtime_asked = options_.twin_spins;
  for (;;) {
    const bool stops = stopping();
    look_at_link();
    // Before the log is looked at: it may have gone on without this twin, into another epoch.
    if (group_->shut_down.load(std::memory_order_acquire) != 0) {
      log("the group is being shut down");
      return leave(TwinEnd::shut_down);
    }
    if (self.state.load(std::memory_order_acquire) == ReaderState::ineligible && !TANDEM_PLANTED(removed_promoted)) {
      log("removed by the primary; joining again", LogLevel::warning);
      return leave(TwinEnd::join_again);
    }
    TANDEM_STEP("twin.looked");
    // The bell before the word, or its end could be missed; the position after it: what a dead owner published is then known in full.
    const std::uint32_t bell = owner.bells[reader_].word.load(std::memory_order_acquire);
    const std::uint32_t word = owner.life.word.load(std::memory_order_acquire);
    const OwnerFate fate = ha::owner_fate(word);
    const std::uint64_t published = group_->published.load(std::memory_order_acquire);
    const std::uint64_t before = replica_->position();
    const std::uint64_t began_ns = monotonic_ns();
    const std::uint64_t noticed_ns = fate == OwnerFate::alive ? 0 : began_ns;
    if (!replica_->apply(published, fate == OwnerFate::alive ? began_ns + kApplySlice_ns : UINT64_MAX)) {
      if (self.state.load(std::memory_order_acquire) == ReaderState::ineligible) {
        log("removed by the primary, and the log has gone on without this twin; joining again", LogLevel::warning);
        return leave(TwinEnd::join_again);
      }
      ha::withdraw_eligibility(self);
      throw NodeError(exit_code::kProtocol, "the log cannot be followed: " + replica_->error() +
                                                ". The primary goes on unprotected; start this process again.");
    }
    TANDEM_STEP("twin.applied");
    self.position.store(replica_->position(), std::memory_order_release);
    TANDEM_STEP("twin.reported");
    const std::uint64_t applied = replica_->position() - before;
    if (applied >= kMeasuredBytes)
      self.apply_ps.store(
          smoothed_ps(self.apply_ps.load(std::memory_order_relaxed), monotonic_ns() - began_ns, applied),
          std::memory_order_relaxed);
    now_ns_ = replica_->time_ns();
    // Not when the owner has died: then the connections are this process's, and it takes them over to close them in good order. Who
    // has only given them away takes them back.
    if (stops && fate != OwnerFate::died) return leave(TwinEnd::stop);
    if (fate != OwnerFate::alive) {
      group_->last_takeover = {};
      group_->last_takeover.noticed = noticed_ns;
      group_->last_takeover.lag_bytes = published - before;
      const TwinEnd end = owner_is_gone(fate);
      leave(end);
      // Where no signal reaches it somebody else has ended what hung.
      owner_hung_ = fate == OwnerFate::died && hang_said_at_ == owner.heartbeat.load(std::memory_order_relaxed);
      if (end == TwinEnd::take_over) take_over(fate == OwnerFate::died ? Cause::died : Cause::switchover);
      return end;
    }
    if (socket_closed_) {
      // A dying owner's word is marked before its sockets close: one more look decides.
      if (ha::owner_fate(owner) != OwnerFate::alive) continue;
      log("the primary closed the connection; joining again", LogLevel::warning);
      return leave(TwinEnd::join_again);
    }
    const std::uint64_t now = monotonic_ns();
    const std::uint64_t heartbeat = owner.heartbeat.load(std::memory_order_relaxed);
    // Only who may take over has a use for that: a joiner waits on, and is made a member when its primary turns again.
    const bool may_take_over =
        replica_->complete() && self.state.load(std::memory_order_acquire) == ReaderState::member;
    const bool hangs = may_take_over && hang.sample(now, heartbeat, starvation);
    if (hangs) owner_was_stopped_ = starvation.is_stopped();
    if (hangs && can_fence(heartbeat)) {
      owner_hung_ = true;
      TwinEnd end = owner_is_gone(OwnerFate::died);
      if (end == TwinEnd::take_over && !TANDEM_PLANTED(fence_skipped)) end = fence_hung_owner();
      leave(end);
      if (end == TwinEnd::take_over) {
        group_->last_takeover = {};
        group_->last_takeover.noticed = now;
        take_over(Cause::hung);
      }
      return end;
    }
    if (!word_watched_) {
      word_watched_ = true;
      const bool shared = TANDEM_PLANTED(bell_shared);
      word_watch_ = loop_->futex_wait(
          reinterpret_cast<const std::uint32_t*>(shared ? &owner.life.word : &owner.bells[reader_].word),
          shared ? word : bell, [this] { word_watched_ = false; });
    }
    if (replica_->complete() && options_.twin_spins) step_forward();
    if (replica_->complete() && !realtime_asked) {
      // Where allowed: so that the notice of a death and the first turn behind it need not wait for others. Not while it catches
      // up, when it would keep the primary from its processor.
      realtime_asked = true;
      step_forward();
      realtime_ = ha::system::enter_realtime(kRealtimePriority);
    }
    if (applied != 0) busy_until_ns = now + kStaysBusy_ns;
    if (applied > kUnreadBytes) busy_nap_ns = std::max(kFollowOften_ns, busy_nap_ns / 2);
    if (applied < kUnreadBytes / 4) busy_nap_ns = std::min(kFollowBusy_ns, busy_nap_ns * 2);
    const std::uint64_t nap = options_.twin_spins ? 200'000 : now < busy_until_ns ? busy_nap_ns : kFollowIdle_ns;
    report_state(now, self.state.load(std::memory_order_relaxed) == ReaderState::member);
    // Whoever is behind does not sleep.
    const bool behind = replica_->position() != published;
    loop_->run_once(behind ? 0 : std::min(now + nap, hang.next_sample_ns()));
  }
}

void Node::Impl::stop_watching_owner() {
  if (socket_watch_ == 0) return;
  loop_->unwatch(std::exchange(socket_watch_, 0));
  if (word_watched_) loop_->unwatch(word_watch_);
  word_watched_ = false;
}

Node::Impl::TwinEnd Node::Impl::owner_is_gone(OwnerFate fate) {
  if (replica_->complete() && ha::begin_promotion(group_->readers[reader_])) {
    TANDEM_STEP("takeover.promoted");
    ha::OwnerSlot& owner = group_->owners[group_->owner.load() % ha::kOwnerSlots];
    if (fate != OwnerFate::handed_over || ha::take_handed_over(owner)) return TwinEnd::take_over;
    // Whoever claimed it again removes this twin before it goes on; one that ended before that has done nothing.
    if (ha::owner_fate(owner) == OwnerFate::died && group_->readers[reader_].state.load() == ReaderState::promoted)
      return TwinEnd::take_over;
    group_->readers[reader_].state.store(ReaderState::ineligible);
    log("the primary has taken back what it had handed over, which took this twin too long; joining again",
        LogLevel::warning);
    return TwinEnd::join_again;
  }
  // It may have been removed just before, by an owner that then goes on; and one that goes on must not take it for a member later.
  const bool was_removed = group_->readers[reader_].state.load() == ReaderState::ineligible;
  ha::withdraw_eligibility(group_->readers[reader_]);
  if (was_removed) {
    log("removed by the primary; joining again", LogLevel::warning);
  } else {
    log("the primary is gone and this twin had not been brought up to date: its connections are lost, starting anew",
        LogLevel::error);
  }
  return TwinEnd::join_again;
}

bool Node::Impl::can_fence(std::uint64_t heartbeat) {
  fencing_ = ha::system::may_kill(owner_process_.get());
  if (fencing_ == ha::Fencing::possible) return true;
  if (hang_said_at_ != heartbeat) {
    hang_said_at_ = heartbeat;
    log("the primary has not turned for " + std::to_string(options_.detect_ms) +
            " ms and cannot be ended from here: " + ha::why_no_fence(fencing_) +
            ". No fence, no takeover: end it by hand, and this twin takes over. Watching on",
        LogLevel::error);
  }
  return false;
}

void Node::Impl::withdraw_holder() {
  if (!holder_.valid()) return;
  rendezvous_->withdraw(identity_);
  holder_.reset();
}

void Node::Impl::leave_group() {
  drop_claims();
  step_forward();
  role_ = Role::alone;
  replica_.reset();
  stack_.reset();
  unwatch_link();
  device_.reset();
  attach_socket_.reset();
  owner_process_.reset();
  owner_stat_.reset();
  owner_schedstat_.reset();
  descriptors_ = {};
  group_ = nullptr;
  group_mapping_ = {};
  log_mapping_ = {};
  group_file_.reset();
  log_file_.reset();
  listening_ports_.clear();
  withdraw_holder();
}

}  // namespace tandem
