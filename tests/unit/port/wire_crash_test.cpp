// SPDX-License-Identifier: BSD-3-Clause
//
// The heart of invariant I4 at the wire: the owner is stopped after every single store that it makes, and so is its adopter,
// and after that everything must be as if nothing had happened.
#include <catch2/catch.hpp>

#include <optional>

#include "test_rings.hpp"
#include "wire_rings.hpp"

namespace tandem {
namespace {

using test::Crash;
using test::CrashProbe;
using test::numbered_jumbo;
using test::numbered_packet;
using test::Packet;
using test::TestKernel;

constexpr WireGeometry kGeometry{32, 2048, 8};
constexpr std::uint32_t kTurns = 12;

/// What a log would hold: it changes in one piece, at publication.
struct Log {
  std::optional<WireMark> mark;
  std::vector<Packet> dealt_with;
  std::vector<Packet> committed;
};

/// One process that owns the wire: turns as design.md section 3 has them.
class Owner {
 public:
  Owner(TestKernel& kernel, Log& log, CrashProbe probe, bool jumbo)
      : log_(log), rings_(kernel.view(), kernel.rings(), probe), jumbo_(jumbo) {
    if (jumbo) rings_.allow_jumbo(6000);
  }

  void start() {
    rings_.start();
    rings_.fill();
  }
  void adopt() {
    // What the dead owner held is gone through by the first turn, which may be cut short as well.
    rings_.adopt(log_.mark ? &*log_.mark : nullptr, {});
  }

  void turn(std::uint32_t number, std::uint32_t& next_packet) {
    Log next = log_;
    std::vector<RxFrame> frames(3);
    frames.resize(rings_.peek(frames));
    for (const RxFrame& frame : frames) {
      next.dealt_with.emplace_back(frame.bytes.begin(), frame.bytes.end());
      std::fill_n(frame.bytes.begin(), 54, std::uint8_t{0xcc});  // the stack changes headers in place
      if (frame.cookie % 3 != 0)
        rings_.rx_done(frame.cookie);
      else
        kept_.push_back(frame.cookie);
    }
    for (std::uint32_t i = 0; i < number % 4; ++i) {
      const Packet packet = jumbo_ ? numbered_jumbo(next_packet) : numbered_packet(next_packet);
      const auto room = rings_.tx_reserve(static_cast<std::uint32_t>(packet.size()));
      if (room.empty()) break;
      std::copy(packet.begin(), packet.end(), room.begin());
      rings_.tx_stage();
      next.committed.push_back(packet);
      ++next_packet;
    }
    next.mark = rings_.mark();
    log_ = std::move(next);  // publish
    if (number % 5 != 4) rings_.tx_release(log_.mark->tx_index);
    rings_.rx_release();
    if (number % 3 == 2) let_go();
    rings_.reap();
    rings_.fill();
    // A turn's packets may be released by a later one (the gate was shut meanwhile).
    rings_.tx_release(log_.mark->tx_index);
  }

  void let_go() {
    for (const std::uint32_t cookie : kept_) rings_.rx_done(cookie);
    kept_.clear();
  }
  [[nodiscard]] FrameCensus census() const { return rings_.census(); }

 private:
  Log& log_;
  WireRings<CrashProbe> rings_;
  bool jumbo_;
  std::vector<std::uint32_t> kept_;
};

class World {
 public:
  explicit World(TestKernel& kernel, bool jumbo = false) : kernel_(kernel), jumbo_(jumbo) { kernel_.reset(); }

  /// Runs the whole workload. The first process dies at its n-th store, the next one at its m-th, and so on; 0 or the end of
  /// the list: it does not die. False when a process did not reach its end.
  bool run(const std::vector<std::size_t>& deaths) {
    std::uint32_t turn = 0;
    for (std::size_t process = 0;; ++process) {
      CrashProbe::Counter counter{0, process < deaths.size() ? deaths[process] : 0, WireStep::adopt_store};
      Owner owner(kernel_, log_, CrashProbe{&counter}, jumbo_);
      try {
        process == 0 ? owner.start() : owner.adopt();
        for (; turn < kTurns; ++turn) {
          traffic(turn);
          owner.turn(turn, next_packet_);
        }
      } catch (const Crash&) {
        // A turn that did not publish never happened; one that did is not done again.
        if (log_.committed.size() < next_packet_) next_packet_ = static_cast<std::uint32_t>(log_.committed.size());
        continue;
      }
      stores_ = counter.stores;
      counter.stop_at = 0;
      finish(owner);
      return process >= deaths.size();
    }
  }
  [[nodiscard]] std::size_t stores_of_the_last() const { return stores_; }

 private:
  void traffic(std::uint32_t turn) {
    // The kernel goes on whatever happens to the processes; a turn that is run again after a death finds new traffic.
    for (std::uint32_t i = 0; i < 1 + turn % 3; ++i) {
      const Packet packet = jumbo_ ? numbered_jumbo(1000 + next_arrival_) : numbered_packet(1000 + next_arrival_);
      if (kernel_.receive(packet)) {
        arrived_.push_back(packet);
        ++next_arrival_;
      }
    }
    if (turn % 2 == 0) kernel_.take_fill();
    kernel_.send();
    kernel_.send();
    if (turn % 3 == 0) kernel_.complete();
  }

  void finish(Owner& owner) {
    // Everything that is under way comes to its end.
    for (std::uint32_t i = 0; i < 20; ++i) {
      while (kernel_.send()) {
      }
      while (kernel_.complete()) {
      }
      owner.turn(20, next_packet_);
    }
    owner.let_go();
    while (kernel_.send()) {
    }
    while (kernel_.complete()) {
    }
    owner.turn(20, next_packet_);
    const FrameCensus census = owner.census();
    const bool every_frame_once = census.sum() == census.total && census.duplicated == 0 &&
                                  census.missing == kernel_.in_hands() && census.staged == 0 && census.held == 0 &&
                                  census.receiving == 0 && census.transmitting == 0;
    CHECK(every_frame_once);
    const bool nothing_lost_or_doubled_in = log_.dealt_with == arrived_;
    CHECK(nothing_lost_or_doubled_in);
    const bool nothing_lost_or_doubled_out = kernel_.sent == log_.committed;
    CHECK(nothing_lost_or_doubled_out);
  }

  TestKernel& kernel_;
  bool jumbo_;
  Log log_;
  std::vector<Packet> arrived_;
  std::uint32_t next_packet_ = 0, next_arrival_ = 0;
  std::size_t stores_ = 0;
};

TEST_CASE("whatever store the owner dies after, no frame is leaked, no packet lost or doubled") {
  const bool jumbo = GENERATE(false, true);
  CAPTURE(jumbo);
  TestKernel kernel(kGeometry);
  World whole(kernel, jumbo);
  whole.run({});
  const std::size_t stores = whole.stores_of_the_last();
  REQUIRE(stores > 150);
  for (std::size_t death = 1; death <= stores; ++death) {
    INFO("death after store " << death);
    World(kernel, jumbo).run({death});
  }
}

TEST_CASE("whatever store the adopter dies after, the next one completes what two have begun") {
  TestKernel kernel(kGeometry);
  World whole(kernel);
  whole.run({});
  const std::size_t stores = whole.stores_of_the_last();
  constexpr std::size_t kAdoptionStores = 40;
  for (std::size_t first = 1; first <= stores; ++first)
    for (std::size_t second = 1; second <= kAdoptionStores; ++second) {
      INFO("deaths after stores " << first << " and " << second);
      World(kernel).run({first, second});
    }
}

TEST_CASE("a long chain of deaths at changing places leaves everything exact") {
  const bool jumbo = GENERATE(false, true);
  CAPTURE(jumbo);
  TestKernel kernel(kGeometry);
  for (std::size_t seed = 1; seed <= 50; ++seed) {
    std::vector<std::size_t> deaths;
    std::size_t state = seed * 2654435761u;
    for (int i = 0; i < 30; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      deaths.push_back(1 + (state >> 33) % 60);
    }
    INFO("seed " << seed);
    World(kernel, jumbo).run(deaths);
  }
}

}  // namespace
}  // namespace tandem
