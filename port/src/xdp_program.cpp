// SPDX-License-Identifier: BSD-3-Clause
#include "xdp_program.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <time.h>
#include <xdp/libxdp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "../bpf/steer.h"
#include "privileges.hpp"
#include "steer.skel.h"
#include "tandem/loop.hpp"
#include "xdp_socket.hpp"

namespace tandem {
namespace {

thread_local std::string complaints;
constexpr std::size_t kMostComplaints = 2000;

void keep_complaint(const char* format, va_list arguments) {
  std::array<char, 512> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  if (complaints.size() < kMostComplaints) complaints += line.data();
}

int on_libbpf_print(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_WARN) keep_complaint(format, arguments);
  return 0;
}

int on_libxdp_print(enum libxdp_print_level level, const char* format, va_list arguments) {
  if (level == LIBXDP_WARN) keep_complaint(format, arguments);
  return 0;
}

struct SkeletonDeleter {
  void operator()(steer_bpf* skeleton) const { steer_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<steer_bpf, SkeletonDeleter>;

[[noreturn]] void fail(int error, const std::string& what, std::string advice) {
  auto kind = DeviceError::Kind::system;
  if (error == EPERM || error == EACCES) {
    kind = DeviceError::Kind::privilege;
    // Our program compares pointers into packets, which the verifier lets only those do who may also measure (PERFMON).
    static constexpr std::array kNeeded{Capability::net_admin, Capability::bpf, Capability::perfmon,
                                        Capability::net_raw};
    advice = privilege_advice(own_privileges(), kNeeded);
  } else if (error == EOPNOTSUPP) {
    kind = DeviceError::Kind::unsupported;
  }
  const std::string said = take_bpf_complaints();
  throw DeviceError(kind, what + ": " + std::strerror(error) + (said.empty() ? "" : " (" + said + ")") +
                              (advice.empty() ? "" : "; " + advice));
}

enum class Whose : std::uint8_t { ours, foreign, unknown };

/// Name and number of the program that is attached; empty when there is none. Whose it is takes CAP_SYS_ADMIN to know.
std::string attached_program(int interface_index, Whose& whose) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  whose = Whose::unknown;
  if (bpf_xdp_query(interface_index, 0, &query) != 0) return {};
  const std::uint32_t id = query.prog_id != 0       ? query.prog_id
                           : query.drv_prog_id != 0 ? query.drv_prog_id
                                                    : query.skb_prog_id;
  if (id == 0) return {};
  std::string text = "number " + std::to_string(id);
  const UniqueFd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  if (program.valid() && bpf_obj_get_info_by_fd(program.get(), &info, &length) == 0) {
    whose = std::strncmp(info.name, "tandem_steer", sizeof info.name) == 0 ? Whose::ours : Whose::foreign;
    text = std::string(info.name) + ", " + text;
  }
  return text;
}

steer_address map_key(const IpAddress& address) {
  steer_address key{};
  if (address.is_v6()) {
    std::memcpy(key.octets, address.octets.data(), 16);
  } else {
    key.octets[10] = key.octets[11] = 0xff;
    std::memcpy(key.octets + 12, address.octets.data(), 4);
  }
  return key;
}

void fill_ports(int map, std::uint32_t first_word, const std::vector<std::uint16_t>& ports) {
  std::array<std::uint64_t, STEER_PORT_WORDS> words{};
  for (const std::uint16_t port : ports) words[port / 64] |= std::uint64_t{1} << port % 64;
  for (std::uint32_t i = 0; i < words.size(); ++i) {
    const std::uint32_t key = first_word + i;
    if (words[i] != 0 && bpf_map_update_elem(map, &key, &words[i], BPF_ANY) != 0)
      fail(errno, "telling the XDP program which ports are ours", {});
  }
}

Skeleton load(std::uint32_t queue, const Steering& steering, const XdpFrames& frames) {
  libbpf_set_print(on_libbpf_print);
  libxdp_set_print(on_libxdp_print);
  (void)take_bpf_complaints();
  Skeleton skeleton(steer_bpf__open());
  if (!skeleton) fail(errno, "opening the XDP program", {});
  skeleton->rodata->all_tcp = steering.tcp_ports.empty() ? 1 : 0;
  skeleton->rodata->all_udp = steering.udp_ports.empty() ? 1 : 0;
  skeleton->rodata->largest = frames.largest;
  skeleton->rodata->vlan = frames.vlan;
  skeleton->rodata->frags = frames.frags ? 1 : 0;
  constexpr std::uint32_t kHasFrags = 1u << 5;  // BPF_F_XDP_HAS_FRAGS, Linux 5.18
  if (frames.frags) bpf_program__set_flags(skeleton->progs.tandem_steer, kHasFrags);
  if (queue >= bpf_map__max_entries(skeleton->maps.sockets))
    bpf_map__set_max_entries(skeleton->maps.sockets, queue + 1);
  if (const int result = steer_bpf__load(skeleton.get()); result != 0)
    fail(-result, "loading the XDP program into the kernel",
         "Linux 5.10 or later with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS "
         "is needed" +
             (frames.frags ? "; " + several_frames_advice(kernel_release()) : std::string()));
  if (steering.addresses.size() > STEER_MAX_ADDRESSES)
    throw DeviceError(DeviceError::Kind::bad_option, "the XDP program knows at most " +
                                                         std::to_string(STEER_MAX_ADDRESSES) + " addresses, not " +
                                                         std::to_string(steering.addresses.size()));
  for (const IpAddress& address : steering.addresses) {
    const steer_address key = map_key(address);
    const std::uint8_t yes = 1;
    if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.addresses), &key, &yes, BPF_ANY) != 0)
      fail(errno, "telling the XDP program which addresses are ours", {});
  }
  fill_ports(bpf_map__fd(skeleton->maps.ports), 0, steering.tcp_ports);
  fill_ports(bpf_map__fd(skeleton->maps.ports), STEER_PORT_WORDS, steering.udp_ports);
  return skeleton;
}

UniqueFd attach(int program, const std::string& interface, int interface_index, bool native,
                std::uint64_t busy_retry_ns) {
  const std::string what =
      "attaching our XDP program to " + interface + (native ? " in native mode" : " in generic mode");
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
  const std::uint64_t deadline = monotonic_ns() + busy_retry_ns;
  while (true) {
    UniqueFd link(bpf_link_create(program, interface_index, BPF_XDP, &options));
    if (link.valid()) return link;
    const int error = errno;
    Whose whose = Whose::unknown;
    if (error == EBUSY || error == EEXIST) {
      const std::string other = attached_program(interface_index, whose);
      if (whose != Whose::foreign && monotonic_ns() < deadline) {
        const timespec pause{0, 1'000'000};
        ::nanosleep(&pause, nullptr);
        continue;
      }
      throw DeviceError(
          DeviceError::Kind::busy,
          what + ": the interface has an XDP program already" + (other.empty() ? "" : " (" + other + ")") +
              (whose == Whose::ours ? "; another Tandem process owns this interface: stop it, or join its --group"
                                    : "; if it is another Tandem process's, stop that or join its --group; else detach "
                                      "it (`ip link set dev " +
                                          interface +
                                          " xdp off`, `bpftool net`), or choose "
                                          "another interface"));
    }
    if (error == EOPNOTSUPP || error == ERANGE || error == EINVAL || error == ENOTSUP)
      throw DeviceError(DeviceError::Kind::unsupported,
                        what + ": " + std::strerror(error) +
                            "; the driver cannot do it with this MTU or these offloads: "
                            "lower the MTU, switch LRO and GRO off (`ethtool -K " +
                            interface +
                            " lro off gro off`), or use "
                            "mode=generic");
    fail(error, what, {});
  }
}

}  // namespace

std::string take_bpf_complaints() {
  std::string text;
  text.swap(complaints);
  for (char& c : text)
    if (c == '\n') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

XdpProgram::XdpProgram(const std::string& interface, const InterfaceInfo& info, std::uint32_t queue,
                       const Steering& steering, bool native, std::uint64_t busy_retry_ns, const XdpFrames& frames) {
  const Skeleton skeleton = load(queue, steering, frames);
  map_ = UniqueFd::duplicate(bpf_map__fd(skeleton->maps.sockets));
  counters_ = UniqueFd::duplicate(bpf_map__fd(skeleton->maps.counters));
  if (!map_.valid() || !counters_.valid())
    fail(errno, "keeping the XDP program's maps", "raise the limit of open files");
  link_ = attach(bpf_program__fd(skeleton->progs.tandem_steer), interface, info.index, native, busy_retry_ns);
}

XdpProgram::XdpProgram(UniqueFd link, UniqueFd map, UniqueFd counters)
    : link_(std::move(link)), map_(std::move(map)), counters_(std::move(counters)) {}

void XdpProgram::set_socket(std::uint32_t queue, int socket) {
  if (bpf_map_update_elem(map_.get(), &queue, &socket, BPF_ANY) != 0)
    fail(errno, "giving the socket of queue " + std::to_string(queue) + " to the XDP program", {});
}

XdpCounters XdpProgram::counters() const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return {};
  std::vector<std::uint64_t> values(static_cast<std::size_t>(cpus));
  std::array<std::uint64_t, STEER_COUNTERS> sums{};
  for (std::uint32_t key = 0; key < sums.size(); ++key) {
    if (bpf_map_lookup_elem(counters_.get(), &key, values.data()) != 0) continue;
    for (const std::uint64_t value : values) sums[key] += value;
  }
  return {sums[STEER_TAKEN],     sums[STEER_PASSED],    sums[STEER_NO_SOCKET],
          sums[STEER_TRUNCATED], sums[STEER_TOO_LARGE], sums[STEER_OTHER_VLAN]};
}

}  // namespace tandem
