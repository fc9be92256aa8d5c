// SPDX-License-Identifier: BSD-3-Clause
//
// A BGP-4 speaker (RFC 4271) whose sessions outlive the process that carries them.
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>

#include "bgp_application.hpp"
#include "neighbor_check.hpp"
#include "tandem_cli/command_line.hpp"
#include "tandem_cli/run_node.hpp"

namespace {

using tandem::cli::UsageError;

tandem::bgp::Configuration configuration_of(const tandem::cli::CommandLine& command_line) {
  tandem::bgp::Configuration configuration;
  if (!command_line.has("as")) throw UsageError("--as is missing. Give this speaker's AS number, as in --as 65000");
  configuration.as = static_cast<std::uint32_t>(command_line.number("as", 0, 1, UINT32_MAX));
  const auto router_id =
      command_line.has("router-id") ? tandem::bgp::Address::parse(command_line.text("router-id")) : std::nullopt;
  if (!router_id || router_id->family != tandem::bgp::Family::ipv4) {
    throw UsageError("--router-id must be an IPv4 address, as in --router-id 192.0.2.1");
  }
  configuration.router_id = router_id->ipv4_number();
  for (const std::string& text : command_line.texts("neighbor")) {
    auto parsed = tandem::bgp::parse_neighbor(text);
    if (const auto* wrong = std::get_if<std::string>(&parsed))
      throw UsageError("--neighbor \"" + text + "\": " + *wrong);
    configuration.neighbors.push_back(std::get<tandem::bgp::NeighborConfiguration>(parsed));
  }
  for (const std::string& text : command_line.texts("network")) {
    const auto prefix = tandem::bgp::Prefix::parse(text);
    if (!prefix) {
      throw UsageError("--network \"" + text +
                       "\" is not PREFIX/LENGTH with no bits set behind the length, as in 198.51.100.0/24");
    }
    configuration.networks.push_back(*prefix);
  }
  configuration.export_all = command_line.flag("export-all");
  std::random_device random;
  configuration.seed = std::uint64_t{random()} << 32 | random();
  if (const std::string wrong = check(configuration); !wrong.empty()) throw UsageError(wrong);
  return configuration;
}

}  // namespace

int main(int argc, char** argv) {
  using tandem::cli::flag_option;
  using tandem::cli::text_option;
  using tandem::cli::texts_option;
  tandem::cli::CommandLine command_line("tandem-bgpd",
                                        "--device SPEC --address ADDR/LEN --as N --router-id ADDR [OPTION...]",
                                        "A BGP speaker whose sessions outlive its process.");
  command_line.add_options()("as", text_option("N"), "AS number of this speaker")("router-id", text_option("ADDR"),
                                                                                  "BGP identifier, an IPv4 address")(
      "neighbor", texts_option("TEXT"),
      "\"ADDR as=N [passive] [hold=SECONDS] [port=N] [max-prefix=N [restart=SECONDS]]\" (repeatable)")(
      "network", texts_option("PREFIX"), "announce PREFIX (repeatable)")(
      "export-all", flag_option(),
      "pass routes of external neighbors on to other external ones (default: none, RFC 8212)")("port", text_option("N"),
                                                                                               "listen here (179)");
  const tandem::NodeOptions options = command_line.parse_or_exit(argc, argv);
  const auto port = static_cast<std::uint16_t>(command_line.number_or_exit("port", 179, 1, 65535));
  tandem::bgp::Configuration configuration;
  try {
    configuration = configuration_of(command_line);
    const std::string wrong = tandem::bgpd::unreachable_neighbor(configuration, options);
    if (!wrong.empty()) throw UsageError(wrong);
  } catch (const UsageError& error) {
    return command_line.report(error);
  }
  // Each node has an application of its own: one that handed over and joins again starts anew.
  std::unique_ptr<tandem::bgpd::BgpApplication> application;
  return tandem::cli::run_node(options, [&](tandem::Node& node) {
    application = std::make_unique<tandem::bgpd::BgpApplication>(configuration, port);
    node.set_application(application.get());
  });
}
