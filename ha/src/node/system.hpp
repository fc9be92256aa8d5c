// SPDX-License-Identifier: BSD-3-Clause
//
// The operating system calls that a node makes itself, in one place, so that the simulator can be an operating system too. What
// belongs to a thing of its own has its own file: shared memory, the rendezvous, the claim to the rings, the loop, the devices.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "channel/shared_memory.hpp"
#include "members/shared_group.hpp"
#include "tandem/address.hpp"

namespace tandem::ha::system {

/// As this process sees itself: to be shown, and for nothing else.
[[nodiscard]] int process_id();
/// What tells this node from all others, in every namespace: random, not 0.
[[nodiscard]] std::uint64_t draw_identity();
/// One line on standard error, with `priority` (syslog's) in front when the journal reads it. Never waits, whatever standard error
/// is; a line may leave later, in order. How many lines are lost: 0, or this one, and those before it that were to leave later and
/// could not be written. A line longer than 4,096 bytes is cut.
std::uint64_t write_log_line(int priority, std::string_view role, std::string_view text);
/// Until this thread's lines have left, or for so long. A signal handler may call it.
void await_log_lines(std::uint64_t timeout_ns);
/// The first of `ours` that the kernel has too, with the interface's name, as a text; empty when there is none. A link-local one
/// counts on `interface` alone: elsewhere it is that of another link.
[[nodiscard]] std::string address_of_the_kernel(const std::vector<IpPrefix>& ours, const std::string& interface);

/// Ready when SIGTERM, SIGINT, SIGHUP, SIGUSR1 or SIGUSR2 has come; from now on they do nothing else. SIGPIPE and SIGXFSZ are ignored: whoever
/// writes sees the error.
[[nodiscard]] Descriptor catch_signals();
struct SignalsTaken {
  std::uint32_t stops = 0, hang_ups = 0, reports = 0, switchovers = 0;
};
/// Takes what has come.
SignalsTaken take_signals(int signals);

/// Touches the whole mapping now, so that its first use later costs no page fault.
void populate(const Mapping& mapping);

/// Frees `bytes` of its file's memory from `offset` on, for everybody who has it.
void free_pages(const Mapping& mapping, std::size_t offset, std::size_t bytes);

/// Gives its pages back without holding a processor for long.
void give_back(const Mapping& mapping);

/// SCHED_FIFO for the calling thread; false where that is not allowed.
bool enter_realtime(int priority);
void leave_realtime();
/// SCHED_IDLE for the calling thread. False where that is not allowed, or where the way back would not be and is needed.
[[nodiscard]] bool enter_idle(bool must_return);
void leave_idle();
void sleep(std::uint64_t time_ns);
/// Steps back behind others, if it can be undone. What restore_priority wants, or nothing.
[[nodiscard]] std::optional<int> lower_priority();
void restore_priority(int nice_before);

// Processes are watched and ended by descriptors that they make of themselves and pass on: a number means something in one pid
// namespace only, and may be another process's by the time that it is used.

/// A descriptor that names this process (pidfd_open(2)); invalid where the kernel has none.
[[nodiscard]] Descriptor own_process();
/// Whether kill_process() would be allowed to, found out without doing anything.
[[nodiscard]] Fencing may_kill(int process);
/// Whether all threads of the process have ended; false when that is not known.
[[nodiscard]] bool has_ended(int process);
/// SIGKILL; a process that has gone already counts as killed. False with errno set.
bool kill_process(int process);
/// Files of proc(5) about the calling thread, which whoever gets the descriptor may read: "stat" and "schedstat". Invalid without /proc.
[[nodiscard]] Descriptor own_scheduling(const char* name);
/// Returns when the word was woken, no longer holds `expected`, or after `timeout_ns` at the latest.
void wait_for_word(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns);
/// Returns when the descriptor can be read, or after `timeout_ms` at the latest.
void wait_readable(int fd, int timeout_ms);

// ---- Sockets; none of these waits ----

/// Invalid when nobody has come.
[[nodiscard]] Descriptor accept_connection(int listener);
/// Whether the other end is closed and everything that it sent has been received.
[[nodiscard]] bool has_hung_up(int socket);
/// As recv(2) and send(2), without waiting and without SIGPIPE. Descriptors that came along are appended to `descriptors`.
[[nodiscard]] std::ptrdiff_t receive(int socket, std::span<char> buffer, std::vector<Descriptor>& descriptors);
[[nodiscard]] std::ptrdiff_t send(int socket, std::string_view bytes);
void shut_down(int socket);

/// One packet of a SOCK_SEQPACKET socket with descriptors (SCM_RIGHTS), wholly or not at all. False with errno set.
bool send_packet(int socket, Bytes bytes, std::span<const int> descriptors);
struct Packet {
  std::ptrdiff_t bytes = 0;  ///< 0: closed, -1: errno says why
  bool truncated = false;
};
/// Descriptors that came with it are appended to `descriptors`.
Packet receive_packet(int socket, std::span<std::uint8_t> buffer, std::vector<Descriptor>& descriptors);
/// Most descriptors in one packet: three of each receive queue, and what else a twin is given.
inline constexpr std::size_t kMaxPacketDescriptors = 64;

}  // namespace tandem::ha::system
