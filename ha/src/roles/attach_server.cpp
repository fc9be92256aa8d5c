// SPDX-License-Identifier: BSD-3-Clause
//
// The primary's side of attaching: who may, who becomes a member, who is removed (design.md section 3, "Who is a member").
#include "roles/attach_server.hpp"

#include <poll.h>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "log/log_limits.hpp"
#include "members/eligibility_word.hpp"
#include "members/fencing.hpp"
#include "node/group.hpp"
#include "node/system.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {

namespace {

constexpr std::uint64_t kHandshake_ns = 5'000'000'000;
constexpr std::size_t kMaxSessions = 8;
/// What bringing up a late joiner may add to one turn.
constexpr std::uint64_t kJoinSlice_ns = 60'000;
/// How many times as long as a member a joiner may stand still.
constexpr std::uint64_t kJoinerTimes = 10;
/// A snapshot goes no further ahead of its reader than this: it would lie unread when the last piece is written.
constexpr std::uint64_t kJoinAheadBytes = std::uint64_t{1} << 20;
/// A member counts as caught up when a takeover would have to apply for no longer than this first, ...
constexpr std::uint64_t kCaughtUp_ns = 1'000'000;
/// ... and until it is more than this. A twin that sleeps between two looks always has some.
constexpr std::uint64_t kBehind_ns = 5'000'000;
/// What a byte is taken to cost while its reader has not told: that of the records of a busy BGP speaker.
constexpr std::uint32_t kApply_ps = 16'000;
/// How often it is looked whether a twin has caught up, or has read what it was given.
constexpr std::uint64_t kLookForReader_ns = 500'000;
/// One that is behind for so long is spoken of.
constexpr std::uint64_t kBehindForLong_ns = 1'000'000'000;

}  // namespace

bool AttachServer::session_is_gone(const Session& session) {
  return system::has_hung_up(session.socket.get()) || system::has_ended(session.process.get());
}

std::string AttachServer::name_of(const Session& session) {
  return session.number != 0 ? "pid " + std::to_string(session.number) : "a process that has not said who it is";
}

AttachServer::Session* AttachServer::reader_session() const {
  for (const auto& session : sessions_) {
    if (session->reader && !session->removed) return session.get();
  }
  return nullptr;
}

bool AttachServer::has_member() const {
  if (group_.shared == nullptr) return false;
  return std::any_of(group_.shared->readers.begin(), group_.shared->readers.end(), [](const ReaderSlot& slot) {
    return slot.state.load(std::memory_order_relaxed) == ReaderState::member;
  });
}

void AttachServer::listen() {
  group_.process.loop().watch(group_.descriptors.attach.get(), POLLIN, [this](short) { attach_ready_ = true; });
}

void AttachServer::serve() {
  if (!group_.rendezvous || group_.now_ns < serve_from_ns_) return;
  while (attach_ready_ && sessions_.size() < kMaxSessions) {
    Descriptor socket = system::accept_connection(group_.descriptors.attach.get());
    if (!socket.valid()) {
      attach_ready_ = false;
      break;
    }
    auto session = std::make_unique<Session>();
    session->socket = std::move(socket);
    session->deadline_ns = group_.now_ns + kHandshake_ns;
    session->watch = group_.process.loop().watch(session->socket.get(), POLLIN | POLLRDHUP,
                                                 [this](short) { session_event_ = true; });
    sessions_.push_back(std::move(session));
    TANDEM_STEP("attach.accepted");
    session_event_ = true;
  }
  if (!session_event_ && group_.now_ns < sessions_checked_ns_ + 1'000'000'000) return;
  session_event_ = false;
  sessions_checked_ns_ = group_.now_ns;
  for (const auto& session : sessions_) serve_session(*session);
  std::erase_if(sessions_, [this](const std::unique_ptr<Session>& session) {
    if (!session->finished) return false;
    group_.process.loop().unwatch(session->watch);
    return true;
  });
}

void AttachServer::serve_session(Session& session) {
  while (!session.finished) {
    AttachMessage message;
    std::vector<Descriptor> descriptors;
    std::string why;
    switch (receive_message(session.socket.get(), message, descriptors, &why)) {
      case ReceiveResult::nothing_yet:
        if (!session.ready && group_.now_ns > session.deadline_ns)
          refuse(session, exit_code::kProtocol, "the handshake took longer than 5 seconds");
        return;
      case ReceiveResult::closed:
        drop(session, "it has gone");
        session.finished = true;
        return;
      case ReceiveResult::garbage:
        refuse(
            session, exit_code::kProtocol,
            (why.empty() ? "the message is none of this version's attach protocol" : "the message is refused: " + why) +
                "; run the same version on both sides");
        return;
      case ReceiveResult::first_version:
        refuse_first_version(session);
        return;
      case ReceiveResult::message:
        break;
    }
    if (const auto* hello = std::get_if<Hello>(&message); hello != nullptr && !session.welcomed) {
      for (std::size_t i = 0; i < hello->descriptor_names.size() && i < descriptors.size(); ++i)
        if (hello->descriptor_names[i] == "process") session.process = std::move(descriptors[i]);
      greet(session, *hello, std::move(descriptors));
    } else if (std::holds_alternative<Ready>(message) && session.welcomed && !session.ready) {
      begin_join(session);
    } else {
      refuse(session, exit_code::kProtocol, "a message of the attach protocol came out of order");
    }
  }
}

void AttachServer::refuse(Session& session, int code, const std::string& text) {
  note_refusal(session, text);
  send_message(session.socket.get(), Refusal{code, text});
  drop(session, "it was refused");
  session.finished = true;
}

/// Both sides say why: this one in the log and in `status`, until a twin is there.
void AttachServer::note_refusal(const Session& session, const std::string& text) {
  ++counters_.refused;
  group_.log("refused " + name_of(session) + " as a twin: " + text, LogLevel::warning);
  if (reader_session() == nullptr) why_ = "no twin is attached: " + name_of(session) + " was refused: " + text;
}

/// Before its messages could grow; it is told so in its own words.
void AttachServer::refuse_first_version(Session& session) {
  const std::string text =
      "the twin is of a version that speaks log format 1 only and cannot say more, the primary speaks " +
      to_string(log_formats) + " of another kind. Install the same version on both sides.";
  if (const auto peer = trusted_peer(session.socket.get()); peer && peer->pid > 0)
    session.number = static_cast<std::uint32_t>(peer->pid);
  note_refusal(session, text);
  system::send_packet(session.socket.get(), encode_first_refusal({exit_code::kProtocol, text}), {});
  session.finished = true;
}

std::string AttachServer::differing_options(const Hello& hello, std::vector<Descriptor> descriptors) const {
  std::optional<Fingerprint> theirs;
  for (std::size_t i = 0; i < hello.descriptor_names.size() && i < descriptors.size(); ++i) {
    if (hello.descriptor_names[i] != "options") continue;
    const std::size_t bytes = sealed_file_bytes(descriptors[i].get());
    if (bytes < sizeof(std::uint64_t) || bytes > kMaxFingerprintBytes) break;
    const Mapping mapping(descriptors[i].get(), bytes, false);
    std::uint64_t length = 0;
    std::memcpy(&length, mapping.data(), sizeof length);
    if (length > bytes - sizeof length) break;
    // Copied first: whoever sent it can still write into it.
    const std::vector<std::uint8_t> text(mapping.data() + sizeof length, mapping.data() + sizeof length + length);
    theirs = decode_fingerprint(text);
  }
  if (!theirs) return "the twin's are others, and it does not say which";
  const std::string text = differences(group_.fingerprint(), *theirs);
  return text.empty() ? "they are others than the twin said at first" : text;
}

void AttachServer::greet(Session& session, const Hello& hello, std::vector<Descriptor> descriptors) {
  const auto peer = trusted_peer(session.socket.get());
  if (!peer)
    return refuse(session, exit_code::kPrivilege, "the process belongs to another user. Start both as the same user.");
  // The kernel has no number for a process of a namespace that is not seen from here; then its own has to do.
  session.number = peer->pid > 0 ? static_cast<std::uint32_t>(peer->pid) : hello.number;
  const auto format = common_version(log_formats, hello.log_format);
  if (!format || !common_version(kGroupLayouts, hello.group_layout)) {
    return refuse(session, exit_code::kProtocol,
                  "the twin speaks log format " + to_string(hello.log_format) + " and group layout " +
                      to_string(hello.group_layout) + ", the primary " + to_string(log_formats) + " and " +
                      to_string(kGroupLayouts) + ". Install versions on both sides that have one in common.");
  }
  if (hello.options_digest != digest_of(group_.options_text())) {
    return refuse(session, exit_code::kMismatch,
                  "the options do not fit: " + differing_options(hello, std::move(descriptors)) +
                      ". Start both with the same options.");
  }
  if (!group_.options.mirror) {
    return refuse(session, exit_code::kMismatch, "the primary was started with --no-mirror and takes no twin.");
  }
  if (Session* other = reader_session()) {
    const bool follows = group_.shared->readers[*other->reader].state.load() != ReaderState::ineligible;
    if (follows && !session_is_gone(*other)) {
      return refuse(session, exit_code::kTwinAttached,
                    "the group \"" + group_.options.group + "\" has its twin already (" + name_of(*other) +
                        "). Stop that one first, or use another --group.");
    }
    drop(*other, follows ? "it has gone" : "it could not follow the log");
    other->finished = session_is_gone(*other);
  }
  const auto is_served = [this](std::uint32_t index) {
    return std::any_of(sessions_.begin(), sessions_.end(), [index](const auto& item) { return item->reader == index; });
  };
  const auto reader = usable_slot(*group_.shared, is_served);
  if (!reader) return refuse(session, exit_code::kBusy, "removed twins still hold every reader slot. End them.");
  ReaderSlot& slot = group_.shared->readers[*reader];
  slot.position.store(group_.shared->published.load());
  slot.number.store(session.number);
  slot.fencing.store(Fencing::unknown);
  slot.identity.store(hello.identity);
  slot.life.word.store(0);
  slot.apply_ps.store(0);
  slot.state.store(ReaderState::joining, std::memory_order_release);
  session.reader = *reader;
  TANDEM_STEP("attach.joining");

  Welcome welcome;
  welcome.reader = *reader;
  welcome.position = group_.shared->published.load();
  welcome.log_bytes = group_.options.log_bytes;
  welcome.adoption_info = group_.device->adoption_info();
  std::vector<NamedDescriptor> passed = {{"group", group_.shared_file.get()},
                                         {"log", group_.log_file.get()},
                                         {"attach", group_.descriptors.attach.get()},
                                         {"control", group_.descriptors.control.get()}};
  const Descriptor process = system::own_process();
  const Descriptor stat = system::own_scheduling("stat");
  const Descriptor schedstat = system::own_scheduling("schedstat");
  if (*format >= format_of(RecordType::snapshot_at)) {
    session.snapshot_log = std::make_unique<SnapshotLog>(snapshot_log_bytes());
    passed.push_back({"snapshot", session.snapshot_log->words_fd()});
    passed.push_back({"snapshot-log", session.snapshot_log->ring_fd()});
  }
  if (process.valid()) passed.push_back({"process", process.get()});
  if (stat.valid()) passed.push_back({"stat", stat.get()});
  if (schedstat.valid()) passed.push_back({"schedstat", schedstat.get()});
  for (NamedDescriptor& item : group_.device->descriptors()) passed.push_back(std::move(item));
  std::vector<int> numbers;
  for (const NamedDescriptor& item : passed) {
    welcome.descriptor_names.push_back(item.name);
    numbers.push_back(item.fd);
  }
  welcome.log_format = *format;
  primary_.writer().set_format(*format);
  session.welcomed = true;
  if (!send_message(session.socket.get(), welcome, numbers)) {
    const int error = errno;
    return refuse(session, exit_code::kSystem,
                  std::string("the descriptors could not be passed: ") + std::strerror(error));
  }
  TANDEM_STEP("attach.welcomed");
}

void AttachServer::begin_join(Session& session) {
  session.ready = true;
  ++counters_.attached;
  join_began_ns_ = group_.now_ns;
  joined_.longest_turn_ns = 0;
  reader_seen_ns_ = group_.now_ns;
  reader_seen_position_ = group_.shared->readers[*session.reader].position.load();
  forget_join();
  primary_.writer().set_time(group_.now_ns);
  primary_.publish_next_turn();
  snapshot_wanted_ = session.snapshot_log != nullptr;
  if (!snapshot_wanted_)
    snapshot_ = std::make_unique<Snapshot>(*group_.stack, group_.node, group_.application, primary_.writer(),
                                           primary_.recorder());
  why_ = "the twin is being brought up to date";
  TANDEM_STEP("attach.begun");
}

/// So large that a connection's queues, whatever they hold, find room behind what the joiner has not read yet.
std::uint64_t AttachServer::snapshot_room_bytes() const {
  constexpr std::uint64_t kOverhead = std::uint64_t{1} << 20;
  return group_.options.send_queue_bytes + group_.options.receive_window_bytes + kOverhead;
}

std::uint64_t AttachServer::snapshot_log_bytes() const {
  return std::bit_ceil(snapshot_room_bytes() + kJoinAheadBytes);
}

void AttachServer::continue_snapshot() {
  Session* const session = reader_session();
  if ((!snapshot_ && !snapshot_wanted_) || session == nullptr || session->snapshot_log == nullptr ||
      primary_.writer().in_transaction())
    return;
  SnapshotLog& log = *session->snapshot_log;
  LogWriter& writer = log.writer();
  const std::uint64_t live_unread =
      primary_.writer().position() - group_.shared->readers[*session->reader].position.load();
  // It does not read on in the live log before it has the whole of what it was given a part of.
  const bool in_the_middle = snapshot_ && snapshot_->is_in_the_middle();
  join_waits_ = writer.room() < snapshot_room_bytes() || writer.position() - log.applied() > kJoinAheadBytes ||
                (!in_the_middle && live_unread > group_.options.log_bytes / 2);
  if (join_waits_) return;
  writer.set_epoch(group_.shared->epoch.load());
  writer.set_format(primary_.writer().format());
  // What is left of an earlier turn belongs there, and into its time.
  const std::uint64_t before = snapshot_at_;
  if (!in_the_middle) {
    snapshot_at_ = primary_.writer().position();
    snapshot_at_ns_ = group_.now_ns;
  }
  writer.set_time(snapshot_at_ns_);
  const std::uint64_t at = TANDEM_PLANTED(snapshot_mixed) && before != 0 ? before : snapshot_at_;
  writer.append(RecordType::snapshot_at, 0, {as_bytes(at)});
  if (std::exchange(snapshot_wanted_, false))
    snapshot_ = std::make_unique<Snapshot>(*group_.stack, group_.node, group_.application, writer, primary_.recorder(),
                                           SnapshotWay::beside_live_log);
  join_ended_ = snapshot_->step({monotonic_ns() + kJoinSlice_ns, log_limits.snapshot_turn_bytes});
  if (!writer.overflowed().empty()) return drop(*session, std::string("its snapshot: ") + writer.overflowed());
  TANDEM_STEP("snapshot.written");
  // The joiner may be promoted before anything else is published.
  writer.publish(group_.device->mark());
  TANDEM_STEP("snapshot.published");
}

void AttachServer::continue_join() {
  if (!snapshot_ || snapshot_wanted_) return;
  // The snapshot shares the turn's reserve with nothing else once the handlers are done, but the queues of one connection may
  // be larger than what is left of it: then it waits for the twin to read.
  const std::uint64_t room = primary_.writer().room();
  Session* const session = reader_session();
  if (session != nullptr && session->snapshot_log != nullptr) return;
  const std::uint64_t position = session != nullptr ? group_.shared->readers[*session->reader].position.load() : 0;
  join_waits_ = room < group_.options.log_bytes / 2 ||
                group_.shared->published.load(std::memory_order_relaxed) - position > kJoinAheadBytes;
  if (join_waits_) return;
  const std::size_t bytes = std::min<std::uint64_t>(room / 8, 512 * 1024);
  join_ended_ = snapshot_->step({group_.now_ns + kJoinSlice_ns, bytes});
}

void AttachServer::end_turn(std::uint64_t took_ns) {
  if (snapshot_ || snapshot_wanted_ || join_ended_)
    joined_.longest_turn_ns = std::max(joined_.longest_turn_ns, took_ns);
  if (join_ended_) end_join();
}

void AttachServer::end_join() {
  join_ended_ = false;
  TANDEM_STOP_POINT("snapshot.end");
  Session* session = reader_session();
  joined_.connections = snapshot_->connections();
  forget_join();
  if (session == nullptr) return;
  // Everything is published, and at `shm` that is committed: from here on the twin may be promoted.
  if (!make_member(group_.shared->readers[*session->reader])) return;
  TANDEM_STEP("attach.member");
  why_.clear();
  caught_up_ = protection_said_ = false;
  joined_.took_ns = 0;
  behind_since_ns_ = group_.now_ns;
#ifdef TANDEM_STOP_POINTS
  count_turn_stop_points(true);
#endif
  judge_lag();
}

std::string AttachServer::why_unprotected() const {
  if (is_protected() || !why_.empty() || group_.shared == nullptr) return why_;
  for (const ReaderSlot& slot : group_.shared->readers) {
    if (slot.state.load() != ReaderState::member) continue;
    return "the twin (pid " + std::to_string(slot.number.load()) +
           ") is behind: " + std::to_string(group_.shared->published.load() - slot.position.load()) +
           " bytes of the log are still to be applied";
  }
  return "the twin has gone";
}

std::uint64_t AttachServer::unread_bytes(const Session& session) const {
  std::uint64_t bytes = group_.shared->published.load(std::memory_order_relaxed) -
                        group_.shared->readers[*session.reader].position.load(std::memory_order_acquire);
  if (session.snapshot_log != nullptr)
    bytes += session.snapshot_log->writer().position() - session.snapshot_log->applied();
  return bytes;
}

/// A member that is behind loses nothing if it takes over, but takes long: that is no protection that one may count on. It is not
/// removed for that; the log's room and the windows hold its primary back.
void AttachServer::judge_lag() {
  Session* const session = reader_session();
  if (session == nullptr) return;
  const ReaderSlot& slot = group_.shared->readers[*session->reader];
  if (slot.state.load(std::memory_order_relaxed) != ReaderState::member) return;
  const std::uint64_t unread = unread_bytes(*session);
  const std::uint32_t measured = slot.apply_ps.load(std::memory_order_relaxed);
  const std::uint64_t cost_ns = unread * (measured != 0 ? measured : kApply_ps) / 1000;
  const bool caught_up = cost_ns <= (caught_up_ ? kBehind_ns : kCaughtUp_ns);
  if (caught_up != caught_up_) {
    caught_up_ = caught_up;
    behind_since_ns_ = group_.now_ns;
    if (!caught_up) ++counters_.behind;
  }
  if (caught_up && !protection_said_) {
    protection_said_ = true;
    if (joined_.took_ns == 0) joined_.took_ns = monotonic_ns() - join_began_ns_;
    group_.log("protected: twin " + std::to_string(session->number) + " holds " + std::to_string(joined_.connections) +
               " connections, brought up in " + std::to_string(joined_.took_ns / 1000) + " us, longest turn " +
               std::to_string(joined_.longest_turn_ns / 1000) + " us");
    if (const Fencing fencing = slot.fencing.load(); fencing != Fencing::possible)
      group_.log("a hang of this process is not covered, its end is: the twin cannot end it. " + why_no_fence(fencing),
                 LogLevel::warning);
  } else if (!caught_up && protection_said_ && group_.now_ns - behind_since_ns_ > kBehindForLong_ns) {
    protection_said_ = false;
    group_.log("unprotected: " + why_unprotected(), LogLevel::warning);
  }
}

void AttachServer::forget_join() {
  snapshot_.reset();
  snapshot_wanted_ = join_waits_ = join_ended_ = false;
  snapshot_at_ = 0;
}

void AttachServer::drop_reader(std::string_view why) {
  if (Session* session = reader_session()) drop(*session, why);
}

void AttachServer::drop(Session& session, std::string_view why) {
  if (!session.reader) return;
  ReaderSlot& slot = group_.shared->readers[*session.reader];
  // Ineligible first, and only then do outputs leave without it: a removed twin is never promoted. One that has begun a takeover
  // is about to fence this process, so nothing leaves without it.
  if (withdraw_eligibility(slot) == ReaderState::promoted && !session_is_gone(session)) return;
  TANDEM_STEP("attach.ineligible");
  if (!session.removed) {
    session.removed = true;
#ifdef TANDEM_STOP_POINTS
    count_turn_stop_points(false);
#endif
    ++counters_.removed;
    forget_join();
    session.snapshot_log.reset();
    caught_up_ = false;
    primary_.stop_recording();
    why_ = "the twin (" + name_of(session) + ") was removed: " + std::string(why);
    group_.log("unprotected: " + why_, LogLevel::warning);
    TANDEM_STEP("attach.dropped");
  }
  // Only when the process has gone can it no longer write its position into the slot.
  if (session_is_gone(session)) {
    slot.state.store(ReaderState::free, std::memory_order_release);
    session.reader.reset();
  }
}

void AttachServer::take_back() {
  group_.shared->readers[*reader_session()->reader].state.store(ReaderState::ineligible);
}

std::uint64_t AttachServer::reader_stands_still_ns() const { return group_.now_ns - reader_seen_ns_; }

std::uint64_t AttachServer::look_again_ns() const {
  return join_waits_ || (!caught_up_ && has_member()) ? group_.now_ns + kLookForReader_ns : UINT64_MAX;
}

void AttachServer::watch_reader() {
  Session* session = reader_session();
  if (session == nullptr || !session->ready) return;
  if (group_.shared->readers[*session->reader].state.load(std::memory_order_relaxed) == ReaderState::ineligible)
    return drop(*session, "it could not follow the log");
  std::uint64_t position = group_.shared->readers[*session->reader].position.load(std::memory_order_acquire);
  if (session->snapshot_log != nullptr) position += session->snapshot_log->applied();
  const std::uint64_t unread = unread_bytes(*session);
  if (position != reader_seen_position_ || unread == 0) {
    if (unread == 0 && has_member()) session->snapshot_log.reset();
    reader_seen_position_ = position;
    reader_seen_ns_ = group_.now_ns;
    return judge_lag();
  }
  judge_lag();
  // A joiner has stepped back behind others, and may wait long for its processor.
  const std::uint64_t times = has_member() ? 1 : kJoinerTimes;
  const std::uint64_t limit_ns =
      times * std::max<std::uint64_t>(500, std::uint64_t{4} * group_.options.detect_ms) * 1'000'000;
  if (group_.now_ns - reader_seen_ns_ > limit_ns) drop(*session, "it reads the log no longer (stopped or stalled)");
}

}  // namespace tandem::ha
