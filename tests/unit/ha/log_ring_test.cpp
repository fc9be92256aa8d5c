// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "group_fixture.hpp"

using namespace tandem::ha;
using tandem::Bytes;

namespace {

std::string text_of(const Record& record) { return {record.payload.begin(), record.payload.end()}; }

}  // namespace

TEST_CASE("a transaction is visible wholly or not at all") {
  GroupFixture fixture;
  fixture.attach();
  LogWriter writer = fixture.writer();
  LogReader reader = fixture.reader();
  writer.append(RecordType::written, 7, {text_bytes("one")});
  writer.append(RecordType::written, 7, {text_bytes("two"), text_bytes("three")});
  Record record;
  CHECK_FALSE(reader.next(fixture.group.published.load(), record));
  writer.publish(11, 22);
  std::vector<std::uint16_t> types;
  while (reader.next(fixture.group.published.load(), record)) {
    types.push_back(record.type);
    if (types.size() == 3) CHECK(text_of(record) == "twothree");
    if (types.size() == 4) {
      const auto commit = load<Commit>(record.payload);
      CHECK(commit.rx_index == 11);
      CHECK(commit.tx_index == 22);
      CHECK(commit.transaction == 1);
    }
  }
  CHECK(types == std::vector<std::uint16_t>{1, 7, 7, 2});
  CHECK(reader.error().empty());
}

TEST_CASE("with several receive queues their marks stand in a record of their own, in front of the commit") {
  GroupFixture fixture;
  fixture.attach();
  LogWriter writer = fixture.writer();
  LogReader reader = fixture.reader();
  tandem::WireMark mark{0x01020304, 0x11121314};
  mark.more_queues = 2;
  mark.more_rx_indices[0] = 0x21222324;
  mark.more_rx_indices[1] = 0x31323334;
  writer.publish(mark);
  std::vector<std::uint16_t> types;
  Record record;
  while (reader.next(fixture.group.published.load(), record)) {
    types.push_back(record.type);
    if (record.type == 40) {
      const std::vector<std::uint8_t> golden{3,    0,    0,    0,    0,    0,    0,    0,     // queues, zero
                                             4,    3,    2,    1,    0x14, 0x13, 0x12, 0x11,  // the first one
                                             0x24, 0x23, 0x22, 0x21, 0,    0,    0,    0,
                                             0x34, 0x33, 0x32, 0x31, 0,    0,    0,    0};
      CHECK(std::vector<std::uint8_t>(record.payload.begin(), record.payload.end()) == golden);
    }
  }
  CHECK(types == std::vector<std::uint16_t>{1, 40, 2});
  // With one queue all stays as it was.
  writer.publish(tandem::WireMark{1, 2});
  types.clear();
  while (reader.next(fixture.group.published.load(), record)) types.push_back(record.type);
  CHECK(types == std::vector<std::uint16_t>{1, 2});
}

TEST_CASE("what a reader writes into its slot never takes room from a transaction that has begun") {
  GroupFixture fixture;
  ReaderSlot& slot = fixture.attach();
  LogWriter writer = fixture.writer();
  for (int i = 0; i < 100; ++i) {
    writer.append(RecordType::note, 0, {text_bytes(std::string(4000, 'x'))});
    writer.publish(0, 0);
    slot.position.store(fixture.group.published.load());
  }
  writer.append(RecordType::note, 0, {text_bytes("x")});
  const std::uint64_t room = writer.room();
  slot.position.store(slot.position.load() - 100'000);
  CHECK(writer.room() == room);
  fixture.group.readers[1].state.store(ReaderState::member);
  CHECK(writer.room() == room);
  fixture.group.published.store(1);
  CHECK(writer.room() == room);
  CHECK(writer.pending_bytes() < 100);
}

TEST_CASE("the log's records have the documented bytes") {
  GroupFixture fixture;
  fixture.attach();
  LogWriter writer = fixture.writer();
  writer.set_time(0x0102030405060708);
  writer.set_epoch(3);
  writer.append(RecordType::written, 0x1122334455667788, {text_bytes("abc")});
  writer.publish(0xa1a2a3a4, 0xb1b2b3b4);
  const std::vector<std::uint8_t> golden = {
      1,   0,   1,   0, 16, 0, 0, 0, 0,    0,    0,    0,    0,    0,    0,    0,      // transaction_begin
      8,   7,   6,   5, 4,  3, 2, 1, 3,    0,    0,    0,    0,    0,    0,    0,      //   time, epoch
      7,   0,   1,   0, 3,  0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,   // written
      'a', 'b', 'c', 0, 0,  0, 0, 0,                                                   //   bytes, padding
      2,   0,   1,   0, 16, 0, 0, 0, 0,    0,    0,    0,    0,    0,    0,    0,      // commit
      1,   0,   0,   0, 0,  0, 0, 0, 0xa4, 0xa3, 0xa2, 0xa1, 0xb4, 0xb3, 0xb2, 0xb1};  //   transaction, rx, tx
  REQUIRE(fixture.group.published.load() == golden.size());
  CHECK(std::equal(golden.begin(), golden.end(), fixture.log.data()));
}

TEST_CASE("records that cross the end of the ring come out whole") {
  GroupFixture fixture(65536);
  ReaderSlot& slot = fixture.attach();
  LogWriter writer = fixture.writer();
  LogReader reader = fixture.reader();
  std::mt19937 random(1);
  std::uint64_t sent = 0, received = 0;
  for (int turn = 0; turn < 2000; ++turn) {
    std::vector<std::uint8_t> bytes(random() % 3000);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(sent++ * 31);
    writer.append(RecordType::written, 1, {bytes});
    writer.publish(0, 0);
    Record record;
    while (reader.next(fixture.group.published.load(), record)) {
      if (record.type != static_cast<std::uint16_t>(RecordType::written)) continue;
      for (const std::uint8_t byte : record.payload) REQUIRE(byte == static_cast<std::uint8_t>(received++ * 31));
    }
    slot.position.store(reader.position());
  }
  CHECK(received == sent);
  CHECK(reader.error().empty());
}

TEST_CASE("room shrinks to the slowest reader in force, and no further") {
  GroupFixture fixture(65536);
  ReaderSlot& slow = fixture.attach(0);
  ReaderSlot& fast = fixture.attach(1);
  LogWriter writer = fixture.writer();
  CHECK(writer.room() == 65536);
  const std::vector<std::uint8_t> bytes(1000, 1);
  writer.append(RecordType::written, 1, {bytes});
  writer.publish(0, 0);
  const std::uint64_t used = fixture.group.published.load();
  CHECK(writer.room() == 65536 - used);
  fast.position.store(used);
  CHECK(writer.room() == 65536 - used);
  SECTION("it goes on reading") {
    slow.position.store(used);
    CHECK(writer.room() == 65536);
  }
  SECTION("it begins a takeover") {
    slow.state.store(ReaderState::promoted);
    CHECK(writer.room() == 65536 - used);
  }
  SECTION("it is removed") {
    slow.state.store(ReaderState::ineligible);
    CHECK(writer.room() == 65536);
  }
  SECTION("a position beyond what is published is not believed") {
    fast.position.store(used + 8);
    slow.position.store(UINT64_MAX);
    CHECK(writer.room() == 65536);
  }
}

TEST_CASE("a reader trusts no length and no position") {
  GroupFixture fixture(65536);
  fixture.attach();
  LogWriter writer = fixture.writer();
  LogReader reader = fixture.reader();
  writer.append(RecordType::written, 1, {text_bytes("hello")});
  writer.publish(0, 0);
  const std::uint64_t published = fixture.group.published.load();
  Record record;
  SECTION("a length beyond the transaction") {
    const std::uint32_t length = 60000;
    std::memcpy(fixture.log.data() + 4, &length, sizeof length);
    CHECK_FALSE(reader.next(published, record));
    CHECK(reader.error().find("runs over") != std::string::npos);
  }
  SECTION("a length beyond everything") {
    const std::uint32_t length = UINT32_MAX;
    std::memcpy(fixture.log.data() + 4, &length, sizeof length);
    CHECK_FALSE(reader.next(published, record));
    CHECK_FALSE(reader.error().empty());
  }
  SECTION("a published position further ahead than the ring is long") {
    CHECK_FALSE(reader.next(published + 65536, record));
    CHECK_FALSE(reader.error().empty());
  }
  SECTION("a published position behind") {
    while (reader.next(published, record)) {
    }
    CHECK_FALSE(reader.next(published - 8, record));
    CHECK_FALSE(reader.error().empty());
  }
  SECTION("a published position that is not a record's end") {
    CHECK_FALSE(reader.next(published - 3, record));
    CHECK_FALSE(reader.error().empty());
  }
}

TEST_CASE("primary and twin on two threads see the same bytes", "[tsan]") {
  GroupFixture fixture(std::size_t{1} << 18);
  ReaderSlot& slot = fixture.attach();
  constexpr std::uint64_t kTotal = 20'000;
  LogWriter writer = fixture.writer();
  LogReader reader = fixture.reader();
  std::atomic<bool> reader_gave_up = false;
  std::thread primary([&] {
    for (std::uint64_t number = 0; number < kTotal && !reader_gave_up;) {
      if (writer.room() < 65536) {
        std::this_thread::yield();
        continue;
      }
      const std::uint64_t records = 1 + number % 7;
      for (std::uint64_t i = 0; i < records; ++i, ++number) {
        std::vector<std::uint8_t> bytes(8 + number % 1500, static_cast<std::uint8_t>(number));
        std::memcpy(bytes.data(), &number, sizeof number);
        writer.append(RecordType::written, number, {bytes});
      }
      writer.publish(static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(~number));
    }
  });
  std::uint64_t expected = 0;
  bool good = true;
  std::thread twin([&] {
    Record record;
    while (expected < kTotal && good) {
      const std::uint64_t published = fixture.group.published.load(std::memory_order_acquire);
      while (good && reader.next(published, record)) {
        if (record.type == static_cast<std::uint16_t>(RecordType::commit)) {
          const auto commit = load<Commit>(record.payload);
          good = commit.rx_index == static_cast<std::uint32_t>(expected) &&
                 commit.tx_index == static_cast<std::uint32_t>(~expected);
        }
        if (record.type != static_cast<std::uint16_t>(RecordType::written)) continue;
        good = good && record.id == expected && record.payload.size() == 8 + expected % 1500 &&
               load<std::uint64_t>(record.payload) == expected &&
               (record.payload.size() == 8 || record.payload.back() == static_cast<std::uint8_t>(expected));
        ++expected;
      }
      good = good && reader.error().empty();
      slot.position.store(reader.position(), std::memory_order_release);
      std::this_thread::yield();
    }
    reader_gave_up = true;
  });
  primary.join();
  twin.join();
  CHECK(good);
  CHECK(expected >= kTotal);
}

TEST_CASE("for a twin of format 1 records have their first lengths, and types that it does not know are left out") {
  for (const std::uint32_t format : {1U, 2U}) {
    GroupFixture fixture;
    fixture.attach();
    LogWriter writer = fixture.writer();
    LogReader reader = fixture.reader();
    writer.set_format(format);
    const auto later = static_cast<RecordType>(39);
    writer.append(later, 7, {text_bytes("later")});
    writer.append(RecordType::written, 7, {text_bytes("bytes")});
    writer.publish(1, 2);
    Record record;
    std::vector<std::uint16_t> types;
    while (reader.next(fixture.group.published.load(), record)) types.push_back(record.type);
    const std::vector<std::uint16_t> expected =
        format == 1 ? std::vector<std::uint16_t>{1, 7, 2} : std::vector<std::uint16_t>{1, 39, 7, 2};
    CHECK(types == expected);
  }
}

TEST_CASE("a turn that writes more than there is room for is dropped whole, and the log goes on") {
  GroupFixture fixture(65536);
  LogWriter writer = fixture.writer();
  LogReader reader = fixture.reader();
  const std::vector<std::uint8_t> piece(10'000);
  SECTION("pieces that together find no room") {
    for (int i = 0; i < 20; ++i) writer.append(RecordType::note, 0, {piece});
    CHECK(writer.overflowed().find("more than the log has room for") != std::string::npos);
  }
  SECTION("one that no record holds") {
    const std::vector<std::uint8_t> large(kMaxPayloadBytes + 1);
    writer.append(RecordType::note, 0, {large});
    CHECK(writer.overflowed().find("1048577 bytes") != std::string::npos);
  }
  SECTION("a run of bytes that is longer than the ring") {
    const std::vector<std::uint8_t> run(3 * 65536);
    writer.append_bytes(RecordType::written, 1, run);
    CHECK_FALSE(writer.overflowed().empty());
  }
  CHECK(fixture.group.published.load() == 0);
  writer.abandon();
  CHECK(writer.overflowed().empty());
  CHECK_FALSE(writer.in_transaction());
  CHECK(writer.room() == 65536);
  writer.append(RecordType::note, 0, {text_bytes("on")});
  writer.publish(0, 0);
  Record record;
  REQUIRE(reader.next(fixture.group.published.load(), record));
  REQUIRE(reader.next(fixture.group.published.load(), record));
  CHECK(record.payload.size() == 2);
}

TEST_CASE("what has to arrive whole comes in parts where it is longer than a record, up to a quarter of the log") {
  constexpr std::size_t kLog = std::size_t{16} << 20;
  constexpr std::size_t kLongest = kLog / 4;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{5}, std::size_t{kMaxPayloadBytes},
                                  std::size_t{kMaxPayloadBytes} + 1, std::size_t{3} << 20, kLongest}) {
    GroupFixture fixture(kLog);
    LogWriter writer = fixture.writer();
    LogReader reader = fixture.reader();
    const std::vector<std::uint8_t> long_note(bytes, 7);
    REQUIRE(writer.longest_whole_bytes() == kLongest);
    CHECK(writer.append_whole(RecordType::note, 9, long_note));
    writer.publish(1, 2);
    Record record;
    std::size_t seen = 0, notes = 0;
    while (reader.next(fixture.group.published.load(), record)) {
      const auto type = static_cast<RecordType>(record.type);
      if (type != RecordType::part && type != RecordType::note) continue;
      CHECK(record.id == 9);
      CHECK(notes == 0);  // parts come in front
      notes += type == RecordType::note ? 1 : 0;
      seen += record.payload.size();
    }
    CHECK(reader.error().empty());
    CHECK(notes == 1);
    CHECK(seen == bytes);
  }
}

TEST_CASE("what is too long to arrive whole is refused at the call, with the limit in words") {
  GroupFixture fixture(std::size_t{16} << 20);
  LogWriter writer = fixture.writer();
  SECTION("longer than a quarter of the log") {
    CHECK_FALSE(writer.append_whole(RecordType::note, 0, std::vector<std::uint8_t>(writer.longest_whole_bytes() + 1)));
    CHECK(writer.overflowed().find("4194305 bytes is longer than the 4194304") != std::string::npos);
    CHECK(writer.overflowed().find("--log-size") != std::string::npos);
  }
  SECTION("one after the other until the log is full") {
    const std::vector<std::uint8_t> bytes(writer.longest_whole_bytes());
    for (int i = 0; i < 3; ++i) CHECK(writer.append_whole(RecordType::note, 0, bytes));
    CHECK_FALSE(writer.append_whole(RecordType::note, 0, bytes));
    CHECK(writer.overflowed().find("more than the log has room for") != std::string::npos);
  }
  SECTION("longer than a record, for a twin that knows no parts") {
    writer.set_format(1);
    CHECK_FALSE(writer.append_whole(RecordType::note, 0, std::vector<std::uint8_t>(kMaxPayloadBytes + 1)));
    CHECK(writer.overflowed().find("1048577 bytes") != std::string::npos);
  }
  writer.abandon();
  CHECK(writer.append_whole(RecordType::note, 0, text_bytes("on")));
}
