// SPDX-License-Identifier: BSD-3-Clause
#include "bgp/speaker.hpp"

#include <algorithm>
#include <cassert>

#include "speaker_impl.hpp"

namespace tandem::bgp {

Speaker::Impl::Impl(Configuration configuration, Mode mode)
    : configuration_(std::move(configuration)), mode_(mode), rib_(configuration_), random_state_(configuration_.seed) {
  for (std::uint32_t i = 0; i < configuration_.neighbors.size(); ++i) {
    neighbors_.push_back(std::make_unique<Neighbor>(configuration_.neighbors[i], rib_, i, configuration_.as));
    neighbors_.back()->backoff_ms = configuration_.connect_retry_min_ms;
  }
  rib_.on_change([this](Family family, PrefixId id) {
    // A twin compares everything when it is promoted.
    if (mode_ != Mode::active) return;
    for (auto& n : neighbors_) n->out.mark(family, id);
  });
  rib_.attributes().on_release([this](AttributeId id) {
    for (auto& n : neighbors_) n->out.forget(id);
  });
}

Speaker::Speaker(Configuration configuration, Mode mode)
    : impl_(std::make_unique<Impl>(std::move(configuration), mode)) {
  assert(check(impl_->configuration_).empty());
}
Speaker::~Speaker() = default;

const Configuration& Speaker::configuration() const { return impl_->configuration_; }
Speaker::Mode Speaker::mode() const { return impl_->mode_; }

void Speaker::start(std::uint64_t now_ms) { impl_->start(now_ms); }
void Speaker::stop(std::uint64_t now_ms) { impl_->stop(now_ms); }
std::optional<Link> Speaker::accept(const Address& remote, std::uint64_t now_ms) {
  return impl_->accept(remote, now_ms);
}
void Speaker::transport_connected(Link link, const Endpoints& endpoints, std::uint64_t now_ms) {
  impl_->transport_connected(link, endpoints, now_ms);
}
void Speaker::transport_closed(Link link, std::uint64_t now_ms, std::string_view why) {
  impl_->transport_closed(link, now_ms, why);
}
std::size_t Speaker::receive(Link link, ByteSpan unread, std::uint64_t now_ms) {
  return impl_->receive(link, unread, now_ms);
}
Pulled Speaker::next_message(Link link, std::span<std::uint8_t> room, std::size_t& written_bytes) {
  return impl_->next_message(link, room, written_bytes);
}
bool Speaker::next_action(Action& action) {
  if (impl_->actions_.empty()) return false;
  action = std::move(impl_->actions_.front());
  impl_->actions_.pop_front();
  return true;
}
std::optional<std::uint64_t> Speaker::next_deadline_ms() const { return impl_->next_deadline_ms(); }
void Speaker::tick(std::uint64_t now_ms) { impl_->tick(now_ms); }

void Speaker::observe_connecting(Link link) { impl_->observe_connecting(link); }
void Speaker::observe_opened(Link link, const Endpoints& endpoints, std::uint64_t now_ms) {
  impl_->observe_opened(link, endpoints, now_ms);
}
void Speaker::observe_received(Link link, ByteSpan consumed, std::uint64_t now_ms) {
  impl_->observe_received(link, consumed, now_ms);
}
void Speaker::observe_written(Link link, ByteSpan written, std::uint64_t now_ms) {
  impl_->observe_written(link, written, now_ms);
}
void Speaker::observe_closed(Link link, std::uint64_t now_ms) { impl_->observe_closed(link, now_ms); }
void Speaker::begin_promotion(std::uint64_t now_ms) { impl_->begin_promotion(now_ms); }
void Speaker::promote(std::uint64_t now_ms) {
  impl_->begin_promotion(now_ms);
  impl_->wake_some(UINT32_MAX);
}

bool Speaker::save(SaveCursor& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece,
                   std::uint64_t now_ms) const {
  return impl_->save(cursor, max_bytes, piece, now_ms);
}
std::vector<std::uint8_t> Speaker::save_neighbor(std::uint32_t neighbor, std::uint64_t now_ms) const {
  return impl_->save_neighbor(neighbor, now_ms);
}
std::string Speaker::restore(ByteSpan piece, std::uint64_t now_ms) { return impl_->restore(piece, now_ms); }

std::size_t Speaker::neighbor_count() const { return impl_->neighbors_.size(); }

std::optional<std::uint32_t> Speaker::find_neighbor(const Address& remote) const {
  for (std::uint32_t i = 0; i < impl_->neighbors_.size(); ++i)
    if (impl_->neighbors_[i]->configuration.address == remote) return i;
  return std::nullopt;
}

State Speaker::state(Link link) const { return impl_->session(link).fsm.state(); }
State Speaker::neighbor_state(std::uint32_t neighbor) const {
  return std::max(state({neighbor, Direction::outgoing}), state({neighbor, Direction::incoming}));
}
std::optional<Speaker::Negotiated> Speaker::negotiated(Link link) const {
  return Impl::negotiate(impl_->session(link));
}

Statistics Speaker::statistics(std::uint64_t now_ms) const {
  Statistics all;
  const Rib& rib = impl_->rib_;
  all.best = rib.best_count();
  all.attribute_sets = rib.attributes().size();
  for (std::uint32_t i = 0; i < impl_->neighbors_.size(); ++i) {
    const Neighbor& n = *impl_->neighbors_[i];
    NeighborStatistics s = n.counters;
    s.address = n.configuration.address;
    s.as = n.configuration.as;
    s.state = neighbor_state(i);
    s.unadvertisable = n.out.unadvertisable();
    s.max_prefix = n.limit.max;
    s.max_prefix_hits = n.limit.hits;
    s.held_down = n.limit.is_held(now_ms);
    if (s.held_down && !n.limit.is_held_for_good()) s.held_down_ms = *n.limit.held_until_ms - now_ms;
    if (n.established) {
      s.uptime_ms = now_ms - std::min(now_ms, n.established_since_ms);
      s.hold_time_s = negotiated({i, *n.established}).value_or(Negotiated{}).hold_time_s;
    }
    for (const Family family : kAllFamilies) {
      s.received[index_of(family)] = rib.received_count(i, family);
      s.advertised[index_of(family)] = rib.told_count(i, family);
      all.received[index_of(family)] += rib.received_count(i, family);
      all.advertised += rib.told_count(i, family);
    }
    all.neighbors.push_back(std::move(s));
  }
  return all;
}

void Speaker::for_each_received(std::uint32_t neighbor, Family family, const RouteVisitor& visit) const {
  const Rib& rib = impl_->rib_;
  if (rib.received_count(neighbor, family) == 0) return;
  for (PrefixId id = 0; id < rib.prefixes(family).limit(); ++id)
    if (const AttributeId route = rib.received(neighbor, family, id); route != kNoRoute)
      visit(rib.prefixes(family).get(id), rib.attributes().get(untagged(route)));
}

void Speaker::for_each_told(std::uint32_t neighbor, Family family, const RouteVisitor& visit) const {
  const Rib& rib = impl_->rib_;
  if (rib.told_count(neighbor, family) == 0) return;
  for (PrefixId id = 0; id < rib.prefixes(family).limit(); ++id)
    if (const AttributeId route = rib.told(neighbor, family, id); route != kNoRoute)
      visit(rib.prefixes(family).get(id), rib.attributes().get(untagged(route)));
}

void Speaker::for_each_wanted(std::uint32_t neighbor, Family family, const RouteVisitor& visit) const {
  const Rib& rib = impl_->rib_;
  for (PrefixId id = 0; id < rib.prefixes(family).limit(); ++id)
    if (const AttributeId route = impl_->neighbors_[neighbor]->out.wanted(family, id); route != kNoRoute)
      visit(rib.prefixes(family).get(id), rib.attributes().get(route));
}

void Speaker::for_each_best(Family family, const BestVisitor& visit) const {
  Rib& rib = impl_->rib_;
  for (PrefixId id = 0; id < rib.prefixes(family).limit(); ++id) {
    const auto [route, source] = rib.best(family, id);
    if (route == kNoRoute) continue;
    visit(rib.prefixes(family).get(id), rib.attributes().get(route),
          source == Rib::kOwnNetwork ? std::nullopt : std::optional<std::uint32_t>(source));
  }
}

}  // namespace tandem::bgp
