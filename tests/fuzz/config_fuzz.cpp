// SPDX-License-Identifier: BSD-3-Clause
//
// What people write: options, device and neighbour descriptions, addresses, numbers, configuration files. Everything is either
// taken, and then means the same when it is written back, or refused with a text that says something.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "bgp/configuration.hpp"
#include "input.hpp"
#include "require.hpp"
#include "tandem/address.hpp"
#include "tandem/device.hpp"
#include "tandem_cli/command_line.hpp"

namespace tandem::fuzz {
namespace {

template <typename T>
void survives_writing_back(const std::string& text) {
  const auto value = T::parse(text);
  if (!value) return;
  const auto again = T::parse(value->to_string());
  FUZZ_REQUIRE(again.has_value());
  FUZZ_REQUIRE(*again == *value);
}

void addresses(const std::string& text) {
  survives_writing_back<MacAddress>(text);
  survives_writing_back<IpAddress>(text);
  survives_writing_back<IpPrefix>(text);
  survives_writing_back<bgp::Address>(text);
  survives_writing_back<bgp::Prefix>(text);
}

void device(const std::string& text) {
  try {
    const DeviceSpec spec = DeviceSpec::parse(text);
    const DeviceSpec again = DeviceSpec::parse(spec.to_string());
    FUZZ_REQUIRE(again.kind == spec.kind && again.mode == spec.mode && again.queue == spec.queue &&
                 again.interface == spec.interface);
  } catch (const std::invalid_argument& error) {
    FUZZ_REQUIRE(error.what()[0] != '\0');
  }
}

void neighbors(Input& input) {
  bgp::Configuration configuration;
  configuration.as = input.u32();
  configuration.router_id = input.u32();
  for (std::size_t n = input.below(6); n > 0; --n) {
    const std::string text = input.text(80);
    const auto parsed = bgp::parse_neighbor(text);
    if (const auto* wrong = std::get_if<std::string>(&parsed)) {
      FUZZ_REQUIRE(!wrong->empty());
    } else {
      configuration.neighbors.push_back(std::get<bgp::NeighborConfiguration>(parsed));
      const auto& neighbor = configuration.neighbors.back();
      FUZZ_REQUIRE(neighbor.as != 0 && neighbor.port != 0 && neighbor.hold_time_s != 1 && neighbor.hold_time_s != 2);
    }
  }
  while (!input.empty() && configuration.networks.size() < 20)
    if (const auto network = bgp::Prefix::parse(input.text(50))) configuration.networks.push_back(*network);
  (void)bgp::check(configuration);
}

void numbers(Input& input) {
  const std::uint64_t least = input.u64() >> input.below(64), most = input.u64() >> input.below(64);
  const std::string text = input.rest_text();
  const auto refused_or = [](const auto& parse) {
    try {
      parse();
    } catch (const cli::UsageError& error) {
      FUZZ_REQUIRE(error.what()[0] != '\0');
    }
  };
  refused_or([&] {
    const auto value = cli::parse_number("--n", text, least, most);
    FUZZ_REQUIRE(value >= least && value <= most);
  });
  refused_or([&] {
    const auto value = cli::parse_bytes("--n", text, least, most);
    FUZZ_REQUIRE(value >= least && value <= most);
    FUZZ_REQUIRE(cli::parse_bytes("--n", cli::format_bytes(value), least, most) == value);
  });
  refused_or([&] {
    const auto value = cli::parse_seconds("--n", text, 0.001, 86400);
    FUZZ_REQUIRE(value >= 1'000'000 && value <= std::uint64_t{86400} * 1'000'000'000);
  });
}

/// A whole command line, and a file that --config names.
void command_lines(Input& input) {
  const int file = memfd_create("config", MFD_CLOEXEC);
  FUZZ_REQUIRE(file >= 0);
  const std::string content = input.text(2000);
  FUZZ_REQUIRE(write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  static constexpr std::string_view kWords[] = {"--device",
                                                "--mac",
                                                "--address",
                                                "--gateway",
                                                "--group",
                                                "--runtime-dir",
                                                "--detect",
                                                "--capture",
                                                "--spin",
                                                "--spin-always",
                                                "--log-size",
                                                "--send-queue",
                                                "--receive-window",
                                                "--frames",
                                                "--no-mirror",
                                                "--as",
                                                "--neighbor",
                                                "tap:t0",
                                                "xdp:e0,queue=1",
                                                "192.0.2.1/24",
                                                "2001:db8::1/64",
                                                "192.0.2.254",
                                                "64M",
                                                "50",
                                                "g",
                                                "true"};
  std::vector<std::string> words = {"fuzz", "--config=/proc/self/fd/" + std::to_string(file)};
  while (!input.empty() && words.size() < 40) {
    if (input.below(3) == 0) {
      std::string text = input.text(60);
      text.resize(std::min(text.size(), text.find('\0')));
      // These print, and say nothing about bad input.
      if (text != "--help" && text != "--version" && text != "--list-stop-points") words.push_back(std::move(text));
    } else {
      words.emplace_back(input.one_of(kWords));
    }
  }
  std::vector<const char*> arguments;
  for (const std::string& word : words) arguments.push_back(word.c_str());
  cli::CommandLine command_line("fuzz", "[OPTION...]", "Nothing.");
  command_line.add_options()("as", cli::text_option("N"), "")("neighbor", cli::texts_option("TEXT"), "");
  try {
    if (command_line.parse(static_cast<int>(arguments.size()), arguments.data())) {
      const NodeOptions options = command_line.node_options();
      FUZZ_REQUIRE(!options.addresses.empty());
      FUZZ_REQUIRE((options.log_bytes & (options.log_bytes - 1)) == 0);
      (void)command_line.number("as", 1, 1, UINT32_MAX);
    }
  } catch (const cli::UsageError& error) {
    FUZZ_REQUIRE(error.what()[0] != '\0');
  }
  close(file);
}

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::fuzz;
  Input input(data, size);
  switch (input.u8() % 5) {
    case 0:
      addresses(input.rest_text());
      break;
    case 1:
      device(input.rest_text());
      break;
    case 2:
      neighbors(input);
      break;
    case 3:
      numbers(input);
      break;
    default:
      command_lines(input);
  }
  return 0;
}
