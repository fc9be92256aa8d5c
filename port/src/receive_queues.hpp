// SPDX-License-Identifier: BSD-3-Clause
//
// The receive queues of an AF_XDP device beside its first one (queue=all): of each a socket with rings and frames of its own, as
// the first one has them. What is sent goes through the first queue alone, so these only take in. All of them are adopted, given
// back and counted with the first one; the commit record has the receive index of each.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tandem/device.hpp"
#include "wire_memory.hpp"
#include "wire_probe.hpp"
#include "wire_rings.hpp"
#include "xdp_program.hpp"
#include "xdp_socket.hpp"

namespace tandem {

class ReceiveQueues {
 public:
  using Rings = WireRings<DeviceProbe>;
  struct Queue {
    Queue(WireMemory its_memory, XdpSocket its_socket)
        : memory(std::move(its_memory)), socket(std::move(its_socket)), rings(memory.view(), socket.rings()) {}
    WireMemory memory;
    XdpSocket socket;
    Rings rings;
  };

  /// Queues 1 to `count` - 1 of an interface. Throws DeviceError.
  static ReceiveQueues open(const std::string& interface, std::uint32_t count, const WireGeometry& geometry,
                            bool zerocopy, bool multi_buffer, std::uint64_t busy_retry_ns);
  /// Twin: those that it was given. Throws DeviceError.
  static ReceiveQueues attach(std::uint32_t count, const WireGeometry& geometry,
                              std::span<const NamedDescriptor> descriptors);

  [[nodiscard]] bool empty() const { return queues_.empty(); }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(queues_.size()); }
  void allow_jumbo(std::uint32_t largest_bytes);
  void start(XdpProgram& program);

  /// A cookie's part that says of which of these a frame is; 0: of none.
  static constexpr std::uint32_t kQueueShift = 20;
  static constexpr std::uint32_t kQueueMask = (kMostQueues - 1) << kQueueShift;
  [[nodiscard]] static bool owns(std::uint32_t cookie) { return (cookie & kQueueMask) != 0; }

  /// Shows frames of all queues in turn. `keep` looks at those of one, and says how many stay; it may give others back (done).
  template <class Keep>
  std::size_t peek(std::span<RxFrame> frames, const Keep& keep) {
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < size() && count < frames.size(); ++i) {
      const std::uint32_t place = (next_ + i) % size();
      const auto room = frames.subspan(count);
      const auto shown = room.first(queues_[place]->rings.peek(room));
      for (RxFrame& frame : shown) {
        frame.cookie |= (place + 1) << kQueueShift;
        frame.place.source = place + 1;
      }
      count += keep(shown);
    }
    // Whoever is first may take all the room there is.
    if (!queues_.empty()) next_ = (next_ + 1) % size();
    return count;
  }
  [[nodiscard]] bool ready() const;
  void done(std::uint32_t cookie);
  void release();
  void refill();
  void add_to(WireMark& mark) const;
  void adopt(const WireMark* committed);
  void stop();
  void go_on();
  void give_back_memory();
  /// Moves the memory of which the stack still refers to frames to `kept`.
  void keep_held(std::vector<WireMemory>& kept);

  void add_poll_fds(std::vector<int>& fds) const;
  void add_descriptors(std::vector<NamedDescriptor>& descriptors) const;
  void add_statistics(DeviceStatistics& statistics) const;
  void add_census(FrameCensus& census) const;

 private:
  std::vector<std::unique_ptr<Queue>> queues_;
  std::uint32_t next_ = 0;
};

}  // namespace tandem
