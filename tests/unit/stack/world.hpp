// SPDX-License-Identifier: BSD-3-Clause
//
// Several stacks on one thread: a clock that is set by hand, a wire in memory that can lose frames, and a pair of which the twin
// is fed with what the primary's observer saw, one transaction a turn.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tandem/stack.hpp"

namespace tandem::test {

using Frame = std::vector<std::uint8_t>;

inline constexpr std::uint64_t kMs = 1'000'000;

struct Clock {
  std::uint64_t now_ns = 1'000'000'000'000;
  void advance_ms(std::uint64_t ms) { now_ns += ms * kMs; }
};

/// A stack's end of the wire. Staged frames wait until they are taken.
class Port final : public LinkDevice {
 public:
  explicit Port(MacAddress mac, std::uint32_t mtu = 1500) : mac_(mac) { link.mtu = mtu; }

  [[nodiscard]] MacAddress mac() const override { return mac_; }
  void move(const MacAddress& mac) { mac_ = mac; }
  [[nodiscard]] LinkCapabilities capabilities() const override { return link; }
  std::span<std::uint8_t> tx_reserve(std::uint32_t bytes) override;
  void tx_stage() override;
  void rx_done(std::uint32_t cookie) override;

  /// Keeps a copy of the frame for as long as the stack refers to it.
  RxFrame hold(const Frame& frame);
  [[nodiscard]] std::size_t held() const { return held_count_; }
  std::vector<Frame> take_staged();
  std::size_t room = 1U << 20;  ///< frames that can be staged
  LinkCapabilities link;

 private:
  MacAddress mac_;
  Frame reserved_;
  std::vector<Frame> staged_;
  std::deque<Frame> frames_;
  std::vector<std::uint32_t> free_;
  std::size_t held_count_ = 0;
};

/// What a frame is, as far as tests ask.
struct Segment {
  bool tcp = false;
  Endpoint source, destination;
  std::uint32_t seq = 0, ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  bool timestamps = false;
  std::uint32_t ts_val = 0;
  std::size_t payload = 0;
  [[nodiscard]] bool syn() const { return (flags & 2) != 0; }
  [[nodiscard]] bool fin() const { return (flags & 1) != 0; }
  [[nodiscard]] bool rst() const { return (flags & 4) != 0; }
};
Segment parse(const Frame& frame);

class Host;

/// Carries frames to the host with the destination's address, multicast and broadcast to all but the sender.
class Wire {
 public:
  void join(Host& host) { hosts_.push_back(&host); }
  void leave(Host& host) { std::erase(hosts_, &host); }
  void carry(const Host& from, std::vector<Frame> frames);
  /// Returns true when the frame is lost.
  std::function<bool(const Frame&)> lose;
  std::function<void(const Frame&)> watch;
  /// Called with a frame that is not lost, before it is delivered.
  std::function<void(Frame&)> change;
  std::uint64_t frames = 0, resets = 0;

 private:
  std::vector<Host*> hosts_;
};

class Host {
 public:
  Host(Wire& wire, Clock& clock, MacAddress mac, StackOptions options);
  virtual ~Host() = default;

  /// One turn; true when anything happened.
  virtual bool turn();
  Stack& stack() { return *stack_; }
  Port& port() { return *port_; }
  std::deque<Frame> inbox;
  std::size_t batch = 64;  ///< frames a turn

 protected:
  bool run_turn();
  Wire& wire_;
  Clock& clock_;
  StackOptions options_;
  std::unique_ptr<Port> port_;
  std::unique_ptr<Stack> stack_;
  std::vector<Frame> batch_frames_;
};

/// Records what the observer sees; apply() tells a dormant stack.
class Log final : public ConnectionObserver {
 public:
  void on_open(Connection& connection) override;
  void on_received(Connection& connection, Bytes bytes) override;
  void on_skipped(Connection& connection, std::uint64_t count) override;
  void on_out_of_order(Connection& connection, std::uint32_t seq, Bytes bytes, bool fin) override;
  void on_written(Connection& connection, Bytes bytes) override;
  void on_consumed(Connection& connection, std::uint64_t count) override;
  bool on_note(Connection& connection, Bytes bytes) override;
  void on_told(Connection& connection, Told what) override;
  void on_state(Connection& connection, const TcpState& state) override;
  void on_close(Connection& connection, bool reset) override;
  void on_neighbour(const Neighbour& neighbour) override;

  using Record = std::function<bool(Stack& twin)>;
  std::vector<Record> records;
  std::vector<std::string> names;
  /// Applies and forgets all records; false when one was refused.
  bool apply(Stack& twin);

 private:
  void add(std::string name, Record record);
};

/// A primary and a dormant twin behind one address.
class Pair : public Host {
 public:
  using Setup = std::function<void(Stack&)>;
  Pair(Wire& wire, Clock& clock, MacAddress mac, StackOptions options, Setup setup);

  bool turn() override;
  Stack& twin() { return *twin_; }
  /// Where a kill strikes within the turn.
  enum class Moment { between_turns, before_publish, after_publish };
  /// Runs a turn up to `moment`, drops the primary, promotes the twin and gives it a twin of its own with a snapshot.
  void kill(Moment moment, Stack::Adoption adoption = Stack::Adoption::exact);
  std::uint64_t takeovers = 0;
  bool log_refused = false;
  /// Called with the new primary right after activate().
  std::function<void(Stack&)> on_activated;
  /// Called when it has had its first turn, before there is another twin.
  std::function<void()> before_next_twin;

 private:
  std::unique_ptr<Stack> make_twin();
  void snapshot();
  Setup setup_;
  Log log_;
  std::unique_ptr<Port> twin_port_;
  std::unique_ptr<Stack> twin_;
  int twins_made_ = 0;
};

MacAddress mac(std::uint8_t last);
IpAddress ip(const std::string& text);
Endpoint endpoint(const std::string& address, std::uint16_t port);
StackOptions options(Clock& clock, std::vector<std::string> prefixes);

/// Turns of all hosts until `done` or until nothing happens for `idle_ms` of the clock's time; the clock moves only when
/// nothing else does. True when done.
bool run(Clock& clock, std::vector<Host*> hosts, const std::function<bool()>& done, std::uint64_t limit_ms = 60'000);

}  // namespace tandem::test
