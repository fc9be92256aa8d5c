// SPDX-License-Identifier: BSD-3-Clause
#include "capture_file.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>

using namespace tandem::oracle;

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Writer {
  bool big;
  Bytes bytes;

  void u16(std::uint32_t value) {
    const auto low = static_cast<std::uint8_t>(value), high = static_cast<std::uint8_t>(value >> 8);
    bytes.push_back(big ? high : low);
    bytes.push_back(big ? low : high);
  }
  void u32(std::uint32_t value) {
    u16(big ? value >> 16 : value & 0xffff);
    u16(big ? value & 0xffff : value >> 16);
  }
  void block(std::uint32_t type, const Bytes& body) {
    const auto length = static_cast<std::uint32_t>(12 + body.size());
    u32(type);
    u32(length);
    bytes.insert(bytes.end(), body.begin(), body.end());
    u32(length);
  }
};

class TemporaryFile {
 public:
  explicit TemporaryFile(const Bytes& bytes) {
    const int fd = mkstemp(path_);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    close(fd);
  }
  ~TemporaryFile() { unlink(path_); }
  const char* path() const { return path_; }

 private:
  char path_[32] = "/tmp/tandem-capture-XXXXXX";
};

Bytes pcap(bool big, bool nanoseconds, std::uint32_t link = 1) {
  Writer out{big, {}};
  out.u32(nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
  out.u16(2);
  out.u16(4);
  for (std::uint32_t value : {0u, 0u, 65535u, link}) out.u32(value);
  for (std::uint32_t i = 1; i <= 2; ++i) {
    for (std::uint32_t value : {100 + i, 7u, 4u, 60u}) out.u32(value);
    for (std::uint32_t k = 0; k < 4; ++k) out.bytes.push_back(static_cast<std::uint8_t>(10 * i + k));
  }
  return out.bytes;
}

/// Two sections; in each an interface that is not Ethernet, one with nanoseconds, an unknown block, and packets.
Bytes pcapng(bool big) {
  Bytes all;
  for (int section = 0; section < 2; ++section) {
    const bool order = section == 0 ? big : !big;
    Writer out{order, {}}, body{order, {}};
    body.u32(0x1a2b3c4d);
    body.u16(1);
    body.u16(0);
    body.u32(0xffffffff);
    body.u32(0xffffffff);
    out.block(0x0a0d0d0a, body.bytes);
    body.bytes.clear();
    body.u16(101);
    body.u16(0);
    body.u32(0);
    out.block(1, body.bytes);
    body.bytes.clear();
    body.u16(1);
    body.u16(0);
    body.u32(0);
    body.u16(9);
    body.u16(1);
    body.bytes.insert(body.bytes.end(), {9, 0, 0, 0});
    body.u32(0);
    out.block(1, body.bytes);
    out.block(0x00000bad, {1, 2, 3, 4});
    for (std::uint32_t interface = 0; interface < 2; ++interface) {
      body.bytes.clear();
      for (std::uint32_t value : {interface, 1u, 5u, 3u, 60u}) body.u32(value);
      body.bytes.insert(body.bytes.end(), {7, 8, 9, 0});
      out.block(6, body.bytes);
    }
    all.insert(all.end(), out.bytes.begin(), out.bytes.end());
  }
  return all;
}

std::size_t count(const Bytes& bytes) {
  const TemporaryFile file(bytes);
  std::size_t frames = 0;
  try {
    CaptureFile capture(file.path());
    for (CapturedFrame frame; capture.next(frame);) ++frames;
  } catch (const CaptureError&) {
  }
  return frames;
}

}  // namespace

TEST_CASE("pcap is read in either byte order and resolution") {
  const bool nanoseconds = GENERATE(false, true);
  const TemporaryFile file(pcap(GENERATE(false, true), nanoseconds));
  CaptureFile capture(file.path());
  CapturedFrame frame;
  for (std::uint64_t i = 1; i <= 2; ++i) {
    REQUIRE(capture.next(frame));
    CHECK(frame.time_ns == (100 + i) * 1'000'000'000 + (nanoseconds ? 7 : 7000));
    CHECK(Bytes(frame.bytes.begin(), frame.bytes.end()).front() == 10 * i);
    CHECK(frame.bytes.size() == 4);
    CHECK(frame.wire_length == 60);
  }
  CHECK_FALSE(capture.next(frame));
  CHECK_FALSE(capture.ended_early());
}

TEST_CASE("pcapng is read in either byte order, section by section, interface by interface") {
  const TemporaryFile file(pcapng(GENERATE(false, true)));
  CaptureFile capture(file.path());
  CapturedFrame frame;
  for (std::size_t section = 0; section < 2; ++section) {
    REQUIRE(capture.next(frame));
    CHECK(frame.interface == 2 * section + 1);
    CHECK(frame.time_ns == (std::uint64_t{1} << 32) + 5);
    CHECK(Bytes(frame.bytes.begin(), frame.bytes.end()) == Bytes{7, 8, 9});
    CHECK(frame.wire_length == 60);
  }
  CHECK_FALSE(capture.next(frame));
  CHECK_FALSE(capture.ended_early());
}

TEST_CASE("a file that ends within a record ends before it") {
  Bytes bytes = GENERATE(true, false) ? pcap(false, true) : pcapng(false);
  bytes.pop_back();
  const TemporaryFile file(bytes);
  CaptureFile capture(file.path());
  CapturedFrame frame;
  REQUIRE(capture.next(frame));
  CHECK_FALSE(capture.next(frame));
  CHECK(capture.ended_early());
}

TEST_CASE("what is no capture of Ethernet is refused") {
  CHECK_THROWS_AS(CaptureFile("/nowhere/at/all"), CaptureError);
  for (const Bytes& bytes : {Bytes{}, Bytes{1, 2, 3}, Bytes(100, 'x'), pcap(false, false, 113)}) {
    const TemporaryFile file(bytes);
    CHECK_THROWS_AS(CaptureFile(file.path()), CaptureError);
  }
}

TEST_CASE("a packet stays within its block, and names an interface of its section") {
  const auto refused = [](std::size_t from_end, std::uint8_t value) {
    Bytes bytes = pcapng(true);  // the last section is little-endian then
    bytes[bytes.size() - from_end] = value;
    const TemporaryFile file(bytes);
    CaptureFile capture(file.path());
    CapturedFrame frame;
    REQUIRE(capture.next(frame));
    CHECK_THROWS_AS(capture.next(frame), CaptureError);
  };
  // The last block: type, length, interface, time, 5, bytes kept, bytes, 4 bytes of frame and padding, length.
  refused(28, 2);
  refused(16, 5);
}

TEST_CASE("a damaged file yields frames or an error, and nothing else") {
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes = i % 2 == 0 ? pcap(i % 4 == 0, false) : pcapng(i % 4 == 1);
    for (int k = 0; k < 3; ++k) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    CHECK(count(bytes) <= 4);
  }
}
