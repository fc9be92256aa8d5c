// SPDX-License-Identifier: BSD-3-Clause
//
// A replication group as one of its processes has it, or a node without a group: its options and application, its wire (device and
// stack), what it shares with the group's other processes, and the roles that it plays, one after the other:
//
//   play -> Primary::start ----------------+-> Primary::run -> (switchover | orderly close | stop)
//        -> Twin::attach -> Twin::run -> Twin::take_over -^
//
// What it has is open to its parts: they are one program, cut by idea. Nobody else sees it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "channel/attach_protocol.hpp"
#include "channel/rendezvous.hpp"
#include "channel/shared_memory.hpp"
#include "members/shared_group.hpp"
#include "node/link_life.hpp"
#include "node/process.hpp"
#include "roles/frames_at_work.hpp"
#include "roles/primary.hpp"
#include "roles/twin.hpp"
#include "say/operators.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {

struct Group {
  Group(Node& its_node, Process& its_process, NodeOptions its_options)
      : node(its_node), process(its_process), options(std::move(its_options)) {}
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  /// Until this process has no role left. Throws NodeError.
  int play();

  void log(std::string_view text, LogLevel level = LogLevel::notice) { process.log(role, text, level); }
  /// `ready`: this process does its part.
  void report_state(std::uint64_t at_ns, bool ready);
  void take_signals(const system::SignalsTaken& taken);
  void make_stack();
  [[nodiscard]] Fingerprint fingerprint() const;
  /// The same, encoded; made once.
  const std::vector<std::uint8_t>& options_text();
  /// The thread's claims go before the memory that they lie in.
  void drop_claims();
  void withdraw_holder();
  /// Gives everything back that a twin had of the group, to begin anew.
  void leave();

  Node& node;
  Process& process;
  NodeOptions options;
  Application* application = nullptr;
  std::vector<std::function<void(Stack&)>> setup;
  std::vector<std::uint16_t> listening_ports;
  std::optional<IpPrefix> link_local;  ///< the derived one

  Role role = Role::alone;
  std::uint64_t now_ns = 0;    ///< of the turn, or of the transaction that is being applied
  bool rejoin_wanted = false;  ///< it handed over on request, not because it is to end
  bool shut_down = false;      ///< the group is to end, not this process
  std::string attach_failure;  ///< why the last attempt to become a twin did not come to anything

  // The wire.
  std::unique_ptr<Device> device;
  std::unique_ptr<Stack> stack;

  // What is shared with the group's other processes. Empty when alone.
  std::optional<Rendezvous> rendezvous;
  Rendezvous::PrimaryDescriptors descriptors;
  Descriptor holder;  ///< says that this process may hold what belongs to the group
  Descriptor shared_file, log_file;
  Mapping shared_mapping, log_mapping;
  SharedGroup* shared = nullptr;
  OwnerSlot* slot = nullptr;  ///< this thread's claim to the wire; nullptr = none
  FramesAtWork at_work;

  LinkLife link{*this};
  Operators operators{*this};
  Primary primary{*this};
  Twin twin{*this};

 private:
  int find_role();
  void check_options() const;
  /// Our link-local address joins those that were given.
  void take_link_local();
  /// The lock is free: makes this process primary if nobody else holds what belongs to the group. False: it is to look again.
  [[nodiscard]] bool start_with(Descriptor lock);
  void end_holders(const std::vector<Rendezvous::Holder>& holders);
  void pause_before_retry();

  std::vector<std::uint8_t> options_text_;
  bool attach_failure_said_ = false;
  std::uint64_t retry_pause_ns_ = 0;   ///< before the next attempt to attach
  std::uint64_t orphan_since_ns_ = 0;  ///< nobody has the lock and somebody holds what belongs to the group; 0 = not so
  bool orphan_said_ = false;
};

}  // namespace tandem::ha
