// SPDX-License-Identifier: BSD-3-Clause
#include "control_clients.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tandem::sim {
namespace {

/// Fewer than the server takes at a time, so that there is room for those that ask.
constexpr std::size_t kMostClients = 8;
constexpr std::int32_t kPid = 1;

}  // namespace

void ControlClients::send(Client& client, std::string_view text) {
  Socket* const end = client.socket->peer;
  if (end == nullptr || text.empty()) return;
  Socket::Packet packet;
  packet.bytes.assign(text.begin(), text.end());
  end->received.push_back(std::move(packet));
  ++end->events;
  kernel_.notify();
}

void ControlClients::come(bool switchovers) {
  const HeapScope heap;
  if (clients_.size() >= kMostClients) return;
  Ref<Socket> socket = kernel_.connect(kernel_.control_listener, kPid);
  if (!socket) return;
  Client client;
  client.socket = std::move(socket);
  client.killed_before = kernel_.killed;
  constexpr const char* kCommands[] = {"status", "connections", "metrics", "routes", "dance", "switchover"};
  std::string text;
  switch (prng_.below(10)) {
    case 0:  // nothing
      break;
    case 1:
      text = std::string(prng_.skewed(6000), '{');
      break;
    case 2:
      for (std::uint64_t left = prng_.skewed(6000); left > 0; --left) text += static_cast<char>(prng_.next());
      break;
    default:
      text = std::string("{\"command\":\"") + kCommands[prng_.below(switchovers ? 6 : 5)] + "\"}\n";
      client.asks = true;
      ++requests_;
  }
  const std::size_t now = prng_.one_in(4) ? prng_.below(text.size() + 1) : text.size();
  client.rest = text.substr(now);
  kernel_.trace("a client comes to the control socket, says %zu bytes of %zu", now, text.size());
  send(client, std::string_view(text).substr(0, now));
  // Some do not wait for the answer.
  if (prng_.one_in(5)) return;
  clients_.push_back(std::move(client));
}

void ControlClients::look() {
  const HeapScope heap;
  for (Client& client : clients_) {
    if (!client.rest.empty() && prng_.one_in(4)) send(client, std::exchange(client.rest, {}));
    for (const Socket::Packet& packet : client.socket->received)
      client.answer.append(packet.bytes.begin(), packet.bytes.end());
    client.socket->received.clear();
    if (client.socket->peer != nullptr || client.answer.empty()) continue;
    ++answers_;
    kernel_.trace("the control socket answers with %zu bytes", client.answer.size());
    // Whoever is killed may have said a part of it; tandemctl tells that from a whole answer.
    const bool cut_short = client.answer.back() != '\n' && client.killed_before != kernel_.killed;
    if (!cut_short && (client.answer.back() != '\n' || !nlohmann::json::accept(client.answer)))
      kernel_.director().violation("control", "an answer is not one line of JSON: " + client.answer.substr(0, 200));
  }
  std::erase_if(clients_, [this](const Client& client) {
    return client.socket->peer == nullptr || (!client.asks && prng_.one_in(8));
  });
}

void ControlClients::hang_up() {
  const HeapScope heap;
  for (Client& client : clients_) send(client, std::exchange(client.rest, {}));
  std::erase_if(clients_, [](const Client& client) { return !client.asks; });
}

std::size_t ControlClients::waiting() const { return clients_.size(); }

}  // namespace tandem::sim
