// SPDX-License-Identifier: BSD-3-Clause
//
// What tandemctl shows of the node beside its state: neighbours on the link, listeners, the device.
#include <nlohmann/json.hpp>

#include "node/group.hpp"

namespace tandem::ha {

using nlohmann::json;

namespace {

std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

std::string Operators::arp_json() const {
  json entries = json::array();
  for (const Neighbour& neighbour : group_.stack->neighbours())
    entries.push_back({{"address", neighbour.address.to_string()}, {"mac", neighbour.mac.to_string()}});
  return text_of({{"arp", std::move(entries)}});
}

std::string Operators::listeners_json() const {
  json entries = json::array();
  for (const std::uint16_t port : group_.listening_ports) {
    for (const IpPrefix& own : group_.options.addresses)
      entries.push_back({{"local", Endpoint{own.address, port}.to_string()}, {"service", port}});
  }
  return text_of({{"listeners", std::move(entries)}});
}

std::string Operators::device_json() {
  const DeviceStatistics statistics = group_.device->statistics();
  const FrameCensus census = group_.device->census();
  json addresses = json::array();
  for (const IpPrefix& own : group_.options.addresses) addresses.push_back(own.to_string());
  json gateways = json::array();
  for (const IpAddress& gateway : group_.options.gateways) gateways.push_back(gateway.to_string());
  return text_of({{"device", group_.device->description()},
                  {"warning", group_.device->warning()},
                  {"mac", group_.device->mac().to_string()},
                  {"mtu", group_.device->capabilities().mtu},
                  {"addresses", std::move(addresses)},
                  {"gateways", std::move(gateways)},
                  {"rx_frames", statistics.rx_frames},
                  {"rx_bytes", statistics.rx_bytes},
                  {"rx_dropped", statistics.rx_dropped + statistics.rx_ring_full},
                  {"rx_no_socket", statistics.rx_no_socket},
                  {"rx_too_large", statistics.rx_too_large},
                  {"rx_other_vlan", statistics.rx_other_vlan},
                  {"tx_frames", statistics.tx_frames},
                  {"tx_bytes", statistics.tx_bytes},
                  {"tx_lost", statistics.tx_no_frame + statistics.tx_ring_full},
                  {"frames_total", census.total},
                  {"frames_free", census.free},
                  {"frames_held", census.held}});
}

}  // namespace tandem::ha
