// SPDX-License-Identifier: BSD-3-Clause
#include "tap_device.hpp"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "interface.hpp"
#include "link_life.hpp"
#include "privileges.hpp"
#include "ring_device.hpp"
#include "tandem/loop.hpp"

namespace tandem {
namespace {

constexpr const char* kTunPath = "/dev/net/tun";
/// A predecessor's descriptor goes some milliseconds after its process.
constexpr std::uint64_t kBusyRetryNs = 2'000'000'000;
constexpr std::uint32_t kEthernetHeader = 14;

[[noreturn]] void fail(int error, const std::string& interface, const std::string& what) {
  auto kind = DeviceError::Kind::system;
  std::string advice;
  if (error == EPERM || error == EACCES) {
    kind = DeviceError::Kind::privilege;
    advice = privilege_advice(own_privileges(), std::array{Capability::net_admin}) +
             "; or have root make the interface for you: `ip tuntap add dev " + interface + " mode tap user USER`";
  } else if (error == ENOENT || error == ENODEV || error == ENXIO) {
    kind = DeviceError::Kind::unsupported;
    advice = "load the module (`modprobe tun`); in a container, pass /dev/net/tun in";
  } else if (error == EBUSY) {
    kind = DeviceError::Kind::busy;
    advice =
        "another process has this interface, or it is not a TAP interface; stop that process or choose another name";
  } else if (error == EINVAL) {
    kind = DeviceError::Kind::bad_option;
    advice = "the interface exists and is not a single-queue TAP interface; choose another name";
  }
  throw DeviceError(kind, what + ": " + std::strerror(error) + (advice.empty() ? "" : "; " + advice));
}

/// Waits so long for a predecessor to let go of it.
UniqueFd open_tap(const std::string& interface, std::uint64_t busy_retry_ns) {
  const std::string what = "opening TAP interface " + interface;
  const std::uint64_t deadline = monotonic_ns() + busy_retry_ns;
  while (true) {
    UniqueFd fd(::open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid()) fail(errno, interface, what + ": " + kTunPath);
    ifreq request{};
    std::memcpy(request.ifr_name, interface.data(), std::min(interface.size(), sizeof request.ifr_name - 1));
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (::ioctl(fd.get(), TUNSETIFF, &request) == 0) return fd;
    if (errno != EBUSY || monotonic_ns() >= deadline) fail(errno, interface, what);
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

class TapDevice final : public RingDevice<DeviceProbe> {
 public:
  TapDevice(AdoptionInfo info, WireMemory memory, UniqueFd tap, std::string warning)
      : RingDevice(memory.view(), memory.emulated_rings(), info.mac, info.mtu, {}, info.vlan),
        info_(std::move(info)),
        memory_(std::move(memory)),
        tap_(std::move(tap)),
        warning_(std::move(warning)),
        life_(info_.interface, false) {
    // No checksum is left unfinished for a TAP that has not asked for it (TUNSETOFFLOAD).
    follow_link();
  }

  void start() {
    rings_.start();
    refill();
  }

  [[nodiscard]] std::string description() const override { return "tap " + info_.interface; }
  [[nodiscard]] std::string warning() const override { return warning_ + mtu_warning_; }
  [[nodiscard]] std::vector<int> poll_fds() const override { return {tap_.get()}; }
  [[nodiscard]] bool rx_ready() override {
    if (!rings_.rx_ready() && rings_.active()) receive(1);
    return rings_.rx_ready();
  }

  [[nodiscard]] bool announce_after_adoption() const override { return true; }
  [[nodiscard]] std::vector<int> event_fds() const override { return {life_.fd()}; }
  [[nodiscard]] std::string link_reason() const override { return life_.reason(); }
  LinkChange look_at_link() override {
    const LinkChange change = life_.look();
    follow_link();
    return change;
  }
  /// The rings are our own memory, and stay.
  void reopen() override {
    UniqueFd tap = open_tap(info_.interface, 0);
    tap_ = std::move(tap);
    if (!look_at_interface(info_.interface).set_up) set_interface_up(info_.interface);
    lengthen_queue(info_.interface, info_.geometry.ring_entries);
    life_.bind();
    follow_link();
  }

  void give_back_memory() override { memory_.give_back(); }
  [[nodiscard]] std::vector<NamedDescriptor> descriptors() const override {
    return {{"tap", tap_.get()}, {"umem", memory_.umem_fd()}, {"wire", memory_.wire_fd()}};
  }
  [[nodiscard]] std::vector<std::uint8_t> adoption_info() const override { return info_.encode(); }

  void adopt(const WireMark* committed) override {
    complete_read();
    RingDevice::adopt(committed);
  }
  [[nodiscard]] DeviceStatistics statistics() override {
    DeviceStatistics statistics = RingDevice::statistics();
    statistics.rx_dropped = rx_dropped_;
    statistics.rx_too_large = rx_too_large_;
    statistics.tx_invalid += tx_refused_;
    return statistics;
  }

 protected:
  void receive(std::size_t most) override {
    const WireView view = memory_.view();
    const Rings& rings = rings_.rings();
    for (std::size_t i = 0; i < most; ++i) {
      const std::uint32_t index = load_acquire(rings.rx.producer);
      // With no frame or no entry left, frames wait in the TAP's own queue.
      if (rings.fill.ahead(load_acquire(rings.fill.producer), index) == 0 ||
          index - load_acquire(rings.rx.consumer) >= rings.rx.size)
        return;
      const std::uint64_t address = rings.fill.read(index) + kFrameHeadroom;
      if (!rings_.inside({address, view.geometry.capacity(), 0})) return;
      std::uint8_t* data = view.umem + address;
      if (load_acquire(&view.control->poisoned.value) != index + 1 || !is_poisoned(data)) {
        std::memcpy(data, view.control->poison.data(), view.control->poison.size());
        store_release(&view.control->poisoned.value, index + 1);
      }
      ssize_t bytes = 0;
      do bytes = ::read(tap_.get(), data, view.geometry.capacity());
      while (bytes < 0 && errno == EINTR);
      if (bytes <= 0) return;
      // What does not fit is cut off; the headers say whether anything was.
      if (static_cast<std::size_t>(bytes) == view.geometry.capacity() &&
          frame_length_from_headers({data, static_cast<std::size_t>(bytes)}) == 0) {
        ++rx_too_large_;
        continue;
      }
      rings.rx.at(index) = {address, static_cast<std::uint32_t>(bytes), 0};
      store_release(rings.rx.producer, index + 1);
    }
  }

  void transmit() override {
    const Rings& rings = rings_.rings();
    while (true) {
      const std::uint32_t index = load_acquire(rings.tx.consumer);
      if (rings.tx.ahead(load_acquire(rings.tx.producer), index) == 0) return;
      if (index - load_acquire(rings.completion.consumer) >= rings.completion.size) rings_.reap();
      if (index - load_acquire(rings.completion.consumer) >= rings.completion.size) return;
      const Descriptor descriptor = rings.tx.read(index);
      if (rings_.inside(descriptor)) {
        ssize_t bytes = 0;
        do bytes = ::write(tap_.get(), rings_.pool().data(descriptor.address), descriptor.length);
        while (bytes < 0 && errno == EINTR);
        if (bytes < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) return;
        if (bytes < 0) ++tx_refused_;  // the interface is down, say: lost as on any link
      } else {
        ++tx_refused_;
      }
      rings.completion.at(index) = descriptor.address;
      store_release(rings.tx.consumer, index + 1);
    }
  }

 private:
  void follow_link() {
    capabilities_.up = life_.is_up();
    const std::uint32_t largest_mtu = info_.geometry.capacity() - link_header_bytes(vlan_);
    if (life_.view().mtu != 0) capabilities_.mtu = std::min(life_.view().mtu, largest_mtu);
    mtu_warning_ = wider_than_frames(info_.interface, life_.view(), largest_mtu);
  }

  [[nodiscard]] bool is_poisoned(const std::uint8_t* data) const {
    const auto& poison = memory_.view().control->poison;
    return std::memcmp(data, poison.data(), poison.size()) == 0;
  }

  /// Step 3 of a read whose process died before it.
  void complete_read() {
    const WireView view = memory_.view();
    const Rings& rings = rings_.rings();
    const std::uint32_t index = load_acquire(rings.rx.producer);
    if (index == load_acquire(rings.fill.producer) || load_acquire(&view.control->poisoned.value) != index + 1) return;
    const std::uint64_t address = rings.fill.read(index) + kFrameHeadroom;
    if (!rings_.inside({address, view.geometry.capacity(), 0})) return;
    if (is_poisoned(view.umem + address)) return;
    const std::uint32_t length = frame_length_from_headers({view.umem + address, view.geometry.capacity()});
    if (length == 0) {  // nothing that the stack would have understood; the next read overwrites it
      ++rx_dropped_;
      return;
    }
    rings.rx.at(index) = {address, length, 0};
    store_release(rings.rx.producer, index + 1);
  }

  AdoptionInfo info_;
  WireMemory memory_;
  UniqueFd tap_;
  std::string warning_;
  LinkLife life_;
  std::uint64_t rx_dropped_ = 0, rx_too_large_ = 0, tx_refused_ = 0;
};

}  // namespace

MacAddress tap_default_mac(std::string_view group, std::string_view interface, const MacAddress& kernel_side) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;  // FNV-1a, 64 bits
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100'0000'01b3;
    hash = (hash ^ 0xff) * 0x100'0000'01b3;  // no text ends where the next begins
  };
  mix(group);
  mix(interface);
  MacAddress mac;
  mac.octets[0] = 0x02;  // locally administered, unicast
  for (std::size_t i = 1; i < mac.octets.size(); ++i) mac.octets[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  if (mac == kernel_side) mac.octets[5] ^= 1;
  return mac;
}

std::uint32_t frame_length_from_headers(std::span<const std::uint8_t> frame) {
  constexpr std::uint32_t kArp = 28, kIpv4Header = 20, kIpv6Header = 40;
  if (frame.size() < kEthernetHeader + kIpv6Header) return 0;
  if (is_tagged(frame)) {
    const std::uint32_t behind = frame_length_from_headers(frame.subspan(kVlanTagBytes));
    return behind == 0 ? 0 : behind + kVlanTagBytes;
  }
  const auto u16 = [&frame](std::size_t at) { return static_cast<std::uint32_t>(frame[at] << 8 | frame[at + 1]); };
  std::uint32_t length = 0;
  switch (u16(12)) {
    case 0x0806:
      length = kArp;
      break;
    case 0x0800:
      length = u16(kEthernetHeader + 2);
      if (frame[kEthernetHeader] >> 4 != 4 || length < kIpv4Header) return 0;
      break;
    case 0x86dd:
      length = kIpv6Header + u16(kEthernetHeader + 4);
      if (frame[kEthernetHeader] >> 4 != 6) return 0;
      break;
    default:
      return 0;
  }
  length += kEthernetHeader;
  return length <= frame.size() ? length : 0;
}

std::unique_ptr<Device> open_tap_device(const DeviceOptions& options) {
  const std::string& name = options.spec.interface;
  UniqueFd tap = open_tap(name, kBusyRetryNs);
  InterfaceInfo interface = interface_info(name);
  std::string warning;
  if (!interface.up && !set_interface_up(name))
    warning = "interface " + name + " is down and could not be set up; `ip link set dev " + name + " up` as root. ";

  // The usual thousand packets are less than one receive window: whoever is faster than a turn would lose what he may send.
  lengthen_queue(name, options.ring_entries);

  AdoptionInfo info;
  info.kind = DeviceSpec::Kind::tap;
  info.geometry = {options.frames, frame_bytes_for(interface.mtu), options.ring_entries};
  info.mtu = interface.mtu;
  info.vlan = options.spec.vlan;
  info.mac = options.mac.value_or(tap_default_mac(options.group, name, interface.mac));
  info.interface = name;
  if (info.mac == interface.mac)
    throw DeviceError(DeviceError::Kind::bad_option, "the given MAC address is the one of " + name +
                                                         " on the kernel's side, which would then take our frames "
                                                         "for its own; choose another one");
  if (info.geometry.frame_bytes == 0)
    throw DeviceError(DeviceError::Kind::unsupported, "the MTU of " + name + " is " + std::to_string(interface.mtu) +
                                                          ", and ours is at most " + std::to_string(kLargestMtu) +
                                                          "; `ip link set dev " + name + " mtu 9000`");
  if (const auto error = info.geometry.error(); !error.empty()) throw DeviceError(DeviceError::Kind::bad_option, error);
  auto device =
      std::make_unique<TapDevice>(info, WireMemory::create(info.geometry), std::move(tap), std::move(warning));
  device->start();
  return device;
}

std::unique_ptr<Device> attach_tap_device(const AdoptionInfo& info, std::span<const NamedDescriptor> descriptors) {
  UniqueFd tap = take_descriptor(descriptors, "tap");
  WireMemory memory =
      WireMemory::map(take_descriptor(descriptors, "umem"), take_descriptor(descriptors, "wire"), info.geometry);
  return std::make_unique<TapDevice>(info, std::move(memory), std::move(tap), std::string{});
}

}  // namespace tandem
