// SPDX-License-Identifier: BSD-3-Clause
#include "box_frame.hpp"

#include <zlib.h>

#include <utility>

namespace tandem::ha {
namespace {

constexpr std::uint32_t kMagic = 0x31426474;  // "tdB1"
constexpr std::size_t kKindAt = 4, kFlagsAt = 6, kLengthAt = 8, kChecksumAt = 12, kValueAt = 16;

template <typename T>
void put(FrameHeader& header, std::size_t at, T value) {
  std::memcpy(header.data() + at, &value, sizeof value);
}

template <typename T>
T get(const std::uint8_t* header, std::size_t at) {
  T value{};
  std::memcpy(&value, header + at, sizeof value);
  return value;
}

/// `header` has 0 where the checksum stands.
std::uint32_t checksum(const FrameHeader& header, Bytes payload) {
  const uLong of_header = crc32_z(0, header.data(), header.size());
  // Of no bytes at no address zlib gives the sum that everything begins with.
  return static_cast<std::uint32_t>(payload.empty() ? of_header : crc32_z(of_header, payload.data(), payload.size()));
}

bool is_known(std::uint16_t kind) {
  return kind >= static_cast<std::uint16_t>(FrameKind::hello) &&
         kind <= static_cast<std::uint16_t>(FrameKind::acknowledged);
}

}  // namespace

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts need byte swapping here");

FrameHeader frame_header(FrameKind kind, std::uint16_t flags, std::uint64_t value, Bytes payload) {
  FrameHeader header{};
  put(header, 0, kMagic);
  put(header, kKindAt, static_cast<std::uint16_t>(kind));
  put(header, kFlagsAt, flags);
  put(header, kLengthAt, static_cast<std::uint32_t>(payload.size()));
  put(header, kValueAt, value);
  put(header, kChecksumAt, checksum(header, payload));
  return header;
}

void FrameReader::give(Bytes bytes) {
  if (at_ == bytes_.size()) {
    bytes_.clear();
    at_ = 0;
  } else if (at_ > bytes_.size() / 2) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ = 0;
  }
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

FrameReader::Result FrameReader::fail(std::string why) {
  error_ = std::move(why);
  return Result::error;
}

FrameReader::Result FrameReader::next(Frame& frame) {
  while (error_.empty()) {
    if (left() < kFrameHeaderBytes) return Result::more_bytes;
    FrameHeader header;
    std::memcpy(header.data(), bytes_.data() + at_, header.size());
    if (get<std::uint32_t>(header.data(), 0) != kMagic)
      return fail("what came is no frame of the replication protocol; is another program at the other end?");
    const auto length = get<std::uint32_t>(header.data(), kLengthAt);
    if (length > kMaxFrameBytes)
      return fail("a frame of " + std::to_string(length) + " bytes, of which " + std::to_string(kMaxFrameBytes) +
                  " are the most");
    if (left() < kFrameHeaderBytes + length) return Result::more_bytes;
    const Bytes payload = Bytes(bytes_).subspan(at_ + kFrameHeaderBytes, length);
    const auto said = get<std::uint32_t>(header.data(), kChecksumAt);
    put(header, kChecksumAt, std::uint32_t{0});
    if (said != checksum(header, payload)) return fail("a frame whose checksum is wrong");
    at_ += kFrameHeaderBytes + length;
    const auto kind = get<std::uint16_t>(header.data(), kKindAt);
    const auto number = static_cast<std::uint16_t>(kind & ~kOptionalFrame);
    if (!is_known(number)) {
      if ((kind & kOptionalFrame) != 0) continue;
      return fail(
          "a frame of kind " + std::to_string(kind) +
          ", which has to be understood and which this version does not know; run the same version on both sides");
    }
    frame = {number, get<std::uint16_t>(header.data(), kFlagsAt), get<std::uint64_t>(header.data(), kValueAt), payload};
    return Result::frame;
  }
  return Result::error;
}

}  // namespace tandem::ha
