// SPDX-License-Identifier: BSD-3-Clause
#include "adoption_info.hpp"

#include <cerrno>
#include <cstring>

#include "vlan_tag.hpp"

namespace tandem {
namespace {

constexpr std::uint32_t kMagic = 0x4941'4454;  // "TDAI"
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kBytes = 56;
constexpr std::size_t kNameBytes = 16;

void put(std::vector<std::uint8_t>& out, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint32_t get(std::span<const std::uint8_t> in, std::size_t at, std::size_t bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= static_cast<std::uint32_t>(in[at + i]) << (8 * i);
  return value;
}

[[noreturn]] void refuse(const std::string& why) {
  throw DeviceError(DeviceError::Kind::bad_option, "reading what the primary says about its wire: " + why +
                                                       "; run the same version of the program on both sides");
}

}  // namespace

std::vector<std::uint8_t> AdoptionInfo::encode() const {
  std::vector<std::uint8_t> out(kBytes, 0);
  put(out, 0, kMagic, 4);
  put(out, 4, kVersion, 2);
  put(out, 6, kBytes, 2);
  put(out, 8, static_cast<std::uint64_t>(kind), 1);
  put(out, 9, static_cast<std::uint64_t>(mode), 1);
  put(out, 10, vlan, 2);
  put(out, 12, geometry.frames, 4);
  put(out, 16, geometry.frame_bytes, 4);
  put(out, 20, geometry.ring_entries, 4);
  put(out, 24, mtu, 4);
  put(out, 28, queue, 4);
  std::memcpy(&out[32], mac.octets.data(), mac.octets.size());
  put(out, 38, queues, 2);
  std::memcpy(&out[40], interface.data(), std::min(interface.size(), kNameBytes - 1));
  return out;
}

AdoptionInfo AdoptionInfo::decode(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kBytes || get(bytes, 0, 4) != kMagic) refuse("it is not such a description");
  if (get(bytes, 4, 2) != kVersion)
    refuse("it has version " + std::to_string(get(bytes, 4, 2)) + ", this program reads version " +
           std::to_string(kVersion));
  if (get(bytes, 6, 2) < kBytes || get(bytes, 6, 2) > bytes.size()) refuse("its length is wrong");
  if (bytes[8] > static_cast<std::uint8_t>(DeviceSpec::Kind::tap)) refuse("it has an unknown kind of device");
  if (bytes[9] > static_cast<std::uint8_t>(DeviceSpec::Mode::generic)) refuse("it has an unknown mode");
  AdoptionInfo info;
  info.kind = static_cast<DeviceSpec::Kind>(bytes[8]);
  info.mode = static_cast<DeviceSpec::Mode>(bytes[9]);
  info.vlan = static_cast<std::uint16_t>(get(bytes, 10, 2));
  if (info.vlan > kVlanMost) refuse("its VLAN is wrong");
  info.geometry = {get(bytes, 12, 4), get(bytes, 16, 4), get(bytes, 20, 4)};
  if (const auto error = info.geometry.error(); !error.empty()) refuse(error);
  info.mtu = get(bytes, 24, 4);
  if (info.mtu == 0 || info.mtu > kLargestMtu) refuse("its MTU is wrong");
  info.queue = get(bytes, 28, 4);
  info.queues = static_cast<std::uint16_t>(get(bytes, 38, 2));
  if (info.queues > kMostQueues) refuse("it has too many queues");
  std::memcpy(info.mac.octets.data(), &bytes[32], info.mac.octets.size());
  const auto* name = reinterpret_cast<const char*>(&bytes[40]);
  const std::size_t length = ::strnlen(name, kNameBytes);
  if (length == kNameBytes) refuse("the name of its interface does not end");
  info.interface.assign(name, length);
  return info;
}

UniqueFd take_descriptor(std::span<const NamedDescriptor> descriptors, std::string_view name) {
  for (const NamedDescriptor& descriptor : descriptors) {
    if (descriptor.name != name) continue;
    UniqueFd fd = UniqueFd::duplicate(descriptor.fd);
    if (!fd.valid())
      throw DeviceError(DeviceError::Kind::system,
                        "duplicating the passed descriptor \"" + std::string(name) + "\": " + std::strerror(errno));
    return fd;
  }
  throw DeviceError(
      DeviceError::Kind::bad_option,
      "the primary passed no descriptor \"" + std::string(name) +
          "\", without which its wire cannot be adopted; run the same version of the program on both sides");
}

}  // namespace tandem
