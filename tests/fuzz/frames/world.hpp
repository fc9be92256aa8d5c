// SPDX-License-Identifier: BSD-3-Clause
//
// The stack under attack in its surroundings: it is a primary with a twin that follows its log, it talks to a second stack that
// behaves, and everything that it sends or shows is checked. Frames that are not ours come in through `inject`.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "group_fixture.hpp"
#include "log/recorder.hpp"
#include "log/replica.hpp"
#include "log/snapshot.hpp"
#include "packet.hpp"
#include "tandem/stack.hpp"

namespace tandem::fuzz {

inline constexpr std::uint64_t kMs = 1'000'000;
inline constexpr std::uint16_t kEcho = 7, kPlainEcho = 8, kManual = 9, kClosedPort = 10, kUdpPort = 53;
/// Services beside those of the ports: what the neighbour stack opens, and what the stack under attack opens.
inline constexpr std::uint16_t kStream = 100, kActive = 101;

struct Clock {
  std::uint64_t now_ns = 1'000'000'000'000;
};

/// A stack's end of the wire. A frame that is shown lives exactly until the stack lets go of it, and ends where it ends.
class Port final : public LinkDevice {
 public:
  explicit Port(MacAddress mac) : mac_(mac) {}
  ~Port() override;

  [[nodiscard]] MacAddress mac() const override { return mac_; }
  [[nodiscard]] LinkCapabilities capabilities() const override { return {}; }
  std::span<std::uint8_t> tx_reserve(std::uint32_t bytes) override;
  void tx_stage() override;
  void rx_done(std::uint32_t cookie) override;

  RxFrame show(Bytes frame);
  std::vector<Octets> take_staged() { return std::exchange(staged_, {}); }
  std::size_t room = SIZE_MAX;  ///< frames that can be staged before the device has none left

 private:
  MacAddress mac_;
  Octets reserved_;
  bool reserved_any_ = false;
  std::vector<Octets> staged_;
  std::unordered_map<std::uint32_t, std::unique_ptr<std::uint8_t[]>> shown_;
  std::uint32_t next_cookie_ = 0;
};

/// A strange peer's view of one connection, learned from what the stack sends to it.
struct Remote {
  IpAddress address;
  std::uint16_t port = 0, local_port = 0;
  bool active = false;        ///< the stack opens it
  std::uint32_t snd_nxt = 0;  ///< what this end would send next if it behaved
  std::uint32_t iss = 0;      ///< the stack's
  std::uint32_t nxt = 0;      ///< the stack's: one past the highest sequence number seen
  std::uint32_t ack = 0;      ///< what the stack has acknowledged
  std::uint32_t window = 0;   ///< as on the wire
  std::uint32_t ts_val = 0;   ///< the stack's
  std::uint32_t our_ts = 1;
  bool seen = false, timestamps = false;
  /// What stood at which place of the stack's stream (place 0 is the byte behind its SYN).
  std::vector<std::int16_t> stream;
};

class World {
 public:
  static constexpr std::size_t kRemotes = 6;  ///< the last two are opened by the stack

  World();
  ~World();

  std::array<Remote, kRemotes> remotes;
  Clock clock;
  bool answer_neighbours = true;  ///< strangers answer ARP and ND
  bool deliver = true;            ///< between the two stacks
  bool clamped = false;           ///< windows were clamped

  static MacAddress our_mac() { return {{2, 0, 0, 0, 0, 1}}; }
  static MacAddress neighbour_mac() { return {{2, 0, 0, 0, 0, 2}}; }
  static MacAddress stranger_mac() { return {{2, 0, 0, 0, 0, 0x66}}; }
  static IpAddress our_address(std::uint8_t version);
  static IpAddress neighbour_address(std::uint8_t version);
  static IpAddress gateway_address(std::uint8_t version);
  static IpAddress stranger_address(std::uint8_t version, std::uint8_t number);

  Stack& stack() { return *primary_; }
  Port& port() { return *primary_port_; }
  /// A connection of the stack's, if there is one.
  Connection* connection(std::size_t number);

  /// A frame comes in within the turn that is open.
  void inject(Octets frame);
  /// Ends the turn: handlers, log, twin, checks, delivery.
  void turn();
  /// Time goes on by `ms`, with the turns that the timers ask for.
  void pass(std::uint64_t ms);
  void stream_from_neighbour(std::uint8_t version, std::uint32_t bytes);
  Connection* open_actively(std::size_t remote);
  void attach_twin(std::size_t bytes_a_turn);
  /// The primary dies: between two turns, or in the middle of one, whose frames the twin then gets.
  void take_over(bool within_turn, Stack::Adoption adoption);
  [[nodiscard]] bool has_twin() const { return twin_ != nullptr; }
  /// Frames that the stack has sent lately, the newest first.
  [[nodiscard]] const std::deque<Octets>& lately() const { return lately_; }
  [[nodiscard]] const std::deque<Octets>& from_neighbour() const { return from_neighbour_; }
  void check_everything();
  /// What the log holds from its beginning on, as far as it has not gone round.
  [[nodiscard]] Bytes log() const;

 private:
  struct Seen {
    std::uint32_t rcv_right_edge = 0, rcv_nxt = 0, snd_una = 0, snd_nxt = 0, write_seq = 0;
    std::uint64_t written = 0, acked = 0, received = 0, consumed = 0;
  };

  std::unique_ptr<Stack> make_stack(Port& port, bool ours);
  void start_recording();
  void open_udp();
  void publish();
  void sent(const Octets& frame);
  void learn(const Sent& sent);
  void answer_neighbour_query(const Sent& sent);
  void check_connections();
  void run_neighbour();

  ha::SharedGroup& group_;
  std::uint64_t epoch_ = 1;
  std::unique_ptr<Port> primary_port_, twin_port_, neighbour_port_;
  std::unique_ptr<Stack> primary_, twin_, neighbour_;
  std::unique_ptr<UdpEndpoint> udp_;
  std::unique_ptr<ha::LogWriter> writer_;
  std::unique_ptr<ha::Recorder> recorder_;
  std::unique_ptr<ha::Snapshot> snapshot_;
  std::unique_ptr<ha::Replica> replica_;
  std::size_t join_bytes_ = 1 << 20;
  std::vector<Octets> inputs_of_turn_;
  std::deque<Octets> lately_, from_neighbour_;
  std::vector<Octets> to_us_;
  std::map<ConnectionId, Seen> seen_;
  bool paused_ = false;  ///< the clock has jumped over timers
};

}  // namespace tandem::fuzz
