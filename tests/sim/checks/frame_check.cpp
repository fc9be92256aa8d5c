// SPDX-License-Identifier: BSD-3-Clause
#include "checks/frame_check.hpp"

#include <string>

#include "world.hpp"

namespace tandem::sim {
namespace {

bool beyond(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) > 0; }

}  // namespace

void FrameCheck::published(Stack& stack) {
  forget();
  stack.for_each_connection([this](Connection& connection) {
    if (!connection.is_replicated()) return;
    const TcpState state = connection.state();
    const HeapScope heap;
    published_[key(state.local.address.version, state.local.port, state.remote.port)] = {
        state.rcv_nxt, state.snd_nxt, state.phase >= TcpPhase::established && state.phase != TcpPhase::time_wait};
  });
}

void FrameCheck::leaves(const Packet& packet) {
  if (packet.kind != Packet::Kind::tcp) return;
  const auto at = published_.find(key(packet.version, packet.source_port, packet.destination_port));
  if (at == published_.end()) return;
  ++checked_;
  if (packet.has(Packet::kRst)) {
    if (at->second.is_synchronized)
      world_.violation("no end before it is held (I1)", to_string(packet, 0) + ", and in the log the connection lives");
    return;
  }
  if (packet.has(Packet::kAck) && beyond(packet.ack, at->second.rcv_nxt))
    world_.violation("acknowledged only what is held (I1)",
                     to_string(packet, 0) + ", the log holds " + std::to_string(at->second.rcv_nxt));
  if (beyond(packet.end(), at->second.snd_nxt))
    world_.violation("sent only what is held (I2)",
                     to_string(packet, 0) + ", the log holds " + std::to_string(at->second.snd_nxt));
}

}  // namespace tandem::sim
