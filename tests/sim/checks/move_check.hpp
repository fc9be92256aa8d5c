// SPDX-License-Identifier: BSD-3-Clause
//
// Who says that he has moved is followed (RFC 4861 section 7.2.6, RFC 5227 section 3): once the turn that took such an announcement
// in has been published, nothing that a later turn stages goes to the old link address, whoever speaks by then.
#pragma once

#include <cstdint>

#include "kernel.hpp"
#include "tandem/address.hpp"

namespace tandem::sim {

class MoveCheck {
 public:
  explicit MoveCheck(Director& director) : director_(director) {}

  /// The host with this address has left one link address for another, and is about to say so.
  void moved(const IpAddress& host, const MacAddress& from, const MacAddress& to);

  // ---- What the interface sees ----
  /// `group_index`: how many frames to groups came before it.
  void arrives(std::uint32_t group_index, Bytes frame);
  void leaves(std::uint32_t tx_index, Bytes frame);
  /// Packets before `tx_producer` have been handed over, and so many frames to groups are dealt with.
  void handed_over(std::uint32_t tx_producer, std::uint32_t groups_released);
  /// Until adopted() the indices are those of an adoption that may be cut short.
  void adopts() { adopting_ = true; }
  void adopted(std::uint32_t tx_producer);
  /// Other rings.
  void reopened();

  [[nodiscard]] std::uint64_t followed() const { return followed_; }

 private:
  [[nodiscard]] bool announces(Bytes frame) const;

  enum class State : std::uint8_t {
    none,
    moved,      ///< not heard yet
    announced,  ///< the announcement lies in the ring, at group_index_
    told,       ///< it was dealt with: packets from tx_index_ on go to the new address
  };
  Director& director_;
  State state_ = State::none;
  IpAddress host_;
  MacAddress from_, to_;
  std::uint32_t group_index_ = 0, tx_index_ = 0;
  std::uint32_t tx_producer_ = 0;  ///< as it was handed over last
  bool adopting_ = false;
  std::uint64_t followed_ = 0;
};

}  // namespace tandem::sim
