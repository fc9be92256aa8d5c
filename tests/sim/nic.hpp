// SPDX-License-Identifier: BSD-3-Clause
//
// A network interface with an AF_XDP socket for each of its receive queues: four rings and a UMEM in memory that outlives its
// processes, and the kernel's side of them. Frames are spread over the queues by their ports; what is sent goes through the first
// one. Like a driver, the kernel holds sent frames for a while before it completes them. What is sent to groups comes by the ring
// of a packet socket beside it (port/src/packet_socket.hpp).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "checks/move_check.hpp"
#include "checks/queue_check.hpp"
#include "kernel.hpp"
#include "tandem/address.hpp"
#include "wire_memory.hpp"

namespace tandem::sim {

class Nic {
 public:
  struct Options {
    std::uint32_t frames = 256;
    std::uint32_t ring_entries = 128;
    std::uint32_t mtu = 1500;
    std::uint32_t queues = 1;
    MacAddress mac;
  };
  using Transmit = std::function<void(Bytes frame)>;

  Nic(Kernel& kernel, const Options& options, Transmit transmit);
  ~Nic();
  Nic(const Nic&) = delete;
  Nic& operator=(const Nic&) = delete;

  // ---- The processes' side ----
  /// A new socket with rings and frames of its own; what the one before held is gone.
  void open();
  [[nodiscard]] WireView view(std::uint32_t queue) const;
  [[nodiscard]] Rings rings(std::uint32_t queue);
  [[nodiscard]] const Options& options() const { return options_; }
  /// sendto(2) on the socket: takes packets out of the TX ring. A busy interface leaves some.
  void kick();
  /// An adoption begins and has ended: for who looks on.
  void adopts();
  void adopted();
  [[nodiscard]] bool has_received() const;
  /// The packet socket's ring: the frame that lies `place` behind the first, or nothing.
  [[nodiscard]] Bytes group_frame(std::size_t place) const {
    return place < group_frames_.size() ? Bytes(group_frames_[place]) : Bytes{};
  }
  /// Gives the first ones back to the kernel.
  void release_group_frames(std::size_t count);
  /// So many were given back: the count of the first one that is shown.
  [[nodiscard]] std::uint32_t group_frames_released() const { return group_frames_released_; }

  // ---- The wire's side ----
  /// False when it was dropped for want of a frame or an entry.
  bool arrive(Bytes frame);
  MoveCheck* moves = nullptr;       ///< looks on
  QueueCheck* marks = nullptr;      ///< looks on
  std::uint32_t busy_permille = 0;  ///< of kicks that take one packet only

  std::uint64_t dropped = 0;
  /// Frames that the kernel holds between rings.
  [[nodiscard]] std::size_t in_flight() const { return completing_.size(); }

 private:
  struct Buffers;
  struct Queue {
    Buffers* buffers = nullptr;
    std::uint32_t fill_producer = 0, fill_consumer = 0, completion_producer = 0, completion_consumer = 0;
    std::uint32_t rx_producer = 0, rx_consumer = 0, tx_producer = 0, tx_consumer = 0;
  };
  void complete(std::size_t count);
  [[nodiscard]] std::uint32_t queue_of(Bytes frame) const;

  Kernel& kernel_;
  Options options_;
  Transmit transmit_;
  WireGeometry geometry_;
  std::vector<Queue> queues_;
  std::deque<std::uint64_t> completing_;
  std::deque<std::vector<std::uint8_t>> group_frames_;
  std::uint32_t group_frames_released_ = 0;
  std::uint64_t generation_ = 0;  ///< of the socket
};

}  // namespace tandem::sim
