// SPDX-License-Identifier: BSD-3-Clause
//
// A twin reads a log that somebody else has written: sound records of a real run that were dropped, doubled, changed or moved,
// records made up, or plain bytes. The log is refused, or the twin is a primary that could have been: it is promoted, and works.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "frames/world.hpp"
#include "input.hpp"
#include "require.hpp"
#include "tandem/node.hpp"

namespace tandem::fuzz {
namespace {

using ha::RecordType;

constexpr std::size_t kMaxRecords = 400;
constexpr std::size_t kMaxLogBytes = std::size_t{1} << 20;
constexpr std::uint64_t kEpoch = 1;

struct Rec {
  ha::RecordHeader header;
  Octets payload;
};

std::vector<Rec> records_of(Bytes log) {
  std::vector<Rec> records;
  while (log.size() >= sizeof(ha::RecordHeader)) {
    const auto header = ha::load<ha::RecordHeader>(log);
    const Bytes payload = log.subspan(sizeof header, header.length);
    records.push_back({header, {payload.begin(), payload.end()}});
    log = log.subspan(ha::record_bytes(header.length));
  }
  return records;
}

void append(Octets& log, const Rec& record) {
  const auto* header = reinterpret_cast<const std::uint8_t*>(&record.header);
  log.insert(log.end(), header, header + sizeof record.header);
  log.insert(log.end(), record.payload.begin(), record.payload.end());
  log.resize((log.size() + 7) / 8 * 8);
}

// ---- The real run ----

void segment_from(World& world, Remote& remote, std::uint8_t flags, Octets payload) {
  TcpFields fields;
  fields.source = remote.port;
  fields.destination = remote.local_port;
  fields.seq = remote.snd_nxt;
  fields.ack = remote.nxt;
  fields.flags = flags;
  fields.window = 2000;
  if ((flags & tcp_bit::kSyn) != 0) fields.options = {2, 4, 5, 180, 4, 2, 1, 1, 1, 3, 3, 2};
  fields.payload = std::move(payload);
  remote.snd_nxt +=
      static_cast<std::uint32_t>(fields.payload.size()) + ((flags & (tcp_bit::kSyn | tcp_bit::kFin)) != 0);
  IpFields outer;
  outer.source = remote.address;
  outer.destination = World::our_address(remote.address.version);
  world.inject(ethernet({World::stranger_mac(), World::our_mac()},
                        remote.address.version == 4 ? ether_type::kIpv4 : ether_type::kIpv6,
                        ip(outer, tcp(outer.source, outer.destination, fields))));
}

/// Something of everything that a log can hold, in not too many bytes.
std::vector<Rec> run_that_was() {
  World world;
  const auto open = [&world](Remote& remote) {
    segment_from(world, remote, tcp_bit::kSyn, {});
    for (int i = 0; i < 4; ++i) world.turn();
    segment_from(world, remote, tcp_bit::kAck, Octets(40, 1));
    world.turn();
  };
  open(world.remotes[0]);
  open(world.remotes[1]);
  world.connection(0)->write(Octets(700, 2));
  world.stream_from_neighbour(4, 3000);
  world.pass(1);
  world.attach_twin(200);
  for (int i = 0; i < 12; ++i) world.turn();
  open(world.remotes[3]);
  open(world.remotes[2]);
  world.open_actively(0);
  world.connection(0)->consume(30);
  world.connection(0)->note(Octets(9, 3));
  world.connection(0)->write(Octets(300, 4));
  world.turn();
  // Out of order, then the hole, then FIN.
  Remote& gap = world.remotes[3];
  gap.snd_nxt += 100;
  segment_from(world, gap, tcp_bit::kAck, Octets(100, 5));
  world.turn();
  gap.snd_nxt += 50;
  segment_from(world, gap, tcp_bit::kAck | tcp_bit::kFin, Octets(100, 6));
  world.turn();
  gap.snd_nxt -= 351;
  segment_from(world, gap, tcp_bit::kAck, Octets(100, 7));
  world.turn();
  for (std::size_t i = 0; Connection* c = i < 6 ? world.connection(i) : nullptr; ++i)
    if (!c->is_replicated()) c->replicate();
  world.turn();
  segment_from(world, world.remotes[1], tcp_bit::kAck | tcp_bit::kFin, Octets(10, 8));
  world.turn();
  world.stream_from_neighbour(6, 2000);
  world.pass(3);
  segment_from(world, world.remotes[2], tcp_bit::kRst, {});
  world.turn();
  world.connection(0)->close();
  world.pass(300);
  return records_of(world.log());
}

const std::vector<Rec>& real_run() {
  static const std::vector<Rec> records = run_that_was();
  return records;
}

// ---- A log made of it ----

class Forger {
 public:
  explicit Forger(Input& input) : in_(input) {
    for (const Rec& record : real_run())
      if (record.header.id != 0) ids_.push_back(record.header.id);
  }

  Octets forge() {
    std::size_t next = 0;
    for (std::size_t written = 0; written < kMaxRecords && log_.size() < kMaxLogBytes / 2 && !in_.empty(); ++written) {
      const auto& run = real_run();
      const std::uint8_t what = in_.u8();
      if (what < 96) {
        for (std::size_t n = 1 + what; n > 0 && next < run.size(); --n) put_record(run[next++]);
        continue;
      }
      switch (what % 10) {
        case 0:
          next = std::min(run.size(), next + 1 + in_.below(16));
          break;
        case 1:
          next = in_.u16() % (run.size() + 1);
          break;
        case 2:
        case 3:
          if (next < run.size()) put_record(changed(run[next++]));
          break;
        case 4:
          put_record(made_up());
          break;
        case 5:
          put_record(frame_of_transaction());
          break;
        case 6:
          if (next + 1 < run.size()) {
            put_record(run[next + 1]);
            put_record(run[next]);
            next += 2;
          }
          break;
        case 7:
        case 8:
          if (const auto state = forged_state()) put_record(*state);
          break;
        default:
          put(log_, in_.bytes(64));
          log_.resize((log_.size() + 7) / 8 * 8);
      }
    }
    if (in_transaction_) put_record(commit());
    return std::move(log_);
  }

 private:
  void put_record(Rec record) {
    const auto type = static_cast<RecordType>(record.header.type);
    if (type == RecordType::transaction_begin) in_transaction_ = true;
    if (type == RecordType::commit) in_transaction_ = false;
    if (type == RecordType::open || type == RecordType::state) last_state_ = record;
    append(log_, record);
  }

  static Rec rec(RecordType type, std::uint64_t id, Octets payload) {
    return {{static_cast<std::uint16_t>(type), 1, static_cast<std::uint32_t>(payload.size()), id}, std::move(payload)};
  }
  template <typename T>
  static Octets octets_of(const T& value) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(&value);
    return {from, from + sizeof value};
  }
  static Rec commit() { return rec(RecordType::commit, 0, octets_of(ha::Commit{1, 0, 0})); }

  Rec frame_of_transaction() {
    if (in_.below(2) == 0) return commit();
    return rec(RecordType::transaction_begin, 0,
               octets_of(ha::TransactionBegin{in_.u64(), in_.below(8) == 0 ? in_.u64() : kEpoch}));
  }

  std::uint64_t any_id() {
    return in_.below(8) == 0 || ids_.empty() ? in_.u64() >> in_.below(64) : ids_[in_.u8() % ids_.size()];
  }

  Rec changed(Rec record) {
    switch (in_.below(7)) {
      case 0:
        record.header.type = static_cast<std::uint16_t>(in_.u8() | (in_.below(4) == 0 ? ha::kOptionalRecord : 0));
        break;
      case 1:
        record.header.version = in_.u8();
        break;
      case 2:
        record.header.length = in_.below(2) == 0 ? in_.u32() : record.header.length + in_.u8() - 128;
        break;
      case 3:
        record.header.id = any_id();
        break;
      case 4:
        record.payload.resize(in_.u8());
        record.header.length = static_cast<std::uint32_t>(record.payload.size());
        break;
      default:
        if (record.payload.empty()) break;
        for (std::size_t n = 1 + in_.below(3); n > 0; --n) record.payload[in_.u16() % record.payload.size()] = in_.u8();
    }
    return record;
  }

  Rec made_up() {
    const auto type = static_cast<RecordType>(in_.below(21));
    Octets payload;
    switch (in_.below(4)) {
      case 0:
        payload = octets_of(in_.u64() >> in_.below(64));
        break;
      case 1: {
        payload = octets_of(std::uint64_t{in_.u32()});
        payload.resize(8 + in_.u16() % 3000, in_.u8());
        break;
      }
      default: {
        const auto bytes = in_.bytes(100);
        payload.assign(bytes.begin(), bytes.end());
      }
    }
    return rec(type, any_id(), std::move(payload));
  }

  /// The last state that was told, with some fields as they suit the forger.
  std::optional<Rec> forged_state() {
    if (!last_state_) return std::nullopt;
    const bool is_open = last_state_->header.type == static_cast<std::uint16_t>(RecordType::open);
    const std::size_t prefix = is_open ? sizeof(ha::OpenPrefix) : 0;
    auto state = decode_tcp_state(Bytes(last_state_->payload).subspan(std::min(prefix, last_state_->payload.size())));
    if (!state) return std::nullopt;
    for (std::size_t n = 1 + in_.below(4); n > 0; --n) change_field(*state);
    Rec record;
    const bool as_open = in_.below(4) == 0;
    Octets payload;
    if (as_open) {
      static constexpr std::uint16_t kServices[] = {kEcho, kPlainEcho, kManual, kActive, 999};
      payload = octets_of(ha::OpenPrefix{in_.one_of(kServices), static_cast<std::uint16_t>(in_.below(3)), 0});
    }
    encode_tcp_state(*state, payload);
    const std::uint64_t id = in_.below(2) == 0 ? last_state_->header.id : any_id();
    return rec(as_open ? RecordType::open : RecordType::state, id, std::move(payload));
  }

  std::uint32_t near(std::uint32_t value) {
    switch (in_.below(4)) {
      case 0:
        return value + static_cast<std::uint32_t>(std::int32_t{in_.number<std::int8_t>()});
      case 1:
        return value + in_.u16();
      case 2:
        return value - in_.u16();
      default:
        return in_.u32();
    }
  }

  void change_field(TcpState& s) {
    std::uint32_t* const words[] = {&s.flags,
                                    &s.iss,
                                    &s.irs,
                                    &s.snd_una,
                                    &s.snd_nxt,
                                    &s.write_seq,
                                    &s.snd_wnd,
                                    &s.snd_wl1,
                                    &s.snd_wl2,
                                    &s.rcv_nxt,
                                    &s.rcv_wnd,
                                    &s.rcv_right_edge,
                                    &s.cwnd,
                                    &s.ssthresh,
                                    &s.rto_end,
                                    &s.ts_recent,
                                    &s.ts_last_ack_sent,
                                    &s.keep_idle_ms,
                                    &s.keep_interval_ms,
                                    &s.keep_count,
                                    &s.rto_ms,
                                    &s.rexmit_bytes,
                                    &s.rtx_started_ms,
                                    &s.last_heard_ms,
                                    &s.ts_val,
                                    &s.snd_wnd_max};
    std::uint64_t* const longs[] = {&s.bytes_written, &s.bytes_acked, &s.bytes_received, &s.bytes_consumed};
    std::uint8_t* const octets[] = {&s.snd_scale,       &s.rcv_scale, &s.ttl,
                                    &s.retransmissions, &s.dupacks,   &s.persist_backoff};
    switch (in_.below(8)) {
      case 0:
        s.phase = static_cast<TcpPhase>(in_.below(12));
        break;
      case 1:
        *in_.one_of(octets) = in_.u8();
        break;
      case 2: {
        std::uint64_t& value = *in_.one_of(longs);
        value = in_.below(8) == 0 ? in_.u64()
                                  : value + static_cast<std::uint64_t>(std::int64_t{in_.number<std::int16_t>()});
        break;
      }
      case 3:
        s.mss = in_.u16();
        s.srtt_ms = static_cast<std::int32_t>(in_.u32());
        s.rttvar_ms = static_cast<std::int32_t>(in_.u32());
        break;
      case 4:
        s.remote.port = in_.u16();
        if (in_.below(4) == 0) s.remote.address.octets[in_.below(16)] = in_.u8();
        if (in_.below(4) == 0) s.local = s.remote;
        break;
      default: {
        std::uint32_t& value = *in_.one_of(words);
        value = near(value);
      }
    }
  }

  Input& in_;
  Octets log_;
  std::vector<std::uint64_t> ids_;
  std::optional<Rec> last_state_;
  bool in_transaction_ = false;
};

// ---- The twin ----

/// Believes what it is shown, and checks that it adds up.
class Follower final : public Handler {
 public:
  explicit Follower(bool wants) : wants_(wants) {}
  void on_receive(Connection& c, Bytes unread) override {
    const Bytes piece = unread.first(std::min(unread.size(), c.writable()));
    if (c.write(piece)) c.consume(piece.size());
  }
  void on_opened(Connection& c) override {
    consumed_ = c.bytes_consumed();
    written_ = c.bytes_written();
  }
  void on_consumed(Connection& c, Bytes bytes) override {
    consumed_ += bytes.size();
    FUZZ_REQUIRE(!wants_ || consumed_ == c.bytes_consumed());
  }
  void on_written(Connection& c, Bytes bytes) override {
    written_ += bytes.size();
    FUZZ_REQUIRE(!wants_ || written_ == c.bytes_written());
  }
  [[nodiscard]] bool wants_stream() const override { return wants_; }

 private:
  bool wants_;
  std::uint64_t consumed_ = 0, written_ = 0;
};

class Pieces final : public Application {
 public:
  bool restore(Node&, Bytes bytes) override { return bytes.empty() || bytes[0] != 0xff; }
};

class Twin {
 public:
  Twin() : port_(World::our_mac()) {
    StackOptions options;
    for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}}) {
      options.addresses.push_back({World::our_address(version), static_cast<std::uint8_t>(version == 4 ? 24 : 64)});
      options.gateways.push_back(World::gateway_address(version));
    }
    options.send_queue_bytes = options.receive_window_bytes = 96 * 1024;
    options.max_connections = 64;
    options.now_ns = [this] { return now_ns_; };
    options.secret[0] = 1;
    options.dormant = true;
    stack_ = std::make_unique<Stack>(options, port_);
    for (const std::uint16_t service : {kEcho, kPlainEcho, kManual, kActive}) {
      stack_->define_service(service, [service](Connection&) {
        return std::make_unique<Follower>(service == kManual || service == kActive);
      });
    }
    for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}})
      for (const std::uint16_t port : {kEcho, kManual})
        stack_->listen({IpAddress::any(version), port}, replicated, port);
  }
  ~Twin() { stack_.reset(); }

  /// True when the log was taken.
  bool follow(Bytes log, std::uint64_t start, Input& input) {
    static GroupFixture ring(kMaxLogBytes);
    static Node node{NodeOptions{}};
    static Pieces application;
    std::uint8_t* const memory = ring.log.data();
    if (!log.empty()) std::memcpy(memory + (start & (kMaxLogBytes - 1)), log.data(), log.size());
    ha::Replica replica(*stack_, node, input.below(2) == 0 ? &application : nullptr,
                        ha::LogReader(memory, kMaxLogBytes, start), kEpoch);
    if (!replica.apply(start + log.size())) {
      FUZZ_REQUIRE(!replica.error().empty());
      return false;
    }
    FUZZ_REQUIRE(replica.position() == start + log.size());
    FUZZ_REQUIRE(port_.take_staged().empty());
    return true;
  }

  /// Everything that a primary does, with what it was told.
  void promote(Input& input) {
    check_images();
    FUZZ_REQUIRE(stack_->mirror_is_settled());
    const auto adoption = input.below(2) == 0 ? Stack::Adoption::exact : Stack::Adoption::kicked;
    // The clock is the primary's, and some time has gone by.
    now_ns_ += std::uint64_t{input.u8()} * 20 * kMs;
    std::vector<TcpState> states;
    stack_->for_each_connection([&](Connection& c) { states.push_back(c.state()); });
    stack_->activate(adoption);
    turn();
    for (const TcpState& state : states) meet(state, input);
    for (int i = 0; i < 30; ++i) {
      now_ns_ += std::uint64_t{50} * kMs << (i / 6);
      turn();
    }
    check_images();
  }

 private:
  void check_images() {
    stack_->for_each_connection([](Connection& c) {
      const ConnectionImage image = c.export_connection();
      FUZZ_REQUIRE_WITH(inconsistency(image).empty(), std::string(inconsistency(image)));
      Octets encoded;
      encode_connection(image, encoded);
      const auto decoded = decode_connection(encoded);
      FUZZ_REQUIRE(decoded && *decoded == image);
    });
  }

  void turn() {
    stack_->run_timers();
    stack_->run_handlers();
    stack_->end_turn();
    for (const Octets& frame : port_.take_staged()) dissect(frame, port_.mtu());
  }

  /// The peer of a connection goes on.
  void meet(const TcpState& state, Input& input) {
    TcpFields fields;
    fields.source = state.remote.port;
    fields.destination = state.local.port;
    fields.seq = state.rcv_nxt + static_cast<std::uint32_t>(input.below(3));
    fields.ack = input.below(2) == 0 ? state.snd_nxt : state.snd_una + input.u16();
    fields.flags = tcp_bit::kAck;
    if (input.below(8) == 0) fields.flags |= input.u8();
    fields.window = 30000;
    fields.payload.assign(input.u16() % 1400, 0x77);
    IpFields outer;
    outer.source = state.remote.address;
    outer.destination = state.local.address;
    const Octets frame = ethernet({World::stranger_mac(), World::our_mac()},
                                  outer.source.version == 4 ? ether_type::kIpv4 : ether_type::kIpv6,
                                  ip(outer, tcp(outer.source, outer.destination, fields)));
    stack_->input(port_.show(frame));
    turn();
    if (Connection* c = find(state)) {
      if (input.below(2) == 0) c->write(Octets(input.u16() % 3000, 0x33));
      if (input.below(3) == 0) c->close();
    }
    turn();
  }

  Connection* find(const TcpState& state) {
    Connection* found = nullptr;
    stack_->for_each_connection([&](Connection& c) {
      if (c.local() == state.local && c.remote() == state.remote) found = &c;
    });
    return found;
  }

  Port port_;
  std::uint64_t now_ns_ = 1'000'400'000'000;
  std::unique_ptr<Stack> stack_;
};

/// The run as it was is taken, or everything below would prove nothing.
bool check_the_real_run() {
  Octets log;
  for (const Rec& record : real_run()) append(log, record);
  Input nothing(nullptr, 0);
  FUZZ_REQUIRE(real_run().size() > 80 && log.size() < kMaxLogBytes / 4);
  FUZZ_REQUIRE(Twin().follow(log, 0, nothing));
  return true;
}

void forged_logs(Input& input, bool plain_bytes) {
  [[maybe_unused]] static const bool checked = check_the_real_run();
  const std::uint64_t start = std::uint64_t{input.u8()} * 4096 * 8;
  Twin twin;
  Octets log;
  if (plain_bytes) {
    const auto rest = input.rest();
    log.assign(rest.begin(), rest.end());
    log.resize(log.size() / 8 * 8);
  } else {
    log = Forger(input).forge();
    if (log.size() > kMaxLogBytes) return;
  }
  if (twin.follow(log, start, input)) twin.promote(input);
}

/// A connection as a value, brought to life without any log.
void images(Input& input) {
  const auto rest = input.rest();
  if (const auto state = decode_tcp_state(rest)) {
    Octets encoded;
    encode_tcp_state(*state, encoded);
    FUZZ_REQUIRE(decode_tcp_state(encoded) == state);
  }
  if (const auto image = decode_connection(rest)) {
    Octets encoded;
    encode_connection(*image, encoded);
    FUZZ_REQUIRE(decode_connection(encoded) == image);
  }
}

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::fuzz;
  Input input(data, size);
  const std::uint8_t what = input.u8() % 8;
  if (what == 0) {
    images(input);
  } else {
    forged_logs(input, what == 1);
  }
  return 0;
}
