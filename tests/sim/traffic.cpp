// SPDX-License-Identifier: BSD-3-Clause
#include "traffic.hpp"

#include <algorithm>
#include <cstring>

#include "prng.hpp"
#include "tandem/stack.hpp"

namespace tandem::sim {
namespace {

/// A prime, so that no power of two by which a stream might be shifted goes unnoticed.
constexpr std::size_t kPeriod = 61'001;

const std::array<std::uint8_t, kPeriod>& table() {
  static const auto bytes = [] {
    std::array<std::uint8_t, kPeriod> made{};
    Prng prng(1, 7);
    for (auto& byte : made) byte = static_cast<std::uint8_t>(prng.next());
    return made;
  }();
  return bytes;
}

std::size_t offset_of(std::uint32_t number, bool from_client, std::uint64_t position) {
  return static_cast<std::size_t>((position + std::uint64_t{number} * 7'919 + (from_client ? 30'011 : 0)) % kPeriod);
}

}  // namespace

void fill_stream(std::uint32_t number, bool from_client, std::uint64_t position, std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const std::size_t from = offset_of(number, from_client, position);
    const std::size_t count = std::min(out.size(), kPeriod - from);
    std::memcpy(out.data(), table().data() + from, count);
    position += count;
    out = out.subspan(count);
  }
}

std::optional<std::uint64_t> find_wrong(std::uint32_t number, bool from_client, std::uint64_t position, Bytes bytes) {
  while (!bytes.empty()) {
    const std::size_t from = offset_of(number, from_client, position);
    const std::size_t count = std::min(bytes.size(), kPeriod - from);
    if (std::memcmp(bytes.data(), table().data() + from, count) != 0) {
      std::size_t i = 0;
      while (bytes[i] == table()[from + i]) ++i;
      return position + i;
    }
    position += count;
    bytes = bytes.subspan(count);
  }
  return std::nullopt;
}

Exchange::Exchange(TrafficObserver& observer, bool client, bool wants_stream, const Plan* plan)
    : observer_(observer), client_(client), wants_stream_(wants_stream) {
  plan_.number = 0;
  if (plan != nullptr) plan_ = *plan;
}

std::uint64_t Exchange::to_read() const {
  if (client_) return plan_.server_bytes;
  return plan_.client_stream();
}

std::uint64_t Exchange::to_write() const {
  if (client_) return std::min<std::uint64_t>(plan_.client_stream(), observer_.client_may_write(plan_.number));
  if (!plan_.has(exchange_flag::kPaced) || plan_.client_bytes == 0) return plan_.server_bytes;
  const std::uint64_t read = consumed_ > sizeof(Plan) ? consumed_ - sizeof(Plan) : 0;
  return plan_.server_bytes * read / plan_.client_bytes;
}

void Exchange::learn(Bytes header) {
  Plan plan;
  std::memcpy(&plan, header.data(), sizeof plan);
  if (plan.magic != Plan::kMagic || plan.number == 0 ||
      (knows_plan() && std::memcmp(&plan, &plan_, sizeof plan) != 0)) {
    observer_.wrong("the header of an exchange is not what was sent");
    return;
  }
  plan_ = plan;
  if (!client_) observer_.met(plan_.number);
}

void Exchange::on_connected(Connection& c) {
  c.set_no_delay(true);
  pump(c);
}

void Exchange::pump(Connection& c) {
  if (!knows_plan() || closed_) return;
  std::uint8_t buffer[4096];
  while (written_ < to_write()) {
    std::size_t count = std::min<std::uint64_t>({to_write() - written_, sizeof buffer, c.writable()});
    if (client_ && plan_.piece != 0) count = std::min<std::size_t>(count, plan_.piece);
    if (count == 0) return;
    const std::span<std::uint8_t> piece(buffer, count);
    if (client_) {
      std::size_t header = 0;
      if (written_ < sizeof(Plan)) {
        header = std::min<std::size_t>(sizeof(Plan) - written_, count);
        std::memcpy(buffer, reinterpret_cast<const std::uint8_t*>(&plan_) + written_, header);
      }
      fill_stream(plan_.number, true, written_ + header, piece.subspan(header));
    } else {
      fill_stream(plan_.number, false, written_, piece);
    }
    if (!c.write(piece)) return;
    written_ += count;
  }
  settle(c);
}

void Exchange::settle(Connection& c) {
  if (!knows_plan() || closed_) return;
  const bool all_written = written_ == (client_ ? plan_.client_stream() : plan_.server_bytes);
  const bool all_read = consumed_ == to_read();
  if (!all_written || (client_ && plan_.lingers != 0)) return;
  if (plan_.has(exchange_flag::kBothClose)) {
    if (!all_read || !(eof_ || observer_.may_close(plan_.number))) return;
    closed_ = true;
    c.close();
    return;
  }
  const bool closes_first =
      client_ ? !plan_.has(exchange_flag::kServerCloses) : plan_.has(exchange_flag::kServerCloses);
  if (all_read && closes_first && plan_.has(client_ ? exchange_flag::kClientAborts : exchange_flag::kServerAborts)) {
    closed_ = true;
    observer_.resets(plan_.number);
    c.abort();
    return;
  }
  // What is unread when the end comes is still to be read.
  if ((eof_ && (all_read || c.unread().empty())) || (all_read && closes_first) ||
      (client_ && plan_.has(exchange_flag::kClientHalfCloses))) {
    closed_ = true;
    c.close();
  }
}

void Exchange::check_incoming(Bytes bytes) {
  // The header is part of the client's stream.
  if (!client_ && consumed_ < sizeof(Plan)) {
    const std::size_t count = std::min<std::size_t>(sizeof(Plan) - consumed_, bytes.size());
    std::memcpy(header_.data() + consumed_, bytes.data(), count);
    consumed_ += count;
    if (consumed_ == sizeof(Plan)) learn(header_);
    bytes = bytes.subspan(count);
  }
  if (bytes.empty()) return;
  if (!knows_plan() || consumed_ + bytes.size() > to_read()) {
    observer_.wrong("more bytes arrived than were sent, exchange " + std::to_string(plan_.number));
  } else if (const auto at = find_wrong(plan_.number, !client_, consumed_, bytes)) {
    observer_.wrong("byte " + std::to_string(*at) + " of exchange " + std::to_string(plan_.number) +
                    " arrived wrong (" + (client_ ? "at the client)" : "at the server)"));
  }
  consumed_ += bytes.size();
}

void Exchange::take(Connection& c, Bytes bytes) {
  const std::size_t count = bytes.size();
  const bool knew = knows_plan();
  check_incoming(bytes);
  c.consume(count);
  if (!knew && knows_plan() && !wants_stream_) c.note(header_);
  conclude(c);
}

void Exchange::on_receive(Connection& c, Bytes unread) {
  if (is_lazy() && !eof_) return;
  if (!client_ && consumed_ < sizeof(Plan)) {
    // The plan is taken in one piece, so that a note can carry it.
    if (unread.size() < sizeof(Plan)) return;
    take(c, unread.first(sizeof(Plan)));
    pump(c);
    return;
  }
  take(c, unread);
  pump(c);
}

void Exchange::poke(Connection& c, std::size_t lazy_bytes) {
  // Behind a takeover connections come to life one after the other; one that has not been told so knows no positions yet.
  if (follows_) return;
  if (is_lazy()) {
    const Bytes unread = c.unread();
    if (!unread.empty() && (client_ || consumed_ >= sizeof(Plan)))
      take(c, unread.first(std::min(unread.size(), lazy_bytes)));
  }
  pump(c);
}

void Exchange::on_eof(Connection& c) {
  eof_ = true;
  if (c.stack().is_dormant()) {
    // The twin decides nothing, and without the streams it knows no positions of its own.
    if (wants_stream_ && consumed_ != c.bytes_consumed()) observer_.wrong("the twin sees the end before all bytes");
    return;
  }
  conclude(c);
  pump(c);
}

/// The other end has said everything, and it was read.
void Exchange::conclude(Connection& c) {
  if (!eof_ || concluded_ || !c.unread().empty()) return;
  concluded_ = true;
  if (knows_plan() && consumed_ == to_read()) {
    observer_.received_all(plan_.number, client_);
  } else {
    observer_.ended_early(plan_.number, "exchange " + std::to_string(plan_.number) + " ended after " +
                                            std::to_string(consumed_) + " bytes of " + std::to_string(to_read()) +
                                            (client_ ? " at the client" : " at the server"));
  }
}

void Exchange::on_reset(Connection& c) {
  if (!c.stack().is_dormant()) observer_.was_reset(plan_.number, client_);
}

void Exchange::on_closed(Connection& c) {
  if (!c.stack().is_dormant()) observer_.was_closed(plan_.number, client_);
}

void Exchange::on_opened(Connection& c) {
  follows_ = true;
  consumed_ = c.bytes_consumed();
  written_ = c.bytes_written();
}

void Exchange::on_consumed(Connection&, Bytes bytes) { check_incoming(bytes); }

void Exchange::on_written(Connection&, Bytes bytes) {
  if (client_ && written_ < sizeof(Plan)) {
    const std::size_t count = std::min<std::size_t>(sizeof(Plan) - written_, bytes.size());
    std::memcpy(header_.data() + written_, bytes.data(), count);
    written_ += count;
    if (written_ == sizeof(Plan)) learn(header_);
    bytes = bytes.subspan(count);
  }
  if (bytes.empty()) return;
  if (!knows_plan()) {
    observer_.wrong("the twin is shown written bytes before their plan");
  } else if (const auto at = find_wrong(plan_.number, client_, written_, bytes)) {
    observer_.wrong("the twin is shown a wrong byte as written: " + std::to_string(*at) + " of exchange " +
                    std::to_string(plan_.number));
  }
  written_ += bytes.size();
}

void Exchange::on_note(Connection& c, Bytes bytes) {
  // A server's comes when it has consumed the header, a client's before everything.
  if (c.bytes_consumed() != (client_ ? 0 : sizeof(Plan)) || (client_ && c.bytes_written() != 0))
    observer_.wrong("a note comes at another place of the streams than it was written at");
  if (bytes.size() == sizeof(Plan))
    learn(bytes);
  else
    observer_.wrong("a note of another length than was written");
}

void Exchange::on_promote(Connection& c) {
  follows_ = false;
  if (wants_stream_ && (consumed_ != c.bytes_consumed() || written_ != c.bytes_written())) {
    observer_.wrong("at promotion the handler of exchange " + std::to_string(plan_.number) + " has seen " +
                    std::to_string(consumed_) + " bytes consumed and " + std::to_string(written_) +
                    " written, the connection says " + std::to_string(c.bytes_consumed()) + " and " +
                    std::to_string(c.bytes_written()));
  }
  consumed_ = c.bytes_consumed();
  written_ = c.bytes_written();
  // Whatever the twin was told was said by the primary, if it had everything.
  concluded_ = eof_ && c.unread().empty();
  if (!knows_plan() && (consumed_ >= sizeof(Plan) || client_))
    observer_.wrong("a promoted handler does not know its plan");
  pump(c);
}

std::vector<std::uint8_t> Exchange::save(const Connection&) const {
  if (!knows_plan()) return {};
  const std::uint64_t saved_ns = observer_.log_time_ns();
  std::vector<std::uint8_t> bytes(sizeof plan_ + sizeof saved_ns);
  std::memcpy(bytes.data(), &plan_, sizeof plan_);
  std::memcpy(bytes.data() + sizeof plan_, &saved_ns, sizeof saved_ns);
  return bytes;
}

void Exchange::restore(Connection&, Bytes bytes) {
  std::uint64_t saved_ns = 0;
  if (bytes.size() != sizeof(Plan) + sizeof saved_ns)
    return observer_.wrong("a saved state of another length than was written");
  std::memcpy(&saved_ns, bytes.data() + sizeof(Plan), sizeof saved_ns);
  observer_.restored(saved_ns);
  learn(bytes.first(sizeof(Plan)));
}

}  // namespace tandem::sim
