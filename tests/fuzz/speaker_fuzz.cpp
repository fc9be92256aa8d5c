// SPDX-License-Identifier: BSD-3-Clause
//
// A BGP speaker among peers that send any bytes, cut anywhere. Two speakers are told the same, one in pieces, the other message by
// message: what they make of it must be the same. And what RFC 7606 promises: an UPDATE of which the prefixes can be found costs
// those routes or an attribute, and never the session; each error is counted.
#include <numeric>

#include "harness.hpp"
#include "input.hpp"

namespace tandem::fuzz {
namespace {

using namespace tandem::bgp;
using namespace tandem::bgp::test;

constexpr std::size_t kMaxSteps = 120;
constexpr std::uint32_t kOurAs = 65000;

enum class Outcome : std::uint8_t { taken, discarded, withdrawn, reset };

Octets octets(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

void put16(Octets& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

void attribute(Octets& out, std::uint8_t flags, std::uint8_t type, const Octets& value) {
  out.push_back(flags);
  out.push_back(type);
  out.push_back(static_cast<std::uint8_t>(value.size()));
  out = out + value;
}

/// An UPDATE put together by hand, with at most one error, and what must become of it.
struct Made {
  Octets bytes;
  Prefix prefix;
  Outcome outcome = Outcome::taken;
};

class Maker {
 public:
  Maker(Input& input, bool external, bool four_octet_as)
      : in_(input), external_(external), four_octet_as_(four_octet_as) {}

  Made make(bool sound) {
    Made made;
    const std::uint8_t number = in_.u8();
    made.prefix = prefix("203.0." + std::to_string(number) + ".0/24");
    Octets nlri{24, 203, 0, number};
    const std::size_t error = sound ? kSound : in_.below(kErrors);
    Octets attributes;
    if (error != 0) attribute(attributes, error == 1 ? 0xc0 : 0x40, 1, origin(error));
    if (error != 4) attribute(attributes, 0x40, 2, error == 5 ? Octets{2, 9, 0, 0} : path());
    if (error != 6) attribute(attributes, 0x40, 3, error == 7 ? wrong_size(4) : Octets{192, 0, 2, 2});
    if (!external_) attribute(attributes, 0x40, 5, error == 8 ? wrong_size(4) : Octets{0, 0, 0, 100});
    Octets withdrawn;
    made.outcome = error < 8 ? Outcome::withdrawn : Outcome::taken;
    switch (error) {
      case 8:
        made.outcome = external_ ? Outcome::taken : Outcome::withdrawn;
        break;
      case 9:
        lengths(attributes, 0x80, 4, 4, made);
        break;
      case 10:
        lists(attributes, 8, 4, made);
        break;
      case 11:
        lists(attributes, 16, 8, made);
        break;
      case 12:
        lists(attributes, 32, 12, made);
        break;
      case 13: {  // ORIGINATOR_ID: of no meaning from another AS
        attribute(attributes, 0x80, 9, wrong_size(4));
        made.outcome = external_ ? Outcome::discarded : Outcome::withdrawn;
        break;
      }
      case 14:
        attribute(attributes, 0x40, 6, octets(in_.take(1 + in_.below(9))) + Octets{0});
        made.outcome = Outcome::discarded;
        break;
      case 15:
        attribute(attributes, 0xc0, 7, wrong_size(four_octet_as_ ? 8 : 6));
        made.outcome = Outcome::discarded;
        break;
      case 16:  // longer than the field
        attributes = attributes + Octets{0xc0, 8, 200, 1, 2};
        made.outcome = Outcome::withdrawn;
        break;
      case 17:  // ORIGIN a second time: the first one counts
        attribute(attributes, 0x40, 1, octets(in_.take(in_.below(4))));
        made.outcome = Outcome::discarded;
        break;
      case 18:
        nlri[0] = static_cast<std::uint8_t>(33 + in_.below(200));
        made.outcome = Outcome::reset;
        break;
      case 19:
        withdrawn = {24, 203};
        made.outcome = Outcome::reset;
        break;
      case 20:  // well-known, and nobody knows it
        attribute(attributes, 0x40, static_cast<std::uint8_t>(100 + in_.below(20)), octets(in_.take(in_.below(8))));
        made.outcome = Outcome::reset;
        break;
      case 21:
        attribute(attributes, 0x80, 14, octets(in_.take(in_.below(3))));
        made.outcome = Outcome::reset;
        break;
      default:
        break;
    }
    Octets body;
    put16(body, withdrawn.size());
    body = body + withdrawn;
    put16(body, attributes.size() + (error == 22 ? 2000 : 0));
    if (error == 22) made.outcome = Outcome::reset;
    made.bytes = message(MessageType::update, body + attributes + nlri);
    return made;
  }

 private:
  static constexpr std::size_t kErrors = 23, kSound = kErrors;

  Octets origin(std::size_t error) {
    if (error == 2) return wrong_size(1);
    if (error == 3) return {static_cast<std::uint8_t>(3 + in_.below(253))};
    return {0};
  }
  Octets path() const {
    const std::uint32_t as = external_ ? 65001 : 65099;
    Octets out{2, 1};
    if (four_octet_as_) put16(out, 0);
    put16(out, as);
    return out;
  }
  Octets wrong_size(std::size_t right) {
    std::size_t size = in_.below(20);
    if (size == right) ++size;
    Octets out = octets(in_.take(size));
    out.resize(size);
    return out;
  }
  void lengths(Octets& attributes, std::uint8_t flags, std::uint8_t type, std::size_t right, Made& made) {
    attribute(attributes, flags, type, wrong_size(right));
    made.outcome = Outcome::withdrawn;
  }
  void lists(Octets& attributes, std::uint8_t type, std::size_t item, Made& made) {
    Octets value = wrong_size(0);
    if (value.size() % item == 0) value.push_back(0);
    if (in_.below(4) == 0) value.clear();
    attribute(attributes, 0xc0, type, value);
    made.outcome = Outcome::withdrawn;
  }

  Input& in_;
  bool external_, four_octet_as_;
};

class Pair {
 public:
  Pair() : whole_(options()), cut_(options()) {}

  void step(Input& input) {
    const std::size_t n = input.below(whole_.puppets.size());
    switch (input.below(12)) {
      case 0:
      case 1:
        come_up(n);
        break;
      case 2:
        both([&](World& world) {
          if (!world.puppets[n].connected) world.connect(n);
        });
        break;
      case 3:
        send(n, octets(input.bytes(300)));
        break;
      case 4:
      case 5: {
        const std::uint8_t type = input.u8();
        send(n, message(static_cast<MessageType>(type < 250 ? type % 6 : type), octets(input.bytes(400))));
        break;
      }
      case 6:
        send(n, input.below(3) == 0 ? encode_open(whole_.puppets[n].open) : encode_keepalive());
        break;
      case 7: {
        const std::uint64_t ms = std::uint64_t{input.u16()} << input.below(4);
        both([&](World& world) {
          world.now += ms;
          world.primary->tick(world.now);
          world.act();
        });
        break;
      }
      case 8:
        both([&](World& world) { world.disconnect(n); });
        break;
      default:
        handmade(n, input);
        return;
    }
    deliver(n, input);
    compare();
  }

  void finish() {
    both([](World& world) {
      world.primary->stop(world.now);
      world.act();
    });
    compare();
  }

 private:
  static Configuration options() {
    return configuration(kOurAs, {"10.0.0.1 as=65001", "10.0.0.3 as=65000"}, {"198.51.100.0/24"});
  }

  template <class F>
  void both(F f) {
    f(whole_);
    f(cut_);
  }

  void send(std::size_t n, const Octets& bytes) {
    both([&](World& world) {
      if (world.puppets[n].connected) world.puppets[n].send(bytes);
    });
  }

  void come_up(std::size_t n) {
    both([&](World& world) {
      Puppet& p = world.puppets[n];
      if (!p.connected && !world.connect(n)) return;
      p.send(encode_open(p.open));
      p.send(encode_keepalive());
    });
  }

  void deliver(std::size_t n, Input& input) {
    while (whole_.receive(n)) {
    }
    // What arrived, piece by piece: the speaker leaves what is not yet a message.
    for (std::size_t offered = 0; cut_.puppets[n].connected && offered < cut_.puppets[n].to_speaker.size();) {
      offered += 1 + input.below(64);
      if (cut_.receive(n, offered)) offered = 0;
    }
    both([&](World& world) {
      Puppet& p = world.puppets[n];
      if (const auto agreed = p.connected ? world.primary->negotiated(p.link) : std::nullopt) {
        p.context.four_octet_as = agreed->four_octet_as;
        p.context.family = agreed->family;
      }
      for (std::size_t i = 0; i < world.puppets.size(); ++i) {
        while (world.pull(i)) {
        }
        world.puppets[i].read();
      }
    });
  }

  std::uint64_t errors(std::size_t n) const {
    const auto statistics = whole_.primary->statistics(whole_.now);
    const auto& counters = statistics.neighbors[n].malformations;
    return std::accumulate(counters.begin(), counters.end(), std::uint64_t{0});
  }

  /// An UPDATE with at most one error, and what must have become of it.
  void handmade(std::size_t n, Input& input) {
    const auto number = static_cast<std::uint32_t>(n);
    Puppet& p = whole_.puppets[n];
    const bool established = p.connected && whole_.primary->state(p.link) == State::established &&
                             p.to_speaker.empty() && p.context.family[0];
    Maker maker(input, p.context.external, p.context.four_octet_as);
    // Sometimes the route was there before.
    if (input.below(2) == 0) {
      send(n, maker.make(true).bytes);
      deliver(n, input);
    }
    const Made made = maker.make(false);
    Table expected = received_by(*whole_.primary, number);
    const std::uint64_t errors_before = errors(n);
    const std::size_t notifications = p.notifications.size();
    send(n, made.bytes);
    deliver(n, input);
    compare();
    if (!established) return;
    const Table now = received_by(*whole_.primary, number);
    if (made.outcome == Outcome::reset) {
      FUZZ_REQUIRE(!p.connected);
      FUZZ_REQUIRE(p.notifications.size() == notifications + 1 && p.notifications.back().code == 3);
    } else {
      FUZZ_REQUIRE(p.connected && whole_.primary->state(p.link) == State::established);
      FUZZ_REQUIRE(p.notifications.size() == notifications);
      FUZZ_REQUIRE(now.contains(made.prefix) == (made.outcome != Outcome::withdrawn));
      Table others = now;
      others.erase(made.prefix);
      expected.erase(made.prefix);
      FUZZ_REQUIRE(others == expected);
    }
    FUZZ_REQUIRE((errors(n) > errors_before) == (made.outcome != Outcome::taken));
  }

  void compare() const {
    const auto ours = mirrored_state(*whole_.primary), others = mirrored_state(*cut_.primary);
    for (const auto& [name, value] : ours) {
      const auto other = others.find(name);
      if (other == others.end() || other->second != value)
        failed("pieces mean what the whole does", __FILE__, __LINE__,
               name + " is " + value + ", and in pieces " + (other == others.end() ? "absent" : other->second));
    }
    FUZZ_REQUIRE(ours == others);
    const auto counted = whole_.primary->statistics(whole_.now), in_pieces = cut_.primary->statistics(cut_.now);
    for (std::size_t n = 0; n < whole_.puppets.size(); ++n) {
      const Puppet &a = whole_.puppets[n], &b = cut_.puppets[n];
      FUZZ_REQUIRE(a.connected == b.connected && a.to_speaker == b.to_speaker);
      FUZZ_REQUIRE(a.notifications.size() == b.notifications.size());
      for (std::size_t i = 0; i < a.notifications.size(); ++i)
        FUZZ_REQUIRE(a.notifications[i].code == b.notifications[i].code &&
                     a.notifications[i].subcode == b.notifications[i].subcode);
      FUZZ_REQUIRE(counted.neighbors[n].malformations == in_pieces.neighbors[n].malformations);
      FUZZ_REQUIRE(a.view == b.view);
    }
  }

  World whole_, cut_;
};

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::fuzz;
  Input input(data, size);
  Pair pair;
  for (std::size_t i = 0; i < kMaxSteps && !input.empty(); ++i) pair.step(input);
  pair.finish();
  return 0;
}
