// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/tcp_state.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "streams.hpp"
#include "tandem/tcp_state_format.hpp"
#include "world.hpp"

namespace tandem::test {

namespace {

/// A state with a different value in every field.
TcpState example() {
  TcpState state;
  state.local = endpoint("192.0.2.1", 179);
  state.remote = endpoint("198.51.100.7", 40000);
  state.phase = TcpPhase::established;
  state.snd_scale = 7;
  state.rcv_scale = 8;
  state.ttl = 63;
  state.tos = 0xc0;
  state.priority = 64;
  state.retransmissions = 1;
  state.dupacks = 2;
  state.flags = tcp_flag::kWindowScale | tcp_flag::kTimestamps | tcp_flag::kSack;
  state.iss = 0xfffffff0U;
  state.irs = 0x01020304U;
  state.bytes_written = 0x1'0000'0100U;
  state.bytes_acked = 0x1'0000'0080U;
  state.bytes_received = 0x2'0000'0040U;
  state.bytes_consumed = 0x2'0000'0020U;
  state.snd_una = state.iss + 1 + static_cast<std::uint32_t>(state.bytes_acked);
  state.snd_nxt = state.snd_una + 0x40;
  state.write_seq = state.iss + 1 + static_cast<std::uint32_t>(state.bytes_written);
  state.snd_wnd = 0x11121314U & 0x3fffffffU;
  state.snd_wnd_max = 0x21222324U & 0x3fffffffU;
  state.snd_wl1 = 0x31323334;
  state.snd_wl2 = 0x41424344;
  state.rcv_nxt = state.irs + 1 + static_cast<std::uint32_t>(state.bytes_received);
  state.rcv_wnd = 0x00515253;
  state.rcv_right_edge = state.rcv_nxt + 0x1000;
  state.cwnd = 0x61626364;
  state.ssthresh = 0x71727374;
  state.rto_end = 0x81828384;
  state.ts_recent = 0x91929394;
  state.ts_last_ack_sent = 0xa1a2a3a4;
  state.keep_idle_ms = 7'200'000;
  state.keep_interval_ms = 75'000;
  state.keep_count = 9;
  state.srtt_ms = 62;
  state.rttvar_ms = 125;
  state.rto_ms = 1500;
  state.mss = 1448;
  state.persist_backoff = 3;
  state.rexmit_bytes = 0x20;
  state.rtx_started_ms = 0xb1b2b3b4;
  state.last_heard_ms = 0xc1c2c3c4;
  state.ts_val = 0xd1d2d3d4;
  return state;
}

ConnectionImage example_image() {
  ConnectionImage image;
  image.state = example();
  image.service = 0x1234;
  image.send_queue.resize(0x80, 0x5a);
  image.receive_queue.resize(0x20, 0xa5);
  image.out_of_order.push_back({image.state.rcv_nxt + 10, false, {1, 2, 3}});
  image.out_of_order.push_back({image.state.rcv_nxt + 20, true, {4}});
  return image;
}

std::string hex(Bytes bytes) {
  std::string text;
  for (const auto byte : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

TEST_CASE("an encoded state has the bytes of version 1", "[tcp_state]") {
  std::vector<std::uint8_t> bytes;
  encode_tcp_state(example(), bytes);
  CHECK(bytes.size() == encoded_tcp_state_bytes());
  CHECK(hex(bytes) ==
        "01000000cb000000"                                  // version, reserved, length
        "0400b300c0000201000000000000000000000000"          // local
        "0400409cc6336407000000000000000000000000"          // remote
        "0407083fc0400102"                                  // phase, scales, ttl, tos, priority, rtx, dupacks
        "0e000000f0ffffff04030201"                          // flags, iss, irs
        "71000000b1000000f1000000"                          // snd_una, snd_nxt, write_seq
        "14131211242322213433323144434241"                  // snd_wnd, snd_wnd_max, snd_wl1, snd_wl2
        "45030201535251004513020164636261"                  // rcv_nxt, rcv_wnd, right edge, cwnd
        "747372718483828194939291a4a3a2a1"                  // ssthresh, rto_end, ts_recent, last ack sent
        "00dd6d00f8240100090000003e0000007d000000dc050000"  // keepalive, srtt, rttvar, rto
        "a80503"                                            // mss, persist backoff
        "00010000010000008000000001000000"                  // bytes written, acked
        "40000000020000002000000002000000"                  // bytes received, consumed
        "20000000b4b3b2b1c4c3c2c1d4d3d2d1");                // rexmit bytes, timers, TSval
}

TEST_CASE("what is encoded is decoded", "[tcp_state]") {
  std::vector<std::uint8_t> bytes{0xff};
  encode_tcp_state(example(), bytes);
  std::size_t used = 0;
  CHECK(decode_tcp_state(Bytes(bytes).subspan(1), &used) == example());
  CHECK(used == encoded_tcp_state_bytes());
  bytes.clear();
  encode_connection(example_image(), bytes);
  CHECK(decode_connection(bytes) == example_image());
}

TEST_CASE("a state that has grown at its end is read, and one that is as it was at first", "[tcp_state]") {
  std::vector<std::uint8_t> grown;
  encode_tcp_state(example(), grown);
  const std::size_t now = grown.size();
  // What a later version appends is left where it stands.
  grown.insert(grown.end(), {0xde, 0xad, 0xbe, 0xef, 0x01});
  grown[4] = static_cast<std::uint8_t>(grown.size());
  grown[5] = static_cast<std::uint8_t>(grown.size() >> 8);
  std::size_t used = 0;
  CHECK(decode_tcp_state(grown, &used) == example());
  CHECK(used == now + 5);
  for (std::size_t length = 0; length < grown.size(); ++length)
    CHECK_FALSE(decode_tcp_state(Bytes(grown).first(length)));

  // For a reader of the first layout: its length and its flags, and not a byte of what came later.
  TcpState later = example();
  later.flags |= tcp_flag::kHalfClosed | tcp_flag::kEofTold | tcp_flag::kClosedTold | tcp_flag::kConnectedTold;
  std::vector<std::uint8_t> first;
  encode_first_tcp_state(later, first);
  CHECK(first.size() == 203);
  CHECK(hex(Bytes(first).first(8)) == "01000000cb000000");
  TcpState known = example();
  const auto read = decode_tcp_state(first);
  REQUIRE(read);
  CHECK(read->ts_val == known.ts_val);
  CHECK(read->snd_nxt == known.snd_nxt);
  CHECK(read->flags == known.flags);
  // One that says that it must be understood wholly is not.
  grown[2] = 1;
  CHECK_FALSE(decode_tcp_state(grown));
}

TEST_CASE("short, long, newer and inconsistent layouts are refused", "[tcp_state]") {
  std::vector<std::uint8_t> state;
  encode_tcp_state(example(), state);
  std::vector<std::uint8_t> image;
  encode_connection(example_image(), image);
  for (std::size_t length = 0; length < state.size(); ++length) {
    CHECK_FALSE(decode_tcp_state(Bytes(state).first(length)));
  }
  for (std::size_t length = 0; length < image.size(); ++length) {
    CHECK_FALSE(decode_connection(Bytes(image).first(length)));
  }
  image.push_back(0);
  CHECK_FALSE(decode_connection(image));
  state[0] = 2;
  CHECK_FALSE(decode_tcp_state(state));
}

TEST_CASE("each contradiction has a reason", "[tcp_state]") {
  CHECK(inconsistency(example()) == "");
  CHECK(inconsistency(example_image()) == "");
  const auto refused = [](const char* what, const std::function<void(TcpState&)>& spoil) {
    CAPTURE(what);
    auto state = example();
    spoil(state);
    CHECK(inconsistency(state) != "");
  };
  refused("phase", [](TcpState& s) { s.phase = TcpPhase::listen; });
  refused("unknown phase", [](TcpState& s) { s.phase = static_cast<TcpPhase>(11); });
  refused("flag", [](TcpState& s) { s.flags |= 1U << 31; });
  refused("scale", [](TcpState& s) { s.snd_scale = 15; });
  refused("version", [](TcpState& s) { s.local.address.version = 5; });
  refused("mixed versions", [](TcpState& s) { s.local.address = ip("2001:db8::1"); });
  refused("octets", [](TcpState& s) { s.local.address.octets[9] = 1; });
  refused("any", [](TcpState& s) { s.remote.address = IpAddress::any(4); });
  refused("port", [](TcpState& s) { s.remote.port = 0; });
  refused("acked", [](TcpState& s) { s.bytes_acked = s.bytes_written + 1; });
  refused("queue", [](TcpState& s) { s.bytes_written += std::uint64_t{1} << 32; });
  refused("write_seq", [](TcpState& s) { ++s.write_seq; });
  refused("snd_una", [](TcpState& s) { ++s.snd_una; });
  refused("snd_nxt behind", [](TcpState& s) { s.snd_nxt = s.snd_una - 1; });
  refused("snd_nxt ahead", [](TcpState& s) { s.snd_nxt = s.write_seq + 1; });
  refused("rexmit", [](TcpState& s) { s.rexmit_bytes = 0x41; });
  refused("window", [](TcpState& s) { s.snd_wnd = 0x40000000; });
  refused("mss", [](TcpState& s) { s.mss = 0; });
  refused("consumed", [](TcpState& s) { s.bytes_consumed = s.bytes_received + 1; });
  refused("rcv_nxt", [](TcpState& s) { ++s.rcv_nxt; });
  refused("edge", [](TcpState& s) { s.rcv_right_edge = s.rcv_nxt + 0x40000000; });
  refused("fin", [](TcpState& s) { s.phase = TcpPhase::fin_wait_1; });
  const auto fin_wait_2 = [](TcpState& s) {
    s.phase = TcpPhase::fin_wait_2;
    s.flags |= tcp_flag::kFinQueued;
    s.bytes_acked = s.bytes_written;
    s.snd_una = s.snd_nxt = ++s.write_seq;
    s.rexmit_bytes = 0;
  };
  auto closing = example();
  fin_wait_2(closing);
  CHECK(inconsistency(closing) == "");
  refused("fin not acknowledged", [&](TcpState& s) {
    fin_wait_2(s);
    --s.snd_una;
  });
  refused("bytes not acknowledged behind a fin", [&](TcpState& s) {
    fin_wait_2(s);
    --s.bytes_acked;
    s.snd_una -= 2;
  });
  refused("peer's fin", [](TcpState& s) { s.phase = TcpPhase::close_wait; });
  refused("opening", [](TcpState& s) { s.phase = TcpPhase::syn_rcvd; });
  auto image = example_image();
  image.send_queue.pop_back();
  CHECK(inconsistency(image) != "");
  image = example_image();
  image.receive_queue.push_back(0);
  CHECK(inconsistency(image) != "");
  image = example_image();
  image.out_of_order.front().seq = image.state.rcv_nxt - 1;
  CHECK(inconsistency(image) != "");
}

TEST_CASE("mutated layouts are refused or give a consistent connection that lives", "[tcp_state]") {
  const std::uint64_t seed = GENERATE(range(1, 5));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Clock clock;
  Wire wire;
  Host host(wire, clock, mac(1), options(clock, {"192.0.2.1/24"}));
  host.stack().define_service(0x1234, [](Connection&) { return std::make_unique<Echo>(); });
  std::vector<std::uint8_t> good;
  encode_connection(example_image(), good);
  std::size_t accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = good;
    for (auto flips = 1 + random() % 3; flips != 0; --flips) {
      bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(1U << random() % 8);
    }
    const auto image = decode_connection(bytes);
    if (!image) {
      continue;
    }
    CHECK(inconsistency(*image) == "");
    std::string why;
    if (host.stack().import_connection(*image, unreplicated, &why) != nullptr) {
      ++accepted;
    }
    if (i % 100 == 0) {
      clock.advance_ms(100);
      host.turn();
    }
    host.stack().for_each_connection([](Connection& connection) { connection.abort(); });
    host.turn();
  }
  CHECK(accepted > 100);
}

}  // namespace tandem::test
