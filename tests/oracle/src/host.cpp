// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>

#include <algorithm>

#include "oracle/oracle.hpp"

namespace tandem::oracle {

Host Host::v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return Host{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
}

bool Host::parse(const std::string& text, Host& host) {
  std::array<std::uint8_t, 4> four{};
  if (inet_pton(AF_INET, text.c_str(), four.data()) == 1) {
    host = v4(four[0], four[1], four[2], four[3]);
    return true;
  }
  return inet_pton(AF_INET6, text.c_str(), host.bytes.data()) == 1;
}

bool Host::is_v4() const {
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](auto b) { return b == 0; }) && bytes[10] == 0xff &&
         bytes[11] == 0xff;
}

std::string Host::text() const {
  char out[INET6_ADDRSTRLEN] = {};
  if (is_v4()) {
    inet_ntop(AF_INET, bytes.data() + 12, out, sizeof(out));
  } else {
    inet_ntop(AF_INET6, bytes.data(), out, sizeof(out));
  }
  return out;
}

}  // namespace tandem::oracle
