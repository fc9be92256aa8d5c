// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "digest.hpp"
#include "flow.hpp"
#include "pattern.hpp"
#include "tandem/loop.hpp"

namespace tandem::perf {

namespace {

constexpr std::size_t kMaxPieceBytes = 1 << 20;
constexpr int kPiecesACall = 64;

/// Scratch memory that the flows of a process share: nothing stays in it between two calls.
std::span<std::uint8_t> scratch(std::size_t size) {
  static std::vector<std::uint8_t> memory(kMaxPieceBytes);
  return std::span(memory).first(size);
}

class ClientFlow : public Flow {
 public:
  ClientFlow(const Settings& settings, Meter& meter, std::uint32_t index)
      : settings_(settings), meter_(meter), index_(index), began_ns_(monotonic_ns()) {}

  void connected(Channel&) override {
    connected_ns_ = monotonic_ns();
    meter_.connected(index_, connected_ns_ - began_ns_, connected_ns_);
  }
  void failed(const std::string& why) override { fail(why); }
  [[nodiscard]] bool is_done() const override { return done_; }

 protected:
  void fail(const std::string& why) {
    if (done_) return;
    done_ = true;
    meter_.failed(index_,
                  why + " (" + std::to_string(sent_) + " bytes sent, " + std::to_string(received_) + " received)",
                  monotonic_ns());
  }
  void succeed() {
    if (done_) return;
    done_ = true;
    meter_.done(index_, monotonic_ns());
  }
  void count(Direction direction, std::size_t bytes) {
    (direction == Direction::sent ? sent_ : received_) += bytes;
    meter_.progress(index_, direction, bytes, monotonic_ns());
  }
  /// A driver asks again to finish what was not connected yet.
  [[nodiscard]] bool is_connected() const { return connected_ns_ != 0; }
  /// Names this connection's random stream.
  [[nodiscard]] std::uint64_t seed() const { return settings_.seed * 1'000'003 + index_; }

  const Settings& settings_;
  Meter& meter_;
  const std::uint32_t index_;
  const std::uint64_t began_ns_;
  std::uint64_t connected_ns_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool done_ = false;
};

/// A stream one way or both: echo, chargen, discard, send, receive.
class StreamFlow final : public ClientFlow {
 public:
  StreamFlow(const Settings& settings, Meter& meter, std::uint32_t index) : ClientFlow(settings, meter, index) {
    sends_ = settings.mode != Mode::chargen && settings.mode != Mode::receive;
    if (settings.is_verifying()) {
      expected_.emplace();
      seen_.emplace();
    }
    plain_.resize(settings.mode == Mode::send ? settings.size : 0);
  }

  void connected(Channel& channel) override {
    ClientFlow::connected(channel);
    writable(channel);
  }

  std::size_t receive(Channel& channel, Bytes bytes) override {
    if (done_) return bytes.size();
    if (settings_.is_verifying()) {
      verify(bytes);
    }
    count(Direction::received, bytes.size());
    if (settings_.in_flight != 0 && !done_) writable(channel);
    return bytes.size();
  }

  [[nodiscard]] bool wants_to_write() const override { return allowed() > 0; }

  void writable(Channel& channel) override {
    for (int i = 0; i < kPiecesACall; ++i) {
      const std::size_t size = allowed();
      if (size == 0) return;
      const std::size_t taken = channel.write(piece(size));
      if (taken == 0) return;
      // What was not taken is made again later, from its position in the stream.
      if (expected_) expected_->add(scratch(size).first(taken));
      count(Direction::sent, taken);
      if (taken < size) return;
    }
  }

  [[nodiscard]] std::uint64_t next_ns() const override {
    if (!sends_ || closed_ || done_ || connected_ns_ == 0 || settings_.rate == 0 || allowed() > 0) return UINT64_MAX;
    const double due = static_cast<double>(sent_ + settings_.size) * 1e9 / static_cast<double>(settings_.rate);
    return connected_ns_ + static_cast<std::uint64_t>(due) + 1;
  }
  void tick(Channel& channel) override { writable(channel); }

  void finish(Channel& channel) override {
    if (closed_ || !is_connected()) return;
    closed_ = true;
    channel.close();
  }

  void eof(Channel& channel) override {
    if (!closed_) {
      fail("the server closed first");
      channel.close();
      return;
    }
    if (settings_.mode == Mode::echo && received_ != sent_) fail("the server closed before it had echoed everything");
    if (expected_) {
      const bool hears = settings_.mode != Mode::discard;
      const std::string expected = expected_->hex();
      const std::string seen = hears ? seen_->hex() : std::string();
      if (hears && expected != seen) fail("SHA-256 differs: expected " + expected + ", got " + seen);
      meter_.add_digest({index_, expected, seen});
    }
    succeed();
  }

 private:
  /// Bytes that may be written now, at most a piece.
  [[nodiscard]] std::size_t allowed() const {
    if (!sends_ || closed_ || done_ || connected_ns_ == 0) return 0;
    std::uint64_t room = settings_.size;
    if (settings_.in_flight != 0 && settings_.mode == Mode::echo) {
      const std::uint64_t flying = sent_ - received_;
      room = std::min(room, settings_.in_flight > flying ? settings_.in_flight - flying : 0);
    }
    if (settings_.rate != 0) {
      const double due =
          static_cast<double>(monotonic_ns() - connected_ns_) * static_cast<double>(settings_.rate) / 1e9;
      if (due < static_cast<double>(sent_ + room)) return 0;
    }
    return room;
  }

  Bytes piece(std::size_t size) {
    if (!plain_.empty()) return Bytes(plain_).first(size);
    const auto bytes = scratch(size);
    fill_random(seed(), sent_, bytes);
    return bytes;
  }

  void verify(Bytes bytes) {
    seen_->add(bytes);
    if (settings_.mode == Mode::discard) return fail("a discard service answered");
    const bool is_echo = settings_.mode == Mode::echo;
    if (is_echo && received_ + bytes.size() > sent_) return fail("more came back than was sent");
    std::uint64_t position = received_;
    while (!bytes.empty() && !done_) {
      const auto wanted = scratch(std::min(bytes.size(), kMaxPieceBytes));
      if (is_echo) {
        fill_random(seed(), position, wanted);
      } else {
        fill_chargen(position, wanted);
        expected_->add(wanted);
      }
      const auto wrong = std::mismatch(wanted.begin(), wanted.end(), bytes.begin());
      if (wrong.first != wanted.end()) {
        fail("wrong byte at position " +
             std::to_string(position + static_cast<std::uint64_t>(wrong.first - wanted.begin())));
      }
      position += wanted.size();
      bytes = bytes.subspan(wanted.size());
    }
  }

  bool sends_ = true;
  bool closed_ = false;
  std::optional<Digest> expected_;
  std::optional<Digest> seen_;
  std::vector<std::uint8_t> plain_;
};

/// One request at a time, each answered by an echo service.
class RequestFlow final : public ClientFlow {
 public:
  using ClientFlow::ClientFlow;

  void connected(Channel& channel) override {
    ClientFlow::connected(channel);
    // Spread over the pace, or all connections would ask at the same moments.
    const std::uint64_t share = settings_.pace_ns * (index_ % settings_.connections) / settings_.connections;
    if (share == 0 || settings_.idle) {
      ask(channel);
    } else {
      next_ns_ = connected_ns_ + share;
    }
  }

  std::size_t receive(Channel& channel, Bytes bytes) override {
    if (done_) return bytes.size();
    if (received_ + bytes.size() > sent_) {
      fail("more came back than was sent");
      return bytes.size();
    }
    const auto wanted = scratch(bytes.size());
    fill_random(seed(), received_, wanted);
    if (std::memcmp(wanted.data(), bytes.data(), bytes.size()) != 0) {
      fail("wrong answer after position " + std::to_string(received_));
      return bytes.size();
    }
    count(Direction::received, bytes.size());
    if (received_ == asked_) answered(channel);
    return bytes.size();
  }

  [[nodiscard]] bool wants_to_write() const override { return !done_ && sent_ < asked_; }
  void writable(Channel& channel) override {
    while (sent_ < asked_) {
      const auto bytes = scratch(asked_ - sent_);
      fill_random(seed(), sent_, bytes);
      const std::size_t taken = channel.write(bytes);
      if (taken == 0) return;
      count(Direction::sent, taken);
    }
  }

  [[nodiscard]] std::uint64_t next_ns() const override { return done_ ? UINT64_MAX : next_ns_; }
  void tick(Channel& channel) override { ask(channel); }

  void finish(Channel& channel) override {
    if (finishing_ || !is_connected()) return;
    finishing_ = true;
    const bool is_waiting = received_ < asked_;
    if (is_waiting) return;
    if (settings_.idle) {
      ask(channel);
    } else {
      close(channel);
    }
  }

  void eof(Channel& channel) override {
    if (!closed_) {
      fail("the server closed first");
      channel.close();
    }
    succeed();
  }

 private:
  void ask(Channel& channel) {
    next_ns_ = UINT64_MAX;
    if (closed_) return;
    asked_ += settings_.size;
    asked_ns_ = monotonic_ns();
    writable(channel);
  }

  void answered(Channel& channel) {
    const std::uint64_t now = monotonic_ns();
    meter_.answered(now - asked_ns_);
    ++answers_;
    if (finishing_ || answers_ == settings_.requests) {
      close(channel);
    } else if (settings_.idle) {
      next_ns_ = UINT64_MAX;
    } else if (settings_.pace_ns == 0) {
      ask(channel);
    } else {
      next_ns_ = now + settings_.pace_ns;
    }
  }

  void close(Channel& channel) {
    closed_ = true;
    next_ns_ = UINT64_MAX;
    channel.close();
  }

  std::uint64_t asked_ = 0;  ///< bytes of all requests so far
  std::uint64_t asked_ns_ = 0;
  std::uint64_t answers_ = 0;
  std::uint64_t next_ns_ = UINT64_MAX;
  bool finishing_ = false;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<Flow> make_client_flow(const Settings& settings, Meter& meter, std::uint32_t index) {
  if (settings.mode == Mode::rr || settings.mode == Mode::connections) {
    return std::make_unique<RequestFlow>(settings, meter, index);
  }
  return std::make_unique<StreamFlow>(settings, meter, index);
}

}  // namespace tandem::perf
