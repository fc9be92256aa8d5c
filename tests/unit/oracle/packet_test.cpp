// SPDX-License-Identifier: BSD-3-Clause
#include "packet.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "conversation.hpp"

using namespace tandem::oracle;
using namespace tandem::oracle::test;

namespace {

using Bytes = std::vector<std::uint8_t>;

/// The Internet checksum as a number, written down as plainly as possible.
std::uint16_t checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// An Ethernet frame of IPv4 or IPv6 with `body`, in which the two bytes at `sum_at` are the checksum.
Bytes frame_with(bool v6, std::uint8_t protocol, Bytes body, std::size_t sum_at, bool pseudo_header,
                 Bytes between = {}) {
  const Bytes addresses = v6 ? Bytes(32, 0xfd) : Bytes{10, 0, 0, 1, 10, 0, 0, 2};
  Bytes summed;
  if (pseudo_header) {
    summed = addresses;
    summed.insert(summed.end(), {0, 0, 0, static_cast<std::uint8_t>(body.size()), 0, 0, 0, protocol});
  }
  summed.insert(summed.end(), body.begin(), body.end());
  const std::uint16_t sum = checksum(summed);
  body[sum_at] = static_cast<std::uint8_t>(sum >> 8);
  body[sum_at + 1] = static_cast<std::uint8_t>(sum);
  Bytes ip;
  const auto length = static_cast<std::uint8_t>(between.size() + body.size());
  const std::uint8_t next = between.empty() ? protocol : 0;
  if (v6) {
    ip = {0x60, 0, 0, 0, 0, length, next, 64};
  } else {
    ip = {0x45, 0, 0, static_cast<std::uint8_t>(20 + length), 0, 1, 0, 0, 64, protocol, 0, 0};
  }
  ip.insert(ip.end(), addresses.begin(), addresses.end());
  if (!v6) {
    const std::uint16_t header = checksum(ip);
    ip[10] = static_cast<std::uint8_t>(header >> 8);
    ip[11] = static_cast<std::uint8_t>(header);
  }
  Bytes frame(12, 2);
  frame.insert(frame.end(), {static_cast<std::uint8_t>(v6 ? 0x86 : 8), static_cast<std::uint8_t>(v6 ? 0xdd : 0)});
  for (const Bytes& part : {ip, between, body}) frame.insert(frame.end(), part.begin(), part.end());
  return frame;
}

std::string complaint(const Bytes& frame) { return std::string(Packet::parse(frame, frame.size(), true).complaint); }

}  // namespace

TEST_CASE("every checksum is verified") {
  const Bytes udp{0, 53, 0, 99, 0, 11, 0, 0, 1, 2, 3}, echo{8, 0, 0, 0, 1, 2, 3, 4, 5};
  Bytes frame = GENERATE_COPY(frame_with(false, 17, udp, 6, true), frame_with(true, 17, udp, 6, true),
                              frame_with(false, 1, echo, 2, false), frame_with(true, 58, echo, 2, true));
  CHECK(complaint(frame) == "");
  frame.back() ^= 4;
  CHECK(complaint(frame) == "checksum");
}

TEST_CASE("over IPv4 UDP may go without") {
  const Bytes udp{0, 53, 0, 99, 0, 11, 0, 0, 1, 2, 3};
  for (const bool v6 : {false, true}) {
    Bytes frame = frame_with(v6, 17, udp, 6, true);
    frame[frame.size() - 5] = frame[frame.size() - 4] = 0;
    CHECK(complaint(frame) == (v6 ? "checksum" : ""));
  }
}

TEST_CASE("the IPv4 header's own checksum is verified") {
  Bytes frame = frame_with(false, 1, {8, 0, 0, 0, 1, 2, 3, 4}, 2, false);
  frame[18] ^= 1;
  CHECK(complaint(frame) == "checksum");
}

TEST_CASE("frames and ARP packets that are too short are refused") {
  CHECK(complaint(Bytes(13, 0)) == "length");
  CHECK(complaint(Bytes(14, 0)) == "");
  Bytes arp(42, 0);
  arp[12] = 8;
  arp[13] = 6;
  CHECK(complaint(arp) == "");
  arp.pop_back();
  CHECK(complaint(arp) == "length");
}

TEST_CASE("IPv6 extension headers are passed over") {
  Bytes tcp(20, 0);
  tcp[12] = 0x50;
  tcp[13] = ACK;
  Bytes options{6, 1, 1, 12};
  options.resize(16);
  Bytes frame = frame_with(true, 6, tcp, 16, true, options);
  const Packet packet = Packet::parse(frame, frame.size(), true);
  CHECK(packet.kind == Packet::Kind::tcp);
  CHECK(packet.complaint == "");
  CHECK(packet.tcp.payload_length == 0);
  SECTION("unless they are longer than the packet") {
    frame[55] = 5;
    CHECK(complaint(frame) == "length");
  }
  SECTION("a fragment is not looked into") {
    frame[20] = 44;
    CHECK(Packet::parse(frame, frame.size(), true).fragment);
  }
}

TEST_CASE("whatever is in a frame, reading it stays within it") {
  const Side us{Host::v4(10, 0, 0, 1), {}, 1}, peer{Host::v4(10, 0, 0, 2), {}, 2};
  Segment segment;
  segment.sack = {{1, 2}, {3, 4}};
  const Bytes good = frame_of(us, peer, segment);
  std::mt19937 random(1);
  Oracle oracle({});
  for (int i = 0; i < 100'000; ++i) {
    Bytes frame(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(random() % (good.size() + 1)));
    for (int k = 0; k < 3 && !frame.empty(); ++k) frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    // A vector of exactly this size, so that a sanitizer sees what is read beyond.
    frame.shrink_to_fit();
    Packet::parse(frame, frame.size() + random() % 3, random() % 2 == 0);
    oracle.observe(static_cast<std::uint64_t>(i), frame, frame.size() + random() % 3);
  }
  CHECK(oracle.counts().frames == 100'000);
}
