// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "node/system.hpp"
#include "release_log.hpp"
#include "say/control_server.hpp"

using namespace tandem::ha;

namespace {

/// A listening socket with an abstract name of its own, and clients of it.
struct Listener {
  Listener() : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    address_.sun_family = AF_UNIX;
    // An empty name lets the kernel choose one.
    REQUIRE(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address_), sizeof(sa_family_t)) == 0);
    REQUIRE(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_), &length_) == 0);
    REQUIRE(listen(socket_.get(), 16) == 0);
  }
  [[nodiscard]] Descriptor connect_client() const {
    Descriptor client(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    REQUIRE(connect(client.get(), reinterpret_cast<const sockaddr*>(&address_), length_) == 0);
    return client;
  }
  Descriptor socket_;
  sockaddr_un address_{};
  socklen_t length_ = sizeof address_;
};

/// A turn's worth of the server, until the client has seen the end of the stream.
std::string answer_to(ControlServer& server, tandem::Loop& loop, OutputGate& gate, const Descriptor& client) {
  std::string text;
  for (int turn = 0; turn < 10'000; ++turn) {
    loop.run_once(tandem::monotonic_ns() + 1'000'000);
    if (server.ready()) server.process(gate);
    gate.close_turn(0, 0);
    gate.committed(0);
    char buffer[4096];
    const ssize_t got = recv(client.get(), buffer, sizeof buffer, 0);
    if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    if (got == 0) return text;
  }
  return text + " (no end)";
}

}  // namespace

TEST_CASE("requests on the control socket") {
  CHECK(parse_request(R"({"command":"status"})") == "status");
  CHECK(parse_request(R"({"command":"routes","more":1})") == "routes");
  for (const char* garbage : {"", "status", "{", "[]", "null", "{}", R"({"command":7})", R"(["command","status"])",
                              "\xff\xfe\x00", "GET / HTTP/1.1", R"({"command":{"command":"status"}})"}) {
    CHECK(parse_request(garbage).empty());
  }
}

TEST_CASE("an error is one line of JSON whatever its text") {
  const std::string answer = error_answer("a \"quoted\"\nline and \xff", 64);
  CHECK(answer.find('\n') == std::string::npos);
  CHECK(answer.find("\"code\":64") != std::string::npos);
}

TEST_CASE("the control server answers requests, refuses garbage, and makes long answers in pieces", "[io_uring]") {
  const Listener listener;
  tandem::Loop loop({});
  ReleaseLog device;
  OutputGate gate(device);
  int pieces = 0;
  ControlServer server(loop, listener.socket_.get(), [&pieces](const std::string& command) -> ControlServer::Reply {
    if (command != "long") return {"\"" + command + "\"", {}};
    return {"[", [&pieces](std::string& text) {
              text += std::string(1000, '1') + (++pieces < 300 ? "," : "]");
              return pieces < 300;
            }};
  });
  const auto ask = [&](std::string_view request) {
    const Descriptor client = listener.connect_client();
    REQUIRE(send(client.get(), request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
    shutdown(client.get(), SHUT_WR);
    return answer_to(server, loop, gate, client);
  };
  CHECK(ask("{\"command\":\"status\"}\n") == "\"status\"\n");
  CHECK(ask("{\"command\":\"status\"}") == "\"status\"\n");
  CHECK(ask("garbage\n").find("\"code\":64") != std::string::npos);
  CHECK(ask(std::string(10'000, 'x')).find("\"code\":64") != std::string::npos);
  CHECK(server.malformed() == 2);
  CHECK(ask("").empty());
  const std::string text = ask("{\"command\":\"long\"}\n");
  CHECK(pieces == 300);
  CHECK(text.size() == 300 * 1001 + 2);

  // Behind the turn's deadline one client is served a turn, and they take turns.
  pieces = 0;
  const Descriptor first = listener.connect_client(), second = listener.connect_client();
  for (const Descriptor* client : {&first, &second}) {
    REQUIRE(send(client->get(), "{\"command\":\"long\"}\n", 19, MSG_NOSIGNAL) == 19);
  }
  for (int turn = 0; server.requests() < 7 && turn < 10'000; ++turn) {
    loop.run_once(tandem::monotonic_ns() + 1'000'000);
    const int before = pieces;
    server.process(gate, 0);
    CHECK(pieces - before <= 1);
  }
  for (int i = 0; i < 10; ++i) {
    const int before = pieces;
    server.process(gate, 0);
    CHECK(pieces - before == 1);
  }

  // Clients that say nothing keep nobody else waiting, up to the bound on clients.
  std::vector<Descriptor> silent;
  for (int i = 0; i < 10; ++i) silent.push_back(listener.connect_client());
  CHECK(ask("{\"command\":\"status\"}\n") == "\"status\"\n");
}

TEST_CASE("a turn hands the kernel no more of a long answer than a slice", "[io_uring]") {
  const Listener listener;
  tandem::Loop loop({});
  ReleaseLog device;
  OutputGate gate(device);
  constexpr std::size_t kBytes = 1'000'000;
  ControlServer server(loop, listener.socket_.get(), [](const std::string&) {
    return ControlServer::Reply{std::string(kBytes, 'x'), {}};
  });
  const Descriptor client = listener.connect_client();
  REQUIRE(send(client.get(), "{\"command\":\"long\"}\n", 19, MSG_NOSIGNAL) == 19);
  std::size_t received = 0, most = 0;
  std::vector<char> buffer(2 * kBytes);
  for (int turn = 0; turn < 10'000; ++turn) {
    loop.run_once(tandem::monotonic_ns() + 1'000'000);
    if (server.ready()) server.process(gate);
    gate.close_turn(0, 0);
    gate.committed(0);
    std::size_t this_turn = 0;
    ssize_t got = 0;
    while ((got = recv(client.get(), buffer.data(), buffer.size(), 0)) > 0) this_turn += static_cast<std::size_t>(got);
    most = std::max(most, this_turn);
    received += this_turn;
    if (got == 0) break;
    CHECK(server.is_answering() == (received != kBytes + 1));
  }
  CHECK(received == kBytes + 1);
  CHECK_FALSE(server.is_answering());
  // What the loop sends when room appears may come on top of the turn's own.
  CHECK(most <= 2 * 65536);
}

TEST_CASE("a descriptor that comes with a request is given to its answer alone, and closed when that does not want it",
          "[io_uring]") {
  const Listener listener;
  tandem::Loop loop({});
  ReleaseLog device;
  OutputGate gate(device);
  std::vector<Descriptor> taken;
  ControlServer* asked = nullptr;
  ControlServer server(loop, listener.socket_.get(), [&](const std::string& command) -> ControlServer::Reply {
    if (command == "take") taken.push_back(asked->take_descriptor());
    return {"true", {}};
  });
  asked = &server;
  // Whether the other end of the pipe is open anywhere is what its reader sees.
  const auto is_open = [](const Descriptor& reader) {
    char byte = 0;
    return read(reader.get(), &byte, 1) < 0 && errno == EAGAIN;
  };
  const auto ask = [&](const std::string& command, bool passes) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    Descriptor reader(ends[0]);
    {
      const Descriptor writer(ends[1]);
      const Descriptor client = listener.connect_client();
      const std::string text = "{\"command\":\"" + command + "\"}\n";
      const std::array<int, 1> descriptors{writer.get()};
      REQUIRE(system::send_packet(client.get(), {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()},
                                  passes ? std::span<const int>(descriptors) : std::span<const int>()));
      CHECK(answer_to(server, loop, gate, client) == "true\n");
    }
    return reader;
  };
  const Descriptor wanted = ask("take", true);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].valid());
  CHECK(is_open(wanted));
  // Not the one before.
  static_cast<void>(ask("take", false));
  REQUIRE(taken.size() == 2);
  CHECK_FALSE(taken[1].valid());
  const Descriptor unwanted = ask("status", true);
  for (int turn = 0; is_open(unwanted) && turn < 1000; ++turn) loop.run_once(tandem::monotonic_ns() + 1'000'000);
  CHECK_FALSE(is_open(unwanted));
  taken.clear();
  CHECK_FALSE(is_open(wanted));
}
