// SPDX-License-Identifier: BSD-3-Clause
//
// The receive queues of an AF_XDP device beside its first one (queue=all): of each a socket with rings and frames of its own, as
// the first one has them. queue_set.hpp drives them; the commit record has the receive index of each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "queue_set.hpp"
#include "tandem/device.hpp"
#include "wire_memory.hpp"
#include "wire_probe.hpp"
#include "wire_rings.hpp"
#include "xdp_program.hpp"
#include "xdp_socket.hpp"

namespace tandem {

struct ReceiveQueue {
  ReceiveQueue(WireMemory its_memory, XdpSocket its_socket)
      : memory(std::move(its_memory)), socket(std::move(its_socket)), rings(memory.view(), socket.rings()) {}
  void wake_receive() { socket.wake_receive(); }
  WireMemory memory;
  XdpSocket socket;
  WireRings<DeviceProbe> rings;
};

class ReceiveQueues : public QueueSet<ReceiveQueue> {
 public:
  /// Queues 1 to `count` - 1 of an interface. Throws DeviceError.
  static ReceiveQueues open(const std::string& interface, std::uint32_t count, const WireGeometry& geometry,
                            bool zerocopy, bool multi_buffer, std::uint64_t busy_retry_ns);
  /// Twin: those that it was given. Throws DeviceError.
  static ReceiveQueues attach(std::uint32_t count, const WireGeometry& geometry,
                              std::span<const NamedDescriptor> descriptors);

  void allow_jumbo(std::uint32_t largest_bytes);
  /// Their fill rings are filled before the first frame can come.
  void start(XdpProgram& program);
  void give_back_memory();
  /// Moves the memory of which the stack still refers to frames to `kept`.
  void keep_held(std::vector<WireMemory>& kept);

  void add_poll_fds(std::vector<int>& fds) const;
  void add_descriptors(std::vector<NamedDescriptor>& descriptors) const;
  void add_statistics(DeviceStatistics& statistics) const;
};

}  // namespace tandem
