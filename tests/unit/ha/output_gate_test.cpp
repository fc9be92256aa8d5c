// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "output_gate.hpp"

using namespace tandem;

namespace {

struct ReleaseLog final : Device {
  std::vector<std::uint32_t> released;

  MacAddress mac() const override { return {}; }
  std::uint32_t mtu() const override { return 1500; }
  std::span<std::uint8_t> tx_reserve(std::uint32_t) override { return {}; }
  void tx_stage() override {}
  void rx_done(std::uint32_t) override {}
  std::string description() const override { return "release log"; }
  std::size_t rx_peek(std::span<RxFrame>) override { return 0; }
  bool rx_ready() override { return false; }
  WireMark mark() const override { return {}; }
  void tx_release(std::uint32_t tx_index) override { released.push_back(tx_index); }
  void rx_release() override {}
  void refill() override {}
  int poll_fd() const override { return -1; }
  std::vector<NamedDescriptor> descriptors() const override { return {}; }
  std::vector<std::uint8_t> adoption_info() const override { return {}; }
  void adopt(const WireMark*) override {}
  void give_away() override {}
  DeviceStatistics statistics() override { return {}; }
  FrameCensus census() override { return {}; }
};

}  // namespace

TEST_CASE("nothing leaves before its transaction is committed, and then in order") {
  ReleaseLog device;
  ha::OutputGate gate(device);
  std::vector<int> answers;
  gate.hold_answer([&] { answers.push_back(1); });
  gate.close_turn(100, 3);
  gate.hold_answer([&] { answers.push_back(2); });
  gate.close_turn(200, 5);
  gate.close_turn(300, 9);
  CHECK(device.released.empty());
  CHECK(answers.empty());
  gate.committed(99);
  CHECK(device.released.empty());
  gate.committed(200);
  CHECK(device.released == std::vector<std::uint32_t>{3, 5});
  CHECK(answers == std::vector<int>{1, 2});
  CHECK(gate.holds_something());
  gate.committed(1000);
  CHECK(device.released == std::vector<std::uint32_t>{3, 5, 9});
  CHECK_FALSE(gate.holds_something());
}
