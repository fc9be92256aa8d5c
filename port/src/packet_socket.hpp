// SPDX-License-Identifier: BSD-3-Clause
//
// The packet socket beside an AF_XDP socket: our copy of what is sent to groups on the link, of which the kernel keeps its own, and
// our memberships of the interface's filters. Both belong to the open socket, which the twin holds too: they do not lapse with
// a process.
//
// The kernel writes into a ring that is mapped by primary and twin. As with the device's rings a frame is shown, dealt with, and
// given back behind the turn's publication, so that one whose turn did not come to its end is shown to who takes over (I4):
//
//   slot: kernel --filled--> user --peek: copied--> user, shown --release--> kernel
//
// What the stack gets is a copy in this process' own memory, which it may change and keep for as long as it likes.
//
//   ring:  128 blocks of a page; of each, the slots take all but some bytes at its end
//          block 0, its last 4 bytes: the slot that is given back next, for who takes over. Slots are counted without end; their
//          number is a power of two
#pragma once

#include <linux/if_packet.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tandem/device.hpp"
#include "unique_fd.hpp"
#include "wire_memory.hpp"

namespace tandem {

class PacketSocket {
 public:
  struct Options {
    std::string interface;
    int index = 0;                         ///< of the interface
    std::vector<IpAddress> addresses;      ///< whose groups are joined
    std::optional<MacAddress> unicast;     ///< a link address that is not the interface's own
    std::vector<std::uint16_t> udp_ports;  ///< of interest; empty = all
    std::uint16_t vlan = 0;                ///< frames of this one, without their tag; 0: of none
  };
  /// Throws DeviceError.
  static PacketSocket open(const Options& options);
  /// Twin: what it was given. Touches nothing until adopt(). Throws std::system_error.
  PacketSocket(UniqueFd fd, std::uint16_t vlan);

  /// Ready for POLLIN while frames wait.
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Whether peek() would show something. Reads memory only.
  [[nodiscard]] bool ready() const;
  /// Shows frames that came and were not shown yet, at most kPerTurn until release().
  std::size_t peek(std::span<RxFrame> frames);
  /// Whether a frame is one of these.
  [[nodiscard]] static bool owns(std::uint32_t cookie) { return (cookie & kCookie) != 0; }
  /// The stack refers to it no longer.
  void done(std::uint32_t cookie);
  /// Behind the publication: the kernel gets the shown slots back.
  void release();
  /// Twin, behind the fence: goes on where the dead owner was. What it had not given back is shown.
  void adopt();
  /// An interface that goes down leaves an error behind, with which the descriptor would be ready for ever.
  void clear_error() const;
  /// Frames that were lost for want of room, or too long.
  [[nodiscard]] std::uint64_t dropped();

  static constexpr std::size_t kPerTurn = 16;
  /// Frame names of ours have this bit, those of the rings never.
  static constexpr std::uint32_t kCookie = 0x8000'0000;
  static constexpr std::size_t kSlotBytes = 2032;

 private:
  static constexpr std::size_t kBuffers = 64;  ///< of which a stack may keep some for longer than a turn
  struct Buffer {
    bool in_use = false;
    std::array<std::uint8_t, kSlotBytes> bytes;
  };

  [[nodiscard]] std::uint8_t* slot(std::uint32_t index) const;
  [[nodiscard]] bool is_filled(std::uint32_t index) const;
  [[nodiscard]] std::uint32_t* given_back() const;
  /// False when it cannot be shown: it counts as dropped, unless it is of another VLAN.
  bool copy(const std::uint8_t* slot, RxFrame& frame);

  UniqueFd fd_;
  std::uint16_t vlan_;
  Mapping ring_;
  std::uint32_t slots_a_block_ = 0, slots_ = 0;
  std::uint32_t next_ = 0;   ///< slot to be shown next
  std::uint32_t shown_ = 0;  ///< slots before it that are not given back yet
  bool adopted_ = false;     ///< a death may have come between giving a slot back and saying so
  std::vector<Buffer> buffers_;
  std::uint64_t dropped_ = 0;
};

}  // namespace tandem
