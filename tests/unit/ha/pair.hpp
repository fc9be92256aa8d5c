// SPDX-License-Identifier: BSD-3-Clause
//
// A peer, a primary and its twin on one thread: real stacks, real rings and frames (MemoryWire), the real log in shared memory,
// a clock set by hand. A "process" that dies is an object that is dropped where it stands.
#pragma once

#include <unistd.h>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "group_fixture.hpp"
#include "log/recorder.hpp"
#include "log/replica.hpp"
#include "log/snapshot.hpp"
#include "log/snapshot_log.hpp"
#include "tandem/memory_wire.hpp"
#include "tandem/stack.hpp"

namespace pair_test {

using namespace tandem;

inline constexpr std::uint64_t kMs = 1'000'000;
inline constexpr std::uint16_t kEcho = 7;
inline constexpr std::uint16_t kLateEcho = 8;  ///< not replicated until it is asked for

/// What both ends of a stream must agree on: byte i of a stream.
inline std::uint8_t stream_byte(std::uint64_t seed, std::uint64_t position) {
  std::uint64_t x = seed * 0x9E3779B97F4A7C15ULL + (position >> 3);
  x ^= x >> 31;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 29;
  return static_cast<std::uint8_t>(x >> (8 * (position & 7)));
}

struct EchoServer final : Handler {
  explicit EchoServer(bool wants) : wants_(wants) {}
  void on_receive(Connection& c, Bytes unread) override {
    const Bytes piece = unread.first(std::min(unread.size(), c.writable()));
    if (c.write(piece)) c.consume(piece.size());
  }
  void on_consumed(Connection&, Bytes bytes) override { consumed += bytes.size(); }
  void on_written(Connection&, Bytes bytes) override { written += bytes.size(); }
  void on_note(Connection&, Bytes bytes) override { notes.emplace_back(bytes.begin(), bytes.end()); }
  std::vector<std::uint8_t> save(const Connection&) const override { return state; }
  void restore(Connection&, Bytes bytes) override { state.assign(bytes.begin(), bytes.end()); }
  bool wants_stream() const override { return wants_; }
  bool wants_;
  std::uint64_t consumed = 0, written = 0;
  std::vector<std::vector<std::uint8_t>> notes;
  std::vector<std::uint8_t> state;  ///< of its own, in neither stream
};

/// The peer's end: sends a stream, checks what comes back.
struct EchoClient final : Handler {
  std::uint64_t seed = 1, to_send = 0, sent = 0, got = 0;
  bool wrong = false, reset = false, closed = false;

  void fill(Connection& c) {
    while (sent < to_send) {
      std::uint8_t bytes[4096];
      const std::size_t size = std::min<std::uint64_t>({sizeof bytes, to_send - sent, c.writable()});
      if (size == 0) return;
      for (std::size_t i = 0; i < size; ++i) bytes[i] = stream_byte(seed, sent + i);
      c.write({bytes, size});
      sent += size;
    }
  }
  void on_connected(Connection& c) override { fill(c); }
  void on_writable(Connection& c) override { fill(c); }
  void on_receive(Connection& c, Bytes unread) override {
    for (const std::uint8_t byte : unread) wrong = wrong || byte != stream_byte(seed, got++);
    c.consume(unread.size());
  }
  void on_reset(Connection&) override { reset = true; }
  void on_closed(Connection&) override { closed = true; }
};

struct Clock {
  std::uint64_t now_ns = 1'000'000'000'000;
};

/// Thrown where a process dies.
struct Death {};

/// One process: a stack on a device, with or without a log.
class Process {
 public:
  Process(Clock& clock, std::unique_ptr<Device> device, IpPrefix address, bool wants_stream)
      : clock_(clock), device_(std::move(device)) {
    StackOptions options;
    options.addresses = {address};
    options.send_queue_bytes = options.receive_window_bytes = 256 * 1024;
    options.now_ns = [&clock] { return clock.now_ns; };
    options.secret[0] = 1;
    options.dormant = true;
    stack_ = std::make_unique<Stack>(options, *device_);
    stack_->define_service(kEcho, [wants_stream](Connection&) { return std::make_unique<EchoServer>(wants_stream); });
    stack_->listen({IpAddress::any(address.address.version), kEcho}, replicated, kEcho);
    stack_->define_service(kLateEcho,
                           [wants_stream](Connection&) { return std::make_unique<EchoServer>(wants_stream); });
    stack_->listen({IpAddress::any(address.address.version), kLateEcho}, unreplicated, kLateEcho);
  }

  Stack& stack() { return *stack_; }
  Device& device() { return *device_; }

  void record_into(GroupFixture& group, std::uint64_t epoch) {
    group_ = &group;
    writer_ = std::make_unique<ha::LogWriter>(group.group, group.log.data(), group.log.size());
    writer_->set_epoch(epoch);
    epoch_ = epoch;
    recorder_ = std::make_unique<ha::Recorder>(*writer_);
    stack_->set_observer(recorder_.get());
  }
  /// What the joiner maps of its snapshot's log; nothing when that is in the live one.
  std::unique_ptr<ha::SnapshotFeed> begin_join(Node& node, ha::SnapshotWay way) {
    snapshot_log_.reset();
    if (way == ha::SnapshotWay::in_live_log) {
      snapshot_ = std::make_unique<ha::Snapshot>(*stack_, node, nullptr, *writer_, *recorder_);
      return nullptr;
    }
    snapshot_log_ = std::make_unique<ha::SnapshotLog>(std::size_t{8} << 20);
    snapshot_log_->writer().set_epoch(epoch_);
    node_ = &node;
    return std::make_unique<ha::SnapshotFeed>(ha::Descriptor(::dup(snapshot_log_->words_fd())),
                                              ha::Descriptor(::dup(snapshot_log_->ring_fd())));
  }
  std::size_t join_bytes = std::size_t{1} << 20;  ///< of a snapshot a turn
  /// Why the open transaction cannot be published.
  [[nodiscard]] const std::string& overflowed() const { return writer_->overflowed(); }
  [[nodiscard]] bool joining() const { return snapshot_ != nullptr || node_ != nullptr; }

  /// Returns whether anything was taken in or sent. `die` is asked at each place where a process may die between two calls.
  bool turn(const std::function<void()>& die = [] {}) {
    RxFrame frames[16];
    const WireMark before = device_->mark();
    const std::size_t count = device_->rx_peek(frames);
    for (std::size_t i = 0; i < count; ++i) {
      stack_->input(frames[i]);
      die();
    }
    stack_->run_timers();
    const bool more = stack_->run_handlers();
    die();
    bool joined = false;
    if (snapshot_ && !snapshot_log_) joined = snapshot_->step({0, join_bytes});
    stack_->end_turn();
    die();
    const WireMark mark = device_->mark();
    if (recorder_ && recorder_->active() && (writer_->in_transaction() || !(mark == published_))) {
      writer_->publish(mark.rx_index, mark.tx_index);
      published_ = mark;
    }
    if (snapshot_log_ && joining()) joined = write_snapshot(mark);
    if (joined) snapshot_.reset();
    die();
    device_->tx_release(mark.tx_index);
    die();
    device_->rx_release();
    die();
    device_->refill();
    return count > 0 || more || !(mark == before);
  }

 private:
  /// Behind the turn, as AttachServer does it. True: it is whole.
  bool write_snapshot(const WireMark& mark) {
    ha::LogWriter& log = snapshot_log_->writer();
    if (!snapshot_ || !snapshot_->is_in_the_middle()) snapshot_at_ = writer_->position();
    log.append(ha::RecordType::snapshot_at, 0,
               {{reinterpret_cast<const std::uint8_t*>(&snapshot_at_), sizeof snapshot_at_}});
    if (!snapshot_)
      snapshot_ = std::make_unique<ha::Snapshot>(*stack_, *std::exchange(node_, nullptr), nullptr, log, *recorder_,
                                                 ha::SnapshotWay::beside_live_log);
    const bool whole = snapshot_->step({0, join_bytes});
    log.publish(mark);
    return whole;
  }

  Clock& clock_;
  GroupFixture* group_ = nullptr;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<ha::LogWriter> writer_;
  std::unique_ptr<ha::Recorder> recorder_;
  std::unique_ptr<ha::SnapshotLog> snapshot_log_;
  std::unique_ptr<ha::Snapshot> snapshot_;
  Node* node_ = nullptr;  ///< a snapshot is to begin behind this turn
  std::uint64_t snapshot_at_ = 0;
  std::uint64_t epoch_ = 0;
  WireMark published_;
};

inline IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }

/// Peer, primary and twin.
struct World {
  explicit World(bool v6 = false, bool wants_stream = false, std::size_t log_bytes = std::size_t{8} << 20)
      : v6_(v6),
        wants_stream_(wants_stream),
        // Rings that hold every window that is used here: what is sent again was lost in a takeover.
        wire({.mtu = 1500, .frames = 4096, .ring_entries = 1024}),
        group(log_bytes),
        node_(NodeOptions{}) {
    peer_port = wire.add_port(*MacAddress::parse("02:00:00:00:00:02"));
    our_port = wire.add_port(*MacAddress::parse("02:00:00:00:00:01"));
    peer = std::make_unique<Process>(clock, wire.open(peer_port), prefix(v6 ? "fd00::2/64" : "10.0.0.2/24"), false);
    peer->stack().define_service(1, [this](Connection&) {
      auto client = std::make_unique<EchoClient>();
      last_client = client.get();
      return client;
    });
    peer->stack().activate(Stack::Adoption::fresh);
    primary =
        std::make_unique<Process>(clock, wire.open(our_port), prefix(v6 ? "fd00::1/64" : "10.0.0.1/24"), wants_stream);
    primary->stack().activate(Stack::Adoption::fresh);
    primary->record_into(group, epoch);
  }

  EchoClient& connect(std::uint64_t seed, std::uint64_t bytes, std::uint16_t port = kEcho) {
    last_client = nullptr;
    peer->stack().connect({IpAddress::any(v6_ ? 6 : 4), 0}, {*IpAddress::parse(v6_ ? "fd00::1" : "10.0.0.1"), port},
                          unreplicated, 1);
    last_client->seed = seed;
    last_client->to_send = bytes;
    return *last_client;
  }

  /// A twin attaches, and is brought up over as many turns as it takes.
  void attach() {
    begin_attach();
    while (primary->joining()) step();
  }
  void begin_attach() {
    group.attach();
    twin = std::make_unique<Process>(clock, wire.attach(our_port), prefix(v6_ ? "fd00::1/64" : "10.0.0.1/24"),
                                     wants_stream_);
    const ha::LogReader live = group.reader();
    replica =
        std::make_unique<ha::Replica>(twin->stack(), node_, nullptr, live, epoch, primary->begin_join(node_, way));
  }

  bool follow() {
    const bool good = replica->apply(group.group.published.load());
    group.group.readers[0].position.store(replica->position());
    return good;
  }

  /// One turn of everybody, then a tenth of a millisecond.
  bool step(const std::function<void()>& die = [] {}) {
    bool busy = peer->turn();
    busy = primary->turn(die) || busy;
    if (replica) follow();
    clock.now_ns += kMs / 10;
    return busy;
  }

  /// The primary is dead where it stands: the twin drains, adopts and goes on. Returns false when the log was refused.
  bool take_over() {
    wire.set_step_hook(our_port, {});
    primary.reset();
    if (!follow()) return false;
    const auto mark = replica->mark();
    twin->device().adopt(mark ? &*mark : nullptr);
    replica.reset();
    group.group.readers[0].state.store(ha::ReaderState::free);
    primary = std::move(twin);
    primary->record_into(group, ++epoch);
    primary->stack().activate(Stack::Adoption::exact);
    return true;
  }

  ha::SnapshotWay way = ha::SnapshotWay::beside_live_log;  ///< of joiners
  bool v6_;
  bool wants_stream_;
  Clock clock;
  MemoryWire wire;
  GroupFixture group;
  Node node_;
  std::uint64_t epoch = 1;
  MemoryWire::PortId peer_port = 0, our_port = 0;
  std::unique_ptr<Process> peer, primary, twin;
  std::unique_ptr<ha::Replica> replica;
  EchoClient* last_client = nullptr;
};

}  // namespace pair_test
