// SPDX-License-Identifier: BSD-3-Clause
//
// One run: a peer, a group of processes behind one address, a wire between them, a script drawn from the seed, and the checks that
// look on (README.md says how to add to each).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel.hpp"
#include "link.hpp"
#include "nic.hpp"
#include "packet.hpp"
#include "peer.hpp"
#include "script.hpp"
#include "setup.hpp"
#include "traffic.hpp"

namespace tandem {
class Node;
}

namespace tandem::sim {

class Hosted;
class BgpPeer;
struct BgpPlan;
class CallOrder;
class TwinView;
class FrameCheck;
class EpochCheck;
class WireJudge;
class AttachClients;
class ControlClients;

/// What the runs of a program have come to together.
struct Totals {
  std::uint64_t runs = 0, runs_with_a_death = 0, takeovers = 0, switchovers = 0, hangs = 0, deaths = 0, twin_deaths = 0,
                groups_lost = 0, groups_closed = 0;
  std::uint64_t exchanges = 0, frames = 0, steps = 0, transactions_compared = 0, frames_checked = 0;
  std::uint64_t terminations = 0, preemptions = 0, requests = 0, answers = 0, strangers = 0;
  /// How often each step was passed, and how often a process died at it.
  std::vector<std::uint64_t> passed = std::vector<std::uint64_t>(kSteps);
  std::vector<std::uint64_t> died_at = std::vector<std::uint64_t>(kSteps);
};

struct Result {
  bool good = true;
  std::string rule;  ///< of the first violation
  std::string text;
  std::string trace;
  std::size_t unfinished = 0;  ///< exchanges of which not all bytes arrived, because the group was lost
  std::uint64_t digest = 0;    ///< of everything that was on the wire, and when
};

/// Where a turn or a slice is cut when its time is up: so many routes later at most.
inline constexpr std::uint64_t kMostRoutes = 1800;

/// A host's address on the wire: 1 is the group's, 2 the peer's.
IpPrefix address_of(bool v6, std::uint8_t host);

class World final : public Director, public TrafficObserver {
 public:
  World(const Setup& setup, Totals& totals, bool tracing);
  ~World() override;

  Result run();

  // ---- Director ----
  void at_stop(Process& process, Step step) override;
  void at_step(Process& process, Step step) override;
  void at_preemption(Process& process) override;
  void on_log_line(Process& process, std::string_view role, std::string_view text) override;
  void on_end(Process& process) override;
  void on_fence(Process& by, Process& process) override;
  void on_owner_marked(const ha::LifeWord& life) override;
  void on_death(Process& process) override;
  void on_frame(Process& process, Bytes frame) override;
  void on_speaker(Process& process, bool adopts) override;
  void violation(std::string_view rule, std::string text) override;
  void on_shown(Process& process, Shown what, std::uint64_t connection, std::uint64_t value) override;

  // ---- TrafficObserver ----
  void wrong(std::string text) override;
  void met(std::uint32_t number) override;
  void received_all(std::uint32_t number, bool at_client) override;
  void ended_early(std::uint32_t number, std::string text) override;
  void was_reset(std::uint32_t number, bool at_client) override;
  void was_closed(std::uint32_t number, bool at_client) override;
  std::uint64_t client_may_write(std::uint32_t number) override;
  bool may_close(std::uint32_t number) override;
  void resets(std::uint32_t number) override;
  std::uint64_t log_time_ns() override;
  void restored(std::uint64_t saved_ns) override;
  /// What a process is shown is not what was written.
  void shown_wrong(std::string_view rule, std::string text);

  // ---- For the application and the checks ----
  [[nodiscard]] Kernel& kernel() { return *kernel_; }
  [[nodiscard]] const Setup& setup() const { return setup_; }
  struct Context {
    Process* process = nullptr;
    Node* node = nullptr;
    Hosted* application = nullptr;
    bool primary = false;
    bool switchover_wanted = false;
    std::uint64_t applied_ns = 0;  ///< the latest time at which it was, following
  };
  [[nodiscard]] Context* context(const Process& process);
  /// An exchange that our side is to open now, or null.
  const Plan* next_active_open();
  /// A process becomes primary: what was opened and never left the dead process is opened again, unless it says that it exists.
  void forget_active_opens();
  void active_open_exists(std::uint32_t number);
  void active_open_failed(std::uint32_t number);
  [[nodiscard]] IpAddress peer_address() const;
  [[nodiscard]] std::uint64_t poke_interval_ns() const { return setup_.poke_interval_ns; }
  Totals& totals() { return totals_; }
  /// One more exchange, in a scripted run.
  void add_exchange(Script::Item item);
  /// Everything has happened, the processes are being ended.
  [[nodiscard]] bool is_finishing() const { return finishing_; }
  /// Frames have come late or twice.
  [[nodiscard]] bool wire_overtakes() const { return link_->reordered + link_->duplicated != 0; }

 private:
  struct Transfer {
    Plan plan;
    std::uint16_t port = 0;
    std::uint16_t from_port = 0;  ///< the client's, where that is given
    bool from_us = false;         ///< we open it
    bool opened = false;
    bool met = false;  ///< the server has read the header
    std::uint64_t open_at_ns = 0;
    std::uint64_t opened_ns = 0;
    bool received_at_client = false, received_at_server = false;
    bool closed_at_client = false, closed_at_server = false;
    bool reset_wanted = false;
    bool may_break = false;  ///< the group was lost while it was open
    bool broken = false;
    std::uint64_t given_up_ns = 0;  ///< when we gave it up, in FIN-WAIT-2
    [[nodiscard]] bool is_done() const {
      return broken || reset_wanted ||
             (received_at_client && (plan.lingers != 0 ? given_up_ns != 0 : received_at_server));
    }
  };

  struct Doom {
    enum class What : std::uint8_t { none, die, pause, stall } what = What::none;
    std::uint64_t for_ns = 0;
  };
  void spawn_node();
  void poke();
  // ---- world_exchanges.cpp ----
  void start_traffic();
  [[nodiscard]] bool is_port_spoilt(std::uint16_t port) const;
  void open_transfer(Transfer& transfer);
  // ---- world_group.cpp ----
  static ha::SharedGroup* group_of(const Process& process);
  static bool has_member(const Process& primary);
  static bool is_member(const Process& twin);
  /// What it finds in the log counts no more.
  [[nodiscard]] bool is_written_over(const Process& twin) const;
  void note_removed(const ha::SharedGroup& group);
  static bool has_applied_all(const Process& twin);
  void check_notice(const Process& process);
  // ---- deaths.cpp ----
  void disturb(Process& primary);
  void doom(Process& process, Doom::What what);
  void doom_at_some_step();
  void kill(Process& process, const char* why);
  void partition();
  // ---- deadly_frame.cpp ----
  void prepare_deadly_frame();
  void check_dropped(std::string_view log_line);
  /// Nothing but its end gets it out of where it is.
  void hang(Process& process);
  static ha::OwnerSlot* ha_slot_of(const Process& process);
  /// Whether this exchange may be the one that was reset because of it.
  bool deadly_victim(std::uint32_t number);
  [[nodiscard]] bool somebody_hangs() const;
  void wait_for_supervisor();
  void come_to_rest();
  // ---- syn_flood.cpp ----
  static MacAddress our_mac();
  [[nodiscard]] IpPrefix stranger() const;
  void flood();
  [[nodiscard]] bool is_for_stranger(Bytes frame) const;
  void check_half_open(Node& node);
  // ---- disturbances.cpp ----
  void prepare_disturbances();
  /// False when the setup has none of these, or it is another one's turn.
  bool disturb_further(Process& primary, Process* twin);
  void slow_down(Process& twin);
  void stop_for_good(Process& primary, Process& twin);
  void terminate_both(std::int32_t primary, std::int32_t twin);
  void change_mtu();
  void move_peer();
  /// Whether a host with its link address takes the frame.
  [[nodiscard]] bool is_for_peer(Bytes frame);
  /// Looks at what the peer announces, and whether it takes what it is sent.
  void note_window(const Packet& from_peer);
  [[nodiscard]] bool refuses(const Packet& to_peer) const;
  void tell_too_long(Direction direction, Bytes frame, std::uint32_t mtu);
  void terminate(Process& process);
  void doom_at_start();
  void doom_at_end();
  void poke_further();
  void step_further(Process& process, Step step);
  void begin_close(const Process& process);
  void end_close(const Process& process);
  void stop_disturbances();
  void lose_group(const Process& process, std::uint64_t& counter);
  void after_death(const Process& process);
  [[nodiscard]] bool group_survives(const Process& dead);
  [[nodiscard]] bool all_done() const;
  void arrive(Direction direction, Bytes frame);
  Bytes without_scale(Bytes frame, std::vector<std::uint8_t>& copy) const;
  void run_until(std::uint64_t until_ns);
  /// From the start on: so long nothing is disturbed, so that windows are shut and probed by then. 0: the peer is not deaf.
  [[nodiscard]] std::uint64_t deaf_for_ns() const;
  void stop_faults();
  void finish();
  [[nodiscard]] std::size_t primaries() const;
  void check_at_rest();
  // ---- bgp_run/world.cpp ----
  void prepare_bgp(Peer::Options& peer);
  [[nodiscard]] BgpPeer* bgp_peer() const;
  [[nodiscard]] std::vector<IpPrefix> our_addresses() const;
  std::unique_ptr<Hosted> make_bgp_program(Process& process);
  /// What is missing to an end of the run; empty: nothing.
  [[nodiscard]] std::string bgp_unsettled() const;
  void hurry_bgp();
  void settle_bgp();
  [[nodiscard]] std::uint64_t bgp_backlog_ns() const;
  [[nodiscard]] bool is_bgp_settled() const;
  void check_bgp_at_rest();
  void finish_bgp();
  void check_frames();
  Transfer* transfer(std::uint32_t number);
  void watch_openings(Direction direction, const Packet& packet);
  void check_reset(const Packet& packet);

  Setup setup_;
  Totals& totals_;
  Result result_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<Nic> nic_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<BgpPlan> bgp_plan_;
  std::unique_ptr<Peer> peer_;
  std::unique_ptr<TwinView> twin_view_;
  std::unique_ptr<CallOrder> call_order_;
  std::unique_ptr<FrameCheck> frame_check_;
  std::unique_ptr<MoveCheck> move_check_;
  std::unique_ptr<QueueCheck> queue_check_;
  std::unique_ptr<EpochCheck> epoch_check_;
  std::unique_ptr<WireJudge> wire_judge_;
  std::unique_ptr<ControlClients> clients_;
  std::unique_ptr<AttachClients> strangers_;
  Prng script_;
  Prng preemption_;
  std::map<std::int32_t, Context> contexts_;
  std::vector<Transfer> transfers_;
  std::size_t disturbances_left_ = 0;
  std::size_t under_way_ = 0;  ///< disturbances that are decided and have not come to their end
  bool faults_stopped_ = false;
  bool finishing_ = false;
  bool bgp_settled_ = false;
  std::int32_t closing_ = 0;  ///< the primary that closes its connections, because it was told to end; 0: none
  bool undisturbed_ = true;   ///< nothing has happened that TCP's timers have to repair
  std::uint64_t longest_turn_ns_ = 0;
  std::uint64_t flooded_ = 0;  ///< SYNs of a host that opens nothing
  std::uint64_t start_ns_ = 0;
  std::map<std::int32_t, Doom> dooms_;
  std::map<std::int32_t, std::uint64_t> removed_at_;  ///< where the log was when this process was no twin any more
  std::set<std::uint16_t> opening_;          ///< Setup::ports_again: ports whose SYN has had no answer of its kind
  std::set<std::int32_t> told_;              ///< who has had SIGTERM
  std::uint64_t spoke_ns_ = 0;               ///< when somebody last took the wire
  std::uint64_t both_told_ns_ = 0;           ///< when both were told to end
  std::array<std::int32_t, 2> both_told_{};  ///< primary and twin of that time
  std::map<std::int32_t, std::uint64_t> notices_;  ///< members that are to notice an end, and since when
  /// Whoever comes to this step dies there, after so many have passed it.
  Step target_ = kNoStep;
  std::uint64_t target_passes_ = 0;
  std::uint64_t publications_ = 0;
  std::set<std::pair<std::uint16_t, std::uint16_t>> shut_;  ///< ports, the peer's first, of its windows that are shut
  std::uint64_t deadly_after_ = 0;  ///< so many segments with data make the last of them deadly; 0: there is none
  std::uint64_t deadly_key_ = 0;
  bool deadly_hangs_ = false;
  std::string deadly_name_;
  std::set<std::uint64_t> deadly_seen_;  ///< keys of frames that did no harm
  std::uint32_t deadly_deaths_ = 0;      ///< of this group
  std::uint32_t deadly_victim_ = 0;      ///< an exchange
};

}  // namespace tandem::sim
