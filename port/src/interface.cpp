// SPDX-License-Identifier: BSD-3-Clause
#include "interface.hpp"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string_view>

#include "tandem/device.hpp"
#include "unique_fd.hpp"

namespace tandem {
namespace {

UniqueFd control_socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid())
    throw DeviceError(DeviceError::Kind::system,
                      std::string("opening a socket to ask about interfaces: ") + std::strerror(errno));
  return fd;
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof request.ifr_name - 1));
  return request;
}

void ask(int fd, unsigned long what, ifreq& request, const std::string& name) {
  if (::ioctl(fd, what, &request) == 0) return;
  const int error = errno;
  if (error == ENODEV)
    throw DeviceError(DeviceError::Kind::no_interface,
                      "there is no network interface " + name + " in this network namespace; look at `ip link`");
  throw DeviceError(DeviceError::Kind::system, "asking about interface " + name + ": " + std::strerror(error));
}

}  // namespace

InterfaceInfo interface_info(const std::string& name) {
  const UniqueFd fd = control_socket();
  InterfaceInfo info;
  ifreq request = request_for(name);
  ask(fd.get(), SIOCGIFINDEX, request, name);
  info.index = request.ifr_ifindex;
  request = request_for(name);
  ask(fd.get(), SIOCGIFFLAGS, request, name);
  info.up = (request.ifr_flags & IFF_UP) != 0;
  request = request_for(name);
  ask(fd.get(), SIOCGIFMTU, request, name);
  info.mtu = static_cast<std::uint32_t>(request.ifr_mtu);
  request = request_for(name);
  ask(fd.get(), SIOCGIFHWADDR, request, name);
  std::memcpy(info.mac.octets.data(), request.ifr_hwaddr.sa_data, info.mac.octets.size());

  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  // Many drivers do not answer; they have one queue.
  if (::ioctl(fd.get(), SIOCETHTOOL, &request) == 0)
    info.queues = std::max(1u, channels.combined_count + channels.rx_count);
  ethtool_value flags{};
  flags.cmd = ETHTOOL_GFLAGS;
  request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&flags);
  if (::ioctl(fd.get(), SIOCETHTOOL, &request) == 0) info.strips_vlan_tags = (flags.data & ETH_FLAG_RXVLAN) != 0;
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&driver);
  if (::ioctl(fd.get(), SIOCETHTOOL, &request) == 0) {
    static constexpr std::string_view kVirtual[] = {"veth",   "macvlan", "macvtap", "ipvlan",     "ipvtap",
                                                    "bridge", "netkit",  "tun",     "virtio_net", "dummy"};
    const std::string_view name(driver.driver);
    info.one_address = name == "macvlan" || name == "ipvlan";
    info.is_virtual = std::find(std::begin(kVirtual), std::end(kVirtual), name) != std::end(kVirtual);
  }
  return info;
}

bool set_interface_up(const std::string& name) {
  const UniqueFd fd = control_socket();
  ifreq request = request_for(name);
  ask(fd.get(), SIOCGIFFLAGS, request, name);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

void lengthen_queue(const std::string& name, std::uint32_t packets) {
  const UniqueFd fd = control_socket();
  ifreq request = request_for(name);
  ask(fd.get(), SIOCGIFTXQLEN, request, name);
  if (request.ifr_qlen >= static_cast<int>(packets)) return;
  request.ifr_qlen = static_cast<int>(packets);
  ::ioctl(fd.get(), SIOCSIFTXQLEN, &request);
}

}  // namespace tandem
