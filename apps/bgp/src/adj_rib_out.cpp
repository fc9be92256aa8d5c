// SPDX-License-Identifier: BSD-3-Clause
#include "adj_rib_out.hpp"

#include <algorithm>
#include <cassert>

#include "attribute_types.hpp"
#include "tandem/work.hpp"

namespace tandem::bgp {

void AdjRibOut::begin(const UpdateContext& context, const Endpoints& endpoints) {
  open_ = true;
  context_ = context;
  endpoints_ = endpoints;
}

void AdjRibOut::walk() {
  for (const Family family : kAllFamilies)
    if (context_.family[index_of(family)]) of(family).walked = 0;
}

void AdjRibOut::end() {
  open_ = false;
  for (const Family family : kAllFamilies) {
    PerFamily& f = of(family);
    // It may be a whole table: the work is done by Rib::sweep().
    rib_.put_aside(family, std::move(f.queue));
    std::deque<PrefixId> batch;
    for (std::size_t i = f.batch_at; i < f.batch.size(); ++i) batch.push_back(f.batch[i].id);
    rib_.put_aside(family, std::move(batch));
    f = PerFamily{};
  }
  rib_.put_aside(std::move(cache_));
  cache_ = {};
}

void AdjRibOut::forget(AttributeId id) {
  const AttributeId e = cache_.get(id);
  if (e == kNoRoute) return;
  cache_.at(id) = kNoRoute;
  if (e != kWithheld) rib_.attributes().unref(e);
}

void AdjRibOut::mark(Family family, PrefixId id) {
  PerFamily& f = of(family);
  if (!open_ || !context_.family[index_of(family)]) return;
  if (f.walked != kWalked && id >= f.walked) return;  // the walk will come by
  std::uint8_t& marked = f.marked.at(id);
  if (marked != 0) return;
  marked = 1;
  rib_.prefixes(family).ref(id);
  f.queue.push_back(id);
}

AttributeId AdjRibOut::wanted(Family family, PrefixId id) {
  if (!open_ || !context_.family[index_of(family)]) return kNoRoute;
  const auto [best, source] = rib_.best(family, id);
  if (best == kNoRoute) return kNoRoute;
  if (source != Rib::kOwnNetwork) {
    if (source == neighbor_) return kNoRoute;
    // RFC 4271 section 9.2: an internal speaker hears every other one itself.
    if (!context_.external && !rib_.is_external(source)) return kNoRoute;
    // RFC 8212: between external neighbours nothing is passed on unless somebody has said so.
    if (context_.external && rib_.is_external(source) && !context_.export_all) return kNoRoute;
  }
  return exported(family, best);
}

AttributeId AdjRibOut::exported(Family family, AttributeId id) {
  AttributeId e = cache_.get(id);
  if (e == kNoRoute) {
    e = make_exported(family, id);
    cache_.at(id) = e;
  }
  return e == kWithheld ? kNoRoute : e;
}

bool AdjRibOut::set_own_next_hop(Family family, PathAttributes& a) const {
  const auto& given = family == Family::ipv4 ? endpoints_.next_hop_ipv4 : endpoints_.next_hop_ipv6;
  if (given)
    a.next_hop = *given;
  else if (endpoints_.local.family == family)
    a.next_hop = endpoints_.local;
  else
    return false;
  a.next_hop_link_local.reset();
  if (family == Family::ipv6 && endpoints_.link_local) a.next_hop_link_local = endpoints_.link_local->bytes;
  return true;
}

AttributeId AdjRibOut::make_exported(Family family, AttributeId id) {
  TANDEM_WORK(attributes);
  PathAttributes a = rib_.attributes().get(id);
  if (a.has_community(kNoAdvertise)) return kWithheld;
  if (context_.external && (a.has_community(kNoExport) || a.has_community(kNoExportSubconfed))) return kWithheld;
  for (auto& u : a.unknown) u.flags |= kFlagPartial;
  if (context_.external) {
    a.as_path.prepend(own_as_);
    // What is meant for our AS alone stays there.
    a.med.reset();
    a.local_pref.reset();
    a.originator_id.reset();
    a.cluster_list.clear();
    if (!set_own_next_hop(family, a)) return kWithheld;
  } else {
    if (!a.local_pref) a.local_pref = kDefaultLocalPref;
    // RFC 4271 section 5.1.3: an internal neighbour hears the external next hop.
    if (a.next_hop.is_unspecified() && !set_own_next_hop(family, a)) return kWithheld;
  }

  // What counts is what the neighbour will read, since a twin knows what was told only from the bytes.
  trial_.clear();
  encode_attributes(family, a, context_, trial_);
  std::array<std::uint8_t, kMaxMessageBytes> message;
  UpdateBuilder builder(message);
  if (!UpdateBuilder::fits(family, a, trial_.size()) || !builder.begin_announce(family, a, trial_)) {
    ++unadvertisable_;
    return kWithheld;
  }
  builder.add(Prefix{family, 0, {}});
  MalformationCounters ignored{};
  decode_update(ByteSpan(message).first(builder.finish()), context_, ignored, scratch_);
  if (scratch_.handling != ErrorHandling::none) {
    ++unadvertisable_;
    return kWithheld;
  }
  if (family == Family::ipv6) {
    scratch_.attributes.next_hop = scratch_.next_hop_ipv6;
    scratch_.attributes.next_hop_link_local = scratch_.next_hop_link_local;
  }
  const AttributeId e = rib_.attributes().intern(scratch_.attributes);
  // Our AS or a LOCAL_PREF was added. A set that was its own export would keep itself alive.
  assert(e != id);
  return e;
}

bool AdjRibOut::is_outstanding(Family family, PrefixId id, AttributeId wanted) const {
  const AttributeId told = rib_.told(neighbor_, family, id);
  // The tag on `told` makes it differ from the same route, which is how a route is told again.
  return told != wanted;
}

bool AdjRibOut::has_work() const {
  if (!open_) return false;
  return std::any_of(kAllFamilies.begin(), kAllFamilies.end(), [&](Family family) {
    const PerFamily& f = of(family);
    if (!context_.family[index_of(family)]) return false;
    return has_sources(family) || f.batch_at < f.batch.size() || !f.end_of_rib_sent;
  });
}

/// A prefix that may have to be said something about. `counted`: it has a user for it already.
void AdjRibOut::look_at(Family family, PrefixId id, bool counted) {
  TANDEM_WORK(route);
  PrefixTable& prefixes = rib_.prefixes(family);
  const AttributeId attributes = wanted(family, id);
  if (is_outstanding(family, id, attributes)) {
    if (!counted) prefixes.ref(id);
    of(family).batch.push_back({attributes, id});
  } else if (counted) {
    prefixes.unref(id);
  }
}

/// One share of what the next batch is made of; in order once it is full, or nothing is left to look at.
void AdjRibOut::collect(Family family) {
  PerFamily& f = of(family);
  if (!f.collecting) {
    f.batch.clear();
    f.batch_at = 0;
    f.collecting = true;
  }
  PrefixTable& prefixes = rib_.prefixes(family);
  if (!f.queue.empty()) {
    for (std::size_t i = 0; i < kShare && !f.queue.empty(); ++i) {
      const PrefixId id = f.queue.front();
      f.queue.pop_front();
      f.marked.at(id) = 0;
      look_at(family, id, true);
    }
  } else if (f.walked != kWalked) {
    const PrefixId end = std::min<PrefixId>(prefixes.limit(), f.walked + kShare);
    for (; f.walked < end; ++f.walked)
      if (prefixes.in_use(f.walked)) look_at(family, f.walked, false);
    if (f.walked >= prefixes.limit()) f.walked = kWalked;
  }
  if (f.batch.size() < kBatch && has_sources(family)) return;
  f.collecting = false;
  std::sort(f.batch.begin(), f.batch.end(), [](const Item& a, const Item& b) {
    return a.attributes != b.attributes ? a.attributes < b.attributes : a.id < b.id;
  });
}

Pulled AdjRibOut::next_of(Family family, std::span<std::uint8_t> room, std::size_t& written_bytes) {
  PerFamily& f = of(family);
  if (f.collecting || f.batch_at == f.batch.size()) collect(family);
  if (f.collecting) return Pulled::busy;
  while (f.batch_at < f.batch.size()) {
    const AttributeId attributes = f.batch[f.batch_at].attributes;
    UpdateBuilder builder(room);
    bool begun = false;
    for (; f.batch_at < f.batch.size() && f.batch[f.batch_at].attributes == attributes; ++f.batch_at) {
      const PrefixId id = f.batch[f.batch_at].id;
      // What has changed since is in the queue again.
      if (wanted(family, id) == attributes && is_outstanding(family, id, attributes)) {
        if (!begun) {
          encoded_.clear();
          if (attributes == kNoRoute) {
            begun = builder.begin_withdraw(family);
          } else {
            const PathAttributes& a = rib_.attributes().get(attributes);
            encode_attributes(family, a, context_, encoded_);
            begun = builder.begin_announce(family, a, encoded_);
          }
          if (!begun) return Pulled::no_room;
        }
        if (!builder.add(rib_.prefixes(family).get(id))) break;
        rib_.set_told(neighbor_, family, id, attributes);
      }
      rib_.prefixes(family).unref(id);
    }
    if (begun) {
      written_bytes = builder.finish();
      return Pulled::message;
    }
  }
  if (has_sources(family)) return Pulled::busy;
  if (!f.end_of_rib_sent) {
    const auto message = encode_end_of_rib(family);
    if (room.size() < message.size()) return Pulled::no_room;
    std::copy(message.begin(), message.end(), room.begin());
    written_bytes = message.size();
    f.end_of_rib_sent = true;
    return Pulled::message;
  }
  return Pulled::idle;
}

Pulled AdjRibOut::next(std::span<std::uint8_t> room, std::size_t& written_bytes) {
  if (!open_) return Pulled::idle;
  for (const Family family : kAllFamilies) {
    if (!context_.family[index_of(family)]) continue;
    const Pulled pulled = next_of(family, room, written_bytes);
    if (pulled != Pulled::idle) return pulled;
  }
  return Pulled::idle;
}

}  // namespace tandem::bgp
