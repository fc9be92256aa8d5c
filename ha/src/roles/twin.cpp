// SPDX-License-Identifier: BSD-3-Clause
//
// The twin: attaches, follows the log, and watches the primary's claim to the rings.
#include <poll.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "members/crash_notice.hpp"
#include "members/eligibility_word.hpp"
#include "members/fencing.hpp"
#include "members/hang_detector.hpp"
#include "members/starvation_probe.hpp"
#include "node/group.hpp"
#include "node/node_error.hpp"
#include "node/system.hpp"
#include "roles/prefault.hpp"
#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {

namespace {

/// How often a sleeping twin takes what has been published, while there is something and while there is not.
constexpr std::uint64_t kFollowBusy_ns = 1'000'000;
/// What lies unread when the primary dies is read before anything else, so it is kept short: a twin that finds more than this looks
/// twice as often, down to the shortest nap.
constexpr std::uint64_t kUnreadBytes = 64 * 1024;
constexpr std::uint64_t kFollowOften_ns = 250'000;
constexpr std::uint64_t kFollowIdle_ns = 5'000'000;
constexpr std::uint64_t kStaysBusy_ns = 50'000'000;
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

/// Invalid when the primary could not make it.
Descriptor take_optional(std::vector<Descriptor>& descriptors, const std::vector<std::string>& names,
                         std::string_view name) {
  for (std::size_t i = 0; i < names.size() && i < descriptors.size(); ++i) {
    if (names[i] == name) return std::move(descriptors[i]);
  }
  return {};
}

Descriptor take(std::vector<Descriptor>& descriptors, const std::vector<std::string>& names, std::string_view name) {
  Descriptor found = take_optional(descriptors, names, name);
  if (found.valid()) return found;
  throw NodeError(exit_code::kProtocol, "the primary did not pass the descriptor \"" + std::string(name) +
                                            "\". Run the same version on both sides.");
}

}  // namespace

/// False when the primary has gone meanwhile.
bool Twin::say_hello(int socket) {
  const std::vector<std::uint8_t>& text = group_.options_text();
  const std::uint64_t length = text.size();
  // The options themselves are looked at only if they do not fit.
  const Descriptor file = make_shared_file("tandem-options", sizeof length + text.size());
  const Mapping mapping(file.get(), sizeof length + text.size(), false);
  std::memcpy(mapping.data(), &length, sizeof length);
  std::memcpy(mapping.data() + sizeof length, text.data(), text.size());
  Hello hello;
  hello.identity = group_.process.identity();
  hello.number = static_cast<std::uint32_t>(system::process_id());
  hello.options_digest = digest_of(text);
  hello.descriptor_names = {"options"};
  std::vector<int> passed = {file.get()};
  const Descriptor process = system::own_process();
  if (process.valid()) {
    hello.descriptor_names.emplace_back("process");
    passed.push_back(process.get());
  }
  if (send_message(socket, hello, passed)) return true;
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return false;
  throw NodeError(exit_code::kSystem, std::string("the primary cannot be told what this process speaks: ") +
                                          std::strerror(errno) + ". Look at its attach.sock, then start again.");
}

void Twin::attach(Descriptor socket) {
  attach_socket_.reset();
  group_.attach_failure = "the primary went away before it had taken this process in";
  // Before anything that belongs to the group is on its way here.
  group_.holder = group_.rendezvous->announce(group_.process.identity());
  group_.process.step_back();
  if (!trusted_peer(socket.get())) {
    throw NodeError(exit_code::kPrivilege, "the process that listens in " + group_.rendezvous->directory() +
                                               " belongs to another user. Start primary and twin as the same user.");
  }
  if (!say_hello(socket.get())) return;
  TANDEM_STEP("twin.hello");

  AttachMessage message;
  std::vector<Descriptor> descriptors;
  const std::uint64_t until = monotonic_ns() + kWelcomeWithin_ns;
  for (bool waiting = true; waiting;) {
    std::string why;
    switch (receive_message(socket.get(), message, descriptors, &why)) {
      case ReceiveResult::message:
        waiting = false;
        break;
      case ReceiveResult::closed:
        return;
      case ReceiveResult::garbage:
      case ReceiveResult::first_version:
        throw NodeError(exit_code::kProtocol, "the primary's answer is none of this version's attach protocol" +
                                                  (why.empty() ? why : ": " + why) +
                                                  ". Run the same version on both sides.");
      case ReceiveResult::nothing_yet: {
        if (group_.process.stopping()) return;
        // Others may hold its listening socket, and then nobody says that it has gone.
        if (group_.rendezvous->try_lock().valid()) return;
        if (monotonic_ns() > until) {
          throw NodeError(exit_code::kBusy,
                          "the primary of group \"" + group_.options.group +
                              "\" did not answer for 15 seconds. It may be "
                              "stopped or hung: look at it, or end it so that this process can become primary.");
        }
        group_.report_state(monotonic_ns(), false);
        system::wait_readable(socket.get(), 20);
        group_.process.loop().run_once(0);
        break;
      }
    }
  }
  if (const auto* refusal = std::get_if<Refusal>(&message))
    throw NodeError(refusal->exit_code, "not taken as a twin: " + refusal->text);
  const auto* welcome = std::get_if<Welcome>(&message);
  if (welcome == nullptr)
    throw NodeError(exit_code::kProtocol, "the primary's answer is out of order. Run the same version on both sides.");

  group_.role = Role::twin;
  group_.shared_file = take(descriptors, welcome->descriptor_names, "group");
  group_.log_file = take(descriptors, welcome->descriptor_names, "log");
  group_.descriptors.attach = take(descriptors, welcome->descriptor_names, "attach");
  group_.descriptors.control = take(descriptors, welcome->descriptor_names, "control");
  const std::uint64_t log_bytes = welcome->log_bytes;
  if (sealed_file_bytes(group_.shared_file.get()) < sizeof(SharedGroup) || log_bytes == 0 ||
      (log_bytes & (log_bytes - 1)) != 0 || sealed_file_bytes(group_.log_file.get()) != log_bytes ||
      welcome->reader >= kMaxReaders || welcome->log_format < kOldestLogFormat ||
      welcome->log_format > kLogFormatVersion) {
    throw NodeError(exit_code::kProtocol,
                    "the primary's shared memory is not of this version's layout. Run the same version on both sides.");
  }
  group_.shared_mapping = Mapping(group_.shared_file.get(), sizeof(SharedGroup), false);
  group_.log_mapping = Mapping(group_.log_file.get(), log_bytes, true);
  group_.options.log_bytes = log_bytes;
  group_.shared = reinterpret_cast<SharedGroup*>(group_.shared_mapping.data());
  if (group_.shared->magic != kGroupMagic || group_.shared->layout_version != kGroupLayoutVersion ||
      group_.shared->bytes != sizeof(SharedGroup)) {
    throw NodeError(exit_code::kProtocol,
                    "the group's shared memory has another layout. Run the same version on both sides.");
  }
  TANDEM_STEP("twin.mapped");
  reader_ = welcome->reader;
  ReaderSlot& self = group_.shared->readers[reader_];
  if (!hold_place(self, group_.process.identity())) {
    group_.attach_failure = "the place that the primary made for this process was given to another one";
    return;
  }
  place_held_ = true;
  owner_process_ = take_optional(descriptors, welcome->descriptor_names, "process");
  owner_stat_ = take_optional(descriptors, welcome->descriptor_names, "stat");
  owner_schedstat_ = take_optional(descriptors, welcome->descriptor_names, "schedstat");
  fencing_ = system::may_kill(owner_process_.get());
  self.fencing.store(fencing_);
  std::unique_ptr<SnapshotFeed> snapshot;
  if (welcome->log_format >= format_of(RecordType::snapshot_at))
    snapshot = std::make_unique<SnapshotFeed>(take(descriptors, welcome->descriptor_names, "snapshot"),
                                              take(descriptors, welcome->descriptor_names, "snapshot-log"));
  hang_said_at_ = UINT64_MAX;

  std::vector<NamedDescriptor> passed;
  for (std::size_t i = 0; i < welcome->descriptor_names.size() && i < descriptors.size(); ++i) {
    if (descriptors[i].valid()) passed.push_back({welcome->descriptor_names[i], descriptors[i].get()});
  }
  try {
    group_.device = attach_device(group_.options.device, welcome->adoption_info, passed);
  } catch (const DeviceError& error) {
    // The primary waits for its interface to come back, and there is nothing to share until then.
    if (error.kind() != DeviceError::Kind::no_interface) throw;
    group_.attach_failure = error.what();
    return;
  }
  TANDEM_STEP("twin.device");
  group_.make_stack();
  group_.link.watch();
  replica_ = std::make_unique<Replica>(*group_.stack, group_.node, group_.application,
                                       LogReader(group_.log_mapping.data(), log_bytes, welcome->position),
                                       group_.shared->epoch.load(), std::move(snapshot));
  if (!send_message(socket.get(), Ready{})) return;
  TANDEM_STEP("twin.ready");
  attach_socket_ = std::move(socket);
  const std::uint32_t owner_number = group_.shared->owners[group_.shared->owner.load() % kOwnerSlots].number.load();
  group_.log("twin of pid " + std::to_string(owner_number) + " on " + group_.device->description());
  if (group_.process.loop().futex_waits_in_thread())
    group_.log(
        "a thread waits for the primary's end, which takes some tens of microseconds longer: io_uring of this kernel "
        "cannot "
        "(Linux 6.7 can)",
        LogLevel::info);
  if (fencing_ != Fencing::possible)
    group_.log("a primary that hangs will not be taken over from, only one that ends: " + why_no_fence(fencing_),
               LogLevel::warning);
}

Twin::End Twin::run() {
  // What a takeover would have to ask of the kernel.
  prepare_ownership();
  install_crash_notice();
  prefault_program();
  group_.stack->prepare();
  const std::uint32_t owner_index = group_.shared->owner.load(std::memory_order_acquire) % kOwnerSlots;
  const OwnerSlot& owner = group_.shared->owners[owner_index];
  ReaderSlot& self = group_.shared->readers[reader_];
  socket_closed_ = word_watched_ = false;
  socket_watch_ =
      group_.process.loop().watch(attach_socket_.get(), POLLIN | POLLRDHUP, [this](short) { socket_closed_ = true; });
  // The options of the loop are the primary's. A twin spins when it was told to and else sleeps, so that it takes no processor
  // from its primary.
  group_.process.loop().set_options({.spin_us = 0, .spin_always = group_.options.twin_spins});
  const auto leave = [&](End end) {
    group_.process.loop().set_spin_condition({});
    // What else there is to undo can wait until a promoted process has sent its first packet.
    if (end != End::take_over) {
      stop_watching_owner();
      group_.process.loop().set_options(group_.options.loop);
    }
    return end;
  };
  ProgramText text;
  if (group_.options.twin_spins) {
    group_.process.loop().set_spin_condition([&, this] {
      text.touch_next();
      return owner_fate(owner.life.word.load(std::memory_order_relaxed)) != OwnerFate::alive ||
             group_.shared->published.load(std::memory_order_relaxed) != replica_->position();
    });
  } else {
    group_.process.loop().set_spin_condition({});
  }

  HangDetector hang(group_.options.detect_ms);
  StarvationProbe starvation(owner_stat_.get(), owner_schedstat_.get());
  std::uint64_t busy_until_ns = 0;
  std::uint64_t busy_nap_ns = kFollowBusy_ns;
  bool realtime_asked = group_.options.twin_spins;
  for (;;) {
    const bool stops = group_.process.stopping();
    group_.link.look();
    // Before the log is looked at: it may have gone on without this twin, into another epoch.
    if (group_.shared->shut_down.load(std::memory_order_acquire) != 0) {
      group_.log("the group is being shut down");
      return leave(End::shut_down);
    }
    if (self.state.load(std::memory_order_acquire) == ReaderState::ineligible && !TANDEM_PLANTED(removed_promoted)) {
      group_.log("removed by the primary; joining again", LogLevel::warning);
      return leave(End::join_again);
    }
    TANDEM_STEP("twin.looked");
    // The bell before the word, or its end could be missed; the position after it: what a dead owner published is then known in full.
    const std::uint32_t bell = owner.bells[reader_].word.load(std::memory_order_acquire);
    const std::uint32_t word = owner.life.word.load(std::memory_order_acquire);
    const OwnerFate fate = owner_fate(word);
    const std::uint64_t published = group_.shared->published.load(std::memory_order_acquire);
    const std::uint64_t before = replica_->position();
    const std::uint64_t began_ns = monotonic_ns();
    const std::uint64_t noticed_ns = fate == OwnerFate::alive ? 0 : began_ns;
    if (!replica_->apply(published, fate == OwnerFate::alive ? began_ns + kApplySlice_ns : UINT64_MAX)) {
      if (self.state.load(std::memory_order_acquire) == ReaderState::ineligible) {
        group_.log("removed by the primary, and the log has gone on without this twin; joining again",
                   LogLevel::warning);
        return leave(End::join_again);
      }
      withdraw_eligibility(self);
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
    group_.now_ns = replica_->time_ns();
    // Not when the owner has died: then the connections are this process's, and it takes them over to close them in good order. Who
    // has only given them away takes them back.
    if (stops && fate != OwnerFate::died) return leave(End::stop);
    if (fate != OwnerFate::alive) {
      group_.shared->last_takeover = {};
      group_.shared->last_takeover.noticed = noticed_ns;
      group_.shared->last_takeover.lag_bytes = published - before;
      const End end = owner_is_gone(fate);
      leave(end);
      // Where no signal reaches it somebody else has ended what hung.
      owner_hung_ = fate == OwnerFate::died && hang_said_at_ == owner.heartbeat.load(std::memory_order_relaxed);
      if (end == End::take_over) take_over(fate == OwnerFate::died ? TakeoverCause::died : TakeoverCause::switchover);
      return end;
    }
    if (socket_closed_) {
      // A dying owner's word is marked before its sockets close: one more look decides.
      if (owner_fate(owner) != OwnerFate::alive) continue;
      group_.log("the primary closed the connection; joining again", LogLevel::warning);
      return leave(End::join_again);
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
      End end = owner_is_gone(OwnerFate::died);
      if (end == End::take_over && !TANDEM_PLANTED(fence_skipped)) end = fence_hung_owner();
      leave(end);
      if (end == End::take_over) {
        group_.shared->last_takeover = {};
        group_.shared->last_takeover.noticed = now;
        take_over(TakeoverCause::hung);
      }
      return end;
    }
    if (!word_watched_) {
      word_watched_ = true;
      const bool shared = TANDEM_PLANTED(bell_shared);
      word_watch_ = group_.process.loop().futex_wait(
          reinterpret_cast<const std::uint32_t*>(shared ? &owner.life.word : &owner.bells[reader_].word),
          shared ? word : bell, [this] { word_watched_ = false; });
    }
    if (replica_->complete() && group_.options.twin_spins) group_.process.step_forward();
    if (replica_->complete() && !realtime_asked) {
      // Where allowed: so that the notice of a death and the first turn behind it need not wait for others. Not while it catches
      // up, when it would keep the primary from its processor.
      realtime_asked = true;
      group_.process.step_forward();
      group_.process.enter_realtime();
    }
    if (applied != 0) busy_until_ns = now + kStaysBusy_ns;
    if (applied > kUnreadBytes) busy_nap_ns = std::max(kFollowOften_ns, busy_nap_ns / 2);
    if (applied < kUnreadBytes / 4) busy_nap_ns = std::min(kFollowBusy_ns, busy_nap_ns * 2);
    const std::uint64_t nap = group_.options.twin_spins ? 200'000 : now < busy_until_ns ? busy_nap_ns : kFollowIdle_ns;
    group_.report_state(now, self.state.load(std::memory_order_relaxed) == ReaderState::member);
    // Whoever is behind does not sleep.
    const bool behind = replica_->position() != published;
    group_.process.loop().run_once(behind ? 0 : std::min(now + nap, hang.next_sample_ns()));
  }
}

void Twin::stop_watching_owner() {
  old_feed_.reset();
  if (socket_watch_ == 0) return;
  group_.process.loop().unwatch(std::exchange(socket_watch_, 0));
  if (word_watched_) group_.process.loop().unwatch(word_watch_);
  word_watched_ = false;
}

Twin::End Twin::owner_is_gone(OwnerFate fate) {
  if (replica_->complete() && begin_promotion(group_.shared->readers[reader_])) {
    TANDEM_STEP("takeover.promoted");
    OwnerSlot& owner = group_.shared->owners[group_.shared->owner.load() % kOwnerSlots];
    if (fate != OwnerFate::handed_over || take_handed_over(owner)) return End::take_over;
    // Whoever claimed it again removes this twin before it goes on; one that ended before that has done nothing.
    if (owner_fate(owner) == OwnerFate::died && group_.shared->readers[reader_].state.load() == ReaderState::promoted)
      return End::take_over;
    group_.shared->readers[reader_].state.store(ReaderState::ineligible);
    group_.log("the primary has taken back what it had handed over, which took this twin too long; joining again",
               LogLevel::warning);
    return End::join_again;
  }
  // It may have been removed just before, by an owner that then goes on; and one that goes on must not take it for a member later.
  const bool was_removed = group_.shared->readers[reader_].state.load() == ReaderState::ineligible;
  withdraw_eligibility(group_.shared->readers[reader_]);
  if (was_removed) {
    group_.log("removed by the primary; joining again", LogLevel::warning);
  } else {
    group_.log(
        "the primary is gone and this twin had not been brought up to date: its connections are lost, starting anew",
        LogLevel::error);
  }
  return End::join_again;
}

bool Twin::can_fence(std::uint64_t heartbeat) {
  fencing_ = system::may_kill(owner_process_.get());
  if (fencing_ == Fencing::possible) return true;
  if (hang_said_at_ != heartbeat) {
    hang_said_at_ = heartbeat;
    group_.log("the primary has not turned for " + std::to_string(group_.options.detect_ms) +
                   " ms and cannot be ended from here: " + why_no_fence(fencing_) +
                   ". No fence, no takeover: end it by hand, and this twin takes over. Watching on",
               LogLevel::error);
  }
  return false;
}

void Twin::drop_claim() {
  if (!place_held_) return;
  leave_place(group_.shared->readers[reader_]);
  place_held_ = false;
}

void Twin::leave() {
  replica_.reset();
  attach_socket_.reset();
  owner_process_.reset();
  owner_stat_.reset();
  owner_schedstat_.reset();
}

}  // namespace tandem::ha
