// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/memory_wire.hpp"

#include <cstring>
#include <stdexcept>
#include <utility>

#include "ring_device.hpp"

namespace tandem {

struct MemoryWire::Port {
  Port(const MacAddress& address, const WireGeometry& geometry) : mac(address), memory(WireMemory::create(geometry)) {}

  MacAddress mac;
  WireMemory memory;
  std::function<void(WireStep)> step_hook;
  bool transmit_held = false;
  std::uint64_t ring_full = 0, fill_empty = 0;
};

class MemoryWire::PortDevice final : public RingDevice<FunctionProbe> {
 public:
  PortDevice(MemoryWire& wire, PortId id)
      : RingDevice(wire.ports_[id]->memory.view(), wire.ports_[id]->memory.emulated_rings(), wire.ports_[id]->mac,
                   wire.options_.mtu, FunctionProbe{&wire.ports_[id]->step_hook}),
        wire_(wire),
        id_(id) {}

  void start() {
    rings_.start();
    refill();
  }
  [[nodiscard]] std::string description() const override { return "memory wire, port " + std::to_string(id_); }
  [[nodiscard]] std::vector<int> poll_fds() const override { return {}; }
  [[nodiscard]] std::vector<NamedDescriptor> descriptors() const override { return {}; }
  [[nodiscard]] std::vector<std::uint8_t> adoption_info() const override { return {}; }
  [[nodiscard]] DeviceStatistics statistics() override {
    DeviceStatistics statistics = RingDevice::statistics();
    statistics.rx_ring_full = wire_.ports_[id_]->ring_full;
    statistics.rx_fill_empty = wire_.ports_[id_]->fill_empty;
    return statistics;
  }

 protected:
  /// The kernel's part: takes packets out of the TX ring, completes their frames, and carries copies.
  void transmit() override {
    Port& port = *wire_.ports_[id_];
    const Rings& rings = rings_.rings();
    while (!port.transmit_held) {
      const std::uint32_t index = load_acquire(rings.tx.consumer);
      if (index == load_acquire(rings.tx.producer)) return;
      if (index - load_acquire(rings.completion.consumer) >= rings.completion.size) return;
      const Descriptor descriptor = rings.tx.at(index);
      const std::uint8_t* data = rings_.pool().data(descriptor.address);
      Frame frame(data, data + descriptor.length);
      rings.completion.at(index) = descriptor.address;
      store_release(rings.tx.consumer, index + 1);
      if (wire_.carrier_)
        wire_.carrier_(id_, std::move(frame));
      else
        wire_.flood(id_, frame);
    }
  }

 private:
  MemoryWire& wire_;
  PortId id_;
};

MemoryWire::MemoryWire(MemoryWireOptions options) : options_(options) {}
MemoryWire::~MemoryWire() = default;

MemoryWire::PortId MemoryWire::add_port(const MacAddress& mac) {
  const std::uint32_t frame_bytes = frame_bytes_for(options_.mtu);
  if (frame_bytes == 0)
    throw std::invalid_argument("no frame is large enough for an MTU of " + std::to_string(options_.mtu));
  ports_.push_back(std::make_unique<Port>(mac, WireGeometry{options_.frames, frame_bytes, options_.ring_entries}));
  return ports_.size() - 1;
}

std::unique_ptr<Device> MemoryWire::open(PortId port) {
  auto device = std::make_unique<PortDevice>(*this, port);
  device->start();
  return device;
}

std::unique_ptr<Device> MemoryWire::attach(PortId port) { return std::make_unique<PortDevice>(*this, port); }

void MemoryWire::set_carrier(Carrier carrier) { carrier_ = std::move(carrier); }

bool MemoryWire::deliver(PortId to, Bytes frame) {
  Port& port = *ports_.at(to);
  const Rings rings = port.memory.emulated_rings();
  const std::uint32_t index = load_acquire(rings.rx.producer);
  if (index - load_acquire(rings.rx.consumer) >= rings.rx.size) {
    ++port.ring_full;
    return false;
  }
  if (index == load_acquire(rings.fill.producer)) {
    ++port.fill_empty;
    return false;
  }
  const WireView view = port.memory.view();
  if (frame.size() > view.geometry.capacity()) return false;
  const std::uint64_t address = rings.fill.at(index) + kFrameHeadroom;
  std::memcpy(view.umem + address, frame.data(), frame.size());
  rings.rx.at(index) = {address, static_cast<std::uint32_t>(frame.size()), 0};
  store_release(rings.rx.producer, index + 1);
  return true;
}

void MemoryWire::flood(PortId from, Bytes frame) {
  for (PortId port = 0; port < ports_.size(); ++port)
    if (port != from) deliver(port, frame);
}

void MemoryWire::set_step_hook(PortId port, std::function<void(WireStep)> hook) {
  ports_.at(port)->step_hook = std::move(hook);
}

void MemoryWire::hold_transmit(PortId port, bool hold) { ports_.at(port)->transmit_held = hold; }

}  // namespace tandem
