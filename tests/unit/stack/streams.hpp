// SPDX-License-Identifier: BSD-3-Clause
//
// Handlers that tests use: an echo, and a talker that sends a stream which follows from a seed and checks what comes back.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "tandem/connection.hpp"
#include "tandem/handler.hpp"

namespace tandem::test {

/// The byte of stream `seed` at `position`.
inline std::uint8_t stream_byte(std::uint64_t seed, std::uint64_t position) {
  std::uint64_t x = seed * 0x9E3779B97F4A7C15U + position / 8;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  x ^= x >> 31;
  return static_cast<std::uint8_t>(x >> (8 * (position % 8)));
}

class Echo final : public Handler {
 public:
  void on_receive(Connection& connection, Bytes unread) override {
    const auto piece = unread.first(std::min(unread.size(), connection.writable()));
    if (connection.write(piece)) {
      connection.consume(piece.size());
    }
  }
};

/// Sends without end what stream `seed` says at its stream position; a promoted one goes on from there.
class Chargen final : public Handler {
 public:
  explicit Chargen(std::uint64_t seed) : seed_(seed) {}
  void on_connected(Connection& connection) override { fill(connection); }
  void on_writable(Connection& connection) override { fill(connection); }

 private:
  void fill(Connection& connection) {
    std::array<std::uint8_t, 4096> piece{};
    while (connection.writable() >= piece.size()) {
      for (std::size_t i = 0; i < piece.size(); ++i) {
        piece[i] = stream_byte(seed_, connection.bytes_written() + i);
      }
      connection.write(piece);
    }
  }
  std::uint64_t seed_;
};

/// What a talker has done, outliving it.
struct Flow {
  Flow(std::uint64_t stream_seed, std::uint64_t bytes) : seed(stream_seed), total(bytes) {}
  std::uint64_t seed;
  std::uint64_t total;  ///< sends as many bytes, then FIN
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t piece = 4096;
  bool exact = true;
  bool connected = false, eof = false, closed = false, reset = false;
  bool reading = true;
  bool close_when_sent = true;
};

class Talker final : public Handler {
 public:
  explicit Talker(std::shared_ptr<Flow> flow) : flow_(std::move(flow)) {}
  void on_connected(Connection& connection) override {
    flow_->connected = true;
    send(connection);
  }
  void on_writable(Connection& connection) override { send(connection); }
  void on_receive(Connection& connection, Bytes unread) override {
    if (!flow_->reading) {
      return;
    }
    for (const auto byte : unread) {
      flow_->exact = flow_->exact && byte == stream_byte(flow_->seed, flow_->received);
      ++flow_->received;
    }
    connection.consume(unread.size());
  }
  void on_eof(Connection& connection) override {
    flow_->eof = true;
    connection.close();
  }
  void on_closed(Connection&) override { flow_->closed = true; }
  void on_reset(Connection&) override { flow_->reset = true; }

 private:
  void send(Connection& connection) {
    std::vector<std::uint8_t> piece;
    while (flow_->sent < flow_->total) {
      const auto room = std::min<std::uint64_t>({connection.writable(), flow_->piece, flow_->total - flow_->sent});
      if (room == 0) {
        return;
      }
      piece.resize(room);
      for (std::size_t i = 0; i < room; ++i) {
        piece[i] = stream_byte(flow_->seed, flow_->sent + i);
      }
      if (!connection.write(piece)) {
        return;
      }
      flow_->sent += room;
    }
    if (flow_->close_when_sent) {
      connection.close();
    }
  }
  std::shared_ptr<Flow> flow_;
};

/// What the two sides of a pair's connection have to do; nothing in it changes, so that a promoted handler goes on from the
/// stream positions alone.
struct Task {
  std::uint64_t seed = 1;
  std::uint64_t to_send = 0;
  bool close_first = false;  ///< closes when all is sent, before or after the peer; else when the peer has
  bool send_last = false;    ///< sends only when the peer has closed its half, then closes
};

struct Outcome {
  int connected = 0, eof = 0, closed = 0, reset = 0, promoted = 0, opened = 0;
  bool exact = true;
};

/// Does its task from wherever its connection stands.
class Worker final : public Handler {
 public:
  Worker(const Task& task, std::shared_ptr<Outcome> outcome) : task_(task), outcome_(std::move(outcome)) {}
  void on_connected(Connection& connection) override {
    ++outcome_->connected;
    go_on(connection);
  }
  void on_writable(Connection& connection) override { go_on(connection); }
  void on_receive(Connection& connection, Bytes unread) override {
    auto position = connection.bytes_consumed();
    for (const auto byte : unread) {
      outcome_->exact = outcome_->exact && byte == stream_byte(task_.seed, position++);
    }
    connection.consume(unread.size());
    go_on(connection);
  }
  void on_eof(Connection& connection) override {
    ++outcome_->eof;
    if (task_.send_last) {
      go_on(connection);
    } else {
      connection.close();
    }
  }
  void on_closed(Connection&) override { ++outcome_->closed; }
  void on_reset(Connection&) override { ++outcome_->reset; }
  void on_opened(Connection&) override { ++outcome_->opened; }
  void on_promote(Connection& connection) override {
    ++outcome_->promoted;
    go_on(connection);
  }

 private:
  void go_on(Connection& connection) {
    const bool peer_closed = connection.phase() == TcpPhase::close_wait;
    if (task_.send_last && !peer_closed) {
      return;
    }
    while (connection.bytes_written() < task_.to_send && connection.writable() > 0) {
      const auto count =
          std::min<std::uint64_t>({task_.to_send - connection.bytes_written(), connection.writable(), 1000});
      std::array<std::uint8_t, 1000> piece{};
      for (std::size_t i = 0; i < count; ++i) {
        piece[i] = stream_byte(task_.seed, connection.bytes_written() + i);
      }
      connection.write(Bytes(piece).first(count));
    }
    if ((task_.close_first || (task_.send_last && peer_closed)) && connection.bytes_written() == task_.to_send) {
      connection.close();
    }
  }
  Task task_;
  std::shared_ptr<Outcome> outcome_;
};

}  // namespace tandem::test
