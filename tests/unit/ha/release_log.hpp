// SPDX-License-Identifier: BSD-3-Clause
//
// A device that only remembers what was released.
#pragma once

#include <vector>

#include "tandem/device.hpp"

struct ReleaseLog final : tandem::Device {
  std::vector<std::uint32_t> released;

  tandem::MacAddress mac() const override { return {}; }
  std::uint32_t mtu() const override { return 1500; }
  std::span<std::uint8_t> tx_reserve(std::uint32_t) override { return {}; }
  void tx_stage() override {}
  void rx_done(std::uint32_t) override {}
  std::string description() const override { return "release log"; }
  std::size_t rx_peek(std::span<tandem::RxFrame>) override { return 0; }
  bool rx_ready() override { return false; }
  tandem::WireMark mark() const override { return {}; }
  void tx_release(std::uint32_t tx_index) override { released.push_back(tx_index); }
  void rx_release() override {}
  void refill() override {}
  int poll_fd() const override { return -1; }
  std::vector<tandem::NamedDescriptor> descriptors() const override { return {}; }
  std::vector<std::uint8_t> adoption_info() const override { return {}; }
  void adopt(const tandem::WireMark*) override {}
  void give_away() override {}
  void take_back() override {}
  tandem::DeviceStatistics statistics() override { return {}; }
  tandem::FrameCensus census() override { return {}; }
};
