// SPDX-License-Identifier: BSD-3-Clause
#include <net/if.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "tandem/device.hpp"
#include "vlan_tag.hpp"

namespace tandem {
namespace {

constexpr std::string_view kForm =
    "xdp:IFNAME[,queue=N|all][,vlan=N][,mode=auto|zerocopy|native|generic] or tap:IFNAME[,vlan=N]";

constexpr std::array<std::pair<DeviceSpec::Mode, std::string_view>, 4> kModes{{
    {DeviceSpec::Mode::automatic, "auto"},
    {DeviceSpec::Mode::zerocopy, "zerocopy"},
    {DeviceSpec::Mode::native, "native"},
    {DeviceSpec::Mode::generic, "generic"},
}};

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw std::invalid_argument("device \"" + std::string(text) + "\": " + why + "; accepted is " + std::string(kForm));
}

/// The rules of the kernel (dev_valid_name).
bool valid_interface(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  return std::none_of(name.begin(), name.end(),
                      [](unsigned char c) { return c == '/' || c == ':' || c == '%' || c <= ' ' || c == 0x7f; });
}

void parse_option(DeviceSpec& spec, std::string_view text, std::string_view option) {
  const std::size_t equals = option.find('=');
  const std::string_view key = option.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? std::string_view{} : option.substr(equals + 1);
  if (key == "queue") {
    spec.all_queues = value == "all";
    spec.queue = 0;
    if (spec.all_queues) return;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), spec.queue);
    if (error != std::errc{} || end != value.data() + value.size() || spec.queue > 65535)
      refuse(text, "the queue \"" + std::string(value) + "\" is not a number from 0 to 65535, nor \"all\"");
  } else if (key == "vlan") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), spec.vlan);
    if (error != std::errc{} || end != value.data() + value.size() || spec.vlan == 0 || spec.vlan > kVlanMost)
      refuse(text, "the VLAN \"" + std::string(value) + "\" is not a number from 1 to 4094");
  } else if (key == "mode") {
    const auto* mode =
        std::find_if(kModes.begin(), kModes.end(), [&](const auto& entry) { return entry.second == value; });
    if (mode == kModes.end()) refuse(text, "there is no mode \"" + std::string(value) + "\"");
    spec.mode = mode->first;
  } else {
    refuse(text, "there is no option \"" + std::string(key) + "\"");
  }
}

}  // namespace

DeviceSpec DeviceSpec::parse(std::string_view text) {
  DeviceSpec spec;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) refuse(text, "no kind stands in front of a colon");
  const std::string_view kind = text.substr(0, colon);
  if (kind == "xdp")
    spec.kind = Kind::xdp;
  else if (kind == "tap")
    spec.kind = Kind::tap;
  else
    refuse(text, "there is no kind \"" + std::string(kind) + "\"");

  std::string_view rest = text.substr(colon + 1);
  const std::size_t comma = rest.find(',');
  const std::string_view name = rest.substr(0, comma);
  if (!valid_interface(name))
    refuse(text, "\"" + std::string(name) + "\" is not an interface name of 1 to 15 characters");
  spec.interface = name;
  rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t next = std::min(rest.find(','), rest.size());
    const std::string_view option = rest.substr(0, next);
    if (spec.kind == Kind::tap && !option.starts_with("vlan=")) refuse(text, "a TAP device has no option but vlan=N");
    parse_option(spec, text, option);
    rest.remove_prefix(next);
  }
  return spec;
}

std::string DeviceSpec::to_string() const {
  const std::string in_vlan = vlan == 0 ? std::string() : ",vlan=" + std::to_string(vlan);
  if (kind == Kind::tap) return "tap:" + interface + in_vlan;
  std::string text = "xdp:" + interface;
  if (all_queues) text += ",queue=all";
  if (queue != 0) text += ",queue=" + std::to_string(queue);
  if (mode != Mode::automatic)
    for (const auto& [value, name] : kModes)
      if (value == mode) text += ",mode=" + std::string(name);
  return text + in_vlan;
}

}  // namespace tandem
