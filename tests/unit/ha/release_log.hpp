// SPDX-License-Identifier: BSD-3-Clause
//
// A device that only remembers what was released.
#pragma once

#include <vector>

#include "tandem/device.hpp"

struct ReleaseLog final : tandem::Device {
  std::vector<std::uint32_t> released;

  tandem::MacAddress mac() const override { return {}; }
  tandem::LinkCapabilities capabilities() const override { return {}; }
  std::span<std::uint8_t> tx_reserve(std::uint32_t) override { return {}; }
  void tx_stage() override {}
  void rx_done(std::uint32_t) override {}
  std::string description() const override { return "release log"; }
  std::string warning() const override { return {}; }
  std::size_t rx_peek(std::span<tandem::RxFrame>) override { return 0; }
  bool rx_ready() override { return false; }
  tandem::WireMark mark() const override { return {}; }
  void tx_release(std::uint32_t tx_index) override { released.push_back(tx_index); }
  void rx_release() override {}
  void refill() override {}
  bool tx_pending() const override { return false; }
  void tx_kick() override {}
  std::vector<int> poll_fds() const override { return {}; }
  std::vector<int> event_fds() const override { return {}; }
  tandem::LinkChange look_at_link() override { return tandem::LinkChange::none; }
  std::string link_reason() const override { return {}; }
  void reopen() override {}
  std::vector<tandem::NamedDescriptor> descriptors() const override { return {}; }
  std::vector<std::uint8_t> adoption_info() const override { return {}; }
  void adopt(const tandem::WireMark*) override {}
  std::uint64_t adopted_packets() const override { return 0; }
  void observe_frames(tandem::FrameObserver) override {}
  void observe_adopted(std::function<void(tandem::Bytes)>) override {}
  bool adoption_sent() const override { return false; }
  bool adoption_is_exact() const override { return true; }
  bool announce_after_adoption() const override { return false; }
  void give_away() override {}
  void take_back() override {}
  void give_back_memory() override {}
  tandem::DeviceStatistics statistics() override { return {}; }
  tandem::FrameCensus census() override { return {}; }
};
