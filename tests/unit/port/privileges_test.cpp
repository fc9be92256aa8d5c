// SPDX-License-Identifier: BSD-3-Clause
#include "privileges.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <fstream>
#include <string>

using namespace tandem;

namespace {

constexpr std::array kNeeded{Capability::net_admin, Capability::bpf, Capability::perfmon};

std::uint64_t bits(std::initializer_list<Capability> held) {
  std::uint64_t value = 0;
  for (const Capability capability : held) value |= std::uint64_t{1} << static_cast<unsigned>(capability);
  return value;
}

bool says(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

}  // namespace

TEST_CASE("advice about privileges names what is missing, and nothing that is there") {
  const std::string all = privilege_advice({.effective = 0}, kNeeded);
  CHECK(says(all, "lacks CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON"));
  CHECK(says(all, "setcap cap_net_admin,cap_bpf,cap_perfmon+ep"));

  const std::string one = privilege_advice({.effective = bits({Capability::net_admin, Capability::bpf})}, kNeeded);
  CHECK(says(one, "lacks CAP_PERFMON:"));
  CHECK_FALSE(says(one, "CAP_BPF"));
  CHECK_FALSE(says(one, "CAP_NET_ADMIN"));
}

TEST_CASE("when no capability is missing, advice says what else may forbid it") {
  const std::uint64_t held = bits({Capability::net_admin, Capability::bpf, Capability::perfmon});
  CHECK(says(privilege_advice({.effective = held}, kNeeded), "SELinux"));
  CHECK(says(privilege_advice({.effective = held, .system_calls_filtered = true}, kNeeded), "seccomp"));
  CHECK(says(privilege_advice({.effective = held, .first_user_namespace = false}, kNeeded), "user namespace"));
  for (const bool filtered : {false, true})
    CHECK_FALSE(says(privilege_advice({.effective = held, .system_calls_filtered = filtered}, kNeeded), "lacks"));
}

TEST_CASE("a process knows its own capabilities as the kernel tells them") {
  std::ifstream status("/proc/thread-self/status");
  std::string key;
  std::uint64_t effective = 0;
  while (status >> key && key != "CapEff:") std::getline(status, key);
  REQUIRE(status >> std::hex >> effective);
  CHECK(own_privileges().effective == effective);
}
