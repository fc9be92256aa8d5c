// SPDX-License-Identifier: BSD-3-Clause
#include "bgp/framer.hpp"

#include <algorithm>

namespace tandem::bgp {

namespace {

struct LengthRule {
  std::size_t least;
  std::size_t most;
};

constexpr LengthRule length_rule(std::uint8_t type) {
  switch (static_cast<MessageType>(type)) {
    case MessageType::open:
      return {29, kMaxMessageBytes};
    case MessageType::update:
      return {23, kMaxMessageBytes};
    case MessageType::notification:
      return {21, kMaxMessageBytes};
    case MessageType::keepalive:
      return {19, 19};
    case MessageType::route_refresh:
      return {19, kMaxMessageBytes};  // its decoder looks closer
  }
  return {kHeaderBytes, kMaxMessageBytes};
}

constexpr bool known_type(std::uint8_t type) { return type >= 1 && type < kMessageTypes; }

}  // namespace

Frame next_frame(ByteSpan unread, MalformationCounters& counters) {
  Frame frame;
  if (unread.size() < kHeaderBytes) return frame;

  const auto wrong = [&](Malformation m, std::uint8_t subcode, std::vector<std::uint8_t> data) {
    ++counters[static_cast<std::size_t>(m)];
    frame.kind = Frame::Kind::error;
    frame.consumed = kHeaderBytes;
    frame.error = {static_cast<std::uint8_t>(ErrorCode::header), subcode, std::move(data)};
    return frame;
  };
  if (!std::all_of(unread.begin(), unread.begin() + 16, [](std::uint8_t b) { return b == 0xff; }))
    return wrong(Malformation::header_marker, 1, {});
  const std::size_t length = static_cast<std::size_t>(unread[16] << 8 | unread[17]);
  const std::uint8_t type = unread[18];
  if (length < kHeaderBytes || length > kMaxMessageBytes)
    return wrong(Malformation::header_length, 2, {unread[16], unread[17]});
  if (!known_type(type)) return wrong(Malformation::header_type, 3, {type});
  const auto rule = length_rule(type);
  if (length < rule.least || length > rule.most) return wrong(Malformation::header_length, 2, {unread[16], unread[17]});

  if (unread.size() < length) return frame;
  frame.kind = Frame::Kind::message;
  frame.type = static_cast<MessageType>(type);
  frame.bytes = unread.first(length);
  frame.consumed = length;
  return frame;
}

}  // namespace tandem::bgp
