// SPDX-License-Identifier: BSD-3-Clause
//
// The transaction log's record formats (design.md section 4). This file is the format: little-endian, every record starts
// on a multiple of 8 bytes with
//
//   offset 0  u16 type      RecordType; bit 15 set = optional, a reader that does not know it skips it
//          2  u16 version   of this record type's payload
//          4  u32 length    payload bytes; the next record starts at 16 + length rounded up to 8
//          8  u64 id        ConnectionId, or 0
//         16  payload
//
// A payload of fixed length may grow at its end: a reader leaves the tail that it does not know, and takes the defaults for what an
// older writer did not have. The version stays then; another one is another layout.
//
// A transaction is a transaction_begin, any records, and a commit. A reader sees whole transactions only, because the
// published position moves once for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tandem/address.hpp"
#include "tandem/observer.hpp"

namespace tandem::ha {

/// The newest format that this version writes and reads, and the oldest one. Both sides name theirs when a twin attaches, and the
/// primary writes the newest that both know. Format 1: types up to role_change, every length as it was at first. Format 2: readers
/// accept what has grown, and the types above. Format 3: a joiner's snapshot has a log of its own (snapshot_log.hpp), and the live one
/// records all connections from then on; the joiner passes over those that it has not been given yet.
inline constexpr std::uint32_t kLogFormatVersion = 3;
inline constexpr std::uint32_t kOldestLogFormat = 1;

/// The numbers are the format. Payloads:
enum class RecordType : std::uint16_t {
  transaction_begin = 1,  ///< 0 u64 time_ns | 8 u64 epoch
  commit = 2,             ///< 0 u64 transaction | 8 u32 rx_index | 12 u32 tx_index
  open = 3,  ///< 0 u16 service | 2 u16 flags | 4 u32 zero | 8 TcpState (encode_tcp_state), positions before the queues
  received = 4,           ///< bytes
  skipped = 5,            ///< 0 u64 count
  out_of_order = 6,       ///< 0 u32 seq | 4 u32 fin | 8 bytes
  written = 7,            ///< bytes
  consumed = 8,           ///< 0 u64 count
  note = 9,               ///< bytes; id 0: the application's, else the connection's
  state = 10,             ///< TcpState (encode_tcp_state)
  close = 11,             ///< 0 u32 reset | 4 u32 zero
  neighbour = 12,         ///< 0 u8 version | 1 u8 zero | 2 mac[6] | 8 address[16]
  snapshot_begin = 13,    ///< 0 u64 connections, at most
  snapshot_send = 14,     ///< 0 u64 position | 8 bytes: queued to the peer, of a connection whose open is still to come
  snapshot_receive = 15,  ///< 0 u64 position | 8 bytes: unread, likewise
  snapshot_handler = 16,  ///< bytes of Handler::save, behind the connection's open
  snapshot_application = 17,  ///< bytes of Application::save
  snapshot_end = 18,          ///< 0 u64 connections
  role_change = 19,           ///< 0 u32 reason (1 = switchover) | 4 u32 zero
  told = 20,                  ///< 0 u32 what (Told) | 4 u32 zero: its handler is called now
  ring_marks =
      40,  ///< 0 u32 queues, 2 to 16 | 4 u32 zero | for each: u32 rx_index | u32 tx_index. In front of a commit whose
           ///< device reads several receive queues; with one queue the commit says it all
  stack_secret = 60,  ///< 0 secret[32]; optional. StackOptions::secret, at the beginning of a snapshot
  part =
      80,  ///< bytes in front of those of the next record, which has the same id and is a note, a snapshot_handler or a
           ///< snapshot_application: together they are longer than a record may be
  snapshot_at = 90,  ///< 0 u64 position of the live log behind which this transaction of a snapshot's log holds
};

inline constexpr std::uint16_t kOptionalRecord = 0x8000;

/// The format that brought the type.
constexpr std::uint32_t format_of(RecordType type) {
  const auto number = static_cast<std::uint16_t>(static_cast<std::uint16_t>(type) & ~kOptionalRecord);
  if (number == static_cast<std::uint16_t>(RecordType::snapshot_at)) return 3;
  return number <= static_cast<std::uint16_t>(RecordType::role_change) ? 1 : 2;
}

struct RecordHeader {
  std::uint16_t type = 0;
  std::uint16_t version = 1;
  std::uint32_t length = 0;
  std::uint64_t id = 0;
};
static_assert(sizeof(RecordHeader) == 16 && offsetof(RecordHeader, version) == 2 &&
              offsetof(RecordHeader, length) == 4 && offsetof(RecordHeader, id) == 8);

struct TransactionBegin {
  std::uint64_t time_ns = 0;
  std::uint64_t epoch = 0;
};
static_assert(sizeof(TransactionBegin) == 16 && offsetof(TransactionBegin, epoch) == 8);

struct Commit {
  std::uint64_t transaction = 0;
  std::uint32_t rx_index = 0;
  std::uint32_t tx_index = 0;
};
static_assert(sizeof(Commit) == 16 && offsetof(Commit, rx_index) == 8 && offsetof(Commit, tx_index) == 12);

struct RingMarksPrefix {
  std::uint32_t queues = 0;
  std::uint32_t zero = 0;
};
struct RingMark {
  std::uint32_t rx_index = 0;
  std::uint32_t tx_index = 0;
};
static_assert(sizeof(RingMarksPrefix) == 8 && sizeof(RingMark) == 8 && offsetof(RingMark, tx_index) == 4);

struct OpenPrefix {
  std::uint16_t service = 0;
  std::uint16_t flags = 0;
  std::uint32_t zero = 0;
};
static_assert(sizeof(OpenPrefix) == 8);

/// The open is a snapshot's: staged queue bytes (snapshot_send, snapshot_receive) belong to it.
inline constexpr std::uint16_t kOpenFromSnapshot = 1;

struct OutOfOrderPrefix {
  std::uint32_t seq = 0;
  std::uint32_t fin = 0;
};
static_assert(sizeof(OutOfOrderPrefix) == 8 && offsetof(OutOfOrderPrefix, fin) == 4);

struct NeighbourRecord {
  std::uint8_t version = 4;
  std::uint8_t zero = 0;
  std::uint8_t mac[6] = {};
  std::uint8_t address[16] = {};
};
static_assert(sizeof(NeighbourRecord) == 24 && offsetof(NeighbourRecord, mac) == 2 &&
              offsetof(NeighbourRecord, address) == 8);

/// The formats above are written by copying these structs.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts need byte swapping here");

/// One of the structs above, as it is written.
template <typename T>
Bytes as_bytes(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

/// Largest payload that a reader accepts. Longer byte runs are cut into several records, and what has to arrive whole into parts.
inline constexpr std::uint32_t kMaxPayloadBytes = 1U << 20;

constexpr std::uint64_t record_bytes(std::uint64_t payload_bytes) {
  return sizeof(RecordHeader) + ((payload_bytes + 7) & ~std::uint64_t{7});
}

/// Reads a fixed prefix of a payload; what a shorter, older one lacks has its default. The caller has checked that the first
/// layout's length is there.
template <typename T>
T load(Bytes payload, std::size_t offset = 0) {
  T value{};
  const std::size_t there = payload.size() - offset;
  std::memcpy(&value, payload.data() + offset, there < sizeof value ? there : sizeof value);
  return value;
}

}  // namespace tandem::ha
