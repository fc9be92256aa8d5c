// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/scenario.hpp"

namespace tandem::sim {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
/// By then a twin stands by.
constexpr std::uint64_t kOpen_ns = 5 * kMs;
constexpr std::uint8_t kServerCloses = exchange_flag::kServerCloses;
constexpr std::uint8_t kClientHalfCloses = exchange_flag::kClientHalfCloses;
constexpr std::uint8_t kPaced = exchange_flag::kPaced;
constexpr std::uint8_t kLazyServer = exchange_flag::kLazyServer;
constexpr std::uint8_t kLazyClient = exchange_flag::kLazyClient;
constexpr std::uint8_t kBothClose = exchange_flag::kBothClose;
constexpr bool kOurs = true;
constexpr bool kPeers = false;

Script::Item exchange(bool ours, std::uint32_t client_bytes, std::uint32_t server_bytes, std::uint8_t flags = 0,
                      std::uint16_t port = kStreamPort, std::uint64_t open_after_ns = kOpen_ns) {
  Script::Item item;
  item.plan.client_bytes = client_bytes;
  item.plan.server_bytes = server_bytes;
  item.plan.flags = flags;
  item.port = port;
  item.from_us = ours;
  item.open_after_ns = open_after_ns;
  return item;
}

std::vector<Scenario> make_scenarios() {
  std::vector<Scenario> all;
  for (const bool v6 : {false, true}) {
    const auto add = [&all, v6](std::string_view name, std::string_view name_v6, std::string_view words,
                                std::vector<Script::Item> exchanges) -> Scenario& {
      Scenario& made = all.emplace_back();
      made.name = v6 ? name_v6 : name;
      made.words = words;
      made.v6 = v6;
      made.exchanges = std::move(exchanges);
      return made;
    };
    add("open-passive", "open-passive-v6", "the peer opens a connection to us and closes it", {exchange(kPeers, 0, 0)});
    add("open-active", "open-active-v6", "we open a connection to the peer and close it", {exchange(kOurs, 0, 0)});
    Scenario& request =
        add("request-response", "request-response-v6", "the peer sends four requests, each is answered before the next",
            {exchange(kPeers, 400, 1200, kPaced, kNotePort)});
    request.paced_bytes = 100;
    Scenario& late = add("late-join", "late-join-v6",
                         "the twin joins while three connections are at work, with unread and with unsent bytes",
                         {exchange(kPeers, 32'000, 400, kLazyServer, kStreamPort, 2 * kMs),
                          exchange(kPeers, 40, 90'000, kLazyClient, kNotePort, 2 * kMs),
                          exchange(kOurs, 6'000, 6'000, kPaced, kStreamPort, 2 * kMs)});
    late.twin_after_ns = 4 * kMs;
    Scenario& planned =
        add("switchover", "switchover-v6",
            "a planned switchover in the middle of a transfer each way; the old primary becomes the twin",
            {exchange(kPeers, 12'000, 12'000, kPaced, kStreamPort, 4 * kMs)});
    planned.paced_bytes = 2'000;
    planned.switchover_after_ns = 6 * kMs;
    if (v6) continue;
    add("bulk-to-us", "", "the peer sends 48,000 bytes", {exchange(kPeers, 48'000, 0)});
    add("bulk-from-us", "", "we send 48,000 bytes", {exchange(kPeers, 0, 48'000)});
    add("half-close-by-peer", "", "the peer closes its direction, then we send 12,000 bytes and close ours",
        {exchange(kPeers, 100, 12'000, kClientHalfCloses)});
    add("half-close-by-us", "", "we close our direction, then the peer sends 12,000 bytes and closes its own",
        {exchange(kOurs, 100, 12'000, kClientHalfCloses)});
    add("close-by-us", "", "a request and its answer, then we close first",
        {exchange(kPeers, 300, 300, kServerCloses)});
    Scenario& both = add("simultaneous-close", "", "both ends close at the same time; their FINs cross on the wire",
                         {exchange(kPeers, 300, 300, kBothClose, kNotePort)});
    both.link_delay_ns = 2 * kMs;
    both.close_after_ns = 14 * kMs;
    Scenario& to_us = add("lost-segment-to-us", "", "the wire loses a segment of the peer's; it is sent again",
                          {exchange(kPeers, 24'000, 400)});
    to_us.lost_segment = 5;
    to_us.lost_direction = Direction::from_peer;
    Scenario& from_us = add("lost-segment-from-us", "", "the wire loses a segment of ours; we send it again",
                            {exchange(kPeers, 400, 24'000)});
    from_us.lost_segment = 5;
    for (Scenario* const lossy : {&to_us, &from_us}) lossy->within_ns = 10'000 * kMs;
    add("zero-window-ours", "", "our application reads slowly: our window shuts and opens again",
        {exchange(kPeers, 90'000, 100, kLazyServer)});
    add("zero-window-peer", "", "the peer's application reads slowly: its window shuts and opens again",
        {exchange(kPeers, 100, 90'000, kLazyClient)});
    Scenario& queues = add("two-queues", "", "two connections whose segments come by a receive queue each",
                           {exchange(kPeers, 6'000, 400), exchange(kPeers, 400, 6'000, 0, kNotePort)});
    queues.queues = 2;
  }
  return all;
}

}  // namespace

Setup Scenario::setup(std::uint64_t seed) const {
  Setup made;
  made.seed = seed;
  made.v6 = v6;
  made.link_delay_ns = link_delay_ns;
  made.batch_frames = 4;
  made.queues = queues;
  made.nic_frames = 64;
  made.ring_entries = 32;
  made.newcomer_deaths = false;
  made.respawn_within_ns = 100'000;  // A newcomer comes soon, so that both dying is no longer story than it must be.
  return made;
}

std::span<const Scenario> scenarios() {
  static const std::vector<Scenario> all = make_scenarios();
  return all;
}

}  // namespace tandem::sim
