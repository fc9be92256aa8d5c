// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/options.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "tandem/addressing.hpp"

namespace tandem {
namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// Group names become directory names.
std::string group_name(std::string_view group) {
  const bool good = !group.empty() && group.size() <= 64 && group.front() != '.' &&
                    std::all_of(group.begin(), group.end(), [](unsigned char c) {
                      return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                    });
  if (!good) {
    throw OptionError("--group takes up to 64 letters, digits, '-', '_' and '.', the first not '.', not " +
                      quoted(group));
  }
  return std::string(group);
}

std::string absolute_path(std::string_view name, std::string_view value) {
  if (value.empty() || value.front() != '/')
    throw OptionError("--" + std::string(name) + " takes an absolute path, not " + quoted(value));
  return std::string(value);
}

bool flag_value(std::string_view name, std::string_view value) {
  for (const std::string_view yes : {"", "true", "yes", "on", "1"})
    if (value == yes) return true;
  for (const std::string_view no : {"false", "no", "off", "0"})
    if (value == no) return false;
  throw OptionError("--" + std::string(name) + " is a flag: true or false, not " + quoted(value));
}

void add_address(NodeOptions& options, std::string_view text) {
  const auto prefix = IpPrefix::parse(text);
  if (!prefix) {
    throw OptionError("--address takes ADDR/LEN, such as 192.0.2.1/24 or 2001:db8::1/64, not " + quoted(text));
  }
  if (prefix->address.is_any()) throw OptionError("--address " + quoted(text) + " is no address that a node can own");
  const auto same = [&](const IpPrefix& other) { return other.address == prefix->address; };
  if (std::any_of(options.addresses.begin(), options.addresses.end(), same))
    throw OptionError("--address " + prefix->address.to_string() + " is given twice");
  options.addresses.push_back(*prefix);
}

void add_gateway(NodeOptions& options, std::string_view text) {
  const auto gateway = IpAddress::parse(text);
  if (!gateway || gateway->is_any())
    throw OptionError("--gateway takes an address, such as 192.0.2.254 or 2001:db8::fe, not " + quoted(text));
  const auto same_version = [&](const IpAddress& other) { return other.version == gateway->version; };
  if (std::any_of(options.gateways.begin(), options.gateways.end(), same_version))
    throw OptionError("--gateway can be given once for IPv4 and once for IPv6; " + quoted(text) + " is one more");
  options.gateways.push_back(*gateway);
}

void set_mac(NodeOptions& options, std::string_view text) {
  options.device.mac = MacAddress::parse(text);
  if (!options.device.mac || (options.device.mac->octets[0] & 1U) != 0)
    throw OptionError("--mac takes a unicast link address, such as 02:00:00:00:00:0a, not " + quoted(text));
}

void set_device(NodeOptions& options, std::string_view text) {
  try {
    options.device.spec = DeviceSpec::parse(text);
  } catch (const std::invalid_argument& error) {
    throw OptionError("--device: " + std::string(error.what()));
  }
}

std::size_t power_of_two(std::string_view option, std::string_view text, std::uint64_t least, std::uint64_t most) {
  const std::uint64_t bytes = parse_bytes(option, text, least, most);
  if (!std::has_single_bit(bytes)) {
    throw OptionError(std::string(option) + " takes a power of two, such as " + format_bytes(std::bit_ceil(bytes)) +
                      ", not " + quoted(text));
  }
  return bytes;
}

struct Definition {
  CommonOption shown;
  void (*set)(NodeOptions&, std::string_view value);
};

/// The defaults in these texts are those of NodeOptions.
constexpr std::array kDefinitions{
    Definition{{"device", "SPEC",
                "xdp:IFNAME[,queue=N|all][,vlan=N][,mode=auto|zerocopy|native|generic] or tap:IFNAME[,vlan=N]"},
               set_device},
    Definition{{"mac", "ADDR",
                "link address; default: the interface's own for xdp, a stable locally administered one for tap"},
               set_mac},
    Definition{{"address", "ADDR/LEN", "address of this node, with its on-link prefix (repeatable)", true},
               add_address},
    Definition{{"gateway", "ADDR", "next hop for everything off-link (one an IP version)", true}, add_gateway},
    Definition{{"group", "NAME", "replication group; without it the process is unreplicated"},
               [](NodeOptions& options, std::string_view value) { options.group = group_name(value); }},
    Definition{{"runtime-dir", "DIR", "where the processes of a group find each other (/run/tandem)"},
               [](NodeOptions& options, std::string_view value) {
                 options.runtime_dir = absolute_path("runtime-dir", value);
               }},
    Definition{{"detect", "MS", "a primary that did not turn for this long is hung (50)"},
               [](NodeOptions& options, std::string_view value) {
                 options.detect_ms = static_cast<std::uint32_t>(parse_number("--detect", value, 10, 60'000));
               }},
    Definition{{"capture", "FILE", "write every frame to FILE, as pcapng"},
               [](NodeOptions& options, std::string_view value) { options.device.capture_path = value; }},
    Definition{{"spin", "US", "look for work this long before sleeping, microseconds (15; 0 = never)"},
               [](NodeOptions& options, std::string_view value) {
                 options.loop.spin_us = static_cast<std::uint32_t>(parse_number("--spin", value, 0, 1'000'000));
               }},
    Definition{{"spin-always", "", "never sleep: for a core of one's own"},
               [](NodeOptions& options, std::string_view value) {
                 options.loop.spin_always = flag_value("spin-always", value);
               }},
    Definition{
        {"twin-spin", "", "the twin watches for the primary's death without sleeping"},
        [](NodeOptions& options, std::string_view value) { options.twin_spins = flag_value("twin-spin", value); }},
    Definition{{"log-size", "BYTES", "shared-memory log, a power of two (64M)"},
               [](NodeOptions& options, std::string_view value) {
                 options.log_bytes = power_of_two("--log-size", value, 8 * kMiB, 16 * kGiB);
               }},
    Definition{{"send-queue", "BYTES", "send queue of a connection (4M)"},
               [](NodeOptions& options, std::string_view value) {
                 options.send_queue_bytes = parse_bytes("--send-queue", value, 16 * kKiB, kGiB);
               }},
    Definition{{"receive-window", "BYTES", "receive window of a connection (4M)"},
               [](NodeOptions& options, std::string_view value) {
                 options.receive_window_bytes = parse_bytes("--receive-window", value, 64 * kKiB, kGiB);
               }},
    Definition{{"neighbors", "N", "hosts on the link whose addresses are remembered, ARP and ND (4096)"},
               [](NodeOptions& options, std::string_view value) {
                 options.max_neighbours = parse_number("--neighbors", value, 16, 1'048'576);
               }},
    Definition{{"frames", "N", "frames of the device, a power of two (8192)"},
               [](NodeOptions& options, std::string_view value) {
                 options.device.frames = static_cast<std::uint32_t>(power_of_two("--frames", value, 256, 1024 * kKiB));
               }},
    Definition{{"no-mirror", "", "take no twin, for measuring what the mirror costs"},
               [](NodeOptions& options, std::string_view value) { options.mirror = !flag_value("no-mirror", value); }},
};

constexpr auto kShown = [] {
  std::array<CommonOption, kDefinitions.size()> shown{};
  for (std::size_t i = 0; i < shown.size(); ++i) shown[i] = kDefinitions[i].shown;
  return shown;
}();

const CommonOption* find_option(std::string_view name) {
  const auto found = std::find_if(kShown.begin(), kShown.end(), [&](const auto& item) { return item.name == name; });
  return found == kShown.end() ? nullptr : &*found;
}

/// One word of a command line that begins with two dashes, and its value, which may be the next word. Returns how many words
/// that were; 0: no common option.
int read_option(NodeOptions& options, int argc, const char* const* argv, int at) {
  std::string_view name = argv[at];
  if (!name.starts_with("--")) return 0;
  name.remove_prefix(2);
  const std::size_t equals = name.find('=');
  const CommonOption* option = find_option(name.substr(0, equals));
  if (option == nullptr) return 0;
  if (equals != std::string_view::npos) {
    set_option(options, option->name, name.substr(equals + 1));
    return 1;
  }
  if (option->placeholder.empty()) {
    set_option(options, option->name, "true");
    return 1;
  }
  if (at + 1 >= argc)
    throw OptionError("--" + std::string(option->name) + " takes a value: " + std::string(option->placeholder));
  set_option(options, option->name, argv[at + 1]);
  return 2;
}

}  // namespace

std::span<const CommonOption> common_options() { return kShown; }

std::string common_options_help() {
  constexpr std::size_t kColumn = 28;
  std::string text;
  for (const CommonOption& option : kShown) {
    std::string line = "  --" + std::string(option.name);
    if (!option.placeholder.empty()) line += " " + std::string(option.placeholder);
    line.resize(std::max(line.size() + 1, kColumn), ' ');
    text += line + std::string(option.help) + "\n";
  }
  return text;
}

void set_option(NodeOptions& options, std::string_view name, std::string_view value) {
  const auto found = std::find_if(kDefinitions.begin(), kDefinitions.end(),
                                  [&](const Definition& item) { return item.shown.name == name; });
  if (found == kDefinitions.end()) throw OptionError("there is no option --" + std::string(name));
  found->set(options, value);
}

void finish_options(NodeOptions& options) {
  if (options.device.spec.interface.empty()) throw OptionError("--device is missing: xdp:IFNAME or tap:IFNAME");
  if (options.addresses.empty()) throw OptionError("--address is missing: a node needs at least one ADDR/LEN");
  if (const std::string error = addressing_error(options.addresses, options.gateways); !error.empty()) {
    // Without the gateways the addresses alone are to blame.
    throw OptionError((addressing_error(options.addresses, {}).empty() ? "--gateway: " : "--address: ") + error);
  }
  options.device.group = options.group;
  options.device.steering.addresses.clear();
  for (const IpPrefix& own : options.addresses) options.device.steering.addresses.push_back(own.address);
}

NodeOptions parse_options(int argc, const char* const* argv, std::vector<std::string>* rest) {
  const std::string name = argc > 0 ? argv[0] : "program";
  try {
    NodeOptions options;
    for (int at = 1; at < argc;) {
      if (std::string_view(argv[at]) == "--help") {
        std::cout << "Usage: " << name << " --device SPEC --address ADDR/LEN [OPTION...]\n\n" << common_options_help();
        std::exit(exit_code::kOk);
      }
      const int words = read_option(options, argc, argv, at);
      if (words == 0 && rest == nullptr)
        throw OptionError(quoted(argv[at]) + " belongs to no option; `" + name + " --help` lists them");
      if (words == 0) rest->emplace_back(argv[at]);
      at += std::max(words, 1);
    }
    finish_options(options);
    return options;
  } catch (const OptionError& error) {
    std::cerr << name << ": " << error.what() << "\n";
    std::exit(exit_code::kUsage);
  }
}

}  // namespace tandem
