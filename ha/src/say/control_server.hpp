// SPDX-License-Identifier: BSD-3-Clause
//
// Answers tandemctl on the group's control socket: one line of JSON in, one line of JSON out, then the end. Bounded in clients,
// in bytes and in time, so that a client that sends garbage, or nothing, or does not read, disturbs nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include "channel/shared_memory.hpp"
#include "gate/output_gate.hpp"
#include "tandem/loop.hpp"

namespace tandem::ha {

class ControlServer {
 public:
  /// One line of JSON, without the newline. A long one is made in pieces, one a turn: `more` appends the next piece and
  /// returns whether others follow.
  struct Reply {
    std::string text;
    std::function<bool(std::string& text)> more;
  };
  using Answer = std::function<Reply(const std::string& command)>;

  ControlServer(Loop& loop, int listener, Answer answer);
  ~ControlServer();

  /// Within a turn: answers what has come; the answers leave through the gate. Behind `deadline_ns` (monotonic_ns scale) only one
  /// client is served, and the next call begins with the one behind it.
  void process(OutputGate& gate, std::uint64_t deadline_ns = UINT64_MAX);
  /// Within an answer: the first descriptor that came with the request, once; invalid when none did.
  [[nodiscard]] Descriptor take_descriptor() { return std::move(passed_); }
  /// Whether process has something to do.
  [[nodiscard]] bool ready() const;
  /// Whether somebody has asked and has not had the whole answer.
  [[nodiscard]] bool is_answering() const;
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  [[nodiscard]] std::uint64_t malformed() const { return malformed_; }

 private:
  struct Client {
    std::uint64_t number = 0;
    Descriptor socket;
    Loop::WatchId watch = 0;
    std::string request;
    Descriptor passed;  ///< with it
    Reply reply;
    std::size_t sent = 0;
    std::uint64_t deadline_ns = 0;
    bool complete = false;
    bool answered = false;
    bool cut = false;  ///< more could have been sent
    bool finished = false;
  };

  void accept_clients();
  void read_client(Client& client);
  void serve_client(Client& client, OutputGate& gate);
  void write_client(std::uint64_t number);
  void drop_finished();

  Loop& loop_;
  int listener_;
  Answer answer_;
  Loop::WatchId listener_watch_ = 0;
  bool accept_ready_ = true;
  std::list<Client> clients_;
  Descriptor passed_;  ///< while a request is answered
  std::uint64_t next_number_ = 1;
  std::uint64_t requests_ = 0;
  std::uint64_t malformed_ = 0;
};

/// The command of a request line, or empty when it is not {"command": "..."}.
std::string parse_request(const std::string& line);
/// {"error": ..., "code": ...}
std::string error_answer(const std::string& text, int code);

}  // namespace tandem::ha
