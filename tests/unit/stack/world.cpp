// SPDX-License-Identifier: BSD-3-Clause
#include "world.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

namespace tandem::test {

std::span<std::uint8_t> Port::tx_reserve(std::uint32_t bytes) {
  if (staged_.size() >= room) {
    return {};
  }
  reserved_.assign(bytes, 0);
  return reserved_;
}

void Port::tx_stage() { staged_.push_back(std::move(reserved_)); }

void Port::rx_done(std::uint32_t cookie) {
  REQUIRE(cookie < frames_.size());
  std::fill(frames_[cookie].begin(), frames_[cookie].end(), std::uint8_t{0xee});
  free_.push_back(cookie);
  --held_count_;
}

RxFrame Port::hold(const Frame& frame) {
  std::uint32_t cookie = 0;
  if (free_.empty()) {
    cookie = static_cast<std::uint32_t>(frames_.size());
    frames_.emplace_back();
  } else {
    cookie = free_.back();
    free_.pop_back();
  }
  frames_[cookie] = frame;
  ++held_count_;
  return {frames_[cookie], cookie};
}

std::vector<Frame> Port::take_staged() { return std::exchange(staged_, {}); }

Segment parse(const Frame& frame) {
  const auto be16 = [&](std::size_t at) { return std::uint16_t(frame[at] << 8 | frame[at + 1]); };
  const auto be32 = [&](std::size_t at) { return std::uint32_t{be16(at)} << 16 | be16(at + 2); };
  Segment segment;
  if (frame.size() < 34) {
    return segment;
  }
  std::size_t at = 14;
  std::size_t end = frame.size();
  const auto type = be16(12);
  if (type == 0x0800 && frame[23] == 6) {
    std::copy_n(&frame[26], 4, segment.source.address.octets.begin());
    std::copy_n(&frame[30], 4, segment.destination.address.octets.begin());
    end = 14U + be16(16);
    at += (frame[14] & 15U) * 4U;
  } else if (type == 0x86dd && frame[20] == 6) {
    segment.source.address.version = segment.destination.address.version = 6;
    std::copy_n(&frame[22], 16, segment.source.address.octets.begin());
    std::copy_n(&frame[38], 16, segment.destination.address.octets.begin());
    end = 54U + be16(18);
    at += 40;
  } else {
    return segment;
  }
  segment.tcp = true;
  segment.source.port = be16(at);
  segment.destination.port = be16(at + 2);
  segment.seq = be32(at + 4);
  segment.ack = be32(at + 8);
  segment.flags = frame[at + 13];
  segment.window = be16(at + 14);
  const std::size_t header = (frame[at + 12] >> 4) * 4U;
  segment.payload = end - at - header;
  for (std::size_t option = at + 20; option < at + header;) {
    if (frame[option] <= 1) {
      ++option;
    } else {
      if (frame[option] == 8) {
        segment.timestamps = true;
        segment.ts_val = be32(option + 2);
      }
      option += frame[option + 1];
    }
  }
  return segment;
}

void Wire::carry(const Host& from, std::vector<Frame> frames_sent) {
  for (Frame& frame : frames_sent) {
    ++frames;
    resets += parse(frame).rst() ? 1 : 0;
    if (watch) {
      watch(frame);
    }
    if (lose && lose(frame)) {
      continue;
    }
    if (change) {
      change(frame);
    }
    for (Host* host : hosts_) {
      const auto mac = host->port().mac();
      const bool for_all = (frame[0] & 1) != 0;
      if (host != &from && (for_all || std::equal(mac.octets.begin(), mac.octets.end(), frame.begin()))) {
        host->inbox.push_back(frame);
      }
    }
  }
}

Host::Host(Wire& wire, Clock& clock, MacAddress mac, StackOptions options)
    : wire_(wire), clock_(clock), options_(std::move(options)), port_(std::make_unique<Port>(mac)) {
  stack_ = std::make_unique<Stack>(options_, *port_);
  wire.join(*this);
}

bool Host::run_turn() {
  batch_frames_.clear();
  while (!inbox.empty() && batch_frames_.size() < batch) {
    batch_frames_.push_back(std::move(inbox.front()));
    inbox.pop_front();
  }
  for (const Frame& frame : batch_frames_) {
    stack_->input(port_->hold(frame));
  }
  const bool timers = stack_->next_timer_ns() <= clock_.now_ns;
  stack_->run_timers();
  const bool more = stack_->run_handlers();
  stack_->end_turn();
  return !batch_frames_.empty() || timers || more;
}

bool Host::turn() {
  const bool busy = run_turn();
  auto staged = port_->take_staged();
  const bool sent = !staged.empty();
  wire_.carry(*this, std::move(staged));
  return busy || sent;
}

void Log::add(std::string name, Record record) {
  names.push_back(std::move(name));
  records.push_back(std::move(record));
}

bool Log::apply(Stack& twin) {
  bool accepted = true;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!records[i](twin)) {
      UNSCOPED_INFO("refused: " << names[i]);
      accepted = false;
    }
  }
  records.clear();
  names.clear();
  return accepted;
}

namespace {

/// A record about one connection, which the twin has to know.
template <typename Apply>
Log::Record about(Connection& connection, Apply apply) {
  return [id = connection.id(), apply = std::move(apply)](Stack& twin) {
    Connection* const mirrored = twin.find(id);
    return mirrored != nullptr && apply(twin, *mirrored);
  };
}

std::vector<std::uint8_t> copy(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

void Log::on_open(Connection& connection) {
  add("open", [id = connection.id(), image = connection.export_connection()](Stack& twin) {
    return twin.mirror_open(id, image) != nullptr;
  });
}

void Log::on_received(Connection& connection, Bytes bytes) {
  add("received", about(connection, [bytes = copy(bytes)](Stack& twin, Connection& mirrored) {
        return twin.mirror_received(mirrored, bytes);
      }));
}

void Log::on_skipped(Connection& connection, std::uint64_t count) {
  add("skipped",
      about(connection, [count](Stack& twin, Connection& mirrored) { return twin.mirror_skipped(mirrored, count); }));
}

void Log::on_out_of_order(Connection& connection, std::uint32_t seq, Bytes bytes, bool fin) {
  add("out of order", about(connection, [seq, bytes = copy(bytes), fin](Stack& twin, Connection& mirrored) {
        return twin.mirror_out_of_order(mirrored, seq, bytes, fin);
      }));
}

void Log::on_written(Connection& connection, Bytes bytes) {
  add("written", about(connection, [bytes = copy(bytes)](Stack& twin, Connection& mirrored) {
        return twin.mirror_written(mirrored, bytes);
      }));
}

void Log::on_consumed(Connection& connection, std::uint64_t count) {
  add("consumed",
      about(connection, [count](Stack& twin, Connection& mirrored) { return twin.mirror_consumed(mirrored, count); }));
}

bool Log::on_note(Connection& connection, Bytes bytes) {
  add("note", about(connection, [bytes = copy(bytes)](Stack& twin, Connection& mirrored) {
        return twin.mirror_note(mirrored, bytes);
      }));
  return true;
}

void Log::on_told(Connection& connection, Told what) {
  add("told",
      about(connection, [what](Stack& twin, Connection& mirrored) { return twin.mirror_told(mirrored, what); }));
}

void Log::on_state(Connection& connection, const TcpState& state) {
  CHECK(inconsistency(state) == "");
  add("state",
      about(connection, [state](Stack& twin, Connection& mirrored) { return twin.mirror_state(mirrored, state); }));
}

void Log::on_close(Connection& connection, bool reset) {
  add("close", about(connection, [reset](Stack& twin, Connection& mirrored) {
        twin.mirror_close(mirrored, reset);
        return true;
      }));
}

void Log::on_neighbour(const Neighbour& neighbour) {
  add("neighbour", [neighbour](Stack& twin) {
    twin.mirror_neighbour(neighbour);
    return true;
  });
}

Pair::Pair(Wire& wire, Clock& clock, MacAddress mac, StackOptions options, Setup setup)
    : Host(wire, clock, mac, std::move(options)), setup_(std::move(setup)) {
  setup_(*stack_);
  stack_->set_observer(&log_);
  twin_ = make_twin();
}

std::unique_ptr<Stack> Pair::make_twin() {
  auto dormant = options_;
  dormant.dormant = true;
  twin_port_ = std::make_unique<Port>(port_->mac(), port_->mtu());
  auto twin = std::make_unique<Stack>(dormant, *twin_port_);
  // Some do beforehand what they can, before or after their listeners come.
  if (++twins_made_ % 2 == 0) twin->prepare();
  setup_(*twin);
  if (twins_made_ % 4 == 3) twin->prepare();
  return twin;
}

bool Pair::turn() {
  const bool busy = run_turn();
  log_refused = !log_.apply(*twin_) || log_refused;
  auto staged = port_->take_staged();
  const bool sent = !staged.empty();
  wire_.carry(*this, std::move(staged));
  return busy || sent;
}

void Pair::snapshot() {
  stack_->for_each_connection([&](Connection& connection) {
    if (connection.is_replicated() && twin_->mirror_open(connection.id(), connection.export_connection()) == nullptr) {
      log_refused = true;
    }
  });
  for (const auto& neighbour : stack_->neighbours()) {
    twin_->mirror_neighbour(neighbour);
  }
}

void Pair::kill(Moment moment, Stack::Adoption adoption) {
  bool published = true;
  if (moment != Moment::between_turns) {
    run_turn();
    published = moment == Moment::after_publish;
  } else {
    batch_frames_.clear();
  }
  if (published) {
    log_refused = !log_.apply(*twin_) || log_refused;
    if (adoption == Stack::Adoption::exact) {
      wire_.carry(*this, port_->take_staged());
    }
  } else {
    // The frames of the turn are in the ring still, and nothing has left.
    log_.records.clear();
    log_.names.clear();
    if (adoption == Stack::Adoption::exact) {
      inbox.insert(inbox.begin(), batch_frames_.begin(), batch_frames_.end());
    }
  }
  if (adoption != Stack::Adoption::exact) {
    inbox.clear();
  }
  stack_.reset();
  CHECK(port_->held() == 0);
  stack_ = std::move(twin_);
  port_ = std::move(twin_port_);
  ++takeovers;
  stack_->activate(adoption);
  if (on_activated) {
    on_activated(*stack_);
  }
  stack_->run_handlers();
  stack_->end_turn();
  wire_.carry(*this, port_->take_staged());
  stack_->set_observer(&log_);
  if (before_next_twin) {
    before_next_twin();
  }
  twin_ = make_twin();
  snapshot();
}

MacAddress mac(std::uint8_t last) { return {{2, 0, 0, 0, 0, last}}; }

IpAddress ip(const std::string& text) {
  const auto address = IpAddress::parse(text);
  REQUIRE(address.has_value());
  return *address;
}

Endpoint endpoint(const std::string& address, std::uint16_t port) { return {ip(address), port}; }

StackOptions options(Clock& clock, std::vector<std::string> prefixes) {
  StackOptions out;
  for (const auto& prefix : prefixes) {
    out.addresses.push_back(IpPrefix::parse(prefix).value());
  }
  out.now_ns = [&clock] { return clock.now_ns; };
  out.secret.fill(7);
  return out;
}

bool run(Clock& clock, std::vector<Host*> hosts, const std::function<bool()>& done, std::uint64_t limit_ms) {
  const auto end = clock.now_ns + limit_ms * kMs;
  while (clock.now_ns < end) {
    bool busy = false;
    for (Host* host : hosts) {
      busy = host->turn() || busy;
    }
    if (done()) {
      return true;
    }
    if (!busy) {
      auto next = end;
      for (Host* host : hosts) {
        next = std::min(next, host->stack().next_timer_ns());
      }
      clock.now_ns = std::max(clock.now_ns + kMs / 10, next);
    } else {
      clock.now_ns += 20'000;
    }
  }
  return done();
}

}  // namespace tandem::test
