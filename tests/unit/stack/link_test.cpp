// SPDX-License-Identifier: BSD-3-Clause
//
// The link as it is: checksums that nobody finished, an interface that goes and comes back, a path that becomes narrower.
#include <catch2/catch.hpp>
#include <cstring>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

constexpr std::uint16_t kServe = 7;
constexpr std::uint16_t kTalk = 1;
constexpr std::uint16_t kListenPort = 7000;
constexpr std::size_t kEthernet = 14;

/// An echo server, and a client that sends it a stream.
struct Link {
  explicit Link(std::uint8_t version, const char* v6_server = "2001:db8::1", const char* v6_client = "2001:db8::2")
      : to(endpoint(version == 4 ? "10.0.0.1" : v6_server, kListenPort)),
        server(wire, clock, mac(1), options(clock, {"10.0.0.1/24", std::string(v6_server) + "/64"})),
        client(wire, clock, mac(2), options(clock, {"10.0.0.2/24", std::string(v6_client) + "/64"})) {
    server.stack().define_service(kServe, [](Connection&) { return std::make_unique<Echo>(); });
    server.stack().listen({IpAddress::any(version), kListenPort}, unreplicated, kServe);
    client.stack().define_service(kTalk, [this](Connection&) { return std::make_unique<Talker>(flow); });
  }
  Connection* open(std::uint64_t bytes) {
    flow = std::make_shared<Flow>(1, bytes);
    return client.stack().connect({IpAddress::any(to.address.version), 0}, to, unreplicated, kTalk);
  }
  bool run_until(const std::function<bool()>& done, std::uint64_t limit_ms = 60'000) {
    return run(clock, {&client, &server}, done, limit_ms);
  }

  Clock clock;
  Wire wire;
  Endpoint to;
  std::shared_ptr<Flow> flow;
  Host server;
  Host client;
};

std::uint32_t be16(const Frame& frame, std::size_t at) { return std::uint32_t{frame[at]} << 8 | frame[at + 1]; }

void put16(Frame& frame, std::size_t at, std::uint32_t value) {
  frame[at] = static_cast<std::uint8_t>(value >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(value);
}

std::uint32_t sum16(const Frame& frame, std::size_t begin, std::size_t end) {
  std::uint32_t sum = 0;
  for (std::size_t i = begin; i < end; ++i) sum += i % 2 == begin % 2 ? std::uint32_t{frame[i]} << 8 : frame[i];
  return sum;
}

std::uint32_t folded(std::uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

bool is_v6(const Frame& frame) { return be16(frame, 12) == 0x86dd; }
bool is_tcp(const Frame& frame) {
  return frame.size() > 53 && (is_v6(frame) ? frame[20] == 6 : be16(frame, 12) == 0x800 && frame[23] == 6);
}
std::size_t tcp_at(const Frame& frame) { return kEthernet + (is_v6(frame) ? 40 : 20); }
std::uint32_t tcp_length(const Frame& frame) { return is_v6(frame) ? be16(frame, 18) : be16(frame, 16) - 20; }

/// What a kernel's veth does: the field holds the pseudo-header's sum alone (Documentation/networking/checksum-offloads).
void leave_unfinished(Frame& frame) {
  const std::uint32_t addresses = is_v6(frame) ? sum16(frame, 22, 54) : sum16(frame, 26, 34);
  put16(frame, tcp_at(frame) + 16, folded(addresses + 6 + tcp_length(frame)));
}

}  // namespace

TEST_CASE("a checksum that was left to hardware is right on a link without any, and on no other", "[link]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  const bool is_virtual = GENERATE(true, false);
  CAPTURE(int(version), is_virtual);
  Link link(version);
  link.server.port().link.unfinished_checksums = link.client.port().link.unfinished_checksums = is_virtual;
  link.server.stack().link_changed();
  link.client.stack().link_changed();
  link.wire.change = [](Frame& frame) {
    if (is_tcp(frame)) leave_unfinished(frame);
  };
  REQUIRE(link.open(200'000) != nullptr);
  const bool arrived = link.run_until([&] { return link.flow->closed; }, 5'000);
  CHECK(arrived == is_virtual);
  CHECK(link.flow->exact);
  const StackStatistics& seen = link.server.stack().statistics();
  CHECK((seen.unfinished_checksums > 0) == is_virtual);
  CHECK((seen.unfinished_refused > 0) == !is_virtual);
  CHECK((seen.checksum_errors > 0) == !is_virtual);
}

TEST_CASE("a wrong checksum is wrong on a virtual link too", "[link]") {
  Link link(4);
  link.server.port().link.unfinished_checksums = true;
  link.server.stack().link_changed();
  std::uint32_t count = 0;
  link.wire.change = [&](Frame& frame) {
    if (!is_tcp(frame) || link.flow->connected == false || ++count % 5 != 0) return;
    leave_unfinished(frame);
    put16(frame, tcp_at(frame) + 16, be16(frame, tcp_at(frame) + 16) ^ 0x0100);
  };
  REQUIRE(link.open(100'000) != nullptr);
  CHECK(link.run_until([&] { return link.flow->closed; }, 60'000));
  CHECK(link.flow->exact);
  CHECK(link.server.stack().statistics().checksum_errors > 0);
  CHECK(link.server.stack().statistics().unfinished_refused == 0);
}

TEST_CASE("a stream goes on when its link becomes narrower, and no packet is too large for it", "[link]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  constexpr std::uint32_t kNarrow = 1300;
  CAPTURE(int(version));
  Link link(version);
  REQUIRE(link.open(3'000'000) != nullptr);
  REQUIRE(link.run_until([&] { return link.flow->received > 200'000; }));
  std::uint64_t too_large = 0;
  link.wire.lose = [&](const Frame& frame) { return frame.size() > kEthernet + kNarrow && ++too_large != 0; };
  for (Host* host : {&link.server, &link.client}) {
    host->port().link.mtu = kNarrow;
    host->stack().link_changed();
  }
  CHECK(link.run_until([&] { return link.flow->closed || link.flow->reset; }, 600'000));
  CHECK(link.flow->received == link.flow->total);
  CHECK(link.flow->exact);
  CHECK(too_large == 0);
  CHECK(link.client.stack().statistics().mss_lowered == 1);
}

TEST_CASE("a stream goes on when a router says that the path has become narrower", "[link]") {
  const std::uint8_t version = GENERATE(std::uint8_t{4}, std::uint8_t{6});
  constexpr std::uint32_t kNarrow = 1300;
  CAPTURE(int(version));
  Link link(version);
  REQUIRE(link.open(3'000'000) != nullptr);
  REQUIRE(link.run_until([&] { return link.flow->received > 200'000; }));
  std::uint64_t too_large = 0;
  link.wire.lose = [&](const Frame& frame) {
    if (frame.size() <= kEthernet + kNarrow) return false;
    ++too_large;
    // The router's answer to whoever sent it: an ICMP message with the beginning of the packet.
    Host& sender = frame[11] == 1 ? link.server : link.client;
    Frame answer(frame.begin() + 6, frame.begin() + 12);
    answer.insert(answer.end(), frame.begin(), frame.begin() + 6);
    const std::size_t quoted = is_v6(frame) ? 48 : 28;
    const auto bytes = static_cast<std::uint32_t>(8 + quoted);
    if (is_v6(frame)) {
      answer.insert(answer.end(), {0x86, 0xdd, 0x60, 0, 0, 0, 0, static_cast<std::uint8_t>(bytes), 58, 64});
      answer.insert(answer.end(), frame.begin() + 38, frame.begin() + 54);  // the peer serves as the router
      answer.insert(answer.end(), frame.begin() + 22, frame.begin() + 38);
      answer.insert(answer.end(), {2, 0, 0, 0, 0, 0, kNarrow >> 8, kNarrow & 0xff});
    } else {
      answer.insert(answer.end(), {8, 0, 0x45, 0, 0, static_cast<std::uint8_t>(20 + bytes), 0, 0, 0, 0, 64, 1, 0, 0});
      answer.insert(answer.end(), frame.begin() + 30, frame.begin() + 34);
      answer.insert(answer.end(), frame.begin() + 26, frame.begin() + 30);
      put16(answer, 24, ~folded(sum16(answer, 14, 34)));
      answer.insert(answer.end(), {3, 4, 0, 0, 0, 0, kNarrow >> 8, kNarrow & 0xff});
    }
    answer.insert(answer.end(), frame.begin() + kEthernet,
                  frame.begin() + kEthernet + static_cast<std::ptrdiff_t>(quoted));
    const std::size_t at = answer.size() - bytes;
    std::uint32_t sum = sum16(answer, at, answer.size());
    if (is_v6(frame)) sum += sum16(answer, 22, 54) + 58 + bytes;
    put16(answer, at + 2, ~folded(sum));
    sender.inbox.push_back(answer);
    return true;
  };
  CHECK(link.run_until([&] { return link.flow->closed || link.flow->reset; }, 600'000));
  CHECK(link.flow->received == link.flow->total);
  CHECK(link.flow->exact);
  CHECK(too_large > 0);
  CHECK(link.client.stack().statistics().mss_lowered == 1);
}

TEST_CASE("nobody is late while the link is down, and when it is up again everybody hears of us and streams go on",
          "[link]") {
  Link link(6);
  Connection* const connection = link.open(3'000'000);
  REQUIRE(connection != nullptr);
  REQUIRE(link.run_until([&] { return link.flow->received > 200'000; }));
  link.client.port().link.up = false;
  link.client.stack().link_changed();
  std::uint64_t sent_while_down = 0;
  link.wire.watch = [&](const Frame& frame) { sent_while_down += frame[11] == 2 ? 1 : 0; };
  link.wire.lose = [](const Frame&) { return true; };
  const std::uint64_t retransmissions = link.client.stack().statistics().retransmissions;
  // The peer gives up meanwhile as any host would; here it is stopped, so that what is looked at is ours.
  const auto two_hours = [&] {
    std::uint64_t turns = 0;
    REQUIRE(run(
                link.clock, {&link.client}, [&] { return ++turns > 200'000; }, 7'200'000) == false);
    return turns;
  };
  // Bounded work: the timers of a second and TCP's ticks, no turn in between.
  CHECK(two_hours() < 7'200 * 10);
  CHECK(sent_while_down == 0);
  CHECK(link.client.stack().statistics().retransmissions == retransmissions);
  CHECK_FALSE(link.flow->reset);

  link.wire.lose = {};
  std::uint64_t gratuitous = 0, advertised = 0;
  link.wire.watch = [&](const Frame& frame) {
    if (frame[11] != 2) return;
    gratuitous +=
        be16(frame, 12) == 0x0806 && frame[0] == 0xff && std::equal(&frame[28], &frame[32], &frame[38]) ? 1 : 0;
    advertised += is_v6(frame) && frame[20] == 58 && frame[54] == 136 && frame[0] == 0x33 ? 1 : 0;
  };
  link.client.port().link.up = true;
  link.client.stack().link_changed();
  CHECK(link.run_until([&] { return link.flow->closed || link.flow->reset; }, 600'000));
  CHECK(link.flow->received == link.flow->total);
  CHECK(link.flow->exact);
  link.run_until([] { return false; }, 5'000);
  CHECK(gratuitous == 3);
  CHECK(advertised == 3 * 2);  // its address and its link-local one
}

TEST_CASE("an interface that came back with another MAC address is announced with it", "[link]") {
  Link link(4);
  REQUIRE(link.open(1'000'000) != nullptr);
  REQUIRE(link.run_until([&] { return link.flow->received > 100'000; }));
  link.client.port().move(mac(9));
  link.client.stack().link_changed();
  CHECK(link.run_until([&] { return link.flow->closed || link.flow->reset; }, 60'000));
  CHECK(link.flow->exact);
  CHECK(link.flow->received == link.flow->total);
}

TEST_CASE("connections between link-local addresses", "[link]") {
  Link link(6, "fe80::1", "fe80::2");
  REQUIRE(link.open(200'000) != nullptr);
  CHECK(link.run_until([&] { return link.flow->closed || link.flow->reset; }));
  CHECK(link.flow->exact);
  CHECK(link.flow->received == link.flow->total);
}

}  // namespace tandem::test
