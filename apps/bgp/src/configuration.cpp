// SPDX-License-Identifier: BSD-3-Clause
#include "bgp/configuration.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace tandem::bgp {

namespace {

constexpr std::uint32_t kMaxRestartS = 7 * 24 * 3600;
constexpr std::string_view kForm =
    "expected \"ADDR as=N [passive] [hold=SECONDS] [port=N] [max-prefix=N [restart=SECONDS]]\"";

std::string complain(std::string_view text, const std::string& what) {
  std::string sentence = "neighbor \"";
  sentence.append(text).append("\": ").append(what).append("; ").append(kForm);
  return sentence;
}

template <class T>
bool number(std::string_view digits, T& value) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} && end == digits.data() + digits.size() && !digits.empty();
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return words;
    const auto end = std::min(text.find_first_of(" \t", begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    text.remove_prefix(end);
  }
}

/// Empty: fine.
std::string set_option(NeighborConfiguration& neighbor, std::string_view word) {
  const auto equals = word.find('=');
  const auto key = word.substr(0, equals);
  const auto value = equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1);
  const std::string quoted = "\"" + std::string(word) + "\"";
  if (key == "passive") {
    if (equals != std::string_view::npos) return quoted + " takes no value";
    neighbor.passive = true;
    return {};
  }
  if (key == "as") {
    if (!number(value, neighbor.as) || neighbor.as == 0) return quoted + " is no AS number from 1 to 4294967295";
    return {};
  }
  if (key == "hold") {
    if (!number(value, neighbor.hold_time_s) || neighbor.hold_time_s == 1 || neighbor.hold_time_s == 2)
      return quoted + " is no hold time: 0 for none, or 3 to 65535 seconds";
    return {};
  }
  if (key == "port") {
    if (!number(value, neighbor.port) || neighbor.port == 0) return quoted + " is no port from 1 to 65535";
    return {};
  }
  if (key == "max-prefix") {
    if (!number(value, neighbor.max_prefix) || neighbor.max_prefix == 0)
      return quoted + " is no number of prefixes from 1 to 4294967295; leave it away for any number";
    return {};
  }
  if (key == "restart") {
    if (!number(value, neighbor.restart_s) || neighbor.restart_s > kMaxRestartS)
      return quoted + " is no time from 1 to 604800 seconds, nor 0 for never";
    return {};
  }
  return "unknown option " + quoted;
}

}  // namespace

Parsed<NeighborConfiguration> parse_neighbor(std::string_view text) {
  const auto words = words_of(text);
  if (words.empty()) return complain(text, "the address is missing");
  NeighborConfiguration neighbor;
  const auto address = Address::parse(words[0]);
  if (!address) return complain(text, "\"" + std::string(words[0]) + "\" is no IPv4 or IPv6 address");
  neighbor.address = *address;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto key = words[i].substr(0, words[i].find('='));
    for (std::size_t j = 1; j < i; ++j)
      if (words[j].substr(0, words[j].find('=')) == key)
        return complain(text, "\"" + std::string(key) + "\" is given twice");
    if (const auto what = set_option(neighbor, words[i]); !what.empty()) return complain(text, what);
  }
  if (neighbor.as == 0) return complain(text, "as=N is missing");
  const bool restarts = std::any_of(words.begin() + 1, words.end(), [](auto w) { return w.starts_with("restart="); });
  if (restarts && neighbor.max_prefix == 0)
    return complain(text, "restart=SECONDS says what follows max-prefix=N, which is missing");
  if (address->is_unspecified() || address->is_multicast())
    return complain(text, "nobody can be reached at this address");
  return neighbor;
}

std::string check(const Configuration& configuration) {
  if (configuration.as == 0) return "the own AS number is missing or 0; give one from 1 to 4294967295";
  if (configuration.router_id == 0) return "the router id is missing or 0.0.0.0; give an IPv4 address of this router";
  if (configuration.neighbors.size() >= std::numeric_limits<std::uint16_t>::max() - 1)
    return "too many neighbors; at most 65533";
  for (std::size_t i = 0; i < configuration.neighbors.size(); ++i) {
    const auto& n = configuration.neighbors[i];
    const std::string name = "neighbor " + n.address.to_string();
    if (n.as == 0) return name + ": its AS number is 0; give one from 1 to 4294967295";
    if (n.hold_time_s == 1 || n.hold_time_s == 2)
      return name + ": a hold time of 1 or 2 seconds is not allowed; give 0 or at least 3";
    for (std::size_t j = 0; j < i; ++j)
      if (configuration.neighbors[j].address == n.address) return name + " is configured twice; remove one";
  }
  auto networks = configuration.networks;
  std::sort(networks.begin(), networks.end());
  if (const auto twice = std::adjacent_find(networks.begin(), networks.end()); twice != networks.end())
    return "network " + twice->to_string() + " is configured twice; remove one";
  return {};
}

}  // namespace tandem::bgp
