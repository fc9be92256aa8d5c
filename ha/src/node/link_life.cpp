// SPDX-License-Identifier: BSD-3-Clause
#include "node/link_life.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "node/group.hpp"
#include "node/node_error.hpp"

namespace tandem::ha {

namespace {

/// An interface that somebody else still has is tried again, at first at once and then seldom: a try costs milliseconds.
constexpr std::uint64_t kReopenFirst_ns = 20'000'000;
constexpr std::uint64_t kReopenLast_ns = 1'000'000'000;
/// How often it is looked whether something arrives that cannot be used.
constexpr std::uint64_t kDiagnoseEvery_ns = 1'000'000'000;

std::string vlan_advice(const DeviceSpec& device) {
  const std::string& name = device.interface;
  if (device.vlan == 0)
    return "frames that would be for us arrive on " + name +
           " with the tag of a VLAN, and are not taken; if we are to be in that VLAN, say so: --device " +
           device.to_string() + ",vlan=N";
  return "frames that would be for us arrive on " + name + " without the tag of VLAN " + std::to_string(device.vlan) +
         ", and are not taken; their sender is in no VLAN or in another one, or something takes the tags off: `ethtool "
         "-K " +
         name + " rxvlan off`, and at the other end of a veth `ethtool -K PEER txvlan off`";
}

}  // namespace

void LinkLife::watch() {
  for (const int fd : group_.device->event_fds()) {
    link_watches_.push_back(group_.process.loop().watch(fd, POLLIN, [this](short) { link_event_ = true; }));
  }
  link_event_ = true;  // it may have changed since it was opened
  link_was_up_ = true;
  link_mtu_ = group_.device->capabilities().mtu;
  say_warning();
}

void LinkLife::unwatch() {
  for (const Loop::WatchId id : std::exchange(link_watches_, {})) group_.process.loop().unwatch(id);
  watch_frames(false);
}

void LinkLife::watch_frames(bool wanted) {
  if (!wanted) {
    for (const Loop::WatchId id : std::exchange(frames_watches_, {})) group_.process.loop().unwatch(id);
  } else if (frames_watches_.empty()) {
    for (const int fd : group_.device->poll_fds()) frames_watches_.push_back(group_.process.loop().wake_on(fd, POLLIN));
  }
}

void LinkLife::look() {
  if (!link_event_ && (reopen_at_ns_ == 0 || group_.now_ns < reopen_at_ns_)) return;
  link_event_ = false;
  const LinkChange change = group_.device->look_at_link();
  if (group_.role != Role::twin) {
    if (change == LinkChange::returned && !reopen()) return;
    // The descriptor of an interface that has gone is ready for ever, and has nothing.
    if (change == LinkChange::gone) watch_frames(false);
  }
  const LinkCapabilities link = group_.device->capabilities();
  if (link.up != link_was_up_) {
    if (link.up)
      group_.log("the link is up again: " + group_.device->description());
    else
      group_.log("the link is down: " + group_.device->link_reason() + ". Connections wait.", LogLevel::warning);
  }
  if (link.mtu != link_mtu_) {
    group_.log(
        "the link's MTU is " + std::to_string(link.mtu) + " now, it was " + std::to_string(link_mtu_) +
            (link.mtu < link_mtu_ ? "; connections adapt" : "; connections that exist go on with the smaller one"),
        LogLevel::warning);
  }
  link_mtu_ = link.mtu;
  say_warning();
  const bool came_up = link.up && !link_was_up_;
  link_was_up_ = link.up;
  if (group_.stack) group_.stack->link_changed();
  if (came_up && group_.role != Role::twin) group_.device->tx_kick();
}

bool LinkLife::reopen() {
  // The twin has the rings of the interface that has gone; it joins again and gets the new ones.
  group_.primary.drop_twin("the interface was made anew, and opened again");
  try {
    group_.device->reopen();
  } catch (const DeviceError& error) {
    if (error.kind() != DeviceError::Kind::busy && error.kind() != DeviceError::Kind::no_interface)
      throw NodeError(exit_code::kNoInterface,
                      std::string("the interface is there again and cannot be opened: ") + error.what());
    reopen_pause_ns_ = std::clamp(2 * reopen_pause_ns_, kReopenFirst_ns, kReopenLast_ns);
    reopen_at_ns_ = group_.now_ns + reopen_pause_ns_;
    // What has only just gone is still in the way for some milliseconds.
    if (reopen_pause_ns_ == kReopenLast_ns && !std::exchange(said_not_open_, true))
      group_.log(
          std::string("the interface is there again and not open yet: ") + error.what() + ". Tried again every second",
          LogLevel::warning);
    return false;
  }
  reopen_at_ns_ = 0;
  reopen_pause_ns_ = 0;
  said_not_open_ = false;
  group_.primary.device_is_new();
  watch_frames(false);
  watch_frames(true);
  say_warning();
  return true;
}

void LinkLife::say_warning() {
  const std::string warning = group_.device->warning();
  if (warning.empty() || warning == said_warning_) return;
  said_warning_ = warning;
  group_.log(warning, LogLevel::warning);
}

void LinkLife::diagnose() {
  if (group_.now_ns - diagnosed_ns_ < kDiagnoseEvery_ns) return;
  const bool first = std::exchange(diagnosed_ns_, group_.now_ns) == 0;
  say_warning();
  const StackStatistics& seen = group_.stack->statistics();
  const std::string& name = group_.options.device.spec.interface;
  if (seen.unfinished_checksums != 0 && !std::exchange(said_unfinished_, true))
    group_.log(
        "packets arrive with unfinished checksums, as they do on a virtual link whose sender leaves them to hardware; "
        "they are "
        "taken as right (to have them verified: `ethtool -K PEER tx off` at the sending end)",
        LogLevel::info);
  if (seen.unfinished_refused != 0 && !std::exchange(said_refused_, true))
    group_.log(
        "packets for us are dropped: whoever sends them on " + name +
            " leaves their checksums to hardware that does not finish them; run `ethtool -K DEV tx off` at the sending "
            "end",
        LogLevel::warning);
  const DeviceStatistics device = group_.device->statistics();
  if (device.rx_too_large != 0 && !std::exchange(said_too_large_, true))
    group_.log(
        "frames for us arrive on " + name + " that are larger than ours hold, and are dropped: whoever sends them " +
            "leaves cutting them to hardware that is not there (`ethtool -K PEER tso off gso off` at the sending "
            "end; " +
            "mode=native does that by itself on a veth), or has a larger MTU than this link had when it was opened",
        LogLevel::warning);
  if (device.rx_other_vlan != 0 && !std::exchange(said_vlan_, true))
    group_.log(vlan_advice(group_.options.device.spec), LogLevel::warning);
  const std::uint64_t no_socket = device.rx_no_socket;
  // What came before the socket was there is no fault.
  if (first) no_socket_before_ = no_socket;
  if (no_socket != no_socket_before_ && !std::exchange(said_no_socket_, true))
    group_.log("frames for us arrive on other queues of " + name + " than queue " +
                   std::to_string(group_.options.device.spec.queue) +
                   ", and are dropped; read all queues (queue=all), use one queue (`ethtool -L " + name +
                   " combined 1`) or steer ours to this one (`ethtool -N`)",
               LogLevel::warning);
}

}  // namespace tandem::ha
