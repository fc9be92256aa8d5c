// SPDX-License-Identifier: BSD-3-Clause
//
// The neighbours' table: its size, who makes room for whom, and what a crowd or a scan costs.
#include <catch2/catch.hpp>

#include "link_frames.hpp"
#include "neighbour_cache.hpp"
#include "streams.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kService = 7;
constexpr std::uint16_t kTalk = 1;

MacAddress mac_of(std::uint32_t number) {
  return {
      {2, 1, std::uint8_t(number >> 24), std::uint8_t(number >> 16), std::uint8_t(number >> 8), std::uint8_t(number)}};
}

/// The number-th host of 10.0.0.0/8, never one of its first 256.
std::string v4_of(std::uint32_t number) {
  return "10." + std::to_string(1 + number / 62'500) + "." + std::to_string(number / 250 % 250) + "." +
         std::to_string(1 + number % 250);
}

struct Table {
  explicit Table(std::size_t capacity)
      : cache(
            capacity, {1, 2}, [] { return std::uint32_t{0}; }, [this](NeighbourCache::Entry&) { ++removed; }) {}
  NeighbourCache::Entry& add(const std::string& address) {
    auto* const entry = cache.find_or_make(ip(address));
    REQUIRE(entry != nullptr);
    cache.learn(*entry, mac(9));
    return *entry;
  }
  int removed = 0;
  NeighbourCache cache;
};

}  // namespace

TEST_CASE("each state of a neighbour takes each event as RFC 4861 appendix C says", "[neighbour_table]") {
  using State = NeighbourCache::State;
  constexpr std::uint64_t kNow = 100;
  struct Case {
    State before;
    bool same_mac, has_mac, solicited, override;
    State after;
    bool takes_mac;
  };
  const Case cases[] = {
      // Incomplete: any address is taken, its confidence from the solicited flag.
      {State::incomplete, false, true, true, false, State::reachable, true},
      {State::incomplete, false, true, false, false, State::stale, true},
      {State::incomplete, false, false, true, true, State::incomplete, false},
      // Another address without override: doubt, where there was none.
      {State::reachable, false, true, true, false, State::stale, false},
      {State::stale, false, true, true, false, State::stale, false},
      {State::delay, false, true, true, false, State::delay, false},
      {State::probe, false, true, false, false, State::probe, false},
      // With override it is taken.
      {State::reachable, false, true, false, true, State::stale, true},
      {State::stale, false, true, true, true, State::reachable, true},
      {State::delay, false, true, false, true, State::stale, true},
      {State::probe, false, true, true, true, State::reachable, true},
      // The same address, or none.
      {State::reachable, true, true, false, true, State::reachable, true},
      {State::stale, true, true, true, false, State::reachable, true},
      {State::stale, true, true, false, true, State::stale, true},
      {State::delay, true, true, true, false, State::reachable, true},
      {State::probe, false, false, true, false, State::reachable, false},
      {State::probe, true, true, false, false, State::probe, true},
  };
  for (const Case& one : cases) {
    CAPTURE(int(one.before), one.same_mac, one.has_mac, one.solicited, one.override);
    Table table(16);
    auto* const entry = table.cache.find_or_make(ip("fe80::1"));
    REQUIRE(entry != nullptr);
    table.cache.advance(*entry, kNow);
    if (one.before != State::incomplete) {
      table.cache.learn(*entry, mac(9));
    }
    if (one.before == State::reachable) table.cache.confirm(*entry, kNow);
    if (one.before == State::delay || one.before == State::probe) table.cache.use(*entry, kNow);
    if (one.before == State::probe) table.cache.advance(*entry, kNow);
    REQUIRE(entry->state == one.before);
    const MacAddress given = one.same_mac ? mac(9) : mac(8);
    table.cache.advertise(*entry, one.has_mac ? &given : nullptr, one.solicited, one.override, kNow);
    CHECK(entry->state == one.after);
    if (one.after != State::incomplete) {
      CHECK(entry->mac == (one.takes_mac ? given : mac(9)));
    }
  }
}

TEST_CASE("strangers make room for one another, who is used later than the others, who is pinned never",
          "[neighbour_table]") {
  Table table(16);
  table.cache.pin(ip("10.0.0.254"));
  table.add("10.0.0.254");
  auto& used = table.add("10.0.0.2");
  CHECK(table.cache.use(used, 1));
  for (std::uint32_t i = 0; i < 14; ++i) {
    table.add(v4_of(i));
  }
  CHECK(table.removed == 0);
  table.add("10.0.0.3");
  CHECK(table.cache.evictions() == 1);
  CHECK(table.cache.find(ip(v4_of(0))) == nullptr);
  CHECK(table.cache.find(ip("10.0.0.2")) != nullptr);
  for (std::uint32_t i = 100; i < 10'000; ++i) {
    table.add(v4_of(i));
    REQUIRE(table.cache.size() == 16);
    // Spoken to now and then.
    if (i % 8 == 0) {
      auto* const entry = table.cache.find(ip("10.0.0.2"));
      REQUIRE(entry != nullptr);
      table.cache.use(*entry, 1);
    }
  }
  CHECK(table.cache.find(ip("10.0.0.254")) != nullptr);
  table.cache.unpin(ip("10.0.0.254"));
  for (std::uint32_t i = 100; i < 200; ++i) {
    table.add(v4_of(i));
  }
  CHECK(table.cache.find(ip("10.0.0.254")) == nullptr);
}

TEST_CASE("a table of which everything is pinned takes nobody, and says so", "[neighbour_table]") {
  Table table(16);
  for (std::uint32_t i = 0; i < 16; ++i) {
    table.cache.pin(ip(v4_of(i)));
    table.add(v4_of(i));
  }
  CHECK(table.cache.find_or_make(ip("10.0.0.2")) == nullptr);
  CHECK(table.cache.refusals() == 1);
  CHECK(table.cache.evictions() == 0);
  table.cache.unpin(ip(v4_of(3)));
  table.add("10.0.0.2");
  CHECK(table.cache.find(ip(v4_of(3))) == nullptr);
}

TEST_CASE("hosts that nobody has fill a quarter of the table at most", "[neighbour_table]") {
  Table table(1024);
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    auto* const entry = table.cache.find_or_make(ip(v4_of(i)));
    REQUIRE(entry != nullptr);
    table.cache.advance(*entry, i);
  }
  CHECK(table.cache.size() == 256);
}

TEST_CASE("a hundred and fifty neighbours are asked for once each, and all are known", "[neighbour_table]") {
  constexpr int kPeers = 150;
  Clock clock;
  Wire wire;
  Host host(wire, clock, mac(1), options(clock, {"10.0.0.1/16"}));
  host.stack().define_service(kService, [](Connection&) { return std::make_unique<Echo>(); });
  host.stack().listen(endpoint("10.0.0.1", kService), unreplicated, kService);
  std::vector<std::unique_ptr<Host>> peers;
  std::vector<std::shared_ptr<Flow>> flows;
  std::vector<Host*> all{&host};
  for (int i = 0; i < kPeers; ++i) {
    peers.push_back(std::make_unique<Host>(wire, clock, mac_of(static_cast<std::uint32_t>(i)),
                                           options(clock, {"10.0.1." + std::to_string(i + 1) + "/16"})));
    all.push_back(peers.back().get());
    flows.push_back(std::make_shared<Flow>(i, 20'000));
    flows.back()->close_when_sent = false;
    peers.back()->stack().define_service(kTalk,
                                         [flow = flows.back()](Connection&) { return std::make_unique<Talker>(flow); });
    REQUIRE(peers.back()->stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk));
  }
  int questions = 0;
  wire.watch = [&](const Frame& frame) {
    questions += frame[12] == 8 && frame[13] == 6 && frame[11] == 1 && frame[6] == 2 && frame[7] == 0 &&
                         frame[21] == 1 && frame[41] != 1
                     ? 1
                     : 0;
  };
  const auto started = clock.now_ns;
  CHECK(run(clock, all, [&] {
    return std::all_of(flows.begin(), flows.end(), [](const auto& flow) { return flow->received == 20'000; });
  }));
  CHECK((clock.now_ns - started) / kMs < 1000);
  CHECK(host.stack().neighbours().size() == kPeers);
  CHECK(questions <= kPeers);
  CHECK(host.stack().statistics().neighbours_evicted == 0);
  CHECK(host.stack().statistics().retransmissions == 0);
}

TEST_CASE("a scan from addresses that nobody has costs a live connection and the gateway nothing",
          "[neighbour_table]") {
  const bool by_syn = GENERATE(false, true);
  CAPTURE(by_syn);
  Clock clock;
  Wire wire;
  auto small = options(clock, {"10.0.0.1/8"});
  small.gateways = {ip("10.0.0.254")};
  small.max_neighbours = 64;
  Host host(wire, clock, mac(1), small);
  host.stack().define_service(kService, [](Connection&) { return std::make_unique<Echo>(); });
  host.stack().listen(endpoint("10.0.0.1", kService), unreplicated, kService);
  Host peer(wire, clock, mac(2), options(clock, {"10.0.0.2/8"}));
  const auto flow = std::make_shared<Flow>(1, 1000);
  flow->close_when_sent = false;
  peer.stack().define_service(kTalk, [flow](Connection&) { return std::make_unique<Talker>(flow); });
  Connection* const connection =
      peer.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", kService), unreplicated, kTalk);
  REQUIRE(connection != nullptr);
  host.inbox.push_back(arp_frame(kRequest, "10.0.0.254", mac(3), "10.0.0.1", all_macs()));
  REQUIRE(run(clock, {&host, &peer}, [&] { return flow->received == 1000; }));
  for (std::uint32_t i = 0; i < 5000; ++i) {
    if (by_syn) {
      fuzz::TcpFields syn;
      syn.source = 999;
      syn.destination = kService;
      syn.flags = fuzz::tcp_bit::kSyn;
      syn.window = 1000;
      fuzz::IpFields fields;
      fields.source = ip(v4_of(i));
      fields.destination = ip("10.0.0.1");
      host.inbox.push_back(fuzz::ethernet({mac_of(i), mac(1)}, fuzz::ether_type::kIpv4,
                                          fuzz::ip(fields, fuzz::tcp(fields.source, fields.destination, syn))));
    } else {
      host.inbox.push_back(arp_frame(kRequest, v4_of(i), mac_of(i), "10.0.0.1", all_macs()));
    }
  }
  while (!host.inbox.empty()) {
    host.turn();
    clock.now_ns += kMs / 10;
  }
  int questions = 0;
  wire.watch = [&](const Frame& frame) {
    const std::string text = told(frame);
    questions += text.find("who has 10.0.0.2 ") == 0 || text.find("who has 10.0.0.254 ") == 0 ? 1 : 0;
  };
  flow->total = 2000;
  const std::vector<std::uint8_t> byte(1000, 0);
  REQUIRE(connection->write(byte));
  CHECK(run(
      clock, {&host, &peer}, [&] { return flow->received == 2000; }, 100));
  // Somebody far away is answered through the gateway, at once.
  host.inbox.push_back(ping("192.0.2.9", "10.0.0.1", mac(3), mac(1)));
  bool answered = false;
  wire.watch = [&](const Frame& frame) {
    answered = answered || told(frame) == "pong for 192.0.2.9 to " + mac(3).to_string();
  };
  host.turn();
  CHECK(answered);
  CHECK(questions == 0);
  CHECK(host.stack().statistics().neighbours <= 64);
  CHECK(host.stack().statistics().neighbours_evicted > 4000);
}

TEST_CASE("packets that wait are bounded for each neighbour and in all, and the oldest go first", "[neighbour_table]") {
  Lone lone({"10.0.0.1/8"}, {});
  for (int i = 0; i < 40; ++i) {
    lone.hears(ping("10.0.0.2", "10.0.0.1", mac(2), mac(1)));
  }
  CHECK(lone.host->stack().statistics().packets_unresolved == 8);
  const auto said = lone.hears(arp_frame(kReply, "10.0.0.2", mac(2), "10.0.0.1", mac(1)));
  CHECK(std::count(said.begin(), said.end(), "pong for 10.0.0.2 to " + mac(2).to_string()) == 32);
  // Strangers who never say where they are lose their own.
  for (std::uint32_t i = 0; i < 700; ++i) {
    lone.hears(ping(v4_of(i), "10.0.0.1", mac_of(i), mac(1)));
  }
  lone.hears(ping("10.0.0.3", "10.0.0.1", mac(3), mac(1)));
  CHECK(lone.hears(arp_frame(kReply, "10.0.0.3", mac(3), "10.0.0.1", mac(1))) ==
        std::vector<std::string>{"pong for 10.0.0.3 to " + mac(3).to_string()});
  CHECK(lone.hears(arp_frame(kReply, v4_of(0), mac_of(0), "10.0.0.1", mac(1))).empty());
}

TEST_CASE("thousands of neighbours are in the twin, shown once each", "[neighbour_table]") {
  constexpr std::uint32_t kCount = 3000;
  Clock clock;
  Wire wire;
  Pair pair(wire, clock, mac(1), options(clock, {"10.0.0.1/8"}), [](Stack&) {});
  for (std::uint32_t i = 0; i < kCount; ++i) {
    pair.inbox.push_back(arp_frame(kRequest, v4_of(i), mac_of(i), "10.0.0.1", all_macs()));
  }
  run(
      clock, {&pair}, [] { return false; }, 10'000);
  CHECK(pair.stack().neighbours().size() == kCount);
  CHECK(pair.twin().neighbours() == pair.stack().neighbours());
  struct Counting final : ConnectionObserver {
    void on_open(Connection&) override {}
    void on_received(Connection&, Bytes) override {}
    void on_skipped(Connection&, std::uint64_t) override {}
    void on_out_of_order(Connection&, std::uint32_t, Bytes, bool) override {}
    void on_written(Connection&, Bytes) override {}
    void on_consumed(Connection&, std::uint64_t) override {}
    bool on_note(Connection&, Bytes) override { return true; }
    void on_told(Connection&, Told) override {}
    void on_state(Connection&, const TcpState&) override {}
    void on_close(Connection&, bool) override {}
    void on_neighbour(const Neighbour& neighbour) override { shown.push_back(neighbour); }
    std::vector<Neighbour> shown;
  } counting;
  pair.stack().set_observer(&counting);
  pair.inbox.push_back(arp_frame(kRequest, v4_of(5), mac(77), "10.0.0.1", all_macs()));
  pair.inbox.push_back(arp_frame(kRequest, v4_of(6), mac_of(6), "10.0.0.1", all_macs()));
  while (!pair.inbox.empty()) {
    pair.stack().input(pair.port().hold(pair.inbox.front()));
    pair.inbox.pop_front();
  }
  pair.stack().end_turn();
  CHECK(counting.shown == std::vector<Neighbour>{{ip(v4_of(5)), mac(77)}});
}

}  // namespace tandem::test
