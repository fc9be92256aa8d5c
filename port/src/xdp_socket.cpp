// SPDX-License-Identifier: BSD-3-Clause
#include "xdp_socket.hpp"

#include <linux/if_xdp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <xdp/xsk.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "privileges.hpp"
#include "tandem/loop.hpp"
#include "xdp_program.hpp"

namespace tandem {
namespace {

static_assert(sizeof(xdp_desc) == sizeof(Descriptor) && offsetof(xdp_desc, len) == offsetof(Descriptor, length));

/// In copy mode a sendto() sends 32 packets at most.
constexpr std::uint32_t kPacketsAKick = 32;

/// Pinned UMEM counts as locked memory for whoever lacks CAP_IPC_LOCK.
void raise_memlock_limit() {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) return;
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_MEMLOCK, &limit);
}

struct UmemDeleter {
  void operator()(xsk_umem* umem) const { xsk_umem__delete(umem); }
};
struct SocketDeleter {
  void operator()(xsk_socket* socket) const { xsk_socket__delete(socket); }
};

/// Whether `release` (`uname -r`) is of a kernel before `major`.`minor`.
bool is_before(const std::string& release, int major, int minor) {
  int its_major = 0, its_minor = 0;
  return std::sscanf(release.c_str(), "%d.%d", &its_major, &its_minor) == 2 &&
         (its_major < major || (its_major == major && its_minor < minor));
}

[[noreturn]] void fail(int error, const std::string& what, bool multi_buffer) {
  const Refusal refusal = why_refused(error, multi_buffer, kernel_release());
  const std::string said = take_bpf_complaints();
  throw DeviceError(refusal.kind, what + ": " + std::strerror(error) + (said.empty() ? "" : " (" + said + ")") +
                                      (refusal.advice.empty() ? "" : "; " + refusal.advice));
}

/// How many packets one call sends in copy mode. Before Linux 6.17 it is kPacketsAKick, and nobody is asked.
void set_packets_a_call(int fd, std::uint32_t packets) {
  constexpr int kMaxTxSkbBudget = 9;  // XDP_MAX_TX_SKB_BUDGET
  static_cast<void>(::setsockopt(fd, SOL_XDP, kMaxTxSkbBudget, &packets, sizeof packets));
}

/// Errors are negative error numbers, as libxdp's.
int try_open(const std::string& interface, std::uint32_t queue, const WireMemory& memory, bool zerocopy,
             bool multi_buffer, UniqueFd& fd) {
  const WireGeometry geometry = memory.view().geometry;
  xsk_umem_config umem_config{};
  umem_config.fill_size = umem_config.comp_size = geometry.ring_entries;
  umem_config.frame_size = geometry.frame_bytes;
  umem_config.frame_headroom = 0;
  xsk_ring_prod fill{}, tx{};
  xsk_ring_cons completion{}, rx{};
  xsk_umem* raw_umem = nullptr;
  if (const int result =
          xsk_umem__create(&raw_umem, memory.view().umem, geometry.umem_bytes(), &fill, &completion, &umem_config);
      result != 0)
    return result;
  const std::unique_ptr<xsk_umem, UmemDeleter> umem(raw_umem);

  xsk_socket_config config{};
  config.rx_size = config.tx_size = geometry.ring_entries;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;  // steering is our own program's
  constexpr std::uint16_t kUseSg = 1 << 4;                    // XDP_USE_SG, Linux 6.6
  config.bind_flags = static_cast<std::uint16_t>(XDP_USE_NEED_WAKEUP | (zerocopy ? XDP_ZEROCOPY : XDP_COPY) |
                                                 (multi_buffer ? kUseSg : 0));
  xsk_socket* raw_socket = nullptr;
  if (const int result = xsk_socket__create(&raw_socket, interface.c_str(), queue, umem.get(), &rx, &tx, &config);
      result != 0)
    return result;
  const std::unique_ptr<xsk_socket, SocketDeleter> socket(raw_socket);
  // The socket lives on in our descriptor. libxdp could not adopt it in another process, so its own mappings go, and both
  // processes map the rings in the same way.
  fd = UniqueFd::duplicate(xsk_socket__fd(socket.get()));
  set_packets_a_call(fd.get(), geometry.ring_entries);
  return fd.valid() ? 0 : -errno;
}

template <class Entry>
Mapping map_ring(int fd, Ring<Entry>& ring, const xdp_ring_offset& offset, std::uint64_t page_offset,
                 std::uint32_t entries) {
  Mapping mapping(fd, offset.desc + std::size_t{entries} * sizeof(Entry), page_offset);
  std::uint8_t* base = mapping.data();
  ring = {reinterpret_cast<std::uint32_t*>(base + offset.producer),
          reinterpret_cast<std::uint32_t*>(base + offset.consumer),
          reinterpret_cast<std::uint32_t*>(base + offset.flags), reinterpret_cast<Entry*>(base + offset.desc), entries};
  return mapping;
}

}  // namespace

std::string kernel_release() {
  utsname kernel{};
  return ::uname(&kernel) == 0 ? kernel.release : "";
}

bool maps_no_bound_rings(const std::string& release) { return is_before(release, 6, 4); }

std::string several_frames_advice(const std::string& release) {
  return (is_before(release, 6, 6)
              ? "packets of this MTU lie in several frames, which AF_XDP can from Linux 6.6 on, and this kernel is " +
                    release
              : std::string("this driver or mode may not take packets that lie in several frames (AF_XDP can from "
                            "Linux 6.6 on)")) +
         ": lower the MTU (`ip link set dev IFNAME mtu 3400`) or use a tap device (--device tap:IFNAME)";
}

Refusal why_refused(int error, bool multi_buffer, const std::string& release) {
  using Kind = DeviceError::Kind;
  switch (error) {
    case EPERM:
    case EACCES:
      return {Kind::privilege, privilege_advice(own_privileges(), std::array{Capability::net_raw})};
    case ENOBUFS:
    case ENOMEM:
      return {Kind::privilege, locked_memory_advice("use fewer frames (--frames)")};
    case EAFNOSUPPORT:
      return {Kind::unsupported,
              own_privileges().system_calls_filtered
                  ? "the seccomp filter that this process runs under forbids AF_XDP (systemd: name it in "
                    "RestrictAddressFamilies=), or this kernel has no AF_XDP"
                  : "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS): use a tap device"};
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
      return {Kind::unsupported,
              "use mode=auto, native or generic" + (multi_buffer ? "; " + several_frames_advice(release) : "")};
    case EBUSY:
      return {Kind::busy,
              "another process has an AF_XDP socket on this queue (`ss --xdp -p`): stop it or choose another queue"};
    case ENETDOWN:
      return {Kind::no_interface, "set the interface up (`ip link set dev IFNAME up`)"};
    case EINVAL:
      // An older kernel knows the flag no better than a wrong one.
      if (multi_buffer && is_before(release, 6, 6)) return {Kind::unsupported, several_frames_advice(release)};
      return {Kind::unsupported,
              "the queue may not exist (`ethtool -l IFNAME`), or the driver cannot use frames of this size" +
                  (multi_buffer ? "; " + several_frames_advice(release) : "")};
    default:
      return {Kind::system, {}};
  }
}

XdpSocket XdpSocket::open(const std::string& interface, std::uint32_t queue, const WireMemory& memory, bool zerocopy,
                          std::uint64_t busy_retry_ns, bool multi_buffer) {
  const std::string what = "opening an AF_XDP socket on " + interface + " queue " + std::to_string(queue) +
                           (zerocopy ? " with zero copy" : " in copy mode") +
                           (multi_buffer ? ", several frames a packet (Linux 6.6)" : "");
  raise_memlock_limit();
  const std::uint64_t deadline = monotonic_ns() + busy_retry_ns;
  while (true) {
    UniqueFd fd;
    const int result = try_open(interface, queue, memory, zerocopy, multi_buffer, fd);
    if (result == 0) return {std::move(fd), memory.view().geometry.ring_entries};
    if (result != -EBUSY || monotonic_ns() >= deadline) fail(-result, what, multi_buffer);
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

XdpSocket::XdpSocket(UniqueFd fd, std::uint32_t ring_entries) : fd_(std::move(fd)) {
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (::getsockopt(fd_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0 || length != sizeof offsets)
    throw DeviceError(DeviceError::Kind::system, std::string("asking where the rings of the AF_XDP socket are: ") +
                                                     std::strerror(errno) + "; Linux 5.4 or later is needed");
  try {
    mappings_[0] = map_ring(fd_.get(), rings_.fill, offsets.fr, XDP_UMEM_PGOFF_FILL_RING, ring_entries);
    mappings_[1] = map_ring(fd_.get(), rings_.completion, offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, ring_entries);
    mappings_[2] = map_ring(fd_.get(), rings_.rx, offsets.rx, XDP_PGOFF_RX_RING, ring_entries);
    mappings_[3] = map_ring(fd_.get(), rings_.tx, offsets.tx, XDP_PGOFF_TX_RING, ring_entries);
  } catch (const std::system_error& error) {
    // The rings of a socket whose interface was removed cannot be mapped any more; before Linux 6.4 those of any that is bound.
    const bool gone = error.code().value() == EBUSY;
    if (const std::string release = kernel_release(); gone && maps_no_bound_rings(release))
      throw DeviceError(
          DeviceError::Kind::unsupported,
          std::string("mapping the rings of the AF_XDP socket: this kernel (") + release +
              ") lets nobody map those of a socket that is in use, as a twin has to; Linux 6.4 does. Use a "
              "tap device (--device tap:IFNAME) or a newer kernel");
    throw DeviceError(gone ? DeviceError::Kind::no_interface : DeviceError::Kind::system,
                      std::string("mapping the rings of the AF_XDP socket: ") + error.what() +
                          (gone ? "; the interface that it was opened on has been removed" : ""));
  }
}

bool XdpSocket::is_zerocopy() const {
  xdp_options options{};
  socklen_t length = sizeof options;
  return ::getsockopt(fd_.get(), SOL_XDP, XDP_OPTIONS, &options, &length) == 0 &&
         (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

void XdpSocket::transmit() {
  const std::uint32_t most_kicks = rings_.tx.size / kPacketsAKick + 2;
  for (std::uint32_t kick = 0; kick < most_kicks; ++kick) {
    // Without the flag the driver is at work and sees the producer by itself.
    if ((load_acquire(rings_.tx.flags) & XDP_RING_NEED_WAKEUP) == 0) return;
    const std::uint32_t before = load_acquire(rings_.tx.consumer);
    if (before == load_acquire(rings_.tx.producer)) return;
    // Every error is the ring's to tell: what is not taken stays, tx_pending() says so and tx_kick() tries again.
    call();
    const std::uint32_t sent = load_acquire(rings_.tx.consumer) - before;
    if (sent == 0) return;
    tx_largest_call_ = std::max(tx_largest_call_, sent);
  }
}

void XdpSocket::kick() {
  if ((load_acquire(rings_.tx.flags) & XDP_RING_NEED_WAKEUP) == 0) return;
  set_packets_a_call(fd_.get(), kPacketsAKick);
  call();
  set_packets_a_call(fd_.get(), rings_.tx.size);
}

void XdpSocket::call() {
  ++tx_calls_;
  ::sendto(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
}

void XdpSocket::wake_receive() const {
  if ((load_acquire(rings_.fill.flags) & XDP_RING_NEED_WAKEUP) != 0)
    ::recvfrom(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

void XdpSocket::add_statistics(DeviceStatistics& statistics) const {
  xdp_statistics counted{};
  socklen_t length = sizeof counted;
  if (::getsockopt(fd_.get(), SOL_XDP, XDP_STATISTICS, &counted, &length) != 0) return;
  statistics.tx_calls += tx_calls_;
  statistics.tx_largest_call = std::max<std::uint64_t>(statistics.tx_largest_call, tx_largest_call_);
  statistics.rx_dropped += counted.rx_dropped;
  statistics.rx_invalid += counted.rx_invalid_descs;
  statistics.tx_invalid += counted.tx_invalid_descs;
  statistics.rx_ring_full += counted.rx_ring_full;
  statistics.rx_fill_empty += counted.rx_fill_ring_empty_descs;
}

}  // namespace tandem
