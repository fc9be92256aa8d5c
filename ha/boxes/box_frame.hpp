// SPDX-License-Identifier: BSD-3-Clause
//
// What two boxes say to one another on their replication connection (design.md section 4), over a stream of bytes: TCP, with TLS
// round it or without. A frame, little-endian:
//
//   offset 0  u32 magic     "tdB1"
//          4  u16 kind      FrameKind; kOptionalFrame set = whoever does not know it passes over it
//          6  u16 flags
//          8  u32 length    of the payload, at most kMaxFrameBytes
//         12  u32 checksum  CRC-32 (that of zlib) of the header, with 0 in this place, and of the payload
//         16  u64 value     what it is depends on the kind
//         24  payload
//
// The checksum is against errors that TCP's 16 bits let through and TLS, where there is none, does not find. It is no protection
// against anybody.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tandem/address.hpp"

namespace tandem::ha {

/// The numbers are the format.
enum class FrameKind : std::uint16_t {
  hello = 1,         ///< fields, as in attach_protocol.hpp
  refusal = 2,       ///< value: exit code; payload: text
  welcome = 3,       ///< fields
  ready = 4,         ///< the snapshot may begin
  log = 5,           ///< value: position of the first byte; payload: the live log as it stands
  snapshot = 6,      ///< likewise, of the log of the joiner's snapshot
  acknowledged = 7,  ///< value: position of the live log up to which the sender has applied it
};
inline constexpr std::uint16_t kOptionalFrame = 0x8000;
/// FrameKind::log and snapshot: what is published ends behind a later frame.
inline constexpr std::uint16_t kMoreFrames = 1;

inline constexpr std::size_t kFrameHeaderBytes = 24;
inline constexpr std::size_t kMaxFrameBytes = std::size_t{1} << 20;

using FrameHeader = std::array<std::uint8_t, kFrameHeaderBytes>;
/// Of a frame whose payload follows, in one piece. `payload` is at most kMaxFrameBytes long.
FrameHeader frame_header(FrameKind kind, std::uint16_t flags, std::uint64_t value, Bytes payload);

struct Frame {
  std::uint16_t kind = 0;  ///< without kOptionalFrame
  std::uint16_t flags = 0;
  std::uint64_t value = 0;
  Bytes payload;  ///< within the reader, until it is asked for the next frame
};

/// Takes frames out of a stream. Trusts nothing in it: whatever comes, it holds at most one frame and what was given to it.
class FrameReader {
 public:
  enum class Result : std::uint8_t { frame, more_bytes, error };

  /// The next bytes of the stream.
  void give(Bytes bytes);
  /// The next frame that is whole; those of unknown optional kinds are passed over. An error stays one: what follows cannot be told
  /// apart any more, and the connection is of no use.
  Result next(Frame& frame);
  [[nodiscard]] const std::string& error() const { return error_; }
  /// Bytes that were given and belong to no frame that was taken.
  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }

 private:
  Result fail(std::string why);
  std::vector<std::uint8_t> bytes_;
  std::size_t at_ = 0;
  std::string error_;
};

}  // namespace tandem::ha
