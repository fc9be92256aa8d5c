// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "gate/output_gate.hpp"
#include "release_log.hpp"

using namespace tandem;

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

TEST_CASE("the first packet behind a takeover goes by itself, once") {
  ReleaseLog device;
  ha::OutputGate gate(device);
  std::vector<std::size_t> out_after;
  gate.send_first_alone([&] { out_after.push_back(device.released.size()); });
  gate.close_turn(100, 0);
  gate.committed(100);
  CHECK(out_after.empty());  // that turn had no packet
  gate.close_turn(200, 4);
  gate.close_turn(300, 6);
  gate.committed(300);
  CHECK(device.released == std::vector<std::uint32_t>{0, 1, 4, 6});
  CHECK(out_after == std::vector<std::size_t>{2});
}
