// SPDX-License-Identifier: BSD-3-Clause
//
// The control socket: clients that send garbage, parts, too much or nothing, hang up or do not read; and tandemctl's tables,
// made of answers that no group of ours gives.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "input.hpp"
#include "release_log.hpp"
#include "require.hpp"
#include "say/control_server.hpp"
#include "tables.hpp"

namespace tandem::fuzz {
namespace {

using namespace tandem::ha;

constexpr std::size_t kMaxSteps = 200;

struct Listener {
  Listener() : socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    address.sun_family = AF_UNIX;
    // An empty name lets the kernel choose one.
    FUZZ_REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) == 0);
    FUZZ_REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    FUZZ_REQUIRE(listen(socket.get(), 64) == 0);
  }
  [[nodiscard]] Descriptor connect_client() const {
    Descriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    FUZZ_REQUIRE(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
    return client;
  }
  Descriptor socket;
  sockaddr_un address{};
  socklen_t length = sizeof address;
};

struct Client {
  Descriptor socket;
  std::string got;
  bool ended = false;
};

class ControlWorld {
 public:
  explicit ControlWorld(Loop& loop)
      : loop_(loop),
        gate_(device_),
        server_(loop, listener_.socket.get(), [](const std::string& command) { return answer(command); }) {}

  void step(Input& input) {
    Client* const client = clients_.empty() ? nullptr : &clients_[input.u8() % clients_.size()];
    switch (input.below(8)) {
      case 0:
        if (clients_.size() < 24) clients_.push_back({listener_.connect_client(), {}, false});
        break;
      case 1:
      case 2:
        if (client != nullptr) say(*client, input.text(600));
        break;
      case 3:
        if (client != nullptr) say(*client, std::string(input.u16(), static_cast<char>(input.u8())));
        break;
      case 4:
        if (client != nullptr) say(*client, R"({"command":")" + input.text(16) + "\"}\n");
        break;
      case 5:
        if (client != nullptr) shutdown(client->socket.get(), input.below(2) == 0 ? SHUT_WR : SHUT_RDWR);
        break;
      case 6:
        if (client != nullptr) clients_.erase(clients_.begin() + (client - clients_.data()));
        break;
      default:
        turn();
        if (client != nullptr) hear(*client);
    }
  }

  void finish() {
    // Whatever was done, whoever comes when the others have gone gets his answer.
    clients_.clear();
    Client good{listener_.connect_client(), {}, false};
    say(good, "{\"command\":\"status\"}\n");
    for (int i = 0; i < 200 && !good.ended; ++i) {
      turn();
      hear(good);
    }
    FUZZ_REQUIRE(good.ended);
    FUZZ_REQUIRE(good.got == "\"status\"\n");
    FUZZ_REQUIRE(server_.malformed() <= server_.requests());
  }

 private:
  /// A command that begins with L has a long answer, made in pieces.
  static ControlServer::Reply answer(const std::string& command) {
    FUZZ_REQUIRE(!command.empty());
    if (command.front() == 'L') {
      return {"[", [left = 40](std::string& text) mutable {
                text += std::string(5000, '1') + (--left > 0 ? "," : "]");
                return left > 0;
              }};
    }
    if (command == "status") return {"\"status\"", {}};
    return {error_answer("there is no command " + command, 64), {}};
  }

  static void say(Client& client, const std::string& text) {
    // What does not go into the socket is not said.
    [[maybe_unused]] const ssize_t sent = send(client.socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }

  static void hear(Client& client) {
    char buffer[8192];
    ssize_t got = 0;
    while (!client.ended && (got = recv(client.socket.get(), buffer, sizeof buffer, 0)) >= 0) {
      client.got.append(buffer, static_cast<std::size_t>(got));
      client.ended = got == 0;
    }
    const auto end = client.got.find('\n');
    if (end == std::string::npos) return;
    // One line, and JSON.
    FUZZ_REQUIRE(end + 1 == client.got.size());
    if (client.got.front() != '[') FUZZ_REQUIRE(nlohmann::json::accept(client.got));
  }

  void turn() {
    loop_.run_once(0);
    if (server_.ready()) server_.process(gate_);
    gate_.close_turn(0, 0);
    gate_.committed(0);
  }

  Loop& loop_;
  Listener listener_;
  ReleaseLog device_;
  OutputGate gate_;
  ControlServer server_;
  std::vector<Client> clients_;
};

void the_server_stands(Input& input) {
  static Loop loop({});
  ControlWorld world(loop);
  for (std::size_t i = 0; i < kMaxSteps && !input.empty(); ++i) world.step(input);
  world.finish();
}

void requests_are_parsed(Input& input) {
  const std::string line = input.rest_text();
  const std::string command = parse_request(line);
  if (!command.empty()) FUZZ_REQUIRE(parse_request(nlohmann::json{{"command", command}}.dump()) == command);
  const std::string refusal = error_answer(line, 64);
  FUZZ_REQUIRE(refusal.find('\n') == std::string::npos);
  FUZZ_REQUIRE(nlohmann::json::parse(refusal).at("code") == 64);
}

void tables_take_any_answer(Input& input) {
  const std::size_t which = input.below(3);
  const auto answer = nlohmann::json::parse(input.rest_text(), nullptr, false);
  if (answer.is_discarded()) return;
  const std::string table = which == 0   ? ctl::status_table(answer)
                            : which == 1 ? ctl::connections_table(answer)
                                         : ctl::routes_table(answer);
  FUZZ_REQUIRE(table.empty() || table.back() == '\n');
}

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::fuzz;
  Input input(data, size);
  switch (input.u8() % 4) {
    case 0:
      requests_are_parsed(input);
      break;
    case 1:
      tables_take_any_answer(input);
      break;
    default:
      the_server_stands(input);
  }
  return 0;
}
