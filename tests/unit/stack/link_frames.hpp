// SPDX-License-Identifier: BSD-3-Clause
//
// What neighbours say to a stack and what it says to them: frames put together here, by another hand than the stack's, and sent
// frames told in words.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "frames/packet.hpp"
#include "world.hpp"

namespace tandem::test {

inline constexpr std::uint8_t kRequest = 1, kReply = 2;
inline constexpr std::uint8_t kRouterFlag = 0x80, kSolicitedFlag = 0x40, kOverrideFlag = 0x20;

MacAddress all_macs();
/// `to` is the address on the link that the frame has.
Frame arp_frame(std::uint8_t operation, const std::string& sender, const MacAddress& sender_mac,
                const std::string& target, const MacAddress& to);

struct Nd {
  std::string source, destination;
  MacAddress from, to;
  std::uint8_t hop_limit = 255;
};
Frame solicitation(const Nd& nd, const std::string& target, std::optional<MacAddress> source_mac);
Frame advertisement(const Nd& nd, const std::string& target, std::uint8_t flags, std::optional<MacAddress> target_mac);
Frame redirect(const Nd& nd, const std::string& target, const std::string& destination,
               std::optional<MacAddress> target_mac);
Frame router_advertisement(const Nd& nd, std::optional<MacAddress> source_mac);
/// A ping: what is answered shows where the stack believes its sender to be.
Frame ping(const std::string& source, const std::string& destination, const MacAddress& from, const MacAddress& to);

/// "who has 10.0.0.2 tell 10.0.0.1 to ff:..", "10.0.0.1 is at MAC to MAC", "NS ...", "NA ...", "pong to ADDRESS at MAC", "other".
std::string told(const Frame& frame);

/// One stack on a wire with nobody else: 10.0.0.1/24, 2001:db8::1/64, gateways .254 and ::fe, link address 02:..:01.
class Lone {
 public:
  explicit Lone(std::vector<std::string> prefixes = {"10.0.0.1/24", "2001:db8::1/64"},
                std::vector<std::string> gateways = {"10.0.0.254", "2001:db8::fe"});
  /// Gives it a frame; what it says in that turn.
  std::vector<std::string> hears(const Frame& frame);
  /// Lets time pass, turn by turn; what it says meanwhile.
  std::vector<std::string> after(std::uint64_t ms);
  /// Where it believes the address to be; nothing when it does not know.
  [[nodiscard]] std::string at(const std::string& address);

  Clock clock;
  Wire wire;
  std::unique_ptr<Host> host;

 private:
  std::vector<std::string> said_;
};

}  // namespace tandem::test
