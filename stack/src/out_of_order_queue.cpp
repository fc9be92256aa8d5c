// SPDX-License-Identifier: BSD-3-Clause
#include "out_of_order_queue.hpp"

#include <algorithm>

namespace tandem {

namespace {

constexpr std::size_t kMaxPieces = 1U << 16;
/// Overlapping retransmissions are stored as they come, so the sum may exceed the window for a while.
constexpr std::size_t kOverlapFactor = 4;

bool before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

std::uint32_t end_of(const OutOfOrderPiece& piece) {
  return piece.seq + static_cast<std::uint32_t>(piece.bytes.size()) + (piece.fin ? 1U : 0U);
}

}  // namespace

bool OutOfOrderQueue::add(std::uint32_t seq, Bytes bytes, bool fin, std::size_t limit_bytes) {
  if (pieces_.size() >= kMaxPieces || bytes_ + bytes.size() > kOverlapFactor * limit_bytes) {
    return false;
  }
  pieces_.push_back({seq, fin, {bytes.begin(), bytes.end()}});
  bytes_ += bytes.size();
  return true;
}

bool OutOfOrderQueue::is_within(std::uint32_t rcv_nxt, std::uint32_t window_bytes) const {
  return std::all_of(pieces_.begin(), pieces_.end(), [&](const OutOfOrderPiece& piece) {
    return !before(rcv_nxt, piece.seq) || piece.seq - rcv_nxt <= window_bytes;
  });
}

void OutOfOrderQueue::trim(std::uint32_t rcv_nxt) {
  std::erase_if(pieces_, [&](const OutOfOrderPiece& piece) {
    const bool passed = !before(rcv_nxt, end_of(piece));
    bytes_ -= passed ? piece.bytes.size() : 0;
    return passed;
  });
}

void OutOfOrderQueue::clear() {
  pieces_.clear();
  bytes_ = 0;
}

std::vector<OutOfOrderPiece> OutOfOrderQueue::pieces(std::uint32_t rcv_nxt) const {
  auto sorted = pieces_;
  // By their distance, which orders them also when they lie further apart than sequence numbers can be compared.
  std::stable_sort(sorted.begin(), sorted.end(), [rcv_nxt](const auto& a, const auto& b) {
    return static_cast<std::int32_t>(a.seq - rcv_nxt) < static_cast<std::int32_t>(b.seq - rcv_nxt);
  });
  std::vector<OutOfOrderPiece> out;
  std::uint32_t next = rcv_nxt;
  for (auto& piece : sorted) {
    if (before(piece.seq, next)) {
      const auto covered = std::min<std::size_t>(next - piece.seq, piece.bytes.size());
      piece.bytes.erase(piece.bytes.begin(), piece.bytes.begin() + static_cast<std::ptrdiff_t>(covered));
      piece.seq += static_cast<std::uint32_t>(covered);
    }
    // A FIN may come without data, ahead of the data before it. One that data goes beyond does not count.
    if (piece.bytes.empty() && (!piece.fin || before(piece.seq, next))) {
      continue;
    }
    next = piece.seq + static_cast<std::uint32_t>(piece.bytes.size());
    const bool ends = piece.fin;
    out.push_back(std::move(piece));
    if (ends) {
      break;
    }
  }
  return out;
}

}  // namespace tandem
