// SPDX-License-Identifier: BSD-3-Clause
#include <array>

#include "flow.hpp"
#include "pattern.hpp"
#include "tandem/loop.hpp"

namespace tandem::perf {

namespace {

constexpr int kPiecesACall = 64;

class ServerFlow : public Flow {
 public:
  ServerFlow(Meter& meter, std::uint32_t index) : meter_(meter), index_(index) {}

  void connected(Channel&) override { meter_.connected(index_, 0, monotonic_ns()); }
  void failed(const std::string& why) override { meter_.failed(index_, why, monotonic_ns()); }

 protected:
  void count(Direction direction, std::size_t bytes) { meter_.progress(index_, direction, bytes, monotonic_ns()); }

 private:
  Meter& meter_;
  std::uint32_t index_;
};

class EchoFlow final : public ServerFlow {
 public:
  using ServerFlow::ServerFlow;
  std::size_t receive(Channel& channel, Bytes bytes) override {
    const std::size_t taken = channel.write(bytes);
    if (taken > 0) {
      count(Direction::received, taken);
      count(Direction::sent, taken);
    }
    return taken;
  }
};

class DiscardFlow : public ServerFlow {
 public:
  using ServerFlow::ServerFlow;
  std::size_t receive(Channel&, Bytes bytes) override {
    count(Direction::received, bytes.size());
    return bytes.size();
  }
};

class ChargenFlow final : public DiscardFlow {
 public:
  using DiscardFlow::DiscardFlow;
  void connected(Channel& channel) override {
    DiscardFlow::connected(channel);
    writable(channel);
  }
  [[nodiscard]] bool wants_to_write() const override { return !closed_; }
  void writable(Channel& channel) override {
    std::array<std::uint8_t, 65536> bytes;
    // As much as there is room for: room is reported only when it has grown.
    for (int i = 0; i < kPiecesACall; ++i) {
      fill_chargen(channel.written(), bytes);
      const std::size_t taken = channel.write(bytes);
      if (taken > 0) count(Direction::sent, taken);
      if (taken < bytes.size()) return;
    }
  }
  void eof(Channel& channel) override {
    closed_ = true;
    channel.close();
  }

 private:
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<Flow> make_server_flow(std::uint16_t well_known, Meter& meter, std::uint32_t index) {
  switch (well_known) {
    case 9:
      return std::make_unique<DiscardFlow>(meter, index);
    case 19:
      return std::make_unique<ChargenFlow>(meter, index);
    default:
      return std::make_unique<EchoFlow>(meter, index);
  }
}

}  // namespace tandem::perf
