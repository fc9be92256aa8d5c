// SPDX-License-Identifier: BSD-3-Clause
#include "xdp_device.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "interface.hpp"
#include "link_life.hpp"
#include "packet_socket.hpp"
#include "receive_queues.hpp"
#include "ring_device.hpp"
#include "xdp_program.hpp"
#include "xdp_socket.hpp"

namespace tandem {
namespace {

using Mode = DeviceSpec::Mode;

/// The kernel takes none that is larger than a page.
constexpr std::uint32_t kLargestFrame = 4096;
/// Of a packet with its headers, where it may lie in several frames: an MTU of 9000 and somewhat more.
constexpr std::uint32_t kJumboBytes = 9216;
/// A predecessor's socket and program go 20 to 45 ms after its process.
constexpr std::uint64_t kBusyRetryNs = 2'000'000'000;

struct Attempt {
  Mode mode;
  const char* name;
};

std::vector<Attempt> attempts_for(Mode mode) {
  static constexpr std::array<Attempt, 3> kAll = {
      {{Mode::zerocopy, "native zero copy"}, {Mode::native, "native copy"}, {Mode::generic, "generic copy"}}};
  if (mode == Mode::automatic) return {kAll.begin(), kAll.end()};
  return {kAll[static_cast<std::size_t>(mode) - static_cast<std::size_t>(Mode::zerocopy)]};
}

/// How many are read; they are numbered from 0 then.
std::uint32_t queues_to_read(const DeviceSpec& spec, const InterfaceInfo& interface) {
  return spec.all_queues ? interface.queues : 1;
}

void check_queue(const DeviceSpec& spec, const InterfaceInfo& interface, std::string& warning) {
  if (spec.all_queues && interface.queues > kMostQueues)
    throw DeviceError(DeviceError::Kind::bad_option,
                      spec.interface + " has " + std::to_string(interface.queues) +
                          " receive queues, and we read at most " + std::to_string(kMostQueues) + "; `ethtool -L " +
                          spec.interface + " combined " + std::to_string(kMostQueues) + "`");
  if (spec.all_queues) return;
  if (spec.queue >= interface.queues)
    throw DeviceError(DeviceError::Kind::bad_option,
                      spec.interface + " has " + std::to_string(interface.queues) + " receive queue" +
                          (interface.queues == 1 ? "" : "s") + ", numbered from 0: there is no queue " +
                          std::to_string(spec.queue) + "; choose one of them with queue=N");
  if (interface.queues > 1)
    warning += spec.interface + " spreads what it receives over " + std::to_string(interface.queues) +
               " queues, and only queue " + std::to_string(spec.queue) +
               " is served: what the others get of ours is dropped; read all of them (queue=all), use one queue "
               "(`ethtool -L " +
               spec.interface + " combined 1`) or steer our traffic to this one (`ethtool -N`). ";
}

/// A tag that was taken off is handed over beside the frame, where no XDP program sees it.
void check_vlan(const DeviceSpec& spec, const InterfaceInfo& interface, DeviceError::Kind kind) {
  if (spec.vlan == 0 || !interface.strips_vlan_tags) return;
  throw DeviceError(kind,
                    spec.interface +
                        " takes VLAN tags off what it receives (rx-vlan-offload), and AF_XDP does not show which " +
                        "tag it was; `ethtool -K " + spec.interface + " rxvlan off`" +
                        (interface.is_virtual ? ", and `ethtool -K PEER txvlan off` at its other end" : ""));
}

struct Opened {
  XdpProgram program;
  XdpSocket socket;
  ReceiveQueues queues;
  Mode mode;
};

/// Whether packets of this size need several frames.
bool is_jumbo(std::uint32_t mtu, const WireGeometry& geometry) {
  return frame_bytes_for(mtu) == 0 || frame_bytes_for(mtu) > geometry.frame_bytes;
}
std::uint32_t largest_bytes(std::uint32_t mtu, const WireGeometry& geometry) {
  return is_jumbo(mtu, geometry) ? kJumboBytes : geometry.capacity();
}

/// Program and socket of one mode. The program comes first: some drivers bind only while one is attached.
Opened open_mode(const DeviceOptions& options, const InterfaceInfo& interface, const WireMemory& memory,
                 std::uint32_t mtu, Mode mode, std::uint64_t busy_retry_ns) {
  const DeviceSpec& spec = options.spec;
  const WireGeometry geometry = memory.view().geometry;
  const XdpFrames frames{largest_bytes(mtu, geometry), spec.vlan, is_jumbo(mtu, geometry)};
  XdpProgram program(spec.interface, interface, spec.queue, options.steering, mode != Mode::generic, busy_retry_ns,
                     frames);
  XdpSocket socket =
      XdpSocket::open(spec.interface, spec.queue, memory, mode == Mode::zerocopy, busy_retry_ns, frames.frags);
  const Mode got = mode == Mode::generic ? mode : socket.is_zerocopy() ? Mode::zerocopy : Mode::native;
  ReceiveQueues queues = ReceiveQueues::open(spec.interface, queues_to_read(spec, interface), geometry,
                                             got == Mode::zerocopy, frames.frags, busy_retry_ns);
  return {std::move(program), std::move(socket), std::move(queues), got};
}

/// The first mode that works, of those that were asked for.
Opened open_some_mode(const DeviceOptions& options, const InterfaceInfo& interface, const WireMemory& memory,
                      std::uint32_t mtu, std::uint64_t busy_retry_ns) {
  std::string tried;
  for (const Attempt& attempt : attempts_for(options.spec.mode)) {
    try {
      return open_mode(options, interface, memory, mtu, attempt.mode, busy_retry_ns);
    } catch (const DeviceError& error) {
      // Only what another mode may change is worth another try.
      if (error.kind() != DeviceError::Kind::unsupported) throw;
      tried += (tried.empty() ? "" : "; ") + std::string(attempt.name) + ": " + error.what();
    }
  }
  throw DeviceError(DeviceError::Kind::unsupported,
                    "opening " + options.spec.to_string() + " failed in every mode tried: " + tried);
}

PacketSocket open_packets(const DeviceOptions& options, const InterfaceInfo& interface) {
  PacketSocket::Options packets;
  packets.interface = options.spec.interface;
  packets.index = interface.index;
  packets.addresses = options.steering.addresses;
  packets.udp_ports = options.steering.udp_ports;
  packets.vlan = options.spec.vlan;
  if (options.mac && *options.mac != interface.mac) packets.unicast = options.mac;
  return PacketSocket::open(packets);
}

class XdpDevice final : public RingDevice<DeviceProbe> {
 public:
  XdpDevice(const DeviceOptions& options, AdoptionInfo info, WireMemory memory, XdpProgram program, XdpSocket socket,
            ReceiveQueues queues, PacketSocket packets, std::string warning)
      : RingDevice(memory.view(), socket.rings(), info.mac, info.mtu, {}, info.vlan),
        options_(options),
        info_(std::move(info)),
        memory_(std::move(memory)),
        program_(std::move(program)),
        socket_(std::move(socket)),
        queues_(std::move(queues)),
        packets_(std::move(packets)),
        warning_(std::move(warning)),
        life_(info_.interface, true) {
    capabilities_.unfinished_checksums = interface_info(info_.interface).is_virtual;
    allow_jumbo();
    follow_link();
  }

  /// The fill ring is filled before the first frame can come.
  void start() {
    rings_.start();
    refill();
    program_.set_socket(info_.queue, socket_.fd());
    queues_.start(program_);
  }

  [[nodiscard]] std::string description() const override {
    const char* mode = info_.mode == Mode::zerocopy ? "native zero copy"
                       : info_.mode == Mode::native ? "native copy"
                                                    : "generic copy";
    const std::string queue =
        queues_.empty() ? " queue " + std::to_string(info_.queue) : " queues 0 to " + std::to_string(queues_.size());
    return "xdp " + info_.interface + queue + ", " + mode + ", need_wakeup";
  }
  [[nodiscard]] std::string warning() const override { return warning_ + mtu_warning_; }
  [[nodiscard]] std::vector<int> poll_fds() const override {
    std::vector<int> fds{socket_.fd(), packets_.fd()};
    queues_.add_poll_fds(fds);
    return fds;
  }

  std::size_t rx_peek(std::span<RxFrame> frames) override {
    if (!rings_.active()) return 0;
    // What one queue has must not keep the others from being read.
    queues_first_ = !queues_first_ && !queues_.empty();
    std::size_t count = queues_first_ ? peek_queues(frames) : RingDevice::rx_peek(frames);
    count += queues_first_ ? RingDevice::rx_peek(frames.subspan(count)) : peek_queues(frames.subspan(count));
    const std::size_t copies = packets_.peek(frames.subspan(count));
    if (observer_)
      for (const RxFrame& frame : frames.subspan(count, copies)) observer_(frame.bytes, false);
    return count + copies;
  }
  [[nodiscard]] bool rx_ready() override {
    return RingDevice::rx_ready() || (rings_.active() && (packets_.ready() || queues_.ready()));
  }
  [[nodiscard]] WireMark mark() const override {
    WireMark mark = RingDevice::mark();
    queues_.add_to(mark);
    return mark;
  }
  void rx_done(std::uint32_t cookie) override {
    if (PacketSocket::owns(cookie)) return packets_.done(cookie);
    if (!ReceiveQueues::owns(cookie)) return RingDevice::rx_done(cookie);
    if (cookie >> kFrameBits == RingDevice::life_) queues_.done(cookie);
  }
  void rx_release() override {
    RingDevice::rx_release();
    queues_.release();
    if (rings_.active()) packets_.release();
  }
  void adopt(const WireMark* committed) override {
    RingDevice::adopt(committed);
    queues_.adopt(committed);
    packets_.adopt();
  }
  void give_away() override {
    RingDevice::give_away();
    queues_.stop();
  }
  void take_back() override {
    RingDevice::take_back();
    queues_.go_on();
  }
  [[nodiscard]] FrameCensus census() override {
    FrameCensus census = RingDevice::census();
    queues_.add_census(census);
    return census;
  }

  void refill() override {
    RingDevice::refill();
    if (rings_.active()) socket_.wake_receive();
    queues_.refill();
  }

  [[nodiscard]] std::vector<NamedDescriptor> descriptors() const override {
    std::vector<NamedDescriptor> all{{"xsk", socket_.fd()},       {"umem", memory_.umem_fd()},
                                     {"wire", memory_.wire_fd()}, {"link", program_.link_fd()},
                                     {"map", program_.map_fd()},  {"counters", program_.counters_fd()},
                                     {"packet", packets_.fd()}};
    queues_.add_descriptors(all);
    return all;
  }
  [[nodiscard]] std::vector<std::uint8_t> adoption_info() const override { return info_.encode(); }

  [[nodiscard]] std::vector<int> event_fds() const override { return {life_.fd()}; }
  [[nodiscard]] std::string link_reason() const override { return life_.reason(); }
  LinkChange look_at_link() override {
    const LinkChange change = life_.look();
    packets_.clear_error();
    follow_link();
    return change;
  }
  void reopen() override;

  void give_back_memory() override {
    memory_.give_back();
    queues_.give_back_memory();
  }

  [[nodiscard]] DeviceStatistics statistics() override {
    DeviceStatistics statistics = RingDevice::statistics();
    socket_.add_statistics(statistics);
    queues_.add_statistics(statistics);
    if (rings_.active()) statistics.rx_dropped += packets_.dropped();
    const XdpCounters steered = program_.counters();
    statistics.rx_no_socket = steered.no_socket;
    statistics.rx_too_large = steered.too_large;
    statistics.rx_other_vlan = steered.other_vlan;
    return statistics;
  }

 protected:
  void transmit() override { socket_.transmit(); }
  void kick() override { socket_.kick(); }

 private:
  std::size_t peek_queues(std::span<RxFrame> frames) {
    return queues_.peek(frames, [this](std::span<RxFrame> shown) {
      const std::size_t count = take_tags_off(shown, [this](std::uint32_t cookie) { queues_.done(cookie); });
      for (RxFrame& frame : shown.first(count)) frame.cookie |= RingDevice::life_ << kFrameBits;
      return count;
    });
  }
  void allow_jumbo() {
    if (!is_jumbo(info_.mtu, info_.geometry)) return;
    rings_.allow_jumbo(kJumboBytes);
    queues_.allow_jumbo(kJumboBytes);
  }
  void follow_link() {
    capabilities_.queues = 1 + queues_.size();
    capabilities_.up = life_.is_up();
    const std::uint32_t largest_mtu = largest_bytes(info_.mtu, info_.geometry) - link_header_bytes(vlan_);
    if (life_.view().mtu != 0) capabilities_.mtu = std::min(life_.view().mtu, largest_mtu);
    mtu_warning_ = wider_than_frames(info_.interface, life_.view(), largest_mtu);
    // Ours is the interface's own address unless another one was given.
    if (!options_.mac && capabilities_.up) mac_ = info_.mac = life_.view().mac;
  }

  DeviceOptions options_;
  AdoptionInfo info_;
  WireMemory memory_;
  XdpProgram program_;
  XdpSocket socket_;
  ReceiveQueues queues_;
  bool queues_first_ = false;
  PacketSocket packets_;
  std::string warning_;
  LinkLife life_;
  std::vector<WireMemory> kept_;  ///< of former lives, for frames that the stack still refers to
};

void XdpDevice::reopen() {
  const InterfaceInfo interface = interface_info(info_.interface);
  // Whoever has made it anew may be about to configure it.
  check_vlan(options_.spec, interface, DeviceError::Kind::busy);
  WireMemory memory = WireMemory::create(info_.geometry);
  Opened opened = open_some_mode(options_, interface, memory, info_.mtu, 0);
  PacketSocket packets = open_packets(options_, interface);
  if (rings_.held() != 0) kept_.push_back(std::move(memory_));
  queues_.keep_held(kept_);
  info_.mode = opened.mode;
  memory_ = std::move(memory);
  program_ = std::move(opened.program);
  socket_ = std::move(opened.socket);
  queues_ = std::move(opened.queues);
  if (options_.spec.all_queues) info_.queues = static_cast<std::uint16_t>(1 + queues_.size());
  packets_ = std::move(packets);
  renew_rings(memory_.view(), socket_.rings());
  allow_jumbo();
  life_.bind();
  capabilities_.unfinished_checksums = interface.is_virtual;
  follow_link();
  start();
}

}  // namespace

std::unique_ptr<Device> open_xdp_device(const DeviceOptions& options) {
  const DeviceSpec& spec = options.spec;
  const InterfaceInfo interface = interface_info(spec.interface);
  if (!interface.up)
    throw DeviceError(DeviceError::Kind::no_interface, "interface " + spec.interface +
                                                           " is down, and AF_XDP needs it up; `ip link "
                                                           "set dev " +
                                                           spec.interface + " up`");
  check_vlan(spec, interface, DeviceError::Kind::bad_option);
  std::string warning;
  check_queue(spec, interface, warning);
  if (options.mac && *options.mac != interface.mac && interface.one_address)
    warning += "frames for the given MAC address do not reach " + spec.interface +
               ", which takes none but its own: set the interface to that address. ";

  AdoptionInfo info;
  info.kind = DeviceSpec::Kind::xdp;
  info.geometry = {options.frames, std::min(frame_bytes_for(interface.mtu), kLargestFrame), options.ring_entries};
  info.mtu = interface.mtu;
  info.queue = spec.queue;
  info.vlan = spec.vlan;
  info.mac = options.mac.value_or(interface.mac);
  info.interface = spec.interface;
  constexpr std::uint32_t kWidest = kJumboBytes - link_header_bytes(1);
  if (interface.mtu > kWidest)
    throw DeviceError(DeviceError::Kind::unsupported, "the MTU of " + spec.interface + " is " +
                                                          std::to_string(interface.mtu) + ", and ours is at most " +
                                                          std::to_string(kWidest) + "; `ip link set dev " +
                                                          spec.interface + " mtu 9000`");
  if (const auto error = info.geometry.error(); !error.empty()) throw DeviceError(DeviceError::Kind::bad_option, error);
  WireMemory memory = WireMemory::create(info.geometry);

  Opened opened = open_some_mode(options, interface, memory, info.mtu, kBusyRetryNs);
  PacketSocket packets = open_packets(options, interface);
  info.mode = opened.mode;
  if (spec.all_queues) info.queues = static_cast<std::uint16_t>(1 + opened.queues.size());
  auto device =
      std::make_unique<XdpDevice>(options, info, std::move(memory), std::move(opened.program), std::move(opened.socket),
                                  std::move(opened.queues), std::move(packets), warning);
  device->start();
  return device;
}

std::unique_ptr<Device> attach_xdp_device(const DeviceOptions& options, const AdoptionInfo& info,
                                          std::span<const NamedDescriptor> descriptors) {
  WireMemory memory =
      WireMemory::map(take_descriptor(descriptors, "umem"), take_descriptor(descriptors, "wire"), info.geometry);
  XdpProgram program(take_descriptor(descriptors, "link"), take_descriptor(descriptors, "map"),
                     take_descriptor(descriptors, "counters"));
  XdpSocket socket(take_descriptor(descriptors, "xsk"), info.geometry.ring_entries);
  ReceiveQueues queues = ReceiveQueues::attach(info.queues, info.geometry, descriptors);
  PacketSocket packets(take_descriptor(descriptors, "packet"), info.vlan);
  return std::make_unique<XdpDevice>(options, info, std::move(memory), std::move(program), std::move(socket),
                                     std::move(queues), std::move(packets), std::string{});
}

}  // namespace tandem
