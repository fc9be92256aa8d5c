// SPDX-License-Identifier: BSD-3-Clause
// Messages that come in, and those that go out.
#include <algorithm>

#include "speaker_impl.hpp"
#include "tandem/planted.hpp"

namespace tandem::bgp {

namespace {

void count(MalformationCounters& counters, Malformation m) { ++counters[static_cast<std::size_t>(m)]; }

}  // namespace

std::size_t Speaker::Impl::receive(Link link, ByteSpan unread, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  wake(link.neighbor);
  std::size_t consumed = 0;
  while (session(link).transport) {
    const Frame frame = next_frame(unread.subspan(consumed), neighbor(link).counters.malformations);
    if (frame.kind == Frame::Kind::incomplete) return consumed;
    consumed += frame.consumed;
    if (!take(link, frame)) return consumed;
  }
  return unread.size();  // nobody is interested any more
}

/// False: the session has ended.
bool Speaker::Impl::take(Link link, const Frame& frame) {
  Neighbor& n = neighbor(link);
  if (frame.kind == Frame::Kind::error) {
    drive(link, Event::bgp_header_err, &frame.error);
    return false;
  }
  ++n.counters.messages_in[static_cast<std::size_t>(frame.type)];
  switch (frame.type) {
    case MessageType::open:
      take_open(link, frame.bytes);
      break;
    case MessageType::update:
      take_update(link, frame.bytes);
      break;
    case MessageType::notification: {
      const auto notification = decode_notification(frame.bytes, n.counters.malformations);
      n.reason = "received " + notification.value_or(Notification{}).to_string();
      const bool version = notification && notification->code == static_cast<std::uint8_t>(ErrorCode::open) &&
                           notification->subcode == 1;
      drive(link, version ? Event::notif_msg_ver_err : Event::notif_msg);
      break;
    }
    case MessageType::keepalive:
      if (session(link).fsm.state() < State::open_confirm)
        count(n.counters.malformations, Malformation::unexpected_message);
      drive(link, Event::keepalive_msg);
      break;
    case MessageType::route_refresh:
      take_refresh(link, frame.bytes);
      break;
  }
  return session(link).transport;
}

void Speaker::Impl::take_open(Link link, ByteSpan message) {
  Neighbor& n = neighbor(link);
  MalformationCounters& counters = n.counters.malformations;
  if (session(link).fsm.state() != State::open_sent) {
    count(counters, Malformation::unexpected_message);
    return drive(link, Event::bgp_open);
  }
  Notification error;
  const auto refuse = [&](Malformation m, std::uint8_t subcode) {
    count(counters, m);
    error = {static_cast<std::uint8_t>(ErrorCode::open), subcode, {}};
    drive(link, Event::bgp_open_msg_err, &error);
  };
  const auto open = decode_open(message, counters, error);
  if (!open) return drive(link, Event::bgp_open_msg_err, &error);
  if (open->as != n.configuration.as) return refuse(Malformation::open_peer_as, 2);
  // RFC 6286: within an AS the identifier is unique.
  if (!n.external && open->router_id == configuration_.router_id) return refuse(Malformation::open_identifier, 3);
  if (loses_collision(link, *open)) return drive(link, Event::open_collision_dump);
  session(link).received = *open;
  drive(link, Event::bgp_open);
}

void Speaker::Impl::take_update(Link link, ByteSpan message) {
  Neighbor& n = neighbor(link);
  MalformationCounters& counters = n.counters.malformations;
  const auto agreed = negotiate(session(link));
  if (session(link).fsm.state() != State::established || !agreed) {
    count(counters, Malformation::unexpected_message);
    return drive(link, Event::update_msg);
  }
  UpdateContext context;
  context.four_octet_as = agreed->four_octet_as;
  context.external = n.external;
  context.family = agreed->family;
  context.first_as = n.external && configuration_.enforce_first_as ? n.configuration.as : 0;
  context.own_address = session(link).endpoints.local;
  decode_update(message, context, counters, update_);
  if (update_.handling == ErrorHandling::session_reset) return drive(link, Event::update_msg_err, &update_.reset);
  drive(link, Event::update_msg);
  check_prefix_limit(link);
}

void Speaker::Impl::apply_update(std::uint32_t index) {
  if (TANDEM_PLANTED(bgp_withdrawal_not_mirrored) && !active() && !update_.withdrawn.empty())
    update_.withdrawn.pop_back();
  for (const Prefix& prefix : update_.withdrawn) rib_.withdraw(index, prefix);
  if (update_.handling == ErrorHandling::treat_as_withdraw) {
    for (const Prefix& prefix : update_.announced_ipv4) rib_.withdraw(index, prefix);
    for (const Prefix& prefix : update_.announced_ipv6) rib_.withdraw(index, prefix);
    return;
  }
  announce(index, update_.announced_ipv4);
  update_.attributes.next_hop = update_.next_hop_ipv6;
  update_.attributes.next_hop_link_local = update_.next_hop_link_local;
  announce(index, update_.announced_ipv6);
}

void Speaker::Impl::announce(std::uint32_t index, const std::vector<Prefix>& prefixes) {
  if (prefixes.empty()) return;
  const AttributeId attributes = rib_.attributes().intern(update_.attributes);
  for (const Prefix& prefix : prefixes) rib_.announce(index, prefix, attributes);
  rib_.attributes().unref(attributes);
}

void Speaker::Impl::take_refresh(Link link, ByteSpan message) {
  Neighbor& n = neighbor(link);
  MalformationCounters& counters = n.counters.malformations;
  const auto agreed = negotiate(session(link));
  if (session(link).fsm.state() != State::established || !agreed) {
    count(counters, Malformation::unexpected_message);
    return drive(link, Event::route_refresh_msg);
  }
  Notification error;
  const auto refresh = decode_route_refresh(message, counters, error);
  if (!refresh) return drive(link, Event::update_msg_err, &error);
  refresh_ = *refresh;
  const bool known = std::any_of(kAllFamilies.begin(), kAllFamilies.end(), [&](Family family) {
    return refresh_.afi == afi_of(family) && refresh_.safi == 1 && agreed->family[index_of(family)];
  });
  if (!known) {
    count(counters, Malformation::refresh_family);
    refresh_.afi = 0;
  }
  drive(link, Event::route_refresh_msg);
}

Pulled Speaker::Impl::next_message(Link link, std::span<std::uint8_t> room, std::size_t& written_bytes) {
  written_bytes = 0;
  if (!active()) return Pulled::idle;
  wake(link.neighbor);
  Neighbor& n = neighbor(link);
  Session& s = session(link);
  if (!s.transport && !s.closing) return Pulled::idle;
  if (!s.control.empty()) {
    const auto& message = s.control.front();
    if (room.size() < message.size()) return Pulled::no_room;
    std::copy(message.begin(), message.end(), room.begin());
    written_bytes = message.size();
    ++n.counters.messages_out[message[kHeaderBytes - 1]];
    s.control.pop_front();
    return Pulled::message;
  }
  if (n.established != link.direction) return Pulled::idle;
  const Pulled pulled = n.out.next(room, written_bytes);
  if (pulled == Pulled::message) {
    ++n.counters.messages_out[static_cast<std::size_t>(MessageType::update)];
    // RFC 4271 section 4.4: an UPDATE does what a KEEPALIVE does.
    auto& keepalive = s.deadline_ms[static_cast<std::size_t>(Timer::keepalive)];
    if (keepalive) start_timer(link, Timer::keepalive);
  }
  return pulled;
}

}  // namespace tandem::bgp
