// SPDX-License-Identifier: BSD-3-Clause
#include "link_life.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tandem {

LinkView look_at_interface(const std::string& name) {
  LinkView view;
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto ask = [&](unsigned long what, ifreq& request) {
    request = {};
    std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof request.ifr_name - 1));
    return fd.valid() && ::ioctl(fd.get(), what, &request) == 0;
  };
  ifreq request{};
  if (!ask(SIOCGIFINDEX, request)) return {};
  view.index = request.ifr_ifindex;
  if (!ask(SIOCGIFFLAGS, request)) return {};
  view.set_up = (request.ifr_flags & IFF_UP) != 0;
  view.running = (request.ifr_flags & IFF_RUNNING) != 0;
  if (!ask(SIOCGIFMTU, request)) return {};
  view.mtu = static_cast<std::uint32_t>(request.ifr_mtu);
  if (!ask(SIOCGIFHWADDR, request)) return {};
  std::memcpy(view.mac.octets.data(), request.ifr_hwaddr.sa_data, view.mac.octets.size());
  return view;
}

std::string wider_than_frames(const std::string& name, const LinkView& view, std::uint32_t largest_mtu) {
  if (view.mtu <= largest_mtu) return {};
  return name + " has an MTU of " + std::to_string(view.mtu) + ", and ours stays at " + std::to_string(largest_mtu) +
         ", which nothing is lost by: that is what the frames hold that were made when the group started, and a twin "
         "takes "
         "over as they are. To use all of it stop both processes (`tandemctl shutdown`, which ends the connections) "
         "and start "
         "them again. ";
}

LinkLife::LinkLife(std::string name, bool wants_running)
    : name_(std::move(name)),
      wants_running_(wants_running),
      fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (!fd_.valid() || ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw DeviceError(DeviceError::Kind::system,
                      "watching interface " + name_ + " over netlink: " + std::strerror(errno) +
                          "; in a sandbox, allow the address family AF_NETLINK (systemd: RestrictAddressFamilies=)");
  bind();
}

void LinkLife::bind() {
  view_ = look_at_interface(name_);
  bound_ = view_.index;
}

LinkChange LinkLife::look() {
  std::array<std::uint8_t, 8192> ignored;
  // A change while this goes on makes it readable once more; ENOBUFS says that there were too many, which is all the same.
  constexpr int kMost = 64;
  for (int i = 0; i < kMost; ++i) {
    if (::recv(fd_.get(), ignored.data(), ignored.size(), MSG_DONTWAIT) < 0 && errno != ENOBUFS && errno != EINTR)
      break;
  }
  const LinkView now = look_at_interface(name_);
  const LinkView before = std::exchange(view_, now);
  const bool was_bound = bound_ != 0;
  if (now.index != bound_) bound_ = 0;
  if (bound_ != 0) return now == before ? LinkChange::none : LinkChange::changed;
  if (now.index != 0 && (!wants_running_ || now.set_up)) return LinkChange::returned;
  return was_bound ? LinkChange::gone : LinkChange::none;
}

std::string LinkLife::reason() const {
  if (is_up()) return {};
  if (view_.index == 0)
    return "interface " + name_ + " has been removed; it is waited for until there is one of its name again";
  if (bound_ != view_.index) return "interface " + name_ + " has been removed and made anew, and is not open yet";
  if (!view_.set_up) return "interface " + name_ + " is down; `ip link set dev " + name_ + " up`";
  return "interface " + name_ + " has no carrier: its other end is down or unplugged";
}

}  // namespace tandem
