// SPDX-License-Identifier: BSD-3-Clause
// The twin: the same machines, driven by the bytes that the primary consumed; what they would send is owed until the bytes
// that the primary wrote show that it was sent.
#include <algorithm>

#include "speaker_impl.hpp"
#include "tandem/planted.hpp"

namespace tandem::bgp {

void Speaker::Impl::observe_connecting(Link link) {
  Session& s = session(link);
  if (s.fsm.state() == State::idle) drive(link, Event::automatic_start);
  s.connecting = true;
  s.closing = false;
}

void Speaker::Impl::observe_opened(Link link, const Endpoints& endpoints, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  Session& s = session(link);
  // The end of an earlier connection was not shown: it has ended all the same.
  if (s.fsm.state() >= State::open_sent) drive(link, Event::notif_msg);
  if (s.fsm.state() == State::idle)
    drive(link, link.direction == Direction::outgoing ? Event::automatic_start : Event::automatic_start_passive);
  bind(link, endpoints);
}

template <class Take>
void Speaker::Impl::cut(std::vector<std::uint8_t>& partial, ByteSpan bytes, MalformationCounters& counters,
                        Take&& take) {
  while (!bytes.empty()) {
    if (partial.empty()) {
      const Frame frame = next_frame(bytes, counters);
      if (frame.kind == Frame::Kind::incomplete) {
        partial.assign(bytes.begin(), bytes.end());
        return;
      }
      bytes = bytes.subspan(frame.consumed);
      if (!take(frame)) return;
      continue;
    }
    // Add just as much as the message that was begun needs: first its header, then the rest.
    std::size_t wanted = kHeaderBytes;
    if (partial.size() >= kHeaderBytes) wanted = static_cast<std::size_t>(partial[16] << 8 | partial[17]);
    const std::size_t more = std::min(bytes.size(), wanted - partial.size());
    partial.insert(partial.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(more));
    bytes = bytes.subspan(more);
    const std::vector<std::uint8_t> begun = partial;
    const Frame frame = next_frame(begun, counters);
    if (frame.kind == Frame::Kind::incomplete) continue;
    partial.clear();
    if (!take(frame)) return;
  }
}

void Speaker::Impl::observe_received(Link link, ByteSpan consumed, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  Session& s = session(link);
  if (!s.transport) return;
  cut(s.partial_received, consumed, neighbor(link).counters.malformations,
      [&](const Frame& frame) { return take(link, frame); });
}

void Speaker::Impl::observe_written(Link link, ByteSpan written, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  Session& s = session(link);
  if (!s.transport && !s.closing) return;
  MalformationCounters ignored{};  // our own bytes
  cut(s.partial_written, written, ignored, [&](const Frame& frame) {
    if (frame.kind == Frame::Kind::message) take_written(link, frame);
    return true;
  });
}

void Speaker::Impl::take_written(Link link, const Frame& frame) {
  Neighbor& n = neighbor(link);
  Session& s = session(link);
  ++n.counters.messages_out[static_cast<std::size_t>(frame.type)];
  if (frame.type == MessageType::update) return take_written_update(link, frame.bytes);

  // It is no longer owed.
  const auto type = static_cast<std::uint8_t>(frame.type);
  const auto owed =
      std::find_if(s.control.begin(), s.control.end(), [&](const auto& m) { return m[kHeaderBytes - 1] == type; });
  if (owed != s.control.end()) s.control.erase(owed);

  MalformationCounters ignored{};
  Notification error;
  if (frame.type == MessageType::open) {
    // What was really offered counts, also when the primary was of another version.
    if (const auto open = decode_open(frame.bytes, ignored, error)) s.sent = open;
  } else if (frame.type == MessageType::notification && s.transport) {
    // The primary has ended the session for a reason that the bytes do not show: a timer, an operator.
    const Notification sent = decode_notification(frame.bytes, ignored).value_or(Notification{});
    n.reason = "sent " + sent.to_string();
    // One that has joined lately has not counted all that the primary has.
    if (sent.code == static_cast<std::uint8_t>(ErrorCode::cease) &&
        sent.subcode == static_cast<std::uint8_t>(CeaseCode::maximum_prefixes))
      hold_down(n);
    drive(link, Event::notif_msg);
  }
}

void Speaker::Impl::take_written_update(Link link, ByteSpan message) {
  Neighbor& n = neighbor(link);
  const auto agreed = negotiate(session(link));
  if (!agreed || !session(link).transport) return;
  MalformationCounters ignored{};
  decode_update(message, written_context(n, *agreed), ignored, update_);
  for (const Family family : kAllFamilies)
    if (update_.end_of_rib[index_of(family)]) n.out.set_end_of_rib_sent(family, true);
  if (TANDEM_PLANTED(bgp_told_not_mirrored)) update_.withdrawn.clear();
  for (const Prefix& prefix : update_.withdrawn) rib_.set_told(link.neighbor, prefix, kNoRoute);
  const auto told = [&](const std::vector<Prefix>& prefixes) {
    if (prefixes.empty()) return;
    const AttributeId attributes = rib_.attributes().intern(update_.attributes);
    for (const Prefix& prefix : prefixes) rib_.set_told(link.neighbor, prefix, attributes);
    rib_.attributes().unref(attributes);
  };
  told(update_.announced_ipv4);
  update_.attributes.next_hop = update_.next_hop_ipv6;
  update_.attributes.next_hop_link_local = update_.next_hop_link_local;
  told(update_.announced_ipv6);
}

void Speaker::Impl::observe_closed(Link link, std::uint64_t now_ms) {
  transport_closed(link, now_ms, "the connection was closed");
}

void Speaker::Impl::begin_promotion(std::uint64_t now_ms) {
  now_ms_ = now_ms;
  mode_ = Mode::active;
  started_ = true;
  for (const auto& n : neighbors_) {
    n->asleep = true;
    n->limit.max = n->configuration.max_prefix;
  }
  next_to_wake_ = 0;
}

void Speaker::Impl::wake_some(std::uint32_t count) {
  for (; count > 0 && next_to_wake_ < neighbors_.size(); --count) wake(next_to_wake_++);
}

void Speaker::Impl::wake(std::uint32_t index) {
  Neighbor& n = *neighbors_[index];
  if (!n.asleep) return;
  n.asleep = false;
  for (const Direction d : {Direction::outgoing, Direction::incoming}) {
    const Link link{index, d};
    Session& s = session(link);
    const State state = s.fsm.state();
    if (s.closing && !s.transport && !s.connecting) actions_.push_back({Action::Kind::close, link, {}});
    if (s.transport && state >= State::open_sent) {
      if (!s.partial_written.empty() || !s.partial_received.empty()) {
        // Half a message stands on the wire and nobody knows its rest: this cannot be continued.
        n.reason = "the mirrored stream ended within a message";
        drive(link, Event::automatic_stop);
        continue;
      }
      const auto agreed = negotiate(s);
      const bool silent = agreed && agreed->hold_time_s == 0;
      for (const FsmAction& action : s.fsm.resume(state))
        if (!(silent && action.kind == FsmAction::Kind::send_keepalive)) execute(link, action, nullptr);
    } else if (s.connecting) {
      start_timer(link, Timer::connect_retry);
    } else {
      s.fsm.mirror(State::idle);
    }
  }
  if (n.established) {
    if (!TANDEM_PLANTED(bgp_difference_lost)) n.out.walk();
    check_prefix_limit({index, *n.established});
    return;
  }
  for (const Direction d : {Direction::outgoing, Direction::incoming})
    if (session({index, d}).fsm.state() == State::idle) begin_machine({index, d});
}

}  // namespace tandem::bgp
