// SPDX-License-Identifier: BSD-3-Clause
// Cuts a byte stream into messages. It keeps nothing: only whole messages are taken, so that the stream's position alone is
// its state and a twin that knows the position knows everything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bgp/codec.hpp"

namespace tandem::bgp {

struct Frame {
  enum class Kind : std::uint8_t {
    incomplete,  // more bytes are needed; consumed is 0
    message,     // `bytes` is one whole message; its header is sound
    error        // the header is wrong, `error` is what to send; the header's bytes count as consumed
  };
  Kind kind = Kind::incomplete;
  MessageType type = MessageType::keepalive;
  ByteSpan bytes;
  std::size_t consumed = 0;
  Notification error;
};

/// The first message of `unread`. Marker, length and type are checked (RFC 4271 section 6.1).
Frame next_frame(ByteSpan unread, MalformationCounters& counters);

}  // namespace tandem::bgp
