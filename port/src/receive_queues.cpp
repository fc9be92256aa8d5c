// SPDX-License-Identifier: BSD-3-Clause
#include "receive_queues.hpp"

#include <utility>

#include "adoption_info.hpp"

namespace tandem {

ReceiveQueues ReceiveQueues::open(const std::string& interface, std::uint32_t count, const WireGeometry& geometry,
                                  bool zerocopy, bool multi_buffer, std::uint64_t busy_retry_ns) {
  ReceiveQueues made;
  for (std::uint32_t number = 1; number < count; ++number) {
    WireMemory memory = WireMemory::create(geometry);
    XdpSocket socket = XdpSocket::open(interface, number, memory, zerocopy, busy_retry_ns, multi_buffer);
    made.add(std::make_unique<ReceiveQueue>(std::move(memory), std::move(socket)));
  }
  return made;
}

ReceiveQueues ReceiveQueues::attach(std::uint32_t count, const WireGeometry& geometry,
                                    std::span<const NamedDescriptor> descriptors) {
  ReceiveQueues made;
  for (std::uint32_t number = 1; number < count; ++number) {
    const std::string suffix = std::to_string(number);
    WireMemory memory = WireMemory::map(take_descriptor(descriptors, "umem" + suffix),
                                        take_descriptor(descriptors, "wire" + suffix), geometry);
    XdpSocket socket(take_descriptor(descriptors, "xsk" + suffix), geometry.ring_entries);
    made.add(std::make_unique<ReceiveQueue>(std::move(memory), std::move(socket)));
  }
  return made;
}

void ReceiveQueues::allow_jumbo(std::uint32_t largest_bytes) {
  for (const auto& queue : queues_) queue->rings.allow_jumbo(largest_bytes);
}

void ReceiveQueues::start(XdpProgram& program) {
  QueueSet::start();
  for (std::uint32_t i = 0; i < size(); ++i) {
    queues_[i]->rings.fill();
    queues_[i]->socket.wake_receive();
    program.set_socket(i + 1, queues_[i]->socket.fd());
  }
}

void ReceiveQueues::give_back_memory() {
  for (const auto& queue : queues_) queue->memory.give_back();
}

void ReceiveQueues::keep_held(std::vector<WireMemory>& kept) {
  for (const auto& queue : queues_)
    if (queue->rings.held() != 0) kept.push_back(std::move(queue->memory));
}

void ReceiveQueues::add_poll_fds(std::vector<int>& fds) const {
  for (const auto& queue : queues_) fds.push_back(queue->socket.fd());
}

void ReceiveQueues::add_descriptors(std::vector<NamedDescriptor>& descriptors) const {
  for (std::uint32_t i = 0; i < size(); ++i) {
    const std::string suffix = std::to_string(i + 1);
    descriptors.push_back({"xsk" + suffix, queues_[i]->socket.fd()});
    descriptors.push_back({"umem" + suffix, queues_[i]->memory.umem_fd()});
    descriptors.push_back({"wire" + suffix, queues_[i]->memory.wire_fd()});
  }
}

void ReceiveQueues::add_statistics(DeviceStatistics& statistics) const {
  for (const auto& queue : queues_) {
    const DeviceStatistics& counted = queue->rings.counters();
    statistics.rx_frames += counted.rx_frames;
    statistics.rx_bytes += counted.rx_bytes;
    statistics.rx_invalid += counted.rx_invalid;
    statistics.frames_held += queue->rings.held();
    queue->socket.add_statistics(statistics);
  }
}

}  // namespace tandem
