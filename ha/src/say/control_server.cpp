// SPDX-License-Identifier: BSD-3-Clause
#include "say/control_server.hpp"

#include <poll.h>
#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <vector>

#include "channel/rendezvous.hpp"
#include "node/system.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {
namespace {

constexpr std::size_t kMaxClients = 16;
constexpr std::size_t kMaxRequestBytes = 4096;
constexpr std::uint64_t kClientTimeout_ns = 5'000'000'000;
/// Of an answer, that a turn hands to the kernel: what leaves behind it has waited for that.
constexpr std::size_t kSendBytes = 64 * 1024;

}  // namespace

std::string parse_request(const std::string& line) {
  const auto request = nlohmann::json::parse(line, nullptr, false);
  if (!request.is_object()) return {};
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string()) return {};
  return command->get<std::string>();
}

std::string error_answer(const std::string& text, int code) {
  return nlohmann::json{{"error", text}, {"code", code}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ControlServer::ControlServer(Loop& loop, int listener, Answer answer)
    : loop_(loop), listener_(listener), answer_(std::move(answer)) {
  listener_watch_ = loop_.watch(listener_, POLLIN, [this](short) { accept_ready_ = true; });
}

ControlServer::~ControlServer() {
  loop_.unwatch(listener_watch_);
  for (Client& client : clients_) loop_.unwatch(client.watch);
}

bool ControlServer::ready() const {
  if (accept_ready_ && clients_.size() < kMaxClients) return true;
  const std::uint64_t now = clients_.empty() ? 0 : monotonic_ns();
  return std::any_of(clients_.begin(), clients_.end(), [now](const Client& client) {
    return client.finished || client.cut || (client.complete && !client.answered) || client.deadline_ns <= now;
  });
}

bool ControlServer::is_answering() const {
  return std::any_of(clients_.begin(), clients_.end(),
                     [](const Client& client) { return client.complete && !client.finished; });
}

void ControlServer::accept_clients() {
  while (accept_ready_ && clients_.size() < kMaxClients) {
    Descriptor socket = system::accept_connection(listener_);
    if (!socket.valid()) {
      accept_ready_ = false;
      return;
    }
    if (!trusted_peer(socket.get())) continue;
    Client& client = clients_.emplace_back();
    client.number = next_number_++;
    client.socket = std::move(socket);
    client.deadline_ns = monotonic_ns() + kClientTimeout_ns;
    client.watch =
        loop_.watch(client.socket.get(), POLLIN | POLLRDHUP, [this, &client](short) { read_client(client); });
    read_client(client);
  }
}

void ControlServer::read_client(Client& client) {
  char buffer[1024];
  while (!client.complete && !client.finished) {
    // More descriptors than one are nobody's.
    std::vector<Descriptor> passed;
    const std::ptrdiff_t got = system::receive(client.socket.get(), buffer, passed);
    if (!passed.empty() && !client.passed.valid()) client.passed = std::move(passed.front());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) client.request.append(buffer, static_cast<std::size_t>(got));
    const auto end = client.request.find('\n');
    if (end != std::string::npos) client.request.resize(end);
    // The end of the stream ends the line too; whoever sent nothing gets nothing.
    if (end != std::string::npos || client.request.size() > kMaxRequestBytes || got <= 0) client.complete = true;
    if (got <= 0 && client.request.empty()) client.finished = true;
  }
}

void ControlServer::process(OutputGate& gate, std::uint64_t deadline_ns) {
  accept_clients();
  std::uint64_t now = monotonic_ns();
  bool served = false;
  for (std::size_t left = clients_.size(); left != 0 && (!served || now < deadline_ns); --left) {
    Client& client = clients_.front();
    // Whoever has been looked at goes to the end of the line.
    clients_.splice(clients_.end(), clients_, clients_.begin());
    if (client.deadline_ns <= now) client.finished = true;
    const bool wants_an_answer = client.complete && !client.answered;
    if (client.finished || (!wants_an_answer && !client.cut)) continue;
    serve_client(client, gate);
    served = true;
    now = monotonic_ns();
    // Time that this side takes is not the client's.
    if (!client.answered) client.deadline_ns = now + kClientTimeout_ns;
  }
  drop_finished();
}

void ControlServer::serve_client(Client& client, OutputGate& gate) {
  if (std::exchange(client.cut, false)) {
    gate.hold_answer([this, number = client.number] { write_client(number); });
    return;
  }
  if (!client.reply.more) {
    ++requests_;
    const std::string command =
        client.request.size() > kMaxRequestBytes ? std::string() : parse_request(client.request);
    if (command.empty()) {
      ++malformed_;
      client.reply.text = error_answer(
          "the request is not one line of JSON like {\"command\":\"status\"} of at most 4096 bytes", exit_code::kUsage);
    } else {
      passed_ = std::move(client.passed);
      client.reply = answer_(command);
      passed_ = {};
    }
    // The first piece is a turn's work by itself.
    if (client.reply.more) return;
  }
  if (client.reply.more && client.reply.more(client.reply.text)) return;
  client.answered = true;
  client.reply.text += '\n';
  loop_.unwatch(client.watch);
  client.watch = 0;
  gate.hold_answer([this, number = client.number] { write_client(number); });
}

void ControlServer::write_client(std::uint64_t number) {
  const auto found =
      std::find_if(clients_.begin(), clients_.end(), [number](const Client& c) { return c.number == number; });
  if (found == clients_.end()) return;
  Client& client = *found;
  for (std::size_t left = kSendBytes; client.sent < client.reply.text.size();) {
    if (left == 0) {
      client.cut = true;
      return;
    }
    const std::ptrdiff_t sent =
        system::send(client.socket.get(), std::string_view(client.reply.text).substr(client.sent, left));
    if (sent < 0 && errno == EAGAIN) {
      if (client.watch == 0) {
        client.watch = loop_.watch(client.socket.get(), POLLOUT, [this, number](short) { write_client(number); });
      }
      return;
    }
    if (sent < 0) break;
    client.sent += static_cast<std::size_t>(sent);
    left -= static_cast<std::size_t>(sent);
  }
  // The client need not wait until this object goes with the next turn.
  system::shut_down(client.socket.get());
  client.finished = true;
}

void ControlServer::drop_finished() {
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (!client->finished) {
      ++client;
      continue;
    }
    if (client->watch != 0) loop_.unwatch(client->watch);
    client = clients_.erase(client);
  }
}

}  // namespace tandem::ha
