// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/capture.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tandem/memory_wire.hpp"
#include "tandem/side_writer.hpp"

namespace tandem {
namespace {

struct Directory {
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tandem-capture-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

struct Record {
  std::uint64_t time_ns;
  std::uint32_t direction;
  std::vector<std::uint8_t> frame;
  bool commented;
};

struct Contents {
  std::size_t sections = 0, interfaces = 0;
  std::vector<Record> packets;
};

/// Reads the file as any reader of the format would: by block lengths.
Contents read_capture(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> raw((std::istreambuf_iterator<char>(file)), {});
  const auto u32 = [&raw](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, raw.data() + at, 4);
    return value;
  };
  Contents contents;
  for (std::size_t at = 0; at + 12 <= raw.size();) {
    const std::uint32_t type = u32(at), length = u32(at + 4);
    REQUIRE((length % 4 == 0 && length >= 12 && at + length <= raw.size()));
    REQUIRE(u32(at + length - 4) == length);
    if (type == 0x0a0d0d0a) ++contents.sections;
    if (type == 1) ++contents.interfaces;
    if (type == 6) {
      const std::uint32_t size = u32(at + 20);
      const auto* frame = reinterpret_cast<const std::uint8_t*>(raw.data() + at + 28);
      const std::size_t options = at + 28 + (size + 3) / 4 * 4;
      contents.packets.push_back({std::uint64_t{u32(at + 12)} << 32 | u32(at + 16),
                                  u32(options + 4),
                                  {frame, frame + size},
                                  u32(options + 8) != 0});
    }
    at += length;
  }
  return contents;
}

struct Pair {
  MemoryWire wire;
  MemoryWire::PortId a = wire.add_port({{2, 0, 0, 0, 0, 1}}), b = wire.add_port({{2, 0, 0, 0, 0, 2}});
  std::unique_ptr<Device> peer = wire.open(b);
  std::uint64_t clock = 0x1'0000'0001;

  CaptureOptions options(const std::filesystem::path& path, bool attached = false) {
    return {path.string(), "wire0", attached, [this] { return clock++; }};
  }
};

void stage(Device& device, std::uint8_t number) {
  const auto room = device.tx_reserve(60);
  REQUIRE(room.size() == 60);
  std::fill(room.begin(), room.end(), number);
  device.tx_stage();
}

std::size_t peek_all(Device& device) {
  std::array<RxFrame, 16> frames;
  const std::size_t count = device.rx_peek(frames);
  for (std::size_t i = 0; i < count; ++i) device.rx_done(frames[i].cookie);
  return count;
}

TEST_CASE("capture writes what is shown as inbound, what is released as outbound, and nothing that was only staged") {
  const Directory directory;
  Pair pair;
  const auto path = directory.path / "x.pcapng";
  {
    const auto device = capture_device(pair.wire.open(pair.a), pair.options(path));
    stage(*pair.peer, 1);
    pair.peer->tx_release(pair.peer->mark().tx_index);
    REQUIRE(peek_all(*device) == 1);
    stage(*device, 2);
    const WireMark first = device->mark();
    stage(*device, 3);
    device->tx_release(first.tx_index);
    device->rx_release();
    device->refill();
    const Contents contents = read_capture(path);  // written at the end of the turn, not only at the end of the process
    CHECK(contents.sections == 1);
    CHECK(contents.interfaces == 1);
    REQUIRE(contents.packets.size() == 2);
    CHECK(contents.packets[0].direction == 1);
    CHECK(contents.packets[0].frame == std::vector<std::uint8_t>(60, 1));
    CHECK(contents.packets[0].time_ns == 0x1'0000'0001);
    CHECK(contents.packets[1].direction == 2);
    CHECK(contents.packets[1].frame == std::vector<std::uint8_t>(60, 2));
  }
  CHECK(read_capture(path).packets.size() == 2);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0077) == 0);
}

TEST_CASE("a captured device can be adopted; its adopter writes a file of its own with what it hands over") {
  const Directory directory;
  Pair pair;
  const auto path = directory.path / "x.pcapng";
  auto primary = capture_device(pair.wire.open(pair.a), pair.options(path));
  const auto twin = capture_device(pair.wire.attach(pair.a), pair.options(path, true));
  CHECK(twin->mac() == primary->mac());
  CHECK(twin->descriptors().size() == primary->descriptors().size());
  stage(*primary, 7);
  const WireMark committed = primary->mark();
  primary.reset();
  twin->adopt(&committed);
  twin->refill();
  CHECK(peek_all(*pair.peer) == 1);
  CHECK(read_capture(path).packets.empty());
  const Contents contents = read_capture(path.string() + "." + std::to_string(::getpid()));
  REQUIRE(contents.packets.size() == 1);
  CHECK(contents.packets[0].frame == std::vector<std::uint8_t>(60, 7));
  CHECK(contents.packets[0].direction == 2);
  CHECK(contents.packets[0].commented);
}

TEST_CASE("a capture file in use by a living process is left alone; one of a dead process is started anew") {
  const Directory directory;
  Pair pair;
  const auto path = directory.path / "x.pcapng";
  int ready[2], go[2];
  REQUIRE((::pipe(ready) == 0 && ::pipe(go) == 0));
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto device = capture_device(pair.wire.open(pair.a), pair.options(path));
    char byte = 0;
    if (::write(ready[1], &byte, 1) != 1 || ::read(go[0], &byte, 1) != 1) ::_exit(1);
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  const auto size = std::filesystem::file_size(path);
  capture_device(pair.wire.attach(pair.a), pair.options(path)).reset();
  CHECK(std::filesystem::file_size(path) == size);
  const auto own = path.string() + "." + std::to_string(::getpid());
  CHECK(read_capture(own).sections == 1);
  capture_device(pair.wire.attach(pair.a), pair.options(path)).reset();
  CHECK(read_capture(own).sections == 2);

  REQUIRE(::write(go[1], &byte, 1) == 1);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  for (const int fd : {ready[0], ready[1], go[0], go[1]}) ::close(fd);
  capture_device(pair.wire.attach(pair.a), pair.options(path)).reset();
  CHECK(read_capture(path).sections == 1);
  CHECK(read_capture(own).sections == 2);
}

TEST_CASE("a pipe that nobody reads holds up no turn; packets that were not captured are counted in the next one") {
  const Directory directory;
  Pair pair;
  const auto path = directory.path / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(capture_device(pair.wire.attach(pair.a), pair.options(path)), Catch::Contains("nobody reads"));
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  // A write that waits is a test that ends here.
  ::alarm(60);
  const auto device = capture_device(pair.wire.open(pair.a), pair.options(path));
  std::vector<char> raw;
  const auto turn = [&](std::uint8_t number) {
    stage(*pair.peer, number);
    pair.peer->tx_release(pair.peer->mark().tx_index);
    const std::size_t count = peek_all(*device);
    device->rx_release();
    device->refill();
    pair.peer->refill();
    return count;
  };
  std::size_t turns = 0;
  for (; turns < 100'000 && device->warning().find("not captured") == std::string::npos; ++turns) REQUIRE(turn(1) == 1);
  CHECK(device->warning().find("not captured") != std::string::npos);
  REQUIRE(turn(1) == 1);
  const auto read_all = [&] {
    std::array<char, 65536> piece{};
    for (ssize_t got = 0; (got = ::read(reader, piece.data(), piece.size())) > 0;)
      raw.insert(raw.end(), piece.begin(), piece.begin() + got);
  };
  // It flows again.
  for (int i = 0; i < 200; ++i) {
    read_all();
    REQUIRE(turn(2) == 1);
  }
  read_all();
  ::alarm(0);
  ::close(reader);
  const auto copy = directory.path / "copy";
  std::ofstream(copy, std::ios::binary).write(raw.data(), static_cast<std::streamsize>(raw.size()));
  const Contents contents = read_capture(copy);
  CHECK(contents.packets.size() > 200);
  CHECK(contents.packets.size() < turns + 201);
  const auto commented = std::count_if(contents.packets.begin(), contents.packets.end(),
                                       [](const Record& record) { return record.commented; });
  CHECK(commented >= 1);
  CHECK(contents.packets.back().frame == std::vector<std::uint8_t>(60, 2));
}

TEST_CASE("a capture begins and ends while the device works, and sees what passes in between") {
  const Directory directory;
  Pair pair;
  const auto device = pair.wire.open(pair.a);
  const auto turn = [&](std::uint8_t in, std::uint8_t out) {
    stage(*pair.peer, in);
    pair.peer->tx_release(pair.peer->mark().tx_index);
    REQUIRE(peek_all(*device) == 1);
    stage(*device, out);
    stage(*device, static_cast<std::uint8_t>(out + 1));
    device->tx_release(device->mark().tx_index - 1);
    device->tx_release(device->mark().tx_index);
    device->rx_release();
    device->refill();
    peek_all(*pair.peer);
    pair.peer->rx_release();
    pair.peer->refill();
  };
  turn(1, 2);
  const auto path = directory.path / "run.pcapng";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  {
    RunningCapture capture(*device, fd, "wire0");
    ::close(fd);
    turn(3, 4);
    capture.end_turn();
    turn(6, 7);
    CHECK(capture.packets() == 6);
    CHECK(capture.not_captured() == 0);
    ::alarm(60);
    while (!capture.finish()) {
    }
    ::alarm(0);
    CHECK(capture.failure().empty());
    turn(9, 10);
    CHECK(capture.packets() == 6);
  }
  turn(12, 13);
  const Contents contents = read_capture(path);
  CHECK(contents.sections == 1);
  std::vector<std::pair<std::uint32_t, int>> seen;
  for (const Record& record : contents.packets) seen.emplace_back(record.direction, record.frame.at(0));
  CHECK(seen == std::vector<std::pair<std::uint32_t, int>>{{1, 3}, {2, 4}, {2, 5}, {1, 6}, {2, 7}, {2, 8}});
}

TEST_CASE("a capture that runs waits for nobody: neither a turn nor its end") {
  Pair pair;
  const auto device = pair.wire.open(pair.a);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  CHECK_THROWS_WITH(RunningCapture(*device, ends[0], "wire0"), Catch::Contains("no file that can be written to"));
  // A wait is a test that ends here.
  ::alarm(60);
  {
    RunningCapture capture(*device, ends[1], "wire0");
    for (int turns = 0; turns < 200'000 && capture.not_captured() == 0; ++turns) {
      stage(*device, 1);
      device->tx_release(device->mark().tx_index);
      device->refill();
      peek_all(*pair.peer);
      pair.peer->rx_release();
      pair.peer->refill();
      capture.end_turn();
    }
    CHECK(capture.not_captured() > 0);
    CHECK_FALSE(capture.finish());
    CHECK_FALSE(capture.finish());
  }
  ::close(ends[0]);
  ::close(ends[1]);
  // A reader that has gone is a file that fails.
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::close(ends[0]);
  RunningCapture capture(*device, ends[1], "wire0");
  while (capture.failure().empty()) capture.end_turn();
  CHECK(capture.failure() == std::strerror(EPIPE));
  ::alarm(0);
  ::close(ends[1]);
}

TEST_CASE("what is written behind is taken without waiting, up to a bound, and arrives in order") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::alarm(60);
  std::vector<std::uint8_t> sent, got;
  {
    SideWriter writer(ends[1], 100'000);
    std::vector<std::uint8_t> piece(1000);
    std::size_t refused_bytes = 0;
    // A pipe takes 64 KiB, the writer holds another piece while it waits, and so much lies in between.
    for (int i = 0; i < 1'000'000 && refused_bytes < 1'000'000'000; ++i) {
      std::fill(piece.begin(), piece.end(), static_cast<std::uint8_t>(sent.size() / 1000));
      if (writer.put(piece))
        sent.insert(sent.end(), piece.begin(), piece.end());
      else
        refused_bytes += piece.size();
    }
    CHECK(sent.size() <= 65536 + 2 * 100'000);
    CHECK(sent.size() >= 100'000);
    std::array<std::uint8_t, 65536> bytes{};
    while (got.size() < sent.size()) {
      const ssize_t count = ::read(ends[0], bytes.data(), bytes.size());
      REQUIRE(count > 0);
      got.insert(got.end(), bytes.begin(), bytes.begin() + count);
    }
    CHECK(writer.error() == 0);
  }
  ::alarm(0);
  ::close(ends[0]);
  ::close(ends[1]);
  CHECK(got == sent);
}

TEST_CASE("a capture file that cannot be written is an error with advice; a full disk later only ends the capture") {
  Pair pair;
  CHECK_THROWS_WITH(capture_device(pair.wire.attach(pair.a), pair.options("/nonexistent/x")),
                    Catch::Contains("/nonexistent/x") && Catch::Contains("choose"));
  const auto device = capture_device(pair.wire.open(pair.a), pair.options("/dev/full"));
  CHECK_THAT(device->warning(), Catch::Contains("capturing stopped"));
  stage(*device, 1);
  device->tx_release(device->mark().tx_index);
  device->refill();
  CHECK(peek_all(*pair.peer) == 1);
}

}  // namespace
}  // namespace tandem
