// SPDX-License-Identifier: BSD-3-Clause
#include "world.hpp"

#include <algorithm>
#include <cstring>

#include "require.hpp"
#include "tandem/node.hpp"

namespace tandem::fuzz {
namespace {

constexpr std::size_t kLogBytes = std::size_t{8} << 20;
constexpr std::size_t kQueueBytes = 96 * 1024;
constexpr std::size_t kRemembered = 16;

/// One log for all inputs: making shared memory anew would take longer than most inputs do.
GroupFixture& shared_group() {
  static GroupFixture fixture(kLogBytes);
  return fixture;
}

Node& node() {
  static Node instance{NodeOptions{}};
  return instance;
}

std::uint8_t stream_byte(std::uint64_t position) {
  return static_cast<std::uint8_t>(position * 0x9e3779b97f4a7c15ULL >> 41);
}

class Echo final : public Handler {
 public:
  void on_receive(Connection& c, Bytes unread) override {
    const Bytes piece = unread.first(std::min(unread.size(), c.writable()));
    if (c.write(piece)) c.consume(piece.size());
  }
};

/// Does nothing by itself; it is told from outside. On the twin it counts what it is shown.
class Manual final : public Handler {
 public:
  void on_receive(Connection&, Bytes) override {}
  void on_eof(Connection&) override {}
  void on_opened(Connection& c) override {
    consumed_ = c.bytes_consumed();
    written_ = c.bytes_written();
  }
  void on_consumed(Connection& c, Bytes bytes) override {
    consumed_ += bytes.size();
    FUZZ_REQUIRE(consumed_ == c.bytes_consumed());
  }
  void on_written(Connection& c, Bytes bytes) override {
    written_ += bytes.size();
    FUZZ_REQUIRE(written_ == c.bytes_written());
  }
  [[nodiscard]] bool wants_stream() const override { return true; }
  [[nodiscard]] std::vector<std::uint8_t> save(const Connection&) const override { return {1, 2, 3}; }
  void restore(Connection&, Bytes bytes) override { FUZZ_REQUIRE(bytes.size() == 3 && bytes[2] == 3); }

 private:
  std::uint64_t consumed_ = 0, written_ = 0;
};

/// The neighbour's end: sends a stream and knows what has to come back.
class Stream final : public Handler {
 public:
  explicit Stream(std::uint32_t bytes) : left_(bytes) {}
  void on_connected(Connection& c) override { fill(c); }
  void on_writable(Connection& c) override { fill(c); }
  void on_receive(Connection& c, Bytes unread) override {
    for (const std::uint8_t byte : unread) FUZZ_REQUIRE(byte == stream_byte(got_++));
    FUZZ_REQUIRE(got_ <= sent_);
    c.consume(unread.size());
  }

 private:
  void fill(Connection& c) {
    while (left_ > 0 && c.writable() > 0) {
      std::uint8_t bytes[1024];
      const auto size = std::min<std::size_t>({sizeof bytes, left_, c.writable()});
      for (std::size_t i = 0; i < size; ++i) bytes[i] = stream_byte(sent_ + i);
      c.write({bytes, size});
      sent_ += size;
      left_ -= static_cast<std::uint32_t>(size);
    }
    if (left_ == 0) c.close();
  }
  std::uint32_t left_;
  std::uint64_t sent_ = 0, got_ = 0;
};

std::uint32_t stream_bytes = 0;  ///< of the connection that the neighbour opens next

/// Which fields of two states differ, with both values.
std::string differences(const TcpState& primary, const TcpState& twin) {
  std::string text;
  const auto compare = [&text](const char* name, std::uint64_t ours, std::uint64_t theirs) {
    if (ours == theirs) return;
    text += std::string(name) + " is " + std::to_string(ours) + " on the primary and " + std::to_string(theirs) +
            " on the twin; ";
  };
  compare("phase", static_cast<std::uint64_t>(primary.phase), static_cast<std::uint64_t>(twin.phase));
  compare("snd_scale", static_cast<std::uint64_t>(primary.snd_scale), static_cast<std::uint64_t>(twin.snd_scale));
  compare("rcv_scale", static_cast<std::uint64_t>(primary.rcv_scale), static_cast<std::uint64_t>(twin.rcv_scale));
  compare("ttl", static_cast<std::uint64_t>(primary.ttl), static_cast<std::uint64_t>(twin.ttl));
  compare("tos", static_cast<std::uint64_t>(primary.tos), static_cast<std::uint64_t>(twin.tos));
  compare("priority", static_cast<std::uint64_t>(primary.priority), static_cast<std::uint64_t>(twin.priority));
  compare("retransmissions", static_cast<std::uint64_t>(primary.retransmissions),
          static_cast<std::uint64_t>(twin.retransmissions));
  compare("dupacks", static_cast<std::uint64_t>(primary.dupacks), static_cast<std::uint64_t>(twin.dupacks));
  compare("flags", static_cast<std::uint64_t>(primary.flags), static_cast<std::uint64_t>(twin.flags));
  compare("iss", static_cast<std::uint64_t>(primary.iss), static_cast<std::uint64_t>(twin.iss));
  compare("irs", static_cast<std::uint64_t>(primary.irs), static_cast<std::uint64_t>(twin.irs));
  compare("snd_una", static_cast<std::uint64_t>(primary.snd_una), static_cast<std::uint64_t>(twin.snd_una));
  compare("snd_nxt", static_cast<std::uint64_t>(primary.snd_nxt), static_cast<std::uint64_t>(twin.snd_nxt));
  compare("write_seq", static_cast<std::uint64_t>(primary.write_seq), static_cast<std::uint64_t>(twin.write_seq));
  compare("snd_wnd", static_cast<std::uint64_t>(primary.snd_wnd), static_cast<std::uint64_t>(twin.snd_wnd));
  compare("snd_wnd_max", static_cast<std::uint64_t>(primary.snd_wnd_max), static_cast<std::uint64_t>(twin.snd_wnd_max));
  compare("snd_wl1", static_cast<std::uint64_t>(primary.snd_wl1), static_cast<std::uint64_t>(twin.snd_wl1));
  compare("snd_wl2", static_cast<std::uint64_t>(primary.snd_wl2), static_cast<std::uint64_t>(twin.snd_wl2));
  compare("rcv_nxt", static_cast<std::uint64_t>(primary.rcv_nxt), static_cast<std::uint64_t>(twin.rcv_nxt));
  compare("rcv_wnd", static_cast<std::uint64_t>(primary.rcv_wnd), static_cast<std::uint64_t>(twin.rcv_wnd));
  compare("rcv_right_edge", static_cast<std::uint64_t>(primary.rcv_right_edge),
          static_cast<std::uint64_t>(twin.rcv_right_edge));
  compare("cwnd", static_cast<std::uint64_t>(primary.cwnd), static_cast<std::uint64_t>(twin.cwnd));
  compare("ssthresh", static_cast<std::uint64_t>(primary.ssthresh), static_cast<std::uint64_t>(twin.ssthresh));
  compare("rto_end", static_cast<std::uint64_t>(primary.rto_end), static_cast<std::uint64_t>(twin.rto_end));
  compare("ts_recent", static_cast<std::uint64_t>(primary.ts_recent), static_cast<std::uint64_t>(twin.ts_recent));
  compare("ts_last_ack_sent", static_cast<std::uint64_t>(primary.ts_last_ack_sent),
          static_cast<std::uint64_t>(twin.ts_last_ack_sent));
  compare("keep_idle_ms", static_cast<std::uint64_t>(primary.keep_idle_ms),
          static_cast<std::uint64_t>(twin.keep_idle_ms));
  compare("keep_interval_ms", static_cast<std::uint64_t>(primary.keep_interval_ms),
          static_cast<std::uint64_t>(twin.keep_interval_ms));
  compare("keep_count", static_cast<std::uint64_t>(primary.keep_count), static_cast<std::uint64_t>(twin.keep_count));
  compare("srtt_ms", static_cast<std::uint64_t>(primary.srtt_ms), static_cast<std::uint64_t>(twin.srtt_ms));
  compare("rttvar_ms", static_cast<std::uint64_t>(primary.rttvar_ms), static_cast<std::uint64_t>(twin.rttvar_ms));
  compare("rto_ms", static_cast<std::uint64_t>(primary.rto_ms), static_cast<std::uint64_t>(twin.rto_ms));
  compare("mss", static_cast<std::uint64_t>(primary.mss), static_cast<std::uint64_t>(twin.mss));
  compare("persist_backoff", static_cast<std::uint64_t>(primary.persist_backoff),
          static_cast<std::uint64_t>(twin.persist_backoff));
  compare("bytes_written", static_cast<std::uint64_t>(primary.bytes_written),
          static_cast<std::uint64_t>(twin.bytes_written));
  compare("bytes_acked", static_cast<std::uint64_t>(primary.bytes_acked), static_cast<std::uint64_t>(twin.bytes_acked));
  compare("bytes_received", static_cast<std::uint64_t>(primary.bytes_received),
          static_cast<std::uint64_t>(twin.bytes_received));
  compare("bytes_consumed", static_cast<std::uint64_t>(primary.bytes_consumed),
          static_cast<std::uint64_t>(twin.bytes_consumed));
  compare("rexmit_bytes", static_cast<std::uint64_t>(primary.rexmit_bytes),
          static_cast<std::uint64_t>(twin.rexmit_bytes));
  compare("rtx_started_ms", static_cast<std::uint64_t>(primary.rtx_started_ms),
          static_cast<std::uint64_t>(twin.rtx_started_ms));
  compare("last_heard_ms", static_cast<std::uint64_t>(primary.last_heard_ms),
          static_cast<std::uint64_t>(twin.last_heard_ms));
  compare("ts_val", static_cast<std::uint64_t>(primary.ts_val), static_cast<std::uint64_t>(twin.ts_val));
  return text + std::string(to_string(primary.phase));
}

std::string differences(const ConnectionImage& primary, const ConnectionImage& twin) {
  const auto pieces = [](const ConnectionImage& image) {
    std::string text;
    for (const OutOfOrderPiece& piece : image.out_of_order) {
      text += " [" + std::to_string(piece.seq - image.state.rcv_nxt) + "+" + std::to_string(piece.bytes.size()) +
              (piece.fin ? " fin]" : "]");
    }
    return text;
  };
  return differences(primary.state, twin.state) +
         (primary.send_queue == twin.send_queue ? "" : "; the send queues differ") +
         (primary.receive_queue == twin.receive_queue ? "" : "; the receive queues differ") +
         (primary.out_of_order == twin.out_of_order
              ? ""
              : "; out of order has the primary" + pieces(primary) + ", the twin" + pieces(twin));
}

bool before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

}  // namespace

Port::~Port() { FUZZ_REQUIRE(shown_.empty()); }

std::span<std::uint8_t> Port::tx_reserve(std::uint32_t bytes) {
  if (room == 0) return {};
  FUZZ_REQUIRE(bytes <= mtu() + 14);
  reserved_.assign(bytes, 0xa5);
  reserved_any_ = true;
  return reserved_;
}

void Port::tx_stage() {
  FUZZ_REQUIRE(reserved_any_);
  reserved_any_ = false;
  if (room != SIZE_MAX) --room;
  staged_.push_back(std::move(reserved_));
}

void Port::rx_done(std::uint32_t cookie) { FUZZ_REQUIRE(shown_.erase(cookie) == 1); }

RxFrame Port::show(Bytes frame) {
  const std::uint32_t cookie = next_cookie_++;
  auto& memory = shown_[cookie] = std::make_unique<std::uint8_t[]>(frame.size());
  if (!frame.empty()) std::memcpy(memory.get(), frame.data(), frame.size());
  return {{memory.get(), frame.size()}, cookie};
}

IpAddress World::our_address(std::uint8_t version) { return *IpAddress::parse(version == 4 ? "10.0.0.1" : "fd00::1"); }
IpAddress World::neighbour_address(std::uint8_t version) {
  return *IpAddress::parse(version == 4 ? "10.0.0.2" : "fd00::2");
}
IpAddress World::gateway_address(std::uint8_t version) {
  return *IpAddress::parse(version == 4 ? "10.0.0.254" : "fd00::fe");
}
IpAddress World::stranger_address(std::uint8_t version, std::uint8_t number) {
  // Every fourth one is beyond the gateway.
  IpAddress address = number % 4 == 3 ? *IpAddress::parse(version == 4 ? "192.0.2.0" : "2001:db8::")
                                      : *IpAddress::parse(version == 4 ? "10.0.0.0" : "fd00::");
  address.octets[version == 4 ? 3 : 15] = static_cast<std::uint8_t>(100 + number % 100);
  return address;
}

World::World() : group_(shared_group().group) {
  new (&group_) ha::SharedGroup{};
  for (std::size_t i = 0; i < kRemotes; ++i) {
    Remote& remote = remotes[i];
    remote.address = stranger_address(i % 2 == 0 ? 4 : 6, static_cast<std::uint8_t>(i));
    remote.port = static_cast<std::uint16_t>(40000 + i);
    remote.active = i >= 4;
    constexpr std::uint16_t kPorts[] = {kManual, kEcho, kPlainEcho, kManual, 0, 0};
    remote.local_port = kPorts[i];
    remote.snd_nxt = static_cast<std::uint32_t>(0xfffff000u + i * 1000);
  }
  primary_port_ = std::make_unique<Port>(our_mac());
  primary_ = make_stack(*primary_port_, true);
  neighbour_port_ = std::make_unique<Port>(neighbour_mac());
  neighbour_ = make_stack(*neighbour_port_, false);
  neighbour_->activate(Stack::Adoption::fresh);
  primary_->activate(Stack::Adoption::fresh);
  start_recording();
  open_udp();
  turn();
}

World::~World() {
  udp_.reset();
  replica_.reset();
  snapshot_.reset();
  primary_.reset();
  twin_.reset();
  neighbour_.reset();
}

std::unique_ptr<Stack> World::make_stack(Port& port, bool ours) {
  StackOptions options;
  for (const std::uint8_t version : {4, 6}) {
    const auto address = ours ? our_address(version) : neighbour_address(version);
    options.addresses.push_back({address, static_cast<std::uint8_t>(version == 4 ? 24 : 64)});
    if (ours) options.gateways.push_back(gateway_address(version));
  }
  options.send_queue_bytes = options.receive_window_bytes = kQueueBytes;
  options.max_connections = 64;
  options.now_ns = [this] { return clock.now_ns; };
  options.secret[0] = ours ? 1 : 2;
  options.dormant = true;
  auto stack = std::make_unique<Stack>(options, port);
  if (!ours) {
    stack->define_service(kStream, [](Connection&) { return std::make_unique<Stream>(stream_bytes); });
    return stack;
  }
  const auto echo = [](Connection&) { return std::make_unique<Echo>(); };
  const auto manual = [](Connection&) { return std::make_unique<Manual>(); };
  stack->define_service(kEcho, echo);
  stack->define_service(kPlainEcho, echo);
  stack->define_service(kManual, manual);
  stack->define_service(kActive, manual);
  for (const std::uint8_t version : {4, 6}) {
    stack->listen({IpAddress::any(version), kEcho}, replicated, kEcho);
    stack->listen({IpAddress::any(version), kPlainEcho}, unreplicated, kPlainEcho);
    stack->listen({IpAddress::any(version), kManual}, replicated, kManual, 8);
  }
  return stack;
}

void World::start_recording() {
  recorder_.reset();
  writer_ = std::make_unique<ha::LogWriter>(group_, shared_group().log.data(), shared_group().log.size());
  writer_->set_epoch(epoch_);
  writer_->set_time(clock.now_ns);
  recorder_ = std::make_unique<ha::Recorder>(*writer_);
  primary_->set_observer(recorder_.get());
}

void World::open_udp() {
  udp_ =
      primary_->open_udp({IpAddress::any(4), kUdpPort}, [](UdpEndpoint& endpoint, const Endpoint& from, Bytes bytes) {
        endpoint.send(from, bytes.first(std::min<std::size_t>(bytes.size(), 3000)));
      });
}

Connection* World::connection(std::size_t number) {
  std::vector<Connection*> all;
  primary_->for_each_connection([&](Connection& c) { all.push_back(&c); });
  if (all.empty()) return nullptr;
  std::sort(all.begin(), all.end(), [](const Connection* a, const Connection* b) { return a->id() < b->id(); });
  return all[number % all.size()];
}

void World::inject(Octets frame) {
  primary_->input(primary_port_->show(frame));
  inputs_of_turn_.push_back(std::move(frame));
}

void World::publish() {
  if (!recorder_->active() || !writer_->in_transaction()) return;
  writer_->publish(0, 0);
}

void World::turn() {
  for (Octets& frame : std::exchange(to_us_, {})) inject(std::move(frame));
  primary_->run_timers();
  primary_->run_handlers();
  const bool joined = snapshot_ && snapshot_->step({UINT64_MAX, join_bytes_});
  primary_->end_turn();
  publish();
  if (joined) snapshot_.reset();
  inputs_of_turn_.clear();
  if (replica_) {
    FUZZ_REQUIRE_WITH(replica_->apply(group_.published.load()), replica_->error());
    group_.readers[0].position.store(replica_->position());
    FUZZ_REQUIRE(twin_port_->take_staged().empty());
  }
  check_connections();
  for (const Octets& frame : primary_port_->take_staged()) sent(frame);
  run_neighbour();
  writer_->set_time(clock.now_ns);
}

void World::run_neighbour() {
  neighbour_->run_timers();
  neighbour_->run_handlers();
  neighbour_->end_turn();
  for (Octets& frame : neighbour_port_->take_staged()) {
    dissect(frame, neighbour_port_->mtu());
    const bool for_us = (frame[0] & 1) != 0 || std::equal(frame.begin(), frame.begin() + 6, our_mac().octets.begin());
    from_neighbour_.push_front(frame);
    if (from_neighbour_.size() > kRemembered) from_neighbour_.pop_back();
    if (deliver && for_us) to_us_.push_back(std::move(frame));
  }
}

void World::sent(const Octets& frame) {
  const Sent what = dissect(frame, primary_port_->mtu());
  FUZZ_REQUIRE(std::equal(frame.begin() + 6, frame.begin() + 12, our_mac().octets.begin()));
  learn(what);
  if (answer_neighbours) answer_neighbour_query(what);
  const bool for_neighbour =
      (frame[0] & 1) != 0 || std::equal(frame.begin(), frame.begin() + 6, neighbour_mac().octets.begin());
  if (deliver && for_neighbour) neighbour_->input(neighbour_port_->show(frame));
  lately_.push_front(frame);
  if (lately_.size() > kRemembered) lately_.pop_back();
}

void World::learn(const Sent& sent) {
  if (!sent.tcp) return;
  const TcpFields& tcp = *sent.tcp;
  for (Remote& remote : remotes) {
    if (remote.address != sent.destination || remote.port != tcp.destination) continue;
    const bool syn = (tcp.flags & tcp_bit::kSyn) != 0, rst = (tcp.flags & tcp_bit::kRst) != 0;
    if (remote.active && syn && (tcp.flags & tcp_bit::kAck) == 0) remote.local_port = tcp.source;
    if (remote.local_port != tcp.source) continue;
    if (rst) {
      remote.seen = false;
      continue;
    }
    if (syn && (!remote.seen || remote.iss != tcp.seq)) {
      remote.seen = true;
      remote.iss = tcp.seq;
      remote.nxt = tcp.seq + 1;
      remote.stream.clear();
      remote.timestamps = false;
      remote.window = remote.ack = 0;
    }
    if (!remote.seen) continue;
    const std::uint32_t at = tcp.seq + (syn ? 1 : 0);
    const std::uint32_t end = at + static_cast<std::uint32_t>(tcp.payload.size()) + ((tcp.flags & tcp_bit::kFin) != 0);
    if (before(remote.nxt, end)) remote.nxt = end;
    if ((tcp.flags & tcp_bit::kAck) != 0) {
      remote.ack = tcp.ack;
      remote.window = tcp.window;
    }
    // Invariant I2: no sequence number ever carries two different bytes, whoever is primary.
    const std::uint32_t place = at - (remote.iss + 1);
    if (place < (1U << 22)) {
      if (remote.stream.size() < place + tcp.payload.size()) remote.stream.resize(place + tcp.payload.size(), -1);
      for (std::size_t i = 0; i < tcp.payload.size(); ++i) {
        std::int16_t& known = remote.stream[place + i];
        FUZZ_REQUIRE(known == -1 || known == tcp.payload[i]);
        known = tcp.payload[i];
      }
    }
    for (std::size_t i = 0; i + 1 < tcp.options.size() && tcp.options[i] != 0;) {
      if (tcp.options[i] == 1) {
        ++i;
        continue;
      }
      if (tcp.options[i] == 8) {
        remote.timestamps = true;
        remote.ts_val = get32(tcp.options, i + 2);
      }
      i += tcp.options[i + 1];
    }
  }
}

void World::answer_neighbour_query(const Sent& sent) {
  const auto is_stranger = [](const IpAddress& target) {
    for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}})
      if (target == our_address(version) || target == neighbour_address(version)) return false;
    return !target.is_any();
  };
  if (sent.arp && sent.arp->operation == 1 && is_stranger(sent.arp->target)) {
    ArpFields reply{2, stranger_mac(), our_mac(), sent.arp->target, our_address(4)};
    to_us_.push_back(ethernet({stranger_mac(), our_mac()}, ether_type::kArp, arp(reply)));
  }
  if (sent.icmp_type && sent.protocol == protocol::kIcmp6 && *sent.icmp_type == 135 && sent.icmp_body.size() >= 20) {
    IpAddress target{6, {}};
    std::copy_n(sent.icmp_body.begin() + 4, 16, target.octets.begin());
    if (!is_stranger(target)) return;
    Octets body;
    put(body, target.octets);
    put(body, Octets{2, 1});
    put(body, stranger_mac().octets);
    IpFields fields;
    fields.source = target;
    fields.destination = sent.source;
    fields.protocol = protocol::kIcmp6;
    fields.hop_limit = 255;
    to_us_.push_back(ethernet({stranger_mac(), our_mac()}, ether_type::kIpv6,
                              ip(fields, icmp6(target, sent.source, 136, 0, 0x60000000, body))));
  }
}

void World::pass(std::uint64_t ms) {
  constexpr int kMostTurns = 60;
  const std::uint64_t until = clock.now_ns + ms * kMs;
  for (int i = 0; i < kMostTurns && clock.now_ns < until; ++i) {
    std::uint64_t next = std::min({primary_->next_timer_ns(), neighbour_->next_timer_ns(), until});
    if (!to_us_.empty()) next = std::min(next, clock.now_ns + kMs / 10);
    clock.now_ns = std::max(clock.now_ns + kMs / 100, next);
    turn();
  }
  paused_ = paused_ || clock.now_ns < until;
  clock.now_ns = std::max(clock.now_ns, until);
  turn();
}

void World::stream_from_neighbour(std::uint8_t version, std::uint32_t bytes) {
  stream_bytes = bytes;
  neighbour_->connect({IpAddress::any(version), 0}, {our_address(version), kEcho}, unreplicated, kStream);
}

Connection* World::open_actively(std::size_t number) {
  Remote& remote = remotes[4 + number % 2];
  // A second one to the same end would have another local port: then the older is nobody's any more.
  return primary_->connect({IpAddress::any(remote.address.version), 0}, {remote.address, remote.port}, replicated,
                           kActive);
}

void World::attach_twin(std::size_t bytes_a_turn) {
  if (twin_) return;
  turn();
  group_.readers[0].position.store(group_.published.load());
  group_.readers[0].state.store(ha::ReaderState::member);
  twin_port_ = std::make_unique<Port>(our_mac());
  twin_ = make_stack(*twin_port_, true);
  const auto& log = shared_group().log;
  replica_ = std::make_unique<ha::Replica>(*twin_, node(), nullptr,
                                           ha::LogReader(log.data(), log.size(), group_.published.load()), epoch_);
  join_bytes_ = bytes_a_turn;
  snapshot_ = std::make_unique<ha::Snapshot>(*primary_, node(), nullptr, *writer_, *recorder_);
}

void World::take_over(bool within_turn, Stack::Adoption adoption) {
  if (!within_turn) turn();
  // Whoever is not complete is not promoted.
  if (!replica_ || !replica_->complete()) return;
  std::vector<Octets> again;
  if (within_turn) {
    primary_->run_handlers();
    again = std::exchange(inputs_of_turn_, {});
    primary_port_->take_staged();
  }
  if (adoption != Stack::Adoption::exact) again.clear();
  udp_.reset();
  snapshot_.reset();
  primary_.reset();
  primary_port_ = std::move(twin_port_);
  primary_ = std::move(twin_);
  replica_.reset();
  group_.readers[0].state.store(ha::ReaderState::free);
  ++epoch_;
  start_recording();
  primary_->activate(adoption);
  open_udp();
  seen_.clear();
  for (Octets& frame : again) inject(std::move(frame));
  turn();
}

Bytes World::log() const {
  return Bytes(shared_group().log.data(), std::min<std::uint64_t>(group_.published.load(), kLogBytes));
}

void World::check_connections() {
  const bool compare = replica_ && replica_->complete();
  std::map<ConnectionId, Seen> now;
  primary_->for_each_connection([&](Connection& c) {
    const TcpState state = c.state();
    FUZZ_REQUIRE_WITH(inconsistency(state).empty(), std::string(inconsistency(state)));
    FUZZ_REQUIRE(c.unread().size() == c.bytes_received() - c.bytes_consumed());
    const Seen next{state.rcv_right_edge, state.rcv_nxt,   state.snd_una,      state.snd_nxt,     state.write_seq,
                    c.bytes_written(),    c.bytes_acked(), c.bytes_received(), c.bytes_consumed()};
    if (const auto found = seen_.find(c.id()); found != seen_.end() && state.phase != TcpPhase::syn_sent) {
      const Seen& last = found->second;
      FUZZ_REQUIRE(last.rcv_nxt == 0 || !before(next.rcv_right_edge, last.rcv_right_edge));
      FUZZ_REQUIRE(last.rcv_nxt == 0 || !before(next.rcv_nxt, last.rcv_nxt));
      FUZZ_REQUIRE(!before(next.snd_una, last.snd_una));
      FUZZ_REQUIRE(!before(next.snd_nxt, last.snd_nxt));
      FUZZ_REQUIRE(!before(next.write_seq, last.write_seq));
      FUZZ_REQUIRE(next.written >= last.written && next.acked >= last.acked);
      FUZZ_REQUIRE(next.received >= last.received && next.consumed >= last.consumed);
    }
    now[c.id()] = next;
    if (!c.is_replicated() || !compare) return;
    const Connection* mirrored = twin_->find(c.id());
    FUZZ_REQUIRE(mirrored != nullptr);
    TcpState twins = mirrored->state();
    // Ticks that a pause has swallowed are not made up for: a timer has then run for less long than since its start.
    if (paused_) twins.rtx_started_ms = state.rtx_started_ms;
    // The room behind a clamp follows from the queues, and is told with the next change.
    if (clamped) twins.rcv_wnd = state.rcv_wnd;
    FUZZ_REQUIRE_WITH(twins == state, differences(state, twins));
  });
  seen_ = std::move(now);
}

void World::check_everything() {
  turn();
  primary_->for_each_connection([&](Connection& c) {
    const ConnectionImage image = c.export_connection();
    FUZZ_REQUIRE_WITH(inconsistency(image).empty(), std::string(inconsistency(image)));
    Octets encoded;
    encode_connection(image, encoded);
    const auto decoded = decode_connection(encoded);
    FUZZ_REQUIRE(decoded && *decoded == image);
    if (!c.is_replicated() || !replica_ || !replica_->complete()) return;
    ConnectionImage twins = twin_->find(c.id())->export_connection();
    if (paused_) twins.state.rtx_started_ms = image.state.rtx_started_ms;
    if (clamped) twins.state.rcv_wnd = image.state.rcv_wnd;
    FUZZ_REQUIRE_WITH(twins == image, differences(image, twins));
  });
}

}  // namespace tandem::fuzz
