// SPDX-License-Identifier: BSD-3-Clause
#include "attach_clients.hpp"

#include "channel/attach_protocol.hpp"
#include "log/log_format.hpp"
#include "members/shared_group.hpp"
#include "tandem/node.hpp"

namespace tandem::sim {
namespace {

/// Fewer than the server takes at a time, so that there is room for a twin.
constexpr std::size_t kMostClients = 4;

std::vector<std::uint8_t> octets(Prng& prng, std::size_t count) {
  std::vector<std::uint8_t> out(count);
  for (std::uint8_t& octet : out) octet = static_cast<std::uint8_t>(prng.next());
  return out;
}

}  // namespace

AttachClients::AttachClients(Kernel& kernel, std::uint64_t seed) : kernel_(kernel), prng_(seed, 11) {
  const HeapScope heap;
  token_ = Ref<Signals>(new Signals);
}

void AttachClients::say(Socket& socket) {
  Socket* const end = socket.peer;
  if (end == nullptr) return;
  Socket::Packet packet;
  ha::Hello ours;
  ours.identity = ours.number = 99;
  ours.options_digest = 99;
  if (prng_.one_in(2)) ours.descriptor_names = {"options"};
  switch (prng_.below(7)) {
    case 0:
      packet.bytes = octets(prng_, prng_.skewed(2 * ha::kMaxAttachBytes));
      break;
    case 1: {
      ha::Hello other = ours;
      ha::Versions& versions = prng_.one_in(2) ? other.log_format : other.group_layout;
      versions.lowest = versions.highest += 1 + static_cast<std::uint32_t>(prng_.below(9));
      packet.bytes = ha::encode(other);
      break;
    }
    case 2:
      packet.bytes = ha::encode(ha::Ready{});
      break;
    case 3:
      packet.bytes = ha::encode(ha::Welcome{0, prng_.next(), prng_.next(), 2, octets(prng_, 64), {"group", "log"}});
      break;
    case 4:
      packet.bytes = ha::encode(ha::Refusal{static_cast<std::int32_t>(prng_.next()), "no"});
      break;
    case 5: {
      packet.bytes = ha::encode(ours);
      packet.bytes.resize(prng_.below(packet.bytes.size()));
      break;
    }
    default:
      packet.bytes = ha::encode(ours);
  }
  if (packet.bytes.empty()) packet.bytes.push_back(0);
  if (prng_.one_in(3)) {
    for (std::uint64_t left = 1 + prng_.skewed(2 * ha::kMaxAttachDescriptors); left > 0; --left)
      packet.objects.emplace_back(token_.get());
  }
  kernel_.trace("a stranger at the attach socket says %zu bytes and hands over %zu descriptors", packet.bytes.size(),
                packet.objects.size());
  end->received.push_back(std::move(packet));
  ++end->events;
  kernel_.notify();
}

void AttachClients::come() {
  const HeapScope heap;
  if (clients_.size() >= kMostClients) return;
  const bool foreign = prng_.one_in(2);
  Ref<Socket> socket = kernel_.connect(kernel_.attach_listener, foreign ? kForeigner : kStranger);
  if (!socket) return;
  if (!prng_.one_in(6)) say(*socket);
  if (prng_.one_in(4)) say(*socket);
  // Some do not wait for an answer.
  if (!prng_.one_in(5)) clients_.push_back({std::move(socket), foreign});
}

void AttachClients::look() {
  const HeapScope heap;
  for (const Client& client : clients_) {
    for (const Socket::Packet& packet : client.socket->received) {
      const auto message = ha::decode_attach(packet.bytes);
      const auto* const refusal = message ? std::get_if<ha::Refusal>(&*message) : nullptr;
      if (refusal == nullptr || !packet.objects.empty()) {
        kernel_.director().violation("strangers",
                                     "somebody who is no twin is told something else than that he is none");
        continue;
      }
      ++refused_;
      // Another user does not learn what the options are.
      const int code = refusal->exit_code;
      if (code != exit_code::kProtocol && code != (client.foreign ? exit_code::kPrivilege : exit_code::kMismatch))
        kernel_.director().violation("strangers", "one of " + std::string(client.foreign ? "another" : "the same") +
                                                      " user is refused with " + std::to_string(code));
    }
    client.socket->received.clear();
    if (prng_.one_in(12)) say(*client.socket);
  }
  std::erase_if(clients_, [this](const Client& client) { return client.socket->peer == nullptr || prng_.one_in(10); });
}

void AttachClients::hang_up() {
  const HeapScope heap;
  clients_.clear();
}

std::size_t AttachClients::left_behind() const { return token_->references - 1; }

}  // namespace tandem::sim
