// SPDX-License-Identifier: BSD-3-Clause
#include "subject.hpp"

#include <algorithm>
#include <utility>

#include "segment.hpp"

namespace tandem::wire {

namespace {

constexpr std::uint32_t kMtu = 1500;
constexpr std::uint16_t kService = 1;
constexpr MacAddress kStackMac{{2, 0, 0, 0, 0, 1}}, kPeerMac{{2, 0, 0, 0, 0, 2}};
/// A day and a bit, and in the middle of the stack's ticks.
constexpr std::uint64_t kStartNs = 100'000'000'000'000 + 37 * kMs;

IpAddress address(const char* text) { return IpAddress::parse(text).value(); }

}  // namespace

std::uint8_t pattern(std::uint64_t position) { return static_cast<std::uint8_t>(position * 31 + (position >> 8)); }

class Subject::Link final : public LinkDevice {
 public:
  [[nodiscard]] MacAddress mac() const override { return kStackMac; }
  [[nodiscard]] LinkCapabilities capabilities() const override {
    LinkCapabilities link;
    link.mtu = mtu;
    return link;
  }
  std::span<std::uint8_t> tx_reserve(std::uint32_t bytes) override {
    if (full) return {};
    reserved_.assign(bytes, 0);
    return reserved_;
  }
  void tx_stage() override { staged.push_back(std::exchange(reserved_, {})); }
  void rx_done(std::uint32_t /*cookie*/) override {}

  std::uint32_t mtu = kMtu;
  bool full = false;
  std::deque<fuzz::Octets> staged;
  /// Frames stay where they are for as long as there is a stack.
  std::deque<fuzz::Octets> frames;

 private:
  fuzz::Octets reserved_;
};

class Subject::Application final : public Handler {
 public:
  explicit Application(Seen& seen) : seen_(seen) {}
  void on_connected(Connection& /*connection*/) override { ++seen_.connected; }
  void on_receive(Connection& connection, Bytes unread) override {
    if (!seen_.reads) return;
    for (const std::uint8_t byte : unread) {
      seen_.as_written = seen_.as_written && byte == pattern(seen_.received);
      ++seen_.received;
    }
    connection.consume(unread.size());
  }
  void on_eof(Connection& /*connection*/) override { ++seen_.eof; }
  void on_reset(Connection& /*connection*/) override { ++seen_.reset; }
  void on_closed(Connection& /*connection*/) override { ++seen_.closed; }

 private:
  Seen& seen_;
};

Subject::Subject(int family)
    : now_ns_(kStartNs),
      local_(address(family == 6 ? "fd00::1" : "10.0.0.1")),
      peer_(address(family == 6 ? "fd00::2" : "10.0.0.2")),
      link_(std::make_unique<Link>()),
      stack_(make_stack(false)) {
  settle();
}

Subject::~Subject() = default;

std::unique_ptr<Stack> Subject::make_stack(bool dormant) {
  StackOptions options;
  options.addresses.push_back({local_, static_cast<std::uint8_t>(local_.is_v6() ? 64 : 24)});
  options.now_ns = [this] { return now_ns_; };
  options.secret.fill(7);
  options.dormant = dormant;
  auto stack = std::make_unique<Stack>(std::move(options), *link_);
  stack->define_service(kService, [this](Connection& connection) {
    return std::make_unique<Application>(seen_[connection.remote().port]);
  });
  if (listening_) stack->listen({local_, kStackPort}, replicated, kService);
  return stack;
}

void Subject::listen() {
  listening_ = true;
  stack_->listen({local_, kStackPort}, replicated, kService);
}

void Subject::connect(std::uint16_t peer_port) {
  if (stack_->connect({local_, kStackPort}, {peer_, peer_port}, replicated, kService) == nullptr) {
    throw ScriptError("the stack refuses to connect");
  }
  settle();
}

void Subject::write(std::uint16_t peer_port, std::uint32_t bytes) {
  Connection* const connection = find(peer_port);
  if (connection == nullptr) throw ScriptError("there is no connection to write to");
  fuzz::Octets data(bytes);
  Seen& seen = seen_[peer_port];
  for (std::uint8_t& byte : data) byte = pattern(seen.written++);
  if (!connection->write(data)) throw ScriptError("the connection takes no " + std::to_string(bytes) + " bytes");
  settle();
}

Connection* Subject::find(std::uint16_t peer_port) {
  Connection* found = nullptr;
  stack_->for_each_connection([&](Connection& connection) {
    if (connection.remote().port == peer_port) found = &connection;
  });
  return found;
}

void Subject::put_in(std::uint16_t type, Bytes packet) {
  inbox_.push_back(fuzz::ethernet({kPeerMac, kStackMac}, type, packet));
}

void Subject::send(const fuzz::TcpFields& tcp, bool bad_checksum) {
  fuzz::Octets segment = fuzz::tcp(peer_, local_, tcp);
  if (bad_checksum) segment[16] = static_cast<std::uint8_t>(segment[16] ^ 0x55);
  fuzz::IpFields ip;
  ip.source = peer_;
  ip.destination = local_;
  put_in(local_.is_v6() ? fuzz::ether_type::kIpv6 : fuzz::ether_type::kIpv4, fuzz::ip(ip, segment));
  if (!holds_) settle();
}

void Subject::answer_neighbour_requests(const fuzz::Sent& packet) {
  constexpr std::uint8_t kSolicitation = 135, kAdvertisement = 136;
  constexpr std::uint32_t kSolicitedOverride = 0x60000000;
  if (packet.arp && packet.arp->operation == 1 && packet.arp->target == peer_) {
    put_in(fuzz::ether_type::kArp, fuzz::arp({2, kPeerMac, kStackMac, peer_, packet.arp->sender}));
  } else if (packet.icmp_type == kSolicitation && packet.icmp_body.size() >= 20 &&
             std::equal(peer_.octets.begin(), peer_.octets.end(), packet.icmp_body.begin() + 4)) {
    fuzz::Octets body(peer_.octets.begin(), peer_.octets.end());
    body.push_back(2);
    body.push_back(1);
    fuzz::put(body, kPeerMac.octets);
    fuzz::IpFields ip;
    ip.source = peer_;
    ip.destination = local_;
    ip.protocol = fuzz::protocol::kIcmp6;
    ip.hop_limit = 255;
    put_in(fuzz::ether_type::kIpv6,
           fuzz::ip(ip, fuzz::icmp6(peer_, local_, kAdvertisement, 0, kSolicitedOverride, body)));
  }
}

void Subject::turn() {
  while (!inbox_.empty()) {
    link_->frames.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
    stack_->input({link_->frames.back(), static_cast<std::uint32_t>(link_->frames.size())});
  }
  stack_->run_timers();
  // A handler that is never done would be a fault of its own; what finds no room is tried again in the next turn.
  constexpr int kMostPasses = 1000;
  for (int pass = 0; stack_->run_handlers() && !link_->full; ++pass) {
    if (pass == kMostPasses) throw ScriptError("the stack's handlers never come to an end");
  }
  stack_->end_turn();
  while (!link_->staged.empty()) {
    const fuzz::Octets frame = std::move(link_->staged.front());
    link_->staged.pop_front();
    const fuzz::Sent packet = fuzz::dissect(frame, kMtu);
    if (packet.tcp) {
      sent.push_back({now_ns_, packet.tcp->destination, *packet.tcp});
    } else {
      answer_neighbour_requests(packet);
    }
  }
}

void Subject::settle() {
  do {
    turn();
  } while (!inbox_.empty());
}

void Subject::advance(std::uint64_t end_ns, bool stop_at_segment) {
  while (now_ns_ < end_ns && !(stop_at_segment && !sent.empty())) {
    now_ns_ = std::clamp(stack_->next_timer_ns(), now_ns_ + kMs / 10, end_ns);
    settle();
  }
}

void Subject::fill_link(bool full) { link_->full = full; }

void Subject::set_mtu(std::uint32_t bytes) {
  link_->mtu = bytes;
  stack_->link_changed();
  settle();
}

void Subject::take_over(Stack::Adoption adoption) {
  auto twin = make_stack(true);
  stack_->for_each_connection([&](Connection& connection) {
    if (twin->mirror_open(connection.id(), connection.export_connection()) == nullptr) {
      throw ScriptError("the twin refuses the connection");
    }
  });
  for (const Neighbour& neighbour : stack_->neighbours()) twin->mirror_neighbour(neighbour);
  stack_.reset();
  link_->staged.clear();
  stack_ = std::move(twin);
  stack_->activate(adoption);
  settle();
}

}  // namespace tandem::wire
