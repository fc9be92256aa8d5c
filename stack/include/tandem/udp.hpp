// SPDX-License-Identifier: BSD-3-Clause
//
// UDP (RFC 768) endpoints. They are not replicated: after a takeover the promoted process opens its own.
#pragma once

#include <functional>

#include "tandem/address.hpp"

namespace tandem {

class UdpEndpoint {
 public:
  using Receiver = std::function<void(UdpEndpoint&, const Endpoint& from, Bytes datagram)>;

  virtual ~UdpEndpoint() = default;
  [[nodiscard]] virtual Endpoint local() const = 0;
  /// False when the datagram is larger than 65,507 bytes, no route exists or memory is short.
  virtual bool send(const Endpoint& to, Bytes datagram) = 0;
};

}  // namespace tandem
