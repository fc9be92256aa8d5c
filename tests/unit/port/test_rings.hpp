// SPDX-License-Identifier: BSD-3-Clause
//
// Rings in a test's memory and the kernel's side of them. Like a driver, this kernel holds frames between the rings: those
// taken from the fill ring and not received into yet, and those taken from the TX ring and not completed yet.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <vector>

#include "wire_memory.hpp"
#include "wire_probe.hpp"

namespace tandem::test {

using Packet = std::vector<std::uint8_t>;

struct Crash {};

/// Throws at the n-th store, if armed.
struct CrashProbe {
  static constexpr bool active = true;
  void operator()(WireStep step) const {
    if (counter == nullptr) return;
    ++counter->stores;
    if (counter->stores == counter->stop_at) {
      counter->last = step;
      throw Crash{};
    }
  }
  struct Counter {
    std::size_t stores = 0;
    std::size_t stop_at = 0;  ///< 0 = never
    WireStep last = WireStep::adopt_store;
  };
  Counter* counter = nullptr;
};

class TestKernel {
 public:
  explicit TestKernel(const WireGeometry& geometry) : memory_(WireMemory::create(geometry)), geometry_(geometry) {
    fill_.resize(geometry.ring_entries);
    completion_.resize(geometry.ring_entries);
    rx_.resize(geometry.ring_entries);
    tx_.resize(geometry.ring_entries);
  }

  /// As fresh memory, without new memory files.
  void reset() {
    const WireView view = memory_.view();
    std::fill_n(view.words, geometry_.frames, 0u);
    view.control->fill_intent.value = view.control->tx_intent.value = 0;
    indices_ = {};
    receiving_.clear();
    sending_.clear();
    sent.clear();
    lost = 0;
  }

  [[nodiscard]] WireView view() const { return memory_.view(); }
  [[nodiscard]] Rings rings() {
    const std::uint32_t size = geometry_.ring_entries;
    return {{&indices_[0], &indices_[1], nullptr, fill_.data(), size},
            {&indices_[2], &indices_[3], nullptr, completion_.data(), size},
            {&indices_[4], &indices_[5], nullptr, rx_.data(), size},
            {&indices_[6], &indices_[7], nullptr, tx_.data(), size}};
  }

  /// Takes one frame from the fill ring, as a driver does ahead of a packet.
  bool take_fill() {
    const Ring<std::uint64_t> fill = rings().fill;
    if (*fill.consumer == *fill.producer) return false;
    receiving_.push_back(fill.at((*fill.consumer)++));
    return true;
  }
  /// A packet comes in, in as many frames as it takes. False when there were none, or no room for it.
  bool receive(const Packet& packet) {
    const Ring<Descriptor> rx = rings().rx;
    const std::size_t capacity = geometry_.capacity();
    const std::size_t pieces = (packet.size() + capacity - 1) / capacity;
    while (receiving_.size() < pieces && take_fill()) {
    }
    if (rx.size - (*rx.producer - *rx.consumer) < pieces || receiving_.size() < pieces) {
      ++lost;
      return false;
    }
    for (std::size_t at = 0; at < packet.size(); at += capacity) {
      const std::size_t length = std::min(capacity, packet.size() - at);
      const std::uint64_t address = receiving_.front() + kFrameHeadroom;
      receiving_.pop_front();
      std::memcpy(view().umem + address, packet.data() + at, length);
      rx.at(*rx.producer) = {address, static_cast<std::uint32_t>(length), at + length < packet.size() ? kContinued : 0};
      ++*rx.producer;
    }
    return true;
  }
  /// Takes one packet from the TX ring, once all of it is there. What it holds is what goes out.
  bool send() {
    const Ring<Descriptor> tx = rings().tx;
    std::uint32_t end = *tx.consumer;
    do {
      if (end == *tx.producer) return false;
    } while ((tx.at(end++).options & kContinued) != 0);
    sent.emplace_back();
    while (*tx.consumer != end) {
      const Descriptor descriptor = tx.at((*tx.consumer)++);
      const std::uint8_t* data = view().umem + descriptor.address;
      sent.back().insert(sent.back().end(), data, data + descriptor.length);
      sending_.push_back(descriptor.address);
    }
    return true;
  }
  bool complete() {
    const Ring<std::uint64_t> completion = rings().completion;
    if (sending_.empty() || *completion.producer - *completion.consumer >= completion.size) return false;
    completion.at((*completion.producer)++) = sending_.front();
    sending_.pop_front();
    return true;
  }
  [[nodiscard]] std::size_t in_hands() const { return receiving_.size() + sending_.size(); }

  std::vector<Packet> sent;
  std::size_t lost = 0;

 private:
  WireMemory memory_;
  WireGeometry geometry_;
  std::array<std::uint32_t, 8> indices_{};
  std::vector<std::uint64_t> fill_, completion_;
  std::vector<Descriptor> rx_, tx_;
  std::deque<std::uint64_t> receiving_, sending_;
};

/// A packet that no other is equal to.
inline Packet numbered_packet(std::uint32_t number) {
  Packet packet(60 + number % 97);
  for (std::size_t i = 0; i < packet.size(); ++i) packet[i] = static_cast<std::uint8_t>(number * 31 + i * 7);
  std::memcpy(packet.data(), &number, sizeof number);
  return packet;
}

/// One in three takes two or three frames of 2048 bytes.
inline Packet numbered_jumbo(std::uint32_t number) {
  Packet packet = numbered_packet(number);
  if (number % 3 == 0) packet.resize(1900 + number % 7 * 500, static_cast<std::uint8_t>(number));
  return packet;
}

}  // namespace tandem::test
