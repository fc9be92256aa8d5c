// SPDX-License-Identifier: BSD-3-Clause
#include "packet_socket.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "packet_filter.hpp"
#include "privileges.hpp"
#include "ring.hpp"

namespace tandem {
namespace {

constexpr std::size_t kBlocks = 128;  ///< half a MiB

std::size_t block_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

[[noreturn]] void fail(const std::string& interface, const char* what) {
  const int error = errno;
  auto kind = DeviceError::Kind::system;
  std::string advice;
  if (error == EPERM || error == EACCES) {
    kind = DeviceError::Kind::privilege;
    advice = "; " + privilege_advice(own_privileges(), std::array{Capability::net_raw});
  } else if (error == EAFNOSUPPORT) {
    kind = DeviceError::Kind::unsupported;
    advice =
        "; a kernel with CONFIG_PACKET is needed, and in a sandbox the address family AF_PACKET "
        "(systemd: RestrictAddressFamilies=)";
  } else if (error == ENODEV || error == ENXIO) {
    kind = DeviceError::Kind::no_interface;
  }
  throw DeviceError(kind, std::string(what) + " the packet socket that takes what is sent to groups on " + interface +
                              ": " + std::strerror(error) + advice);
}

template <class Value>
void set(int fd, int level, int option, const Value& value, const std::string& interface) {
  if (::setsockopt(fd, level, option, &value, sizeof value) != 0) fail(interface, "setting up");
}

void join(int fd, int index, unsigned short kind, const MacAddress& address, const std::string& interface) {
  packet_mreq membership{};
  membership.mr_ifindex = index;
  membership.mr_type = kind;
  membership.mr_alen = static_cast<unsigned short>(address.octets.size());
  std::memcpy(membership.mr_address, address.octets.data(), address.octets.size());
  if (::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) != 0)
    fail(interface, "joining the link's groups with");
}

}  // namespace

PacketSocket PacketSocket::open(const Options& options) {
  // Protocol 0: nothing comes before it is bound, with the filter in place.
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) fail(options.interface, "opening");
  set(fd.get(), SOL_PACKET, PACKET_VERSION, int{TPACKET_V2}, options.interface);
  set(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, int{1}, options.interface);
  std::vector<sock_filter> code = packet_filter(options.udp_ports, options.vlan);
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  set(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, program, options.interface);
  tpacket_req request{};
  request.tp_block_size = static_cast<unsigned>(block_bytes());
  request.tp_block_nr = kBlocks;
  request.tp_frame_size = kSlotBytes;
  request.tp_frame_nr = static_cast<unsigned>(block_bytes() / kSlotBytes * kBlocks);
  set(fd.get(), SOL_PACKET, PACKET_RX_RING, request, options.interface);
  for (const MacAddress& group : link_groups(options.addresses))
    join(fd.get(), options.index, PACKET_MR_MULTICAST, group, options.interface);
  if (options.unicast) join(fd.get(), options.index, PACKET_MR_UNICAST, *options.unicast, options.interface);
  PacketSocket made(std::move(fd), options.vlan);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = options.index;
  if (::bind(made.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail(options.interface, "binding");
  return made;
}

PacketSocket::PacketSocket(UniqueFd fd, std::uint16_t vlan)
    : fd_(std::move(fd)),
      vlan_(vlan),
      ring_(fd_.get(), block_bytes() * kBlocks),
      slots_a_block_(static_cast<std::uint32_t>(block_bytes() / kSlotBytes)),
      slots_(static_cast<std::uint32_t>(slots_a_block_ * kBlocks)),
      buffers_(kBuffers) {
  // Or the count could not go on where its 32 bits end.
  assert((slots_ & (slots_ - 1)) == 0);
}

std::uint8_t* PacketSocket::slot(std::uint32_t index) const {
  const std::uint32_t place = index % slots_;
  return ring_.data() + place / slots_a_block_ * block_bytes() + place % slots_a_block_ * kSlotBytes;
}

bool PacketSocket::is_filled(std::uint32_t index) const {
  return (load_acquire(&reinterpret_cast<const tpacket2_hdr*>(slot(index))->tp_status) & TP_STATUS_USER) != 0;
}

std::uint32_t* PacketSocket::given_back() const {
  return reinterpret_cast<std::uint32_t*>(ring_.data() + block_bytes() - sizeof(std::uint32_t));
}

bool PacketSocket::ready() const {
  if (shown_ == kPerTurn) return false;
  return is_filled(next_) || (adopted_ && is_filled(next_ + 1));
}

std::size_t PacketSocket::peek(std::span<RxFrame> frames) {
  std::size_t count = 0;
  while (count < frames.size() && shown_ < kPerTurn) {
    // The kernel fills them in their order: one that is behind an empty one tells that the empty one was given back before its
    // owner could say so.
    if (adopted_ && !is_filled(next_) && is_filled(next_ + 1)) {
      store_release(given_back(), ++next_);
    }
    if (!is_filled(next_)) break;
    adopted_ = false;
    if (copy(slot(next_), frames[count])) frames[count++].place = {next_, kPacketSource};
    ++next_;
    ++shown_;
  }
  return count;
}

bool PacketSocket::copy(const std::uint8_t* slot, RxFrame& frame) {
  // The ring is shared with the twin: what stands there is believed as far as it can be true.
  const auto& header = *reinterpret_cast<const tpacket2_hdr*>(slot);
  // The kernel has taken the tag off, and says beside the frame which it was. One of VLAN 0 says no more than a priority.
  constexpr std::uint16_t kVlanId = 0xfff;
  const bool tagged = (load_acquire(&header.tp_status) & TP_STATUS_VLAN_VALID) != 0;
  if ((tagged ? header.tp_vlan_tci & kVlanId : 0) != vlan_) return false;
  const std::uint32_t bytes = load_acquire(&header.tp_snaplen);
  const std::uint32_t at = std::atomic_ref<std::uint16_t>(const_cast<tpacket2_hdr&>(header).tp_mac).load();
  const auto buffer = std::find_if(buffers_.begin(), buffers_.end(), [](const Buffer& one) { return !one.in_use; });
  if (bytes != load_acquire(&header.tp_len) || bytes > kSlotBytes || at + bytes > kSlotBytes ||
      buffer == buffers_.end()) {
    ++dropped_;
    return false;
  }
  std::memcpy(buffer->bytes.data(), slot + at, bytes);
  buffer->in_use = true;
  frame = {std::span(buffer->bytes).first(bytes), kCookie | static_cast<std::uint32_t>(buffer - buffers_.begin())};
  return true;
}

void PacketSocket::done(std::uint32_t cookie) {
  const std::uint32_t index = cookie & ~kCookie;
  if (index < buffers_.size()) buffers_[index].in_use = false;
}

void PacketSocket::release() {
  for (; shown_ != 0; --shown_) {
    const std::uint32_t index = next_ - shown_;
    store_release(&reinterpret_cast<tpacket2_hdr*>(slot(index))->tp_status, std::uint32_t{TP_STATUS_KERNEL});
    store_release(given_back(), index + 1);
  }
}

void PacketSocket::adopt() {
  next_ = load_acquire(given_back());
  shown_ = 0;
  adopted_ = true;
}

void PacketSocket::clear_error() const {
  int error = 0;
  socklen_t length = sizeof error;
  (void)::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
}

std::uint64_t PacketSocket::dropped() {
  tpacket_stats counted{};
  socklen_t length = sizeof counted;
  // Reading it sets it to zero.
  if (::getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &counted, &length) == 0) dropped_ += counted.tp_drops;
  return dropped_;
}

}  // namespace tandem
