// SPDX-License-Identifier: BSD-3-Clause
#include "control_client.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

using tandem::ctl::ask;
using tandem::ctl::NoGroup;

namespace {

/// Answers one request with a given text.
class Server {
 public:
  explicit Server(std::string answer) : answer_(std::move(answer)) {
    REQUIRE(::mkdtemp(directory_.data()) != nullptr);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path().c_str());
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd_, 1) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
    std::filesystem::remove_all(directory_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] std::string path() const { return directory_ + "/control.sock"; }
  [[nodiscard]] const std::string& request() const { return request_; }

 private:
  void serve() {
    const int client = ::accept(fd_, nullptr, nullptr);
    if (client < 0) return;
    char byte = 0;
    while (::recv(client, &byte, 1, 0) == 1 && byte != '\n') request_ += byte;
    for (std::size_t sent = 0; sent < answer_.size();) {
      const ssize_t taken = ::send(client, answer_.data() + sent, answer_.size() - sent, MSG_NOSIGNAL);
      if (taken <= 0) break;
      sent += static_cast<std::size_t>(taken);
    }
    ::close(client);
  }

  std::string directory_ = "/tmp/tandem-control-XXXXXX";
  std::string answer_;
  std::string request_;
  int fd_ = -1;
  std::thread thread_;
};

constexpr int kWithin_ms = 20'000;

}  // namespace

TEST_CASE("a request is one line of JSON, and the answer comes without its newline") {
  const std::string long_answer = R"({"text":")" + std::string(1 << 20, 'x') + "\"}";
  const Server server(long_answer + "\n");
  CHECK(ask(server.path(), "metrics", kWithin_ms) == long_answer);
  CHECK(server.request() == R"({"command":"metrics"})");
}

TEST_CASE("nobody there, no answer and no answer in time are told apart") {
  CHECK_THROWS_AS(ask("/nonexistent/control.sock", "status", kWithin_ms), NoGroup);
  {
    const Server silent("");
    CHECK_THROWS_WITH(ask(silent.path(), "status", kWithin_ms), Catch::Contains("closed without an answer"));
  }
  {
    // Its process was killed, or handed over, when a part of it was out.
    const Server killed(R"({"connections":[{"id":1},)");
    CHECK_THROWS_WITH(ask(killed.path(), "connections", kWithin_ms), Catch::Contains("broke off within its answer"));
  }
  CHECK_THROWS_WITH(ask("/" + std::string(200, 'x'), "status", kWithin_ms), Catch::Contains("too long"));
}
