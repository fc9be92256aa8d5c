// SPDX-License-Identifier: BSD-3-Clause
//
// What the devices have in common: a wire's rings and frames, driven as the Device interface says. A device adds how frames
// get into the RX ring (receive) and out of the TX ring (transmit).
#pragma once

#include <cstring>
#include <utility>

#include "vlan_tag.hpp"
#include "wire_rings.hpp"

namespace tandem {

template <class Probe>
class RingDevice : public Device {
 public:
  RingDevice(const WireView& view, const Rings& rings, MacAddress mac, std::uint32_t mtu, Probe probe = {},
             std::uint16_t vlan = 0)
      : rings_(view, rings, probe), mac_(mac), vlan_(vlan) {
    capabilities_.mtu = mtu;
  }

  [[nodiscard]] MacAddress mac() const override { return mac_; }
  [[nodiscard]] LinkCapabilities capabilities() const override { return capabilities_; }
  [[nodiscard]] std::string warning() const override { return {}; }

  [[nodiscard]] std::vector<int> event_fds() const override { return {}; }
  LinkChange look_at_link() override { return LinkChange::none; }
  [[nodiscard]] std::string link_reason() const override { return {}; }
  void reopen() override {
    throw DeviceError(DeviceError::Kind::unsupported, "a " + description() + " does not come back");
  }

  std::span<std::uint8_t> tx_reserve(std::uint32_t bytes) override {
    if (vlan_ == 0) return rings_.tx_reserve(bytes);
    reserved_ = rings_.tx_reserve(bytes + kVlanTagBytes);
    return reserved_.empty() ? reserved_ : reserved_.subspan(kVlanTagBytes);
  }
  void tx_stage() override {
    if (!reserved_.empty()) put_tag(std::exchange(reserved_, {}), vlan_);
    rings_.tx_stage();
  }
  void rx_done(std::uint32_t cookie) override {
    if (cookie >> kFrameBits == life_) rings_.rx_done(cookie & kFrameMask);
  }

  std::size_t rx_peek(std::span<RxFrame> frames) override {
    if (rings_.active()) receive(frames.size());
    std::size_t count = 0;
    // As long as there are such that are none of ours, and no other.
    for (std::size_t shown = 1; count == 0 && shown != 0;) {
      shown = rings_.peek(frames);
      count = take_tags_off(frames.first(shown), [this](std::uint32_t frame) { rings_.rx_done(frame); });
    }
    if (life_ != 0)
      for (RxFrame& frame : frames.first(count)) frame.cookie |= life_ << kFrameBits;
    return count;
  }
  [[nodiscard]] bool rx_ready() override { return rings_.rx_ready(); }
  [[nodiscard]] WireMark mark() const override { return rings_.mark(); }
  void tx_release(std::uint32_t tx_index) override {
    if (observer_) rings_.for_each_staged(tx_index, [this](Bytes packet) { observer_(packet, true); });
    if (rings_.tx_release(tx_index) && capabilities_.up) transmit();
  }
  void rx_release() override { rings_.rx_release(); }
  void refill() override {
    rings_.reap();
    rings_.fill();
  }
  [[nodiscard]] bool tx_pending() const override { return capabilities_.up && rings_.tx_pending(); }
  void tx_kick() override {
    if (tx_pending()) transmit();
  }

  void adopt(const WireMark* committed) override {
    // Somebody waits: the first packet of what the dead owner left goes now, the others with the coming turns.
    adoption_sent_ = false;
    rings_.adopt(committed, adopted_observer_, [this] {
      kick();
      adoption_sent_ = true;
    });
  }
  void observe_frames(FrameObserver observer) override { observer_ = std::move(observer); }
  void observe_adopted(std::function<void(Bytes)> observer) override { adopted_observer_ = std::move(observer); }
  [[nodiscard]] std::uint64_t adopted_packets() const override { return rings_.adopted_packets(); }
  [[nodiscard]] bool adoption_sent() const override { return adoption_sent_; }
  [[nodiscard]] bool adoption_is_exact() const override { return true; }
  [[nodiscard]] bool announce_after_adoption() const override { return false; }
  void give_away() override { rings_.stop(); }
  void take_back() override { rings_.go_on(); }
  void give_back_memory() override {}

  [[nodiscard]] DeviceStatistics statistics() override {
    DeviceStatistics statistics = rings_.counters();
    statistics.frames_held = rings_.held();
    statistics.rx_other_vlan = rx_other_vlan_;
    return statistics;
  }
  [[nodiscard]] FrameCensus census() override { return rings_.census(); }

 protected:
  /// Other rings and frames from now on. What the stack still refers to in the old ones is nobody's when it comes back: the caller
  /// keeps that memory while there is any.
  void renew_rings(const WireView& view, const Rings& rings) {
    rings_ = WireRings<Probe>(view, rings);
    life_ = (life_ + 1) & kLifeMask;
    adoption_sent_ = false;
  }

  /// Moves up to `most` frames that arrived into the RX ring, where no kernel does it.
  virtual void receive(std::size_t most) { (void)most; }
  /// Gets what stands in the TX ring on its way.
  virtual void transmit() = 0;
  /// The same, as little as the device can do at once.
  virtual void kick() { transmit(); }

  WireRings<Probe> rings_;
  MacAddress mac_;
  LinkCapabilities capabilities_;
  std::string mtu_warning_;  ///< the interface takes larger packets than our frames do
  std::uint16_t vlan_;
  FrameObserver observer_;
  /// A cookie: the frame, above it in which life of the interface it came, and a bit that is free for frames of another kind.
  static constexpr std::uint32_t kFrameBits = 24;
  static constexpr std::uint32_t kFrameMask = (1U << kFrameBits) - 1;
  static constexpr std::uint32_t kLifeMask = 0x7f;
  std::uint32_t life_ = 0;
  /// Keeps those that are of our VLAN, in their order, and gives the others back. Who looks at frames has seen them as they came.
  template <class Done>
  std::size_t take_tags_off(std::span<RxFrame> frames, const Done& done) {
    if (observer_)
      for (const RxFrame& frame : frames) observer_(frame.bytes, false);
    std::size_t kept = 0;
    for (RxFrame& frame : frames) {
      const std::span<std::uint8_t> rest = untagged(frame.bytes, vlan_);
      if (rest.empty()) {
        const bool to_us = frame.bytes.size() >= mac_.octets.size() &&
                           std::memcmp(frame.bytes.data(), mac_.octets.data(), mac_.octets.size()) == 0;
        rx_other_vlan_ += to_us ? 1 : 0;
        done(frame.cookie);
        continue;
      }
      frames[kept++] = {rest, frame.cookie, frame.place};
    }
    return kept;
  }

 private:
  std::span<std::uint8_t> reserved_;  ///< in a VLAN: with the room for its tag
  std::uint64_t rx_other_vlan_ = 0;
  bool adoption_sent_ = false;
  std::function<void(Bytes)> adopted_observer_;
};

}  // namespace tandem
