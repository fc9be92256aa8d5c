// SPDX-License-Identifier: BSD-3-Clause
#include "capture_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tandem::oracle {

namespace {

constexpr std::uint32_t kPcapMicroseconds = 0xa1b2c3d4, kPcapNanoseconds = 0xa1b23c4d;
constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a, kByteOrder = 0x1a2b3c4d;
constexpr std::uint32_t kInterfaceDescription = 1, kSimplePacket = 3, kEnhancedPacket = 6;
constexpr std::uint16_t kTimestampResolution = 9, kTimestampOffset = 14;
constexpr std::uint16_t kEthernet = 1;
constexpr std::size_t kLargestRecord = std::size_t{16} << 20;

std::uint64_t nanoseconds(std::uint64_t units, std::uint64_t units_per_second) {
  const std::uint64_t seconds = units / units_per_second;
  return seconds * 1'000'000'000 + static_cast<std::uint64_t>(static_cast<double>(units % units_per_second) * 1e9 /
                                                              static_cast<double>(units_per_second));
}

}  // namespace

CaptureFile::CaptureFile(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "rb"), std::fclose) {
  if (file_ == nullptr) fail(std::strerror(errno));
  if (!read(4)) fail("the file is empty or shorter than a header");
  const std::uint32_t magic = u32(buffer_.data());
  if (magic == kSectionHeader) {
    is_pcapng_ = true;
    if (!section_header()) fail("the section header is cut short");
    return;
  }
  big_endian_ = true;
  const std::uint32_t swapped = u32(buffer_.data());
  big_endian_ = swapped == kPcapMicroseconds || swapped == kPcapNanoseconds;
  const std::uint32_t known = big_endian_ ? swapped : magic;
  if (known != kPcapMicroseconds && known != kPcapNanoseconds) fail("this is neither pcap nor pcapng");
  if (known == kPcapNanoseconds) pcap_units_per_second_ = 1'000'000'000;
  if (!read(20)) fail("the header is cut short");
  // The upper half says other things.
  if ((u32(&buffer_[16]) & 0xffff) != kEthernet)
    fail("its frames are not Ethernet; capture on an Ethernet interface, not on 'any'");
}

std::uint16_t CaptureFile::u16(const std::uint8_t* at) const {
  return static_cast<std::uint16_t>(big_endian_ ? at[0] << 8 | at[1] : at[1] << 8 | at[0]);
}

std::uint32_t CaptureFile::u32(const std::uint8_t* at) const {
  return big_endian_ ? std::uint32_t{u16(at)} << 16 | u16(at + 2) : std::uint32_t{u16(at + 2)} << 16 | u16(at);
}

bool CaptureFile::read(std::size_t bytes) {
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  const std::size_t got = std::fread(buffer_.data(), 1, bytes, file_.get());
  if (got == bytes) return true;
  if (std::ferror(file_.get()) != 0) fail(std::strerror(errno));
  ended_early_ |= got > 0;
  return false;
}

void CaptureFile::fail(const std::string& what) const { throw CaptureError(path_ + ": " + what); }

bool CaptureFile::next(CapturedFrame& frame) { return is_pcapng_ ? next_pcapng(frame) : next_pcap(frame); }

bool CaptureFile::next_pcap(CapturedFrame& frame) {
  if (!read(16)) return false;
  const std::uint32_t seconds = u32(&buffer_[0]), fraction = u32(&buffer_[4]);
  const std::uint32_t kept = u32(&buffer_[8]), length = u32(&buffer_[12]);
  if (kept > kLargestRecord) fail("a record says that it has " + std::to_string(kept) + " bytes");
  if (!read(kept)) {
    ended_early_ = true;
    return false;
  }
  frame.time_ns = seconds * std::uint64_t{1'000'000'000} + nanoseconds(fraction, pcap_units_per_second_);
  frame.interface = 0;
  frame.bytes = {buffer_.data(), kept};
  frame.wire_length = std::max(kept, length);
  return true;
}

bool CaptureFile::section_header() {
  // The length's byte order is only known from the number behind it.
  if (!read(8)) return false;
  big_endian_ = false;
  if (u32(&buffer_[4]) != kByteOrder) {
    big_endian_ = true;
    if (u32(&buffer_[4]) != kByteOrder) fail("a section's byte order is neither the one nor the other");
  }
  const std::uint32_t length = u32(&buffer_[0]);
  if (length < 28 || length > kLargestRecord || length % 4 != 0) fail("a section header has an impossible length");
  section_begins_at_ = interfaces_.size();
  return read(length - 12);
}

bool CaptureFile::next_pcapng(CapturedFrame& frame) {
  while (true) {
    const bool ended_before = ended_early_;
    if (!read(4)) return false;
    const std::uint32_t type = u32(buffer_.data());
    if (type == kSectionHeader) {
      if (!section_header()) {
        ended_early_ = true;
        return false;
      }
      continue;
    }
    ended_early_ = true;
    if (!read(4)) return false;
    const std::uint32_t length = u32(buffer_.data());
    if (length < 12 || length > kLargestRecord || length % 4 != 0) fail("a block has an impossible length");
    // The body and the length that is repeated behind it.
    if (!read(length - 8)) return false;
    ended_early_ = ended_before;
    buffer_.resize(length - 12);
    if (type == kInterfaceDescription) interface_description();
    if ((type == kEnhancedPacket || type == kSimplePacket) && packet(type == kSimplePacket, frame)) return true;
  }
}

void CaptureFile::interface_description() {
  if (buffer_.size() < 8) fail("an interface's description is cut short");
  Interface described;
  described.is_ethernet = u16(buffer_.data()) == kEthernet;
  for (std::size_t at = 8; at + 4 <= buffer_.size();) {
    const std::uint16_t code = u16(&buffer_[at]), length = u16(&buffer_[at + 2]);
    if (code == 0) break;
    if (at + 4 + length > buffer_.size()) fail("an interface's option is longer than its block");
    interface_option(code, {buffer_.data() + at + 4, length}, described);
    at += 4 + (length + 3u) / 4 * 4;
  }
  interfaces_.push_back(described);
}

void CaptureFile::interface_option(std::uint16_t code, std::span<const std::uint8_t> value,
                                   Interface& described) const {
  if (code == kTimestampResolution && value.size() == 1) {
    const unsigned exponent = value[0] & 0x7f;
    const bool of_two = (value[0] & 0x80) != 0;
    if (exponent > (of_two ? 63 : 19)) fail("an interface's timestamps have an impossible resolution");
    described.units_per_second = 1;
    for (unsigned i = 0; i < exponent; ++i) described.units_per_second *= of_two ? 2 : 10;
  } else if (code == kTimestampOffset && value.size() == 8) {
    const std::uint64_t first = u32(value.data()), second = u32(value.data() + 4);
    described.offset_s = static_cast<std::int64_t>(big_endian_ ? first << 32 | second : second << 32 | first);
  }
}

bool CaptureFile::packet(bool simple, CapturedFrame& frame) const {
  const std::size_t header = simple ? 4 : 20;
  if (buffer_.size() < header) fail("a packet's block is cut short");
  const std::size_t index = section_begins_at_ + (simple ? 0 : u32(&buffer_[0]));
  if (index >= interfaces_.size()) fail("a packet names an interface that is not described");
  const Interface& interface = interfaces_[index];
  const std::uint32_t length = u32(&buffer_[simple ? 0 : 16]);
  const std::size_t kept = simple ? std::min<std::size_t>(length, buffer_.size() - header) : u32(&buffer_[12]);
  if (kept > buffer_.size() - header) fail("a packet is longer than its block");
  if (!interface.is_ethernet) return false;
  const std::uint64_t units = simple ? 0 : std::uint64_t{u32(&buffer_[4])} << 32 | u32(&buffer_[8]);
  frame.time_ns =
      nanoseconds(units, interface.units_per_second) + static_cast<std::uint64_t>(interface.offset_s) * 1'000'000'000;
  frame.interface = index;
  frame.bytes = {buffer_.data() + header, kept};
  frame.wire_length = std::max<std::size_t>(kept, length);
  return true;
}

}  // namespace tandem::oracle
