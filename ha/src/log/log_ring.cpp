// SPDX-License-Identifier: BSD-3-Clause
#include "log/log_ring.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "tandem/planted.hpp"
#include "tandem/stop_point.hpp"

namespace tandem::ha {
namespace {

/// Kept free behind what is appended, for what begins and ends a transaction.
constexpr std::uint64_t kCommitRoom = 128;

/// One that has begun a takeover is still to drain the log.
bool holds_back(ReaderState state) {
  return state == ReaderState::joining || state == ReaderState::member || state == ReaderState::promoted;
}

}  // namespace

std::uint64_t RingRoom::bytes(std::uint64_t position, std::uint64_t published) const {
  std::uint64_t oldest = published;
  for (const ReaderSlot& reader : readers_) {
    if (!holds_back(reader.state.load(std::memory_order_relaxed))) continue;
    const std::uint64_t at = reader.position.load(std::memory_order_acquire);
    // A reader that claims to be ahead of what is published, or further behind than the ring, is not believed.
    if (at > oldest || position - at > ring_bytes_) continue;
    oldest = at;
  }
  // Readers go forward, and a new one starts at what is published: whoever claims to have gone back is not waited for.
  oldest_ = std::max(oldest_, oldest);
  return ring_bytes_ - (position - oldest_);
}

LogWriter::LogWriter(std::atomic<std::uint64_t>& published, std::span<const ReaderSlot> readers, std::uint8_t* ring,
                     std::uint64_t bytes)
    : shown_(published),
      room_(readers, bytes),
      ring_(ring),
      bytes_(bytes),
      position_(published.load(std::memory_order_acquire)),
      published_(position_) {}

void LogWriter::put(RecordType type, std::uint64_t id, std::initializer_list<Bytes> parts) {
  std::uint64_t payload = 0;
  for (const Bytes part : parts) payload += part.size();
  std::uint8_t* at = ring_ + (position_ & (bytes_ - 1));
  const RecordHeader header{static_cast<std::uint16_t>(type), 1, static_cast<std::uint32_t>(payload), id};
  std::memcpy(at, &header, sizeof header);
  at += sizeof header;
  for (const Bytes part : parts) {
    if (!part.empty()) std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  position_ += record_bytes(payload);
  if (TANDEM_PLANTED(partial_transaction)) shown_.store(position_, std::memory_order_release);
  TANDEM_STEP("log.record");
}

void LogWriter::append(RecordType type, std::uint64_t id, std::initializer_list<Bytes> parts) {
  if (format_of(type) > format_) return;
  std::uint64_t payload = 0;
  for (const Bytes part : parts) payload += part.size();
  if (!overflowed_.empty()) return;
  if (payload > kMaxPayloadBytes) {
    overflowed_ = "a piece of " + std::to_string(payload) + " bytes is longer than the " +
                  std::to_string(kMaxPayloadBytes) + " that a record holds";
    return;
  }
  if (record_bytes(payload) + kCommitRoom > room()) {
    overflowed_ = "a turn wrote more than the log has room for";
    return;
  }
  if (!in_transaction_) {
    in_transaction_ = true;
    put(RecordType::transaction_begin, 0, {as_bytes(TransactionBegin{time_ns_, epoch_})});
  }
  put(type, id, parts);
}

void LogWriter::append_bytes(RecordType type, std::uint64_t id, Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes piece = bytes.first(std::min<std::size_t>(bytes.size(), kMaxPayloadBytes));
    append(type, id, {piece});
    bytes = bytes.subspan(piece.size());
  }
}

bool LogWriter::append_whole(RecordType type, std::uint64_t id, Bytes bytes) {
  if (overflowed_.empty() && bytes.size() > longest_whole_bytes())
    overflowed_ = "a note or a saved state of " + std::to_string(bytes.size()) + " bytes is longer than the " +
                  std::to_string(longest_whole_bytes()) + " that one may have, a quarter of --log-size";
  while (bytes.size() > kMaxPayloadBytes && format_of(RecordType::part) <= format_ && overflowed_.empty()) {
    append(RecordType::part, id, {bytes.first(kMaxPayloadBytes)});
    bytes = bytes.subspan(kMaxPayloadBytes);
  }
  append(type, id, {bytes});
  return overflowed_.empty();
}

void LogWriter::abandon() {
  position_ = published_;
  in_transaction_ = false;
  overflowed_.clear();
}

void LogWriter::put_ring_marks(const WireMark& mark) {
  std::array<RingMark, kMostQueues> marks{};
  marks[0] = {mark.rx_index, mark.tx_index};
  for (std::uint32_t i = 0; i < mark.more_queues; ++i) marks[i + 1].rx_index = mark.more_rx_indices[i];
  const RingMarksPrefix prefix{1 + mark.more_queues, 0};
  put(RecordType::ring_marks, 0,
      {as_bytes(prefix), Bytes(reinterpret_cast<const std::uint8_t*>(marks.data()), prefix.queues * sizeof(RingMark))});
}

void LogWriter::publish(const WireMark& mark) {
  if (!in_transaction_) {
    in_transaction_ = true;
    put(RecordType::transaction_begin, 0, {as_bytes(TransactionBegin{time_ns_, epoch_})});
  }
  if (mark.more_queues != 0 && !TANDEM_PLANTED(queue_marks_unwritten)) put_ring_marks(mark);
  put(RecordType::commit, 0, {as_bytes(Commit{++transactions_, mark.rx_index, mark.tx_index})});
  largest_ = std::max(largest_, pending_bytes());
  in_transaction_ = false;
  TANDEM_STOP_POINT("publish.before");
  published_ = position_;
  shown_.store(position_, std::memory_order_release);
}

bool LogReader::fail(std::string what) {
  error_ = std::move(what) + " at log position " + std::to_string(position_);
  return false;
}

bool LogReader::next(std::uint64_t published, Record& record) {
  if (!error_.empty() || position_ == published) return false;
  if (published < position_ || published - position_ > bytes_ || published % 8 != 0) {
    return fail("the published position " + std::to_string(published) + " does not fit");
  }
  RecordHeader header;
  const std::uint8_t* at = ring_ + (position_ & (bytes_ - 1));
  std::memcpy(&header, at, sizeof header);
  const std::uint64_t length = header.length;
  if (length > kMaxPayloadBytes || record_bytes(length) > published - position_) {
    return fail("a record of " + std::to_string(length) + " bytes runs over its transaction");
  }
  record = {header.type, header.version, header.id, Bytes(at + sizeof header, length)};
  position_ += record_bytes(length);
  return true;
}

}  // namespace tandem::ha
