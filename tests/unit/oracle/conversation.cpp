// SPDX-License-Identifier: BSD-3-Clause
#include "conversation.hpp"

#include <algorithm>

namespace tandem::oracle::test {

namespace {

using Bytes = std::vector<std::uint8_t>;

void put16(Bytes& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}

/// The Internet checksum, written down as plainly as possible: it is what the oracle's own is compared with.
std::uint16_t checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

Bytes address_bytes(const Host& host) {
  return host.is_v4() ? Bytes(host.bytes.begin() + 12, host.bytes.end()) : Bytes(host.bytes.begin(), host.bytes.end());
}

Bytes tcp_of(const Side& from, const Side& to, const Segment& segment) {
  Bytes options = segment.more_options;
  if (segment.timestamps) {
    options.insert(options.end(), {1, 1, 8, 10});
    put32(options, segment.tsval);
    put32(options, segment.tsecr);
  }
  if (!segment.sack.empty()) {
    options.insert(options.end(), {1, 1, 5, static_cast<std::uint8_t>(2 + 8 * segment.sack.size())});
    for (const Block& block : segment.sack) {
      put32(options, block.left);
      put32(options, block.right);
    }
  }
  while (options.size() % 4 != 0) options.push_back(1);
  Bytes tcp;
  put16(tcp, from.port);
  put16(tcp, to.port);
  put32(tcp, segment.seq);
  put32(tcp, segment.ack);
  tcp.push_back(static_cast<std::uint8_t>((5 + options.size() / 4) << 4));
  tcp.push_back(segment.flags);
  put16(tcp, segment.window);
  put32(tcp, 0);
  tcp.insert(tcp.end(), options.begin(), options.end());
  tcp.insert(tcp.end(), segment.payload.begin(), segment.payload.end());
  Bytes summed = address_bytes(from.host);
  const Bytes destination = address_bytes(to.host);
  summed.insert(summed.end(), destination.begin(), destination.end());
  put32(summed, static_cast<std::uint32_t>(tcp.size()));
  put32(summed, 6);
  summed.insert(summed.end(), tcp.begin(), tcp.end());
  const std::uint16_t sum = checksum(summed) ^ (segment.break_checksum ? 1 : 0);
  tcp[16] = static_cast<std::uint8_t>(sum >> 8);
  tcp[17] = static_cast<std::uint8_t>(sum);
  return tcp;
}

}  // namespace

std::vector<std::uint8_t> frame_of(const Side& from, const Side& to, const Segment& segment) {
  const Bytes tcp = tcp_of(from, to, segment);
  Bytes ip;
  if (from.host.is_v4()) {
    ip = {0x45, 0};
    put16(ip, static_cast<std::uint32_t>(20 + tcp.size()));
    ip.insert(ip.end(), {0, 1, 0x40, 0, 64, 6, 0, 0});
  } else {
    ip = {0x60, 0, 0, 0};
    put16(ip, static_cast<std::uint32_t>(tcp.size()));
    ip.insert(ip.end(), {6, 64});
  }
  for (const Side* side : {&from, &to}) {
    const Bytes address = address_bytes(side->host);
    ip.insert(ip.end(), address.begin(), address.end());
  }
  if (from.host.is_v4()) {
    const std::uint16_t sum = checksum(ip);
    ip[10] = static_cast<std::uint8_t>(sum >> 8);
    ip[11] = static_cast<std::uint8_t>(sum);
  }
  Bytes frame(to.mac.begin(), to.mac.end());
  frame.insert(frame.end(), from.mac.begin(), from.mac.end());
  put16(frame, from.host.is_v4() ? 0x0800 : 0x86dd);
  frame.insert(frame.end(), ip.begin(), ip.end());
  frame.insert(frame.end(), tcp.begin(), tcp.end());
  return frame;
}

std::vector<std::uint8_t> Offers::bytes() const {
  Bytes out;
  if (mss) {
    out.insert(out.end(), {2, 4});
    put16(out, *mss);
  }
  if (scale) out.insert(out.end(), {1, 3, 3, *scale});
  if (sack) out.insert(out.end(), {1, 1, 4, 2});
  return out;
}

namespace {

Setting completed(Setting setting) {
  setting.options.judged = {Host::v4(10, 0, 0, 1), Host::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})};
  return setting;
}

}  // namespace

Conversation::Conversation(Setting given)
    : setting(completed(std::move(given))),
      us{setting.options.judged[setting.v6 ? 1 : 0], {2, 0, 0, 0, 0, 1}, 179},
      peer{setting.v6 ? Host::v6({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}) : Host::v4(10, 0, 0, 2),
           {2, 0, 0, 0, 0, 2},
           40000},
      oracle(setting.options),
      our_nxt(setting.our_isn),
      peer_nxt(setting.peer_isn),
      our_ts(setting.our_time),
      peer_ts(setting.peer_time) {}

void Conversation::open() {
  Segment syn = from_peer({}, SYN);
  syn.ack = 0;
  syn.tsecr = 0;
  syn.timestamps = setting.peer_offers.timestamps;
  syn.window = 64000;
  syn.more_options = setting.peer_offers.bytes();
  peer_sends(syn);
  if (opening_arrives) reaches_us(syn);
  Segment answer = from_us({}, SYN | ACK);
  Offers ours = setting.our_offers;
  ours.sack = ours.sack && setting.peer_offers.sack;
  if (!setting.peer_offers.scale) ours.scale.reset();
  answer.timestamps = ours.timestamps && setting.peer_offers.timestamps;
  answer.window = 64000;
  answer.more_options = ours.bytes();
  we_send(answer);
  peer_sends();
}

namespace {

Segment next(std::uint32_t seq, std::uint32_t ack, std::uint32_t tsval, std::uint32_t tsecr, std::string payload,
             std::uint8_t flags, bool timestamps) {
  Segment segment;
  segment.flags = flags;
  segment.seq = seq;
  segment.ack = ack;
  segment.payload = std::move(payload);
  segment.timestamps = timestamps;
  segment.tsval = tsval;
  segment.tsecr = tsecr;
  return segment;
}

std::uint32_t end_of(const Segment& segment) {
  return segment.seq + static_cast<std::uint32_t>(segment.payload.size()) + ((segment.flags & SYN) != 0) +
         ((segment.flags & FIN) != 0);
}

}  // namespace

Segment Conversation::from_us(std::string payload, std::uint8_t flags) const {
  return next(our_nxt, peer_nxt, our_ts + 1, peer_ts, std::move(payload), flags,
              setting.our_offers.timestamps && setting.peer_offers.timestamps);
}

Segment Conversation::from_peer(std::string payload, std::uint8_t flags) const {
  return next(peer_nxt, our_nxt, peer_ts + 1, our_ts, std::move(payload), flags,
              setting.our_offers.timestamps && setting.peer_offers.timestamps);
}

void Conversation::we_send(const Segment& segment) {
  now_ns += 1'000'000;
  oracle.observe(now_ns, frame_of(us, peer, segment));
  if ((segment.flags & RST) != 0) return;
  if (static_cast<std::int32_t>(end_of(segment) - our_nxt) > 0) our_nxt = end_of(segment);
  if (static_cast<std::int32_t>(segment.tsval - our_ts) > 0) our_ts = segment.tsval;
}

void Conversation::peer_sends(const Segment& segment) {
  now_ns += 1'000'000;
  oracle.observe(now_ns, frame_of(peer, us, segment));
  if ((segment.flags & RST) != 0) return;
  if (static_cast<std::int32_t>(end_of(segment) - peer_nxt) > 0) peer_nxt = end_of(segment);
  if (static_cast<std::int32_t>(segment.tsval - peer_ts) > 0) peer_ts = segment.tsval;
}

void Conversation::reaches_us(const Segment& segment) { oracle.arrived(now_ns, frame_of(peer, us, segment)); }

std::string Conversation::broken() const {
  std::string all;
  for (const Violation& violation : oracle.violations()) all += (all.empty() ? "" : " ") + violation.rule;
  return all;
}

}  // namespace tandem::oracle::test
