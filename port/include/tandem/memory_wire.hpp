// SPDX-License-Identifier: BSD-3-Clause
//
// A wire in memory for tests: any number of ports, each a Device with real rings and frame words, so that a second Device
// object can adopt a port as another process would. One thread; no kernel, no clock, nothing random.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tandem/device.hpp"
#include "tandem/wire_step.hpp"

namespace tandem {

struct MemoryWireOptions {
  std::uint32_t mtu = 1500;
  std::uint32_t frames = 1024;       ///< a port; power of two
  std::uint32_t ring_entries = 256;  ///< a port; power of two
};

class MemoryWire {
 public:
  using PortId = std::size_t;
  /// A frame on its way, copied out of its sender's memory.
  using Frame = std::vector<std::uint8_t>;
  /// Decides what happens to a frame that left port `from`: drop it (do nothing), or call deliver() once, more often, now or
  /// later, changed or not.
  using Carrier = std::function<void(PortId from, Frame frame)>;

  explicit MemoryWire(MemoryWireOptions options = {});
  ~MemoryWire();
  MemoryWire(const MemoryWire&) = delete;
  MemoryWire& operator=(const MemoryWire&) = delete;

  PortId add_port(const MacAddress& mac);
  /// The port's first owner. The wire must outlive its devices.
  std::unique_ptr<Device> open(PortId port);
  /// Another process's view of the same port: touches nothing until adopt(). A Device that is destroyed leaves the rings as
  /// they are, as a process that dies does.
  std::unique_ptr<Device> attach(PortId port);

  /// Without a carrier every frame is delivered at once to all other ports.
  void set_carrier(Carrier carrier);
  /// Puts a frame into a port's RX ring. False when the ring is full or no frame stands in the fill ring: it is lost then,
  /// and counted in the port's rx_ring_full or rx_fill_empty.
  bool deliver(PortId to, Bytes frame);
  /// deliver() to all ports but one.
  void flood(PortId from, Bytes frame);

  /// Called after each store into a port's shared memory. It may throw: the device that was at work must then not be used
  /// any more, as if its process had died there.
  void set_step_hook(PortId port, std::function<void(WireStep)> hook);
  /// A port that is held takes nothing out of its TX ring (a busy NIC) until it is let go and kicked.
  void hold_transmit(PortId port, bool hold);

 private:
  struct Port;
  class PortDevice;
  MemoryWireOptions options_;
  Carrier carrier_;
  std::vector<std::unique_ptr<Port>> ports_;
};

}  // namespace tandem
