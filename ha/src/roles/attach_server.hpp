// SPDX-License-Identifier: BSD-3-Clause
//
// The primary's side of attaching: who may, who becomes a member, who is removed (design.md section 3, "Who is a member").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "channel/attach_protocol.hpp"
#include "channel/shared_memory.hpp"
#include "log/snapshot.hpp"
#include "log/snapshot_log.hpp"
#include "tandem/loop.hpp"

namespace tandem::ha {

struct Group;
class Primary;

class AttachServer {
 public:
  struct Counters {
    std::uint64_t attached = 0, removed = 0, refused = 0, behind = 0;
  };
  /// How the last joiner was brought up.
  struct Joined {
    std::uint64_t took_ns = 0, longest_turn_ns = 0, connections = 0;
  };

  AttachServer(Group& group, Primary& primary) : group_(group), primary_(primary) {}

  /// The group's listening socket is this process's.
  void listen();
  /// New twins are served from then on.
  void serve_from(std::uint64_t at_ns) { serve_from_ns_ = at_ns; }
  [[nodiscard]] std::uint64_t serve_from_ns() const { return serve_from_ns_; }

  // ---- Within a turn ----
  void serve();
  /// Of a twin that is not read any more, or has gone.
  void watch_reader();
  /// The snapshot in the live log, of a joiner that speaks no newer format than 2.
  void continue_join();
  /// The snapshot beside the live log, when the turn is published and its packets are on their way.
  void continue_snapshot();
  /// Behind the turn, which took so long.
  void end_turn(std::uint64_t took_ns);
  /// Whether a joiner wants another turn at once.
  [[nodiscard]] bool has_work() const { return (snapshot_ != nullptr || snapshot_wanted_) && !join_waits_; }
  /// When it is to look again whether its twin has caught up, or has read what it was given; UINT64_MAX = nothing to look for.
  [[nodiscard]] std::uint64_t look_again_ns() const;

  // ---- Who follows ----
  /// Somebody reads the log: a joiner or a member.
  [[nodiscard]] bool has_reader() const { return reader_session() != nullptr; }
  [[nodiscard]] bool has_member() const;
  /// A member, and what it has not read yet would not delay a takeover.
  [[nodiscard]] bool is_protected() const { return caught_up_ && has_member(); }
  [[nodiscard]] std::string why_unprotected() const;
  /// As it was said last, whatever has become of it since.
  [[nodiscard]] const std::string& why_said() const { return why_; }
  void set_why_unprotected(std::string why) { why_ = std::move(why); }
  /// The reader has not gone forward for so long.
  [[nodiscard]] std::uint64_t reader_stands_still_ns() const;
  /// The process of the reader has ended, or has hung up. There is one.
  [[nodiscard]] bool reader_has_gone() const { return session_is_gone(*reader_session()); }
  /// Makes the reader, if there is one, ineligible, and goes on without it. One that has begun a takeover stays.
  void drop_reader(std::string_view why);
  /// The reader has been handed everything and did not take it.
  void take_back();

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const Joined& joined() const { return joined_; }

 private:
  struct Session {
    Descriptor socket;
    std::uint64_t deadline_ns = 0;
    Descriptor process;        ///< of whoever is at the other end, by itself
    std::uint32_t number = 0;  ///< of that process, as it is seen from here, or else by itself
    bool welcomed = false;
    bool ready = false;
    bool finished = false;
    bool removed = false;  ///< its twin is no longer waited for
    Loop::WatchId watch = 0;
    std::optional<std::uint32_t> reader;
    std::unique_ptr<SnapshotLog> snapshot_log;  ///< until it is a member
  };

  void serve_session(Session& session);
  void greet(Session& session, const Hello& hello, std::vector<Descriptor> descriptors);
  [[nodiscard]] std::string differing_options(const Hello& hello, std::vector<Descriptor> descriptors) const;
  void refuse(Session& session, int code, const std::string& text);
  void refuse_first_version(Session& session);
  void note_refusal(const Session& session, const std::string& text);
  void drop(Session& session, std::string_view why);
  void begin_join(Session& session);
  [[nodiscard]] std::uint64_t snapshot_room_bytes() const;
  [[nodiscard]] std::uint64_t snapshot_log_bytes() const;
  void end_join();
  void forget_join();
  /// Of both the logs that the reader has.
  [[nodiscard]] std::uint64_t unread_bytes(const Session& session) const;
  void judge_lag();
  [[nodiscard]] Session* reader_session() const;
  [[nodiscard]] static bool session_is_gone(const Session& session);
  [[nodiscard]] static std::string name_of(const Session& session);

  Group& group_;
  Primary& primary_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::uint64_t serve_from_ns_ = 0;
  bool attach_ready_ = true;  ///< the listening socket may have somebody
  bool session_event_ = false;
  std::uint64_t sessions_checked_ns_ = 0;
  std::uint64_t reader_seen_position_ = 0;  ///< in both its logs together
  std::uint64_t reader_seen_ns_ = 0;

  std::unique_ptr<Snapshot> snapshot_;
  bool snapshot_wanted_ = false;      ///< it is begun behind this turn
  std::uint64_t snapshot_at_ = 0;     ///< position of the live log behind which its next transaction holds
  std::uint64_t snapshot_at_ns_ = 0;  ///< and the time of that turn
  bool join_waits_ = false;           ///< the joiner has not read yet what it was given
  bool join_ended_ = false;           ///< the snapshot's end is in this turn's transaction
  std::uint64_t join_began_ns_ = 0;
  Joined joined_;
  bool caught_up_ = false;
  bool protection_said_ = false;  ///< in the log
  std::uint64_t behind_since_ns_ = 0;
  std::string why_ = "no twin is attached";
  Counters counters_;
};

}  // namespace tandem::ha
