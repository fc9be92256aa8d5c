// SPDX-License-Identifier: BSD-3-Clause
//
// BGP: the decoders alone, and a speaker with its twins among peers that say anything at any time.
#include <utility>

#include "harness.hpp"
#include "input.hpp"

namespace tandem::fuzz {
namespace {

using namespace tandem::bgp;
using namespace tandem::bgp::test;

constexpr std::size_t kMaxSteps = 300;
constexpr std::size_t kMaxTwins = 3;

Octets octets(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

/// A sound header in front of anything.
Octets with_header(std::uint8_t type, std::span<const std::uint8_t> body) {
  return message(static_cast<MessageType>(type), octets(body.first(std::min(body.size(), std::size_t{4077}))));
}

void decoders(Input& input) {
  UpdateContext context;
  const std::uint8_t bits = input.u8();
  context.four_octet_as = (bits & 1) != 0;
  context.external = (bits & 2) != 0;
  context.family = {(bits & 4) == 0, (bits & 8) == 0};
  context.check_meaning = (bits & 16) != 0;
  context.first_as = (bits & 32) != 0 ? 65001 : 0;
  if ((bits & 64) != 0) context.own_address = address("192.0.2.1");
  const std::uint8_t type = input.u8();
  const Octets bytes = (bits & 128) != 0 ? octets(input.rest()) : with_header(type % 7, input.rest());
  MalformationCounters counters{};
  Notification error;
  const Frame frame = next_frame(bytes, counters);
  FUZZ_REQUIRE(frame.consumed <= bytes.size());
  if (frame.kind != Frame::Kind::message) return;
  switch (frame.type) {
    case MessageType::open:
      if (const auto open = decode_open(frame.bytes, counters, error)) {
        const auto again = decode_open(encode_open(*open), counters, error);
        FUZZ_REQUIRE(again.has_value());
        FUZZ_REQUIRE(again->as == open->as && again->router_id == open->router_id && again->family == open->family &&
                     again->hold_time_s == open->hold_time_s && again->four_octet_as == open->four_octet_as &&
                     again->route_refresh == open->route_refresh);
      }
      break;
    case MessageType::notification:
      if (const auto notification = decode_notification(frame.bytes, counters)) {
        FUZZ_REQUIRE(decode_notification(encode_notification(*notification), counters).has_value());
      }
      break;
    case MessageType::route_refresh:
      decode_route_refresh(frame.bytes, counters, error);
      break;
    case MessageType::update: {
      Update update;
      decode_update(frame.bytes, context, counters, update);
      if (update.handling != ErrorHandling::none) break;
      // What was taken can be said again, and means the same.
      UpdateContext plain = context;
      plain.check_meaning = false;
      plain.first_as = 0;
      plain.own_address.reset();
      if (update.announced_ipv4.empty()) break;
      Octets encoded;
      encode_attributes(Family::ipv4, update.attributes, plain, encoded);
      if (!UpdateBuilder::fits(Family::ipv4, update.attributes, encoded.size())) break;
      std::vector<Prefix> said;
      for (const Octets& one : updates(update.announced_ipv4, &update.attributes, plain)) {
        Update second;
        MalformationCounters none{};
        decode_update(one, plain, none, second);
        FUZZ_REQUIRE(second.handling == ErrorHandling::none);
        FUZZ_REQUIRE(second.attributes == update.attributes);
        said.insert(said.end(), second.announced_ipv4.begin(), second.announced_ipv4.end());
      }
      FUZZ_REQUIRE(said == update.announced_ipv4);
      break;
    }
    case MessageType::keepalive:
      break;
  }
}

class Session {
 public:
  explicit Session(std::uint64_t seed)
      : configuration_(configuration(
            65000,
            {"10.0.0.1 as=65001", "10.0.0.2 as=65002 hold=3", "10.0.0.3 as=65000", "2001:db8::9 as=65009 passive"},
            {"198.51.100.0/24", "2001:db8:1::/48"})),
        world_(configuration_, seed) {}

  void step(Input& input) {
    const std::size_t n = input.below(world_.puppets.size());
    Puppet& p = world_.puppets[n];
    // Most messages come to their reader at once; sometimes they pile up.
    bool deliver = true;
    switch (input.below(20)) {
      case 0:
        if (!p.connected) world_.connect(n);
        break;
      case 1:
        connect_as_asked(n);
        break;
      case 2:
        come_up(n);
        break;
      case 3:
        choose_open(p.open, input);
        p.send(encode_open(p.open));
        break;
      case 4:
        p.send(encode_keepalive());
        break;
      case 5:
      case 6:
      case 7:
        announce(n, input);
        break;
      case 8: {
        std::mt19937_64 random(input.u16());
        p.send(updates(random_prefixes(random, family(p, random()), 64, 20), nullptr, p.context));
        break;
      }
      case 9:
        p.send(octets(input.bytes(200)));
        break;
      case 10:
      case 11: {
        const std::uint8_t type = input.u8();
        p.send(with_header(type < 250 ? type % 6 : type, input.bytes(600)));
        break;
      }
      case 12:
        p.send(input.below(2) == 0 ? encode_route_refresh(Family(input.below(2)))
                                   : encode_end_of_rib(Family(input.below(2))));
        break;
      case 13:
        p.send(encode_notification({input.u8(), input.u8(), octets(input.bytes(20))}));
        break;
      case 14:
        deliver = false;
        pull(n, input.u16() % 5000);
        break;
      case 15:
        world_.now += std::uint64_t{input.u16()} << input.below(8);
        world_.primary->tick(world_.now);
        world_.act();
        break;
      case 16:
        world_.disconnect(n);
        break;
      case 17:
        join(input);
        break;
      case 18:
        if (!world_.watchers.empty()) world_.take_over(input.below(world_.watchers.size()));
        break;
      default:
        deliver = false;
        receive(n, input.u16());
    }
    if (deliver) {
      receive(n, SIZE_MAX);
      if (input.below(4) != 0) pull(n, kMaxMessageBytes);
    }
    if (++steps_ % 8 == 0) twins_are_equal();
  }

  void finish() {
    for (bool busy = true; busy;) {
      busy = false;
      for (std::size_t i = 0; i < world_.puppets.size(); ++i) {
        busy = receive(i, SIZE_MAX) || busy;
        while (pull(i, kMaxMessageBytes)) busy = true;
      }
      while (world_.primary->next_deadline_ms() == std::uint64_t{0}) {
        world_.primary->tick(world_.now);
        busy = true;
      }
    }
    twins_are_equal();
    // What each peer was told is what it is to know.
    for (std::uint32_t n = 0; n < world_.puppets.size(); ++n) {
      if (world_.primary->neighbor_state(n) != State::established) continue;
      FUZZ_REQUIRE(world_.puppets[n].view == wanted_by(*world_.primary, n));
    }
    world_.primary->statistics(world_.now);
    world_.primary->stop(world_.now);
    world_.act();
  }

 private:
  static Family family(const Puppet& p, std::uint64_t choice) {
    return p.context.family[1] && choice % 2 == 0 ? Family::ipv6 : Family::ipv4;
  }

  static void choose_open(Open& open, Input& input) {
    const std::uint8_t bits = input.u8();
    open.four_octet_as = (bits & 1) == 0;
    open.route_refresh = (bits & 2) == 0;
    open.any_multiprotocol = (bits & 4) == 0;
    open.family = {(bits & 8) == 0, (bits & 16) == 0};
    if ((bits & 32) != 0) open.hold_time_s = input.u16();
    if ((bits & 64) != 0) open.as = input.u32();
    if ((bits & 128) != 0) open.router_id = input.u32();
  }

  /// The connection that the speaker wants to open itself.
  void connect_as_asked(std::size_t n) {
    if (world_.puppets[n].connected) return;
    for (const Link& link : std::exchange(world_.connects, {})) {
      if (link.neighbor == n && world_.primary->state(link) == State::connect && !world_.puppets[n].connected) {
        world_.attach(n, link);
      }
    }
  }

  void come_up(std::size_t n) {
    Puppet& p = world_.puppets[n];
    if (!p.connected && !world_.connect(n)) return;
    p.send(encode_open(p.open));
    p.send(encode_keepalive());
  }

  void announce(std::size_t n, Input& input) {
    Puppet& p = world_.puppets[n];
    std::mt19937_64 random(input.u16());
    const Family f = family(p, random());
    const auto attributes = random_route(random, p.open.as, p.context.external, f);
    p.send(updates(random_prefixes(random, f, 64, 20), &attributes, p.context));
  }

  bool receive(std::size_t n, std::size_t limit) {
    const bool any = world_.receive(n, limit);
    // What both have agreed on is the speaker's view: the OPEN may have been raw bytes.
    const Puppet& p = world_.puppets[n];
    if (p.connected) {
      if (const auto agreed = world_.primary->negotiated(p.link)) {
        world_.puppets[n].context.four_octet_as = agreed->four_octet_as;
        world_.puppets[n].context.family = agreed->family;
      }
    }
    return any;
  }

  bool pull(std::size_t n, std::size_t room) {
    Puppet& p = world_.puppets[n];
    if (!world_.pull(n, room)) return false;
    if (p.connected) p.read();
    return true;
  }

  /// A late joiner, whose pieces may be damaged: then it only has to survive.
  void join(Input& input) {
    const bool damaged = input.below(4) == 0;
    if (world_.twins.size() >= kMaxTwins && !damaged) return;
    auto joiner = std::make_unique<Speaker>(configuration_, Speaker::Mode::observing);
    SaveCursor cursor;
    for (Octets piece; world_.primary->save(cursor, Speaker::kMinPieceBytes, piece);) {
      FUZZ_REQUIRE(piece.size() <= Speaker::kMinPieceBytes);
      if (damaged && !piece.empty()) {
        for (std::size_t i = 1 + input.below(4); i > 0; --i) piece[input.u16() % piece.size()] = input.u8();
        if (input.below(4) == 0) piece.resize(input.u16() % (piece.size() + 1));
        joiner->restore(piece, world_.now);
      } else {
        FUZZ_REQUIRE(joiner->restore(piece, world_.now).empty());
      }
    }
    if (!damaged) {
      world_.watchers.push_back({joiner.get(), true, true});
      world_.twins.push_back(std::move(joiner));
      return;
    }
    const Octets noise = octets(input.bytes(100));
    joiner->restore(noise, world_.now);
    joiner->observe_received({0, Direction::incoming}, encode_keepalive(), world_.now);
    joiner->observe_written({0, Direction::incoming}, encode_end_of_rib(Family::ipv4), world_.now);
    joiner->promote(world_.now);
    Octets room(kMaxMessageBytes);
    std::size_t written = 0;
    for (std::uint32_t n = 0; n < world_.puppets.size(); ++n)
      for (const Direction d : {Direction::outgoing, Direction::incoming})
        for (int k = 0; k < 20; ++k) joiner->next_message({n, d}, room, written);
    joiner->statistics(world_.now);
  }

  void twins_are_equal() const {
    if (world_.watchers.empty()) return;
    const auto primary = mirrored_state(*world_.primary);
    for (const Watcher& watcher : world_.watchers) {
      const auto twin = mirrored_state(*watcher.speaker);
      if (twin == primary) continue;
      std::string first;
      for (const auto& [name, value] : primary) {
        const auto other = twin.find(name);
        if (other == twin.end() || other->second != value) {
          first = name + " is " + value + " on the primary, " + (other == twin.end() ? "absent" : other->second);
          break;
        }
      }
      failed("a twin is what the primary is", __FILE__, __LINE__, first);
    }
  }

  Configuration configuration_;
  World world_;
  std::size_t steps_ = 0;
};

void sessions(Input& input) {
  Session session(input.u8());
  for (std::size_t i = 0; i < kMaxSteps && !input.empty(); ++i) session.step(input);
  session.finish();
}

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::fuzz;
  Input input(data, size);
  if (input.u8() % 4 == 0) {
    decoders(input);
  } else {
    sessions(input);
  }
  return 0;
}
