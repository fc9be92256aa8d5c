// SPDX-License-Identifier: BSD-3-Clause
//
// tandem-wire-gaps INTERFACE ADDRESS FLOOR_US: the gaps of at least FLOOR_US microseconds between the packets that ADDRESS (IPv4)
// sends to INTERFACE, timed in the kernel as they arrive. Says "ready", then answers each line of its input with one line of JSON:
// what has been recorded since the last, as {"lost": N, "gaps": [[from, to], ...]} (CLOCK_MONOTONIC, nanoseconds; `lost`: gaps that
// were overwritten before they were asked for). It ends with its input. Exit codes: 0, 1 (the system refuses), 2 (usage).
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "gaps.h"
#include "gaps.skel.h"

namespace {

struct Destroy {
  void operator()(gaps_bpf* program) const { gaps_bpf__destroy(program); }
};

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// A map's entries, to be read while the kernel writes them; unmapped at exit.
template <class Entry>
const volatile Entry* mapped(const bpf_map* map, std::size_t entries) {
  void* const data = mmap(nullptr, entries * sizeof(Entry), PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);
  if (data == MAP_FAILED) fail("mapping what the program in the kernel records");
  return static_cast<const volatile Entry*>(data);
}

void watch_interface(const char* name, int program) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  // Taps for every protocol come before the kernel's own IP; one for IP alone would come behind it.
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(name));
  if (address.sll_ifindex == 0) fail("looking for the interface");
  // It lives as long as this process. Without a protocol nothing comes before the filter is in place.
  const int watcher = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (watcher < 0) fail("opening a packet socket (it takes root)");
  if (setsockopt(watcher, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) != 0) fail("attaching the program");
  const int yes = 1;
  if (setsockopt(watcher, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) != 0)
    fail("leaving out what the peer sends");
  if (bind(watcher, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("binding to the interface");
}

void answer(const volatile gaps_state& state, const volatile gap* gaps, std::uint64_t& told) {
  const std::uint64_t count = state.count;
  const std::uint64_t oldest = count > GAPS_KEPT ? count - GAPS_KEPT : 0;
  const std::uint64_t lost = oldest > told ? oldest - told : 0;
  std::string line = "{\"lost\": " + std::to_string(lost) + ", \"gaps\": [";
  for (std::uint64_t i = told + lost; i < count; ++i) {
    const volatile gap& one = gaps[i % GAPS_KEPT];
    line += (i == told + lost ? "[" : ", [") + std::to_string(one.from_ns) + ", " + std::to_string(one.to_ns) + "]";
  }
  told = count;
  std::puts((line + "]}").c_str());
}

int run(const char* interface, in_addr source, std::uint64_t floor_us) {
  const std::unique_ptr<gaps_bpf, Destroy> program(gaps_bpf__open());
  if (!program) fail("opening the program for the kernel");
  program->rodata->source = source.s_addr;
  program->rodata->floor_ns = floor_us * 1000;
  if (gaps_bpf__load(program.get()) != 0) fail("loading the program into the kernel (it takes root)");
  const auto* const state = mapped<gaps_state>(program->maps.state, 1);
  const auto* const gaps = mapped<gap>(program->maps.gaps, GAPS_KEPT);
  watch_interface(interface, bpf_program__fd(program->progs.watch));
  setvbuf(stdout, nullptr, _IOLBF, 0);
  std::puts("ready");
  std::uint64_t told = 0;
  for (int c = 0; (c = std::getchar()) != EOF;) {
    if (c == '\n') answer(*state, gaps, told);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  in_addr source{};
  std::uint64_t floor_us = 0;
  const std::string_view floor = argc == 4 ? argv[3] : "";
  const auto parsed = std::from_chars(floor.data(), floor.data() + floor.size(), floor_us);
  if (argc != 4 || inet_pton(AF_INET, argv[2], &source) != 1 || parsed.ec != std::errc() ||
      parsed.ptr != floor.data() + floor.size()) {
    std::fputs("usage: tandem-wire-gaps INTERFACE IPV4-ADDRESS FLOOR-MICROSECONDS\n", stderr);
    return 2;
  }
  try {
    return run(argv[1], source, floor_us);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tandem-wire-gaps: %s\n", error.what());
    return 1;
  }
}
