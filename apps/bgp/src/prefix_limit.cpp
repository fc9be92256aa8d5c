// SPDX-License-Identifier: BSD-3-Clause
#include "prefix_limit.hpp"

#include <string_view>

#include "speaker_impl.hpp"

namespace tandem::bgp {

namespace {

std::string_view name_of(Family family) { return family == Family::ipv4 ? "IPv4" : "IPv6"; }

/// RFC 4486 section 4: the family and its upper bound are told in the data.
Notification too_many(Family family, std::uint32_t max) {
  Notification n{
      static_cast<std::uint8_t>(ErrorCode::cease), static_cast<std::uint8_t>(CeaseCode::maximum_prefixes), {}};
  const std::uint16_t afi = afi_of(family);
  n.data = {
      static_cast<std::uint8_t>(afi >> 8),  static_cast<std::uint8_t>(afi),       1,
      static_cast<std::uint8_t>(max >> 24), static_cast<std::uint8_t>(max >> 16), static_cast<std::uint8_t>(max >> 8),
      static_cast<std::uint8_t>(max)};
  return n;
}

}  // namespace

void PrefixLimit::save(PieceWriter& w, std::uint64_t now_ms) const {
  w.put(max);
  for (const bool family : warned) w.put(family);
  const std::uint64_t left_ms = is_held(now_ms) ? *held_until_ms - now_ms : 0;
  w.put(is_held_for_good() ? kForGood : left_ms);
  w.put(hits);
}

void PrefixLimit::restore(PieceReader& r, std::uint64_t now_ms) {
  max = r.get<std::uint32_t>();
  for (bool& family : warned) family = r.flag();
  const auto left_ms = r.get<std::uint64_t>();
  held_until_ms.reset();
  if (left_ms != 0) held_until_ms = left_ms > kForGood - now_ms ? kForGood : now_ms + left_ms;
  hits = r.get<std::uint64_t>();
}

void Speaker::Impl::hold_down(Neighbor& n) {
  ++n.limit.hits;
  const std::uint64_t restart_ms = n.configuration.restart_s * std::uint64_t{1000};
  n.limit.held_until_ms = restart_ms == 0 ? PrefixLimit::kForGood : now_ms_ + restart_ms;
}

void Speaker::Impl::check_prefix_limit(Link link) {
  Neighbor& n = neighbor(link);
  if (n.limit.max == 0 || n.established != link.direction) return;
  const std::string max = std::to_string(n.limit.max);
  for (const Family family : kAllFamilies) {
    const std::uint64_t count = rib_.received_count(link.neighbor, family);
    if (n.limit.exceeded_by(count)) {
      hold_down(n);
      n.reason =
          "announced more than max-prefix=" + max + " " + std::string(name_of(family)) + " prefixes; " +
          (n.configuration.restart_s == 0 ? std::string("no session until this program is started again")
                                          : "no session for " + std::to_string(n.configuration.restart_s) + " s");
      const Notification cease = too_many(family, n.limit.max);
      return drive(link, Event::automatic_stop, &cease);
    }
    bool& warned = n.limit.warned[index_of(family)];
    if (warned || !n.limit.nearly_reached_by(count)) continue;
    warned = true;
    if (active())
      actions_.push_back({Action::Kind::prefix_warning, link,
                          "announces " + std::to_string(count) + " " + std::string(name_of(family)) +
                              " prefixes, of max-prefix=" + max + ": at one more than that the session ends"});
  }
}

}  // namespace tandem::bgp
