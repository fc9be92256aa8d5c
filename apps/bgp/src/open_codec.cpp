// SPDX-License-Identifier: BSD-3-Clause
// OPEN, NOTIFICATION, KEEPALIVE and ROUTE-REFRESH.
#include <algorithm>

#include "attribute_types.hpp"
#include "bgp/codec.hpp"
#include "wire.hpp"

namespace tandem::bgp {

namespace {

constexpr std::uint8_t kCapabilitiesParameter = 2;  // RFC 5492
constexpr std::uint8_t kExtendedLength = 255;       // RFC 9072
constexpr std::uint8_t kCapMultiprotocol = 1;       // RFC 4760
constexpr std::uint8_t kCapRouteRefresh = 2;        // RFC 2918
constexpr std::uint8_t kCapFourOctetAs = 65;        // RFC 6793

void count(MalformationCounters& counters, Malformation m) { ++counters[static_cast<std::size_t>(m)]; }

std::vector<std::uint8_t> header(MessageType type) {
  std::vector<std::uint8_t> out(16, 0xff);
  put_u16(out, 0);
  put_u8(out, static_cast<std::uint8_t>(type));
  return out;
}

std::vector<std::uint8_t> finish(std::vector<std::uint8_t> message) {
  message[16] = static_cast<std::uint8_t>(message.size() >> 8);
  message[17] = static_cast<std::uint8_t>(message.size());
  return message;
}

/// The RFCs leave open what a known capability of the wrong length means; it is passed over as if the peer did not have it.
void take_capability(std::uint8_t code, ByteSpan value, Open& open, MalformationCounters& counters) {
  switch (code) {
    case kCapMultiprotocol:
      if (value.size() != 4) return count(counters, Malformation::open_capability);
      open.any_multiprotocol = true;
      for (const Family family : kAllFamilies)
        if (value[0] == 0 && value[1] == afi_of(family) && value[3] == kSafiUnicast)
          open.family[index_of(family)] = true;
      return;
    case kCapRouteRefresh:
      if (!value.empty()) return count(counters, Malformation::open_capability);
      open.route_refresh = true;
      return;
    case kCapFourOctetAs: {
      WireReader reader(value);
      std::uint32_t as = 0;
      if (value.size() != 4 || !reader.u32(as)) return count(counters, Malformation::open_capability);
      open.four_octet_as = true;
      open.as = as;
      return;
    }
    default:
      return;  // RFC 5492: not ours, no error
  }
}

bool take_capabilities(ByteSpan parameter, Open& open, MalformationCounters& counters) {
  WireReader reader(parameter);
  while (reader.left() > 0) {
    std::uint8_t code = 0;
    std::uint8_t length = 0;
    ByteSpan value;
    if (!reader.u8(code) || !reader.u8(length) || !reader.bytes(length, value)) return false;
    take_capability(code, value, open, counters);
  }
  return true;
}

/// One optional parameter after the other; with RFC 9072's form their lengths have two octets. `left` are those behind the length.
class ParameterReader {
 public:
  ParameterReader(std::uint8_t announced_bytes, ByteSpan left) : reader_(left) {
    // The length in its old place only has to be there; a first type of 255 says what follows.
    extended_ = announced_bytes != 0 && !left.empty() && left[0] == kExtendedLength;
    std::uint8_t mark = 0;
    std::uint16_t bytes = announced_bytes;
    if (extended_ && (!reader_.u8(mark) || !reader_.u16(bytes))) return;
    fits_ = reader_.left() == bytes;
  }

  /// Whether the lengths are those of the message.
  bool fits() const { return fits_; }
  bool done() const { return reader_.left() == 0; }
  bool next(std::uint8_t& type, ByteSpan& value) {
    std::uint8_t short_length = 0;
    std::uint16_t length = 0;
    if (!reader_.u8(type)) return false;
    if (extended_) return reader_.u16(length) && reader_.bytes(length, value);
    return reader_.u8(short_length) && reader_.bytes(short_length, value);
  }

 private:
  WireReader reader_;
  bool extended_ = false;
  bool fits_ = false;
};

}  // namespace

std::optional<Open> decode_open(ByteSpan message, MalformationCounters& counters, Notification& error) {
  const auto wrong = [&](Malformation m, std::uint8_t subcode, std::vector<std::uint8_t> data = {}) {
    count(counters, m);
    error = {static_cast<std::uint8_t>(ErrorCode::open), subcode, std::move(data)};
    return std::optional<Open>{};
  };
  WireReader reader(message.size() < kHeaderBytes ? ByteSpan{} : message.subspan(kHeaderBytes));
  Open open;
  std::uint16_t as = 0;
  std::uint8_t parameters_bytes = 0;
  if (!reader.u8(open.version) || !reader.u16(as) || !reader.u16(open.hold_time_s) || !reader.u32(open.router_id) ||
      !reader.u8(parameters_bytes))
    return wrong(Malformation::open_parameters, 0);
  if (open.version != 4) return wrong(Malformation::open_version, 1, {0, 4});
  open.as = as;
  if (open.hold_time_s == 1 || open.hold_time_s == 2) return wrong(Malformation::open_hold_time, 6);
  if (open.router_id == 0) return wrong(Malformation::open_identifier, 3);
  ParameterReader parameters(parameters_bytes, reader.rest());
  if (!parameters.fits()) return wrong(Malformation::open_parameters, 0);
  while (!parameters.done()) {
    std::uint8_t type = 0;
    ByteSpan value;
    if (!parameters.next(type, value)) return wrong(Malformation::open_parameters, 0);
    if (type != kCapabilitiesParameter) return wrong(Malformation::open_unsupported_parameter, 4);
    if (!take_capabilities(value, open, counters)) return wrong(Malformation::open_parameters, 0);
  }
  // RFC 6793 and 7607: AS 0 is nobody's, whichever field it stands in.
  if (open.as == 0 || as == 0) return wrong(Malformation::open_peer_as, 2);
  return open;
}

std::optional<Notification> decode_notification(ByteSpan message, MalformationCounters& counters) {
  if (message.size() < kHeaderBytes + 2) {
    count(counters, Malformation::notification_short);
    return std::nullopt;
  }
  const auto data = message.subspan(kHeaderBytes + 2);
  return Notification{message[kHeaderBytes], message[kHeaderBytes + 1], {data.begin(), data.end()}};
}

std::optional<RouteRefresh> decode_route_refresh(ByteSpan message, MalformationCounters& counters,
                                                 Notification& error) {
  if (message.size() != kHeaderBytes + 4) {
    count(counters, Malformation::refresh_length);
    const auto size = static_cast<std::uint16_t>(message.size());
    error = {static_cast<std::uint8_t>(ErrorCode::header),
             2,
             {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)}};
    return std::nullopt;
  }
  // The octet between AFI and SAFI is reserved and ignored.
  return RouteRefresh{static_cast<std::uint16_t>(message[kHeaderBytes] << 8 | message[kHeaderBytes + 1]),
                      message[kHeaderBytes + 3]};
}

std::vector<std::uint8_t> encode_open(const Open& open) {
  std::vector<std::uint8_t> capabilities;
  for (const Family family : kAllFamilies) {
    if (!open.family[index_of(family)]) continue;
    put_u8(capabilities, kCapMultiprotocol);
    put_u8(capabilities, 4);
    put_u16(capabilities, afi_of(family));
    put_u8(capabilities, 0);
    put_u8(capabilities, kSafiUnicast);
  }
  if (open.route_refresh) {
    put_u8(capabilities, kCapRouteRefresh);
    put_u8(capabilities, 0);
  }
  if (open.four_octet_as) {
    put_u8(capabilities, kCapFourOctetAs);
    put_u8(capabilities, 4);
    put_u32(capabilities, open.as);
  }
  auto out = header(MessageType::open);
  put_u8(out, open.version);
  put_u16(out, static_cast<std::uint16_t>(open.as > 0xffff ? kAsTrans : open.as));
  put_u16(out, open.hold_time_s);
  put_u32(out, open.router_id);
  if (capabilities.empty()) {
    put_u8(out, 0);
  } else {
    put_u8(out, static_cast<std::uint8_t>(capabilities.size() + 2));
    put_u8(out, kCapabilitiesParameter);
    put_u8(out, static_cast<std::uint8_t>(capabilities.size()));
    put_bytes(out, capabilities);
  }
  return finish(std::move(out));
}

std::vector<std::uint8_t> encode_keepalive() { return finish(header(MessageType::keepalive)); }

std::vector<std::uint8_t> encode_notification(const Notification& notification) {
  auto out = header(MessageType::notification);
  put_u8(out, notification.code);
  put_u8(out, notification.subcode);
  put_bytes(out, ByteSpan(notification.data).first(std::min(notification.data.size(), kMaxMessageBytes - out.size())));
  return finish(std::move(out));
}

std::vector<std::uint8_t> encode_route_refresh(Family family) {
  auto out = header(MessageType::route_refresh);
  put_u16(out, afi_of(family));
  put_u8(out, 0);
  put_u8(out, kSafiUnicast);
  return finish(std::move(out));
}

std::vector<std::uint8_t> encode_end_of_rib(Family family) {
  auto out = header(MessageType::update);
  put_u16(out, 0);
  if (family == Family::ipv4) {
    put_u16(out, 0);
  } else {
    // An empty MP_UNREACH_NLRI: optional, type 15, three octets.
    put_u16(out, 6);
    put_u8(out, 0x80);
    put_u8(out, 15);
    put_u8(out, 3);
    put_u16(out, afi_of(family));
    put_u8(out, kSafiUnicast);
  }
  return finish(std::move(out));
}

}  // namespace tandem::bgp
