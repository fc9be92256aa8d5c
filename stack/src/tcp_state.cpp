// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/tcp_state.hpp"

#include <algorithm>
#include <concepts>
#include <type_traits>

#include "tandem/tcp_state_format.hpp"
#include "tcp_state_layout.hpp"

namespace tandem {

namespace {

template <typename T>
requires std::integral<T> || std::is_enum_v<T>
void store(std::uint8_t* out, T value) {
  auto rest = static_cast<std::uint64_t>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i, rest >>= 8) {
    out[i] = static_cast<std::uint8_t>(rest);
  }
}

void store(std::uint8_t* out, const Endpoint& endpoint) {
  out[0] = endpoint.address.version;
  out[1] = 0;
  store(out + 2, endpoint.port);
  std::copy(endpoint.address.octets.begin(), endpoint.address.octets.end(), out + 4);
}

template <typename T>
requires std::integral<T> || std::is_enum_v<T>
void load(const std::uint8_t* in, T& value) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    sum |= std::uint64_t{in[i]} << (8 * i);
  }
  value = static_cast<T>(sum);
}

void load(const std::uint8_t* in, Endpoint& endpoint) {
  endpoint.address.version = in[0];
  load(in + 2, endpoint.port);
  std::copy(in + 4, in + layout::kEndpointBytes, endpoint.address.octets.begin());
}

template <typename T>
constexpr std::size_t encoded_bytes() {
  return std::is_same_v<T, Endpoint> ? layout::kEndpointBytes : sizeof(T);
}

void append_u32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  out.resize(out.size() + sizeof value);
  store(out.data() + out.size() - sizeof value, value);
}

void append_bytes(std::vector<std::uint8_t>& out, Bytes bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

/// Takes from the front of what is left; once it is short, everything after is empty.
class Reader {
 public:
  explicit Reader(Bytes in) : in_(in) {}

  Bytes take(std::size_t count) {
    if (count > in_.size()) {
      short_ = true;
      in_ = {};
      return {};
    }
    const auto taken = in_.first(count);
    in_ = in_.subspan(count);
    return taken;
  }
  template <typename T>
  T number() {
    T value{};
    const auto taken = take(sizeof(T));
    if (!taken.empty()) {
      load(taken.data(), value);
    }
    return value;
  }
  [[nodiscard]] Bytes left() const { return in_; }
  [[nodiscard]] bool fell_short() const { return short_; }

 private:
  Bytes in_;
  bool short_ = false;
};

}  // namespace

std::string_view to_string(TcpPhase phase) {
  switch (phase) {
    case TcpPhase::closed:
      return "CLOSED";
    case TcpPhase::listen:
      return "LISTEN";
    case TcpPhase::syn_sent:
      return "SYN-SENT";
    case TcpPhase::syn_rcvd:
      return "SYN-RECEIVED";
    case TcpPhase::established:
      return "ESTABLISHED";
    case TcpPhase::fin_wait_1:
      return "FIN-WAIT-1";
    case TcpPhase::fin_wait_2:
      return "FIN-WAIT-2";
    case TcpPhase::close_wait:
      return "CLOSE-WAIT";
    case TcpPhase::closing:
      return "CLOSING";
    case TcpPhase::last_ack:
      return "LAST-ACK";
    case TcpPhase::time_wait:
      return "TIME-WAIT";
  }
  return "unknown";
}

std::size_t encoded_tcp_state_bytes() { return layout::kTcpStateBytes; }

void encode_tcp_state(const TcpState& state, std::vector<std::uint8_t>& out) {
  const std::size_t at = out.size();
  out.resize(at + layout::kTcpStateBytes);
  std::uint8_t* const base = out.data() + at;
  store(base, kTcpStateVersion);
  store(base + 2, std::uint16_t{0});
  store(base + 4, static_cast<std::uint32_t>(layout::kTcpStateBytes));
#define TANDEM_STORE_FIELD(offset, bytes, field)                        \
  static_assert(encoded_bytes<decltype(TcpState::field)>() == (bytes)); \
  store(base + (offset), state.field);
  TANDEM_TCP_STATE_FIELDS(TANDEM_STORE_FIELD)
#undef TANDEM_STORE_FIELD
}

static_assert(layout::kTcpStateBytes >= kFirstTcpStateBytes);

void encode_first_tcp_state(TcpState state, std::vector<std::uint8_t>& out) {
  const std::size_t at = out.size();
  state.flags &= kFirstTcpStateFlags;
  encode_tcp_state(state, out);
  out.resize(at + kFirstTcpStateBytes);
  store(out.data() + at + 4, static_cast<std::uint32_t>(kFirstTcpStateBytes));
}

std::optional<TcpState> decode_tcp_state(Bytes in, std::size_t* used) {
  Reader reader(in);
  const auto version = reader.number<std::uint16_t>();
  const auto reserved = reader.number<std::uint16_t>();
  const auto length = reader.number<std::uint32_t>();
  if (reader.fell_short() || version != kTcpStateVersion || reserved != 0 || length < kFirstTcpStateBytes ||
      in.size() < length) {
    return std::nullopt;
  }
  TcpState state;
#define TANDEM_LOAD_FIELD(offset, bytes, field) \
  if ((offset) + (bytes) <= length) load(in.data() + (offset), state.field);
  TANDEM_TCP_STATE_FIELDS(TANDEM_LOAD_FIELD)
#undef TANDEM_LOAD_FIELD
  constexpr std::size_t kZeroOfLocal = 9;
  constexpr std::size_t kZeroOfRemote = 29;
  if (in[kZeroOfLocal] != 0 || in[kZeroOfRemote] != 0 || !inconsistency(state).empty()) {
    return std::nullopt;
  }
  if (used != nullptr) {
    *used = length;
  }
  return state;
}

void encode_connection(const ConnectionImage& image, std::vector<std::uint8_t>& out) {
  const std::size_t at = out.size();
  out.resize(at + layout::kHeaderBytes);
  store(out.data() + at, kTcpStateVersion);
  store(out.data() + at + 2, image.service);
  encode_tcp_state(image.state, out);
  append_u32(out, static_cast<std::uint32_t>(image.send_queue.size()));
  append_bytes(out, image.send_queue);
  append_u32(out, static_cast<std::uint32_t>(image.receive_queue.size()));
  append_bytes(out, image.receive_queue);
  append_u32(out, static_cast<std::uint32_t>(image.out_of_order.size()));
  for (const auto& piece : image.out_of_order) {
    append_u32(out, piece.seq);
    append_u32(out, static_cast<std::uint32_t>(piece.bytes.size()) | (piece.fin ? layout::kPieceFin : 0));
    append_bytes(out, piece.bytes);
  }
  store(out.data() + at + 4, static_cast<std::uint32_t>(out.size() - at));
}

std::optional<ConnectionImage> decode_connection(Bytes in) {
  Reader reader(in);
  const auto version = reader.number<std::uint16_t>();
  ConnectionImage image;
  image.service = reader.number<std::uint16_t>();
  const auto length = reader.number<std::uint32_t>();
  if (reader.fell_short() || version != kTcpStateVersion || length != in.size()) {
    return std::nullopt;
  }
  std::size_t used = 0;
  const auto state = decode_tcp_state(reader.left(), &used);
  if (!state) {
    return std::nullopt;
  }
  image.state = *state;
  reader.take(used);
  const auto take_queue = [&reader](std::vector<std::uint8_t>& queue, std::uint32_t bytes) {
    const auto taken = reader.take(bytes);
    queue.assign(taken.begin(), taken.end());
  };
  take_queue(image.send_queue, reader.number<std::uint32_t>());
  take_queue(image.receive_queue, reader.number<std::uint32_t>());
  for (auto pieces = reader.number<std::uint32_t>(); pieces != 0 && !reader.fell_short(); --pieces) {
    OutOfOrderPiece piece;
    piece.seq = reader.number<std::uint32_t>();
    const auto word = reader.number<std::uint32_t>();
    piece.fin = (word & layout::kPieceFin) != 0;
    take_queue(piece.bytes, word & ~layout::kPieceFin);
    image.out_of_order.push_back(std::move(piece));
  }
  if (reader.fell_short() || !reader.left().empty() || !inconsistency(image).empty()) {
    return std::nullopt;
  }
  return image;
}

}  // namespace tandem
