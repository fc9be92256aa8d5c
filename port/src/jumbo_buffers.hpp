// SPDX-License-Identifier: BSD-3-Clause
//
// Where packets that lie in several frames are whole: memory of this process alone, which dies with it. The frames are what counts
// for an adopter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "ring.hpp"

namespace tandem {

class JumboBuffers {
 public:
  explicit JumboBuffers(std::uint32_t largest_bytes)
      : largest_(largest_bytes), memory_((kIncoming + 2) * std::size_t{largest_bytes}), users_(kIncoming, kNobody) {}

  [[nodiscard]] std::uint32_t largest() const { return largest_; }

  /// Room for a packet that came, until done(frame), its first one; empty when all are in use.
  [[nodiscard]] std::span<std::uint8_t> take(std::uint32_t frame) {
    for (std::size_t i = 0; i < kIncoming; ++i) {
      if (users_[i] != kNobody) continue;
      users_[i] = frame;
      ++in_use_;
      return buffer(i);
    }
    return {};
  }
  [[nodiscard]] bool is_full() const { return in_use_ == kIncoming; }
  void done(std::uint32_t frame) {
    if (in_use_ == 0) return;
    for (std::uint32_t& user : users_) {
      if (user != frame) continue;
      user = kNobody;
      --in_use_;
      return;
    }
  }

  /// A packet that is being written by the stack, and is not divided yet.
  std::span<std::uint8_t> outgoing;
  [[nodiscard]] std::span<std::uint8_t> reserve(std::uint32_t bytes) {
    return outgoing = buffer(kIncoming).first(bytes);
  }

  /// Puts the pieces of a packet that is in a ring together, for who looks at packets. True while there are more to come.
  bool collects(const Descriptor& piece, const std::uint8_t* bytes) {
    const bool more = (piece.options & kContinued) != 0;
    if (collected_ == 0 && !more) return false;
    if (piece.length <= largest_ - collected_) {
      std::memcpy(buffer(kIncoming + 1).data() + collected_, bytes, piece.length);
      collected_ += piece.length;
    }
    return more;
  }
  [[nodiscard]] std::span<const std::uint8_t> collected() { return buffer(kIncoming + 1).first(collected_); }
  [[nodiscard]] std::span<const std::uint8_t> take_collected() {
    const auto whole = collected();
    collected_ = 0;
    return whole;
  }

 private:
  static constexpr std::size_t kIncoming = 64;  ///< more wait in the ring
  static constexpr std::uint32_t kNobody = 0xffff'ffff;
  [[nodiscard]] std::span<std::uint8_t> buffer(std::size_t index) {
    return std::span(memory_).subspan(index * largest_, largest_);
  }

  std::uint32_t largest_;
  std::vector<std::uint8_t> memory_;
  std::vector<std::uint32_t> users_;  ///< first frame of the packet in each
  std::size_t in_use_ = 0;
  std::uint32_t collected_ = 0;
};

}  // namespace tandem
