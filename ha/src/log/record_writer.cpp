// SPDX-License-Identifier: BSD-3-Clause
#include "log/record_writer.hpp"

#include <cstring>

#include "log/log_format.hpp"
#include "tandem/planted.hpp"
#include "tandem/tcp_state_format.hpp"

namespace tandem::ha {

void RecordWriter::encode(const TcpState& state) {
  scratch_.clear();
  if (log_.format() == 1)
    encode_first_tcp_state(state, scratch_);
  else
    encode_tcp_state(state, scratch_);
}

void RecordWriter::open(Connection& connection, bool from_snapshot) {
  encode(connection.state());
  const OpenPrefix prefix{connection.service(), from_snapshot ? kOpenFromSnapshot : std::uint16_t{0}, 0};
  log_.append(RecordType::open, connection.id(), {as_bytes(prefix), scratch_});
}

void RecordWriter::out_of_order(ConnectionId id, std::uint32_t seq, Bytes bytes, bool fin) {
  if (TANDEM_PLANTED(sack_not_mirrored)) return;
  const OutOfOrderPrefix prefix{seq, fin ? 1U : 0U};
  log_.append(RecordType::out_of_order, id, {as_bytes(prefix), bytes});
}

void RecordWriter::state(ConnectionId id, const TcpState& state) {
  encode(state);
  log_.append(RecordType::state, id, {scratch_});
}

void RecordWriter::neighbour(const Neighbour& neighbour) {
  if (TANDEM_PLANTED(neighbour_not_mirrored)) return;
  NeighbourRecord record;
  record.version = neighbour.address.version;
  std::memcpy(record.mac, neighbour.mac.octets.data(), sizeof record.mac);
  std::memcpy(record.address, neighbour.address.octets.data(), sizeof record.address);
  log_.append(RecordType::neighbour, 0, {as_bytes(record)});
}

}  // namespace tandem::ha
