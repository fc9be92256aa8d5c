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
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return before(a.seq, b.seq); });
  std::vector<OutOfOrderPiece> out;
  std::uint32_t next = rcv_nxt;
  for (auto& piece : sorted) {
    if (before(piece.seq, next)) {
      const auto covered = std::min<std::size_t>(next - piece.seq, piece.bytes.size());
      piece.bytes.erase(piece.bytes.begin(), piece.bytes.begin() + static_cast<std::ptrdiff_t>(covered));
      piece.seq += static_cast<std::uint32_t>(covered);
    }
    if (piece.bytes.empty() && (!piece.fin || piece.seq != next)) {
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
