// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/options.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <string>

using namespace tandem;

namespace {

NodeOptions finished(NodeOptions options) {
  finish_options(options);
  return options;
}

/// The least that makes a node.
NodeOptions least() {
  NodeOptions options;
  set_option(options, "device", "tap:t0");
  set_option(options, "address", "192.0.2.1/24");
  return options;
}

}  // namespace

TEST_CASE("an embedder's command line makes the node's options, and gives back what is not among them") {
  constexpr std::array argv{"program",     "--device=tap:t0", "--address",      "192.0.2.1/24", "--mine", "7",
                            "--twin-spin", "--address",       "2001:db8::1/64", "--group",      "edge"};
  std::vector<std::string> rest;
  const NodeOptions options = parse_options(static_cast<int>(argv.size()), argv.data(), &rest);
  CHECK(options.device.spec.interface == "t0");
  CHECK(options.addresses.size() == 2);
  CHECK(options.twin_spins);
  CHECK(options.group == "edge");
  CHECK(options.device.group == "edge");
  CHECK(options.device.steering.addresses.size() == 2);
  CHECK(rest == std::vector<std::string>{"--mine", "7"});
}

TEST_CASE("every common option can be set by its name, and help shows each") {
  const std::string help = common_options_help();
  for (const CommonOption& option : common_options()) {
    INFO(option.name);
    CHECK(help.find("--" + std::string(option.name) + " ") != std::string::npos);
    NodeOptions options;
    // Each refuses something that is no value of its kind, and none says that it does not exist.
    try {
      set_option(options, option.name, "?");
    } catch (const OptionError& error) {
      CHECK_THAT(error.what(), !Catch::Contains("there is no option"));
    }
  }
  NodeOptions options;
  CHECK_THROWS_WITH(set_option(options, "no-such", "1"), "there is no option --no-such");
}

TEST_CASE("a flag is set by standing there, and by the words for yes and no") {
  NodeOptions options = least();
  set_option(options, "no-mirror", "");
  CHECK_FALSE(options.mirror);
  set_option(options, "no-mirror", "false");
  CHECK(options.mirror);
  CHECK_THROWS_AS(set_option(options, "no-mirror", "maybe"), OptionError);
}

TEST_CASE("options that can never work together are refused before anything starts") {
  CHECK_THROWS_WITH(finished({}), Catch::Contains("--device is missing"));
  NodeOptions without_address;
  set_option(without_address, "device", "tap:t0");
  CHECK_THROWS_WITH(finished(without_address), Catch::Contains("--address is missing"));

  NodeOptions options = least();
  set_option(options, "gateway", "192.0.2.1");
  CHECK_THROWS_WITH(finished(options), Catch::Contains("--gateway: gateway 192.0.2.1 is an address of our own"));
  options = least();
  set_option(options, "gateway", "2001:db8::1");
  CHECK_THROWS_WITH(finished(options), Catch::Contains("no address of its IP version beside it"));
  options = least();
  set_option(options, "gateway", "198.51.100.1");
  CHECK_THROWS_WITH(finished(options), Catch::Contains("on none of our networks"));
  options = least();
  set_option(options, "address", "198.51.100.0/24");
  CHECK_THROWS_WITH(finished(options), Catch::Contains("--address: 198.51.100.0/24 names a network"));
  options = least();
  set_option(options, "gateway", "192.0.2.254");
  CHECK_NOTHROW(finished(options));
}
