// SPDX-License-Identifier: BSD-3-Clause
#include "pcapng.hpp"

#include <algorithm>

namespace tandem::pcapng {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d'0d0a, kInterfaceDescription = 1, kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b'3c4d;
constexpr std::uint16_t kLinkEthernet = 1;
constexpr std::uint16_t kOptEnd = 0, kOptComment = 1, kShbApplication = 4, kIfName = 2, kIfDescription = 3,
                        kIfTimeResolution = 9, kEpbFlags = 2;
constexpr std::size_t kLongestText = 1024;

class Block {
 public:
  Block(std::vector<std::uint8_t>& out, std::uint32_t type) : out_(out), start_(out.size()) {
    u32(type);
    u32(0);  // total length, known at the end
  }
  ~Block() {
    const auto length = static_cast<std::uint32_t>(out_.size() - start_ + 4);
    u32(length);
    for (std::size_t i = 0; i < 4; ++i) out_[start_ + 4 + i] = static_cast<std::uint8_t>(length >> (8 * i));
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void u16(std::uint16_t value) {
    out_.push_back(static_cast<std::uint8_t>(value));
    out_.push_back(static_cast<std::uint8_t>(value >> 8));
  }
  void u32(std::uint32_t value) {
    u16(static_cast<std::uint16_t>(value));
    u16(static_cast<std::uint16_t>(value >> 16));
  }
  void bytes(const std::uint8_t* data, std::size_t size) {
    out_.insert(out_.end(), data, data + size);
    out_.resize(out_.size() + (4 - size % 4) % 4, 0);
  }
  void option(std::uint16_t code, const std::uint8_t* data, std::size_t size) {
    u16(code);
    u16(static_cast<std::uint16_t>(size));
    bytes(data, size);
  }
  void text(std::uint16_t code, std::string_view value) {
    if (!value.empty())
      option(code, reinterpret_cast<const std::uint8_t*>(value.data()), std::min(value.size(), kLongestText));
  }
  void end_options() { u32(kOptEnd); }

 private:
  std::vector<std::uint8_t>& out_;
  std::size_t start_;
};

}  // namespace

void section_header(std::vector<std::uint8_t>& out, std::string_view application, std::string_view comment) {
  Block block(out, kSectionHeader);
  block.u32(kByteOrderMagic);
  block.u16(1);  // version 1.0
  block.u16(0);
  block.u32(0xffff'ffff);  // the section's length is not known
  block.u32(0xffff'ffff);
  block.text(kOptComment, comment);
  block.text(kShbApplication, application);
  block.end_options();
}

void interface_description(std::vector<std::uint8_t>& out, std::string_view name, std::string_view description) {
  Block block(out, kInterfaceDescription);
  block.u16(kLinkEthernet);
  block.u16(0);
  block.u32(0);  // frames are kept whole
  block.text(kIfName, name);
  block.text(kIfDescription, description);
  const std::uint8_t nanoseconds = 9;
  block.option(kIfTimeResolution, &nanoseconds, 1);
  block.end_options();
}

void enhanced_packet(std::vector<std::uint8_t>& out, std::uint64_t time_ns, std::span<const std::uint8_t> frame,
                     Direction direction, std::string_view comment) {
  Block block(out, kEnhancedPacket);
  block.u32(0);  // the section's only interface
  block.u32(static_cast<std::uint32_t>(time_ns >> 32));
  block.u32(static_cast<std::uint32_t>(time_ns));
  block.u32(static_cast<std::uint32_t>(frame.size()));
  block.u32(static_cast<std::uint32_t>(frame.size()));
  block.bytes(frame.data(), frame.size());
  const std::uint8_t flags[4] = {static_cast<std::uint8_t>(direction), 0, 0, 0};
  block.option(kEpbFlags, flags, sizeof flags);
  block.text(kOptComment, comment);
  block.end_options();
}

}  // namespace tandem::pcapng
