// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/command_line.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>
#include <utility>

#ifdef TANDEM_STOP_POINTS
#include "tandem/stop_point.hpp"
#endif

namespace tandem::cli {

namespace po = boost::program_options;

namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr unsigned kHelpColumns = 110;

/// The library puts what was typed into its error messages and then replaces these words in them as long as it finds one:
/// for ever, when what was typed holds one.
void check_for_placeholders(std::string_view typed) {
  for (const std::string_view word :
       {"%original_token%", "%canonical_option%", "%option%", "%prefix%", "%value%", "%invalid_line%"}) {
    if (typed.find(word) != std::string_view::npos) {
      throw UsageError("'" + std::string(word) + "' cannot stand in an option");
    }
  }
}

/// Group names become directory names.
void check_group_name(const std::string& group) {
  const bool good = !group.empty() && group.size() <= 64 && group.front() != '.' &&
                    std::all_of(group.begin(), group.end(), [](unsigned char c) {
                      return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                    });
  if (!good) {
    throw UsageError("--group takes up to 64 letters, digits, '-', '_' and '.', the first not '.', not '" + group +
                     "'");
  }
}

std::vector<IpPrefix> parse_addresses(const std::vector<std::string>& texts) {
  std::vector<IpPrefix> addresses;
  for (const std::string& text : texts) {
    const auto prefix = IpPrefix::parse(text);
    if (!prefix) {
      throw UsageError("--address takes ADDR/LEN, such as 192.0.2.1/24 or 2001:db8::1/64, not '" + text + "'");
    }
    if (prefix->address.is_any()) throw UsageError("--address '" + text + "' is no address that a node can own");
    const auto same = [&](const IpPrefix& other) { return other.address == prefix->address; };
    if (std::any_of(addresses.begin(), addresses.end(), same)) {
      throw UsageError("--address " + prefix->address.to_string() + " is given twice");
    }
    addresses.push_back(*prefix);
  }
  return addresses;
}

std::vector<IpAddress> parse_gateways(const std::vector<std::string>& texts, const std::vector<IpPrefix>& addresses) {
  std::vector<IpAddress> gateways;
  for (const std::string& text : texts) {
    const auto gateway = IpAddress::parse(text);
    if (!gateway || gateway->is_any()) {
      throw UsageError("--gateway takes an address, such as 192.0.2.254 or 2001:db8::fe, not '" + text + "'");
    }
    const auto same_version = [&](const IpAddress& other) { return other.version == gateway->version; };
    if (std::any_of(gateways.begin(), gateways.end(), same_version)) {
      throw UsageError("--gateway can be given once for IPv4 and once for IPv6; '" + text + "' is one more");
    }
    const auto has_version = [&](const IpPrefix& own) { return own.address.version == gateway->version; };
    if (std::none_of(addresses.begin(), addresses.end(), has_version)) {
      throw UsageError("--gateway " + text + " has no --address of its IP version beside it");
    }
    gateways.push_back(*gateway);
  }
  return gateways;
}

std::size_t parse_power_of_two_bytes(const std::string& option, const std::string& text, std::uint64_t least,
                                     std::uint64_t most) {
  const std::uint64_t bytes = parse_bytes(option, text, least, most);
  if (!std::has_single_bit(bytes)) {
    throw UsageError(option + " takes a power of two, such as " + format_bytes(std::bit_ceil(bytes)) + ", not '" +
                     text + "'");
  }
  return bytes;
}

}  // namespace

po::typed_value<std::string>* text_option(const std::string& placeholder) {
  return po::value<std::string>()->value_name(placeholder);
}

po::typed_value<std::vector<std::string>>* texts_option(const std::string& placeholder) {
  return po::value<std::vector<std::string>>()->value_name(placeholder);
}

po::typed_value<bool>* flag_option() { return po::bool_switch(); }

CommandLine::CommandLine(std::string name, std::string usage, std::string summary, Common common)
    : name_(std::move(name)),
      usage_(std::move(usage)),
      summary_(std::move(summary)),
      own_("Options of " + name_, kHelpColumns),
      common_("Common options", kHelpColumns),
      only_command_line_("Only on the command line", kHelpColumns) {
  only_command_line_.add_options()                                                             //
      ("config", text_option("FILE"), "take options from FILE too: one `key = value` a line")  //
      ("help", flag_option(), "show this text and exit")                                       //
      ("version", flag_option(), "show the version and exit");
  if (common == Common::none) return;
#ifdef TANDEM_STOP_POINTS
  only_command_line_.add_options()("list-stop-points", flag_option(),
                                   "print the places at which TANDEM_STOP=NAME:COUNT kills the process, and exit");
#endif
  // The defaults in these texts are those of NodeOptions.
  common_.add_options()                                                                                          //
      ("device", text_option("SPEC"), "xdp:IFNAME[,queue=N][,mode=auto|zerocopy|native|generic] or tap:IFNAME")  //
      ("mac", text_option("ADDR"),
       "link address; default: the interface's own for xdp, a stable locally administered one for tap")     //
      ("address", texts_option("ADDR/LEN"), "address of this node, with its on-link prefix (repeatable)")   //
      ("gateway", texts_option("ADDR"), "next hop for everything off-link (one an IP version)")             //
      ("group", text_option("NAME"), "replication group; without it the process is unreplicated")           //
      ("runtime-dir", text_option("DIR"), "where the processes of a group find each other (/run/tandem)")   //
      ("detect", text_option("MS"), "a primary that did not turn for this long is hung (50)")               //
      ("capture", text_option("FILE"), "write every frame to FILE, as pcapng")                              //
      ("spin", text_option("US"), "look for work this long before sleeping, microseconds (15; 0 = never)")  //
      ("spin-always", flag_option(), "never sleep: for a core of one's own")                                //
      ("twin-spin", flag_option(), "the twin watches for the primary's death without sleeping")             //
      ("log-size", text_option("BYTES"), "shared-memory log, a power of two (64M)")                         //
      ("send-queue", text_option("BYTES"), "send queue of a connection (4M)")                               //
      ("receive-window", text_option("BYTES"), "receive window of a connection (4M)")                       //
      ("frames", text_option("N"), "frames of the device, a power of two (8192)")                           //
      ("no-mirror", flag_option(), "take no twin, for measuring what the mirror costs");
}

po::options_description_easy_init CommandLine::add_options() { return own_.add_options(); }

bool CommandLine::parse(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) check_for_placeholders(argv[i]);
  po::options_description all;
  all.add(own_).add(common_).add(only_command_line_);
  po::options_description words;
  words.add_options()("words", po::value<std::vector<std::string>>());
  all.add(words);
  po::positional_options_description positions;
  positions.add("words", -1);
  try {
    // An option that is cut short would change its meaning when another one with the same beginning comes.
    const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(argc, argv).options(all).positional(positions).style(style).run(), values_);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  if (flag("help")) {
    print_help();
    return false;
  }
  if (flag("version")) {
    std::cout << name_ << " " << TANDEM_VERSION << "\n";
    return false;
  }
#ifdef TANDEM_STOP_POINTS
  if (flag("list-stop-points")) {
    for (const std::string_view name : kStopPoints) std::cout << name << "\n";
    return false;
  }
#endif
  if (values_.count("words") != 0) words_ = values_["words"].as<std::vector<std::string>>();
  if (words_.size() > most_words_) {
    throw UsageError("'" + words_[most_words_] + "' belongs to no option");
  }
  if (has("config")) read_file(text("config"));
  return true;
}

NodeOptions CommandLine::parse_or_exit(int argc, const char* const* argv) {
  try {
    if (!parse(argc, argv)) std::exit(exit_code::kOk);
    return node_options();
  } catch (const UsageError& error) {
    std::exit(report(error));
  }
}

void CommandLine::read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError("--config: '" + path + "' cannot be read");
  po::options_description keys;
  keys.add(own_).add(common_);
  po::parsed_options found(&keys);
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    const std::string place = path + ":" + std::to_string(number) + ": ";
    const auto first = line.find_first_not_of(" \t\r");
    if (first != std::string::npos && line[first] == '[') {
      throw UsageError(place + "sections are not used here; write `key = value`");
    }
    try {
      check_for_placeholders(line);
      // Line by line, so that an error can name its line.
      std::istringstream one_line(line);
      for (auto& option : po::parse_config_file(one_line, keys).options) found.options.push_back(std::move(option));
    } catch (const std::exception& error) {
      throw UsageError(place + error.what());
    }
  }
  try {
    po::store(found, values_);
  } catch (const po::error& error) {
    throw UsageError(path + ": " + error.what());
  }
}

NodeOptions CommandLine::node_options() const {
  NodeOptions options;
  if (!has("device")) throw UsageError("--device is missing: xdp:IFNAME or tap:IFNAME");
  try {
    options.device.spec = DeviceSpec::parse(text("device"));
  } catch (const std::invalid_argument& error) {
    throw UsageError("--device: " + std::string(error.what()));
  }
  if (has("mac")) {
    options.device.mac = MacAddress::parse(text("mac"));
    if (!options.device.mac || (options.device.mac->octets[0] & 1U) != 0) {
      throw UsageError("--mac takes a unicast link address, such as 02:00:00:00:00:0a, not '" + text("mac") + "'");
    }
  }
  options.addresses = parse_addresses(texts("address"));
  if (options.addresses.empty()) throw UsageError("--address is missing: a node needs at least one ADDR/LEN");
  options.gateways = parse_gateways(texts("gateway"), options.addresses);
  if (has("group")) {
    options.group = text("group");
    check_group_name(options.group);
  }
  if (has("runtime-dir")) {
    options.runtime_dir = text("runtime-dir");
    if (options.runtime_dir.empty() || options.runtime_dir.front() != '/') {
      throw UsageError("--runtime-dir takes an absolute path, not '" + options.runtime_dir + "'");
    }
  }
  options.detect_ms = static_cast<std::uint32_t>(number("detect", options.detect_ms, 10, 60'000));
  if (has("capture")) options.device.capture_path = text("capture");
  options.loop.spin_us = static_cast<std::uint32_t>(number("spin", options.loop.spin_us, 0, 1'000'000));
  options.loop.spin_always = flag("spin-always");
  options.twin_spins = flag("twin-spin");
  if (has("log-size")) {
    options.log_bytes = parse_power_of_two_bytes("--log-size", text("log-size"), 8 * kMiB, 16 * kGiB);
  }
  if (has("send-queue")) {
    options.send_queue_bytes = parse_bytes("--send-queue", text("send-queue"), 16 * kKiB, kGiB);
  }
  if (has("receive-window")) {
    options.receive_window_bytes = parse_bytes("--receive-window", text("receive-window"), 64 * kKiB, kGiB);
  }
  if (has("frames")) {
    options.device.frames =
        static_cast<std::uint32_t>(parse_power_of_two_bytes("--frames", text("frames"), 256, 1024 * kKiB));
  }
  options.mirror = !flag("no-mirror");
  options.device.group = options.group;
  for (const IpPrefix& own : options.addresses) options.device.steering.addresses.push_back(own.address);
  return options;
}

bool CommandLine::has(const std::string& option) const {
  const auto found = values_.find(option);
  return found != values_.end() && !found->second.defaulted();
}

std::string CommandLine::text(const std::string& option) const {
  return has(option) ? values_[option].as<std::string>() : std::string();
}

std::vector<std::string> CommandLine::texts(const std::string& option) const {
  return has(option) ? values_[option].as<std::vector<std::string>>() : std::vector<std::string>();
}

bool CommandLine::flag(const std::string& option) const {
  const auto found = values_.find(option);
  return found != values_.end() && found->second.as<bool>();
}

std::uint64_t CommandLine::number(const std::string& option, std::uint64_t otherwise, std::uint64_t least,
                                  std::uint64_t most) const {
  return has(option) ? parse_number("--" + option, text(option), least, most) : otherwise;
}

std::uint64_t CommandLine::number_or_exit(const std::string& option, std::uint64_t otherwise, std::uint64_t least,
                                          std::uint64_t most) const {
  try {
    return number(option, otherwise, least, most);
  } catch (const UsageError& error) {
    std::exit(report(error));
  }
}

int CommandLine::report(const UsageError& error) const {
  std::cerr << name_ << ": " << error.what() << "\n" << name_ << ": `" << name_ << " --help` lists the options\n";
  return exit_code::kUsage;
}

void CommandLine::print_help() const {
  std::cout << "Usage: " << name_ << " " << usage_ << "\n\n" << summary_ << "\n\n";
  if (!own_.options().empty()) std::cout << own_ << "\n";
  if (!common_.options().empty()) std::cout << common_ << "\n";
  std::cout << only_command_line_;
  if (!epilogue_.empty()) std::cout << "\n" << epilogue_;
}

}  // namespace tandem::cli
