// SPDX-License-Identifier: BSD-3-Clause
//
// What tandemctl shows.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "members/fencing.hpp"
#include "node/group.hpp"
#include "node/node_error.hpp"
#include "node/system.hpp"

namespace tandem::ha {

using nlohmann::json;

namespace {

/// What `connections` shows in one turn.
constexpr std::size_t kConnectionsPerTurn = 32;

json timeline_of(const TakeoverTimes& times) {
  json timeline = json::object();
  if (times.cause == TakeoverCause::none) return timeline;
  static constexpr const char* kCauses[] = {"none", "died", "hung", "switchover"};
  timeline["cause"] = kCauses[static_cast<std::uint64_t>(times.cause) % 4];
  timeline["noticed_at"] = times.noticed;
  const auto since = [&](const char* name, std::uint64_t at) {
    if (at != 0) timeline[name] = at - times.noticed;
  };
  since("fenced", times.fenced);
  since("drained", times.drained);
  since("adopted", times.adopted);
  since("promoted", times.promoted);
  since("first_packet", times.first_packet);
  since("peer_answered", times.peer_answered);
  timeline["lag_bytes"] = times.lag_bytes;
  timeline["adopted_packets"] = times.adopted_packets;
  return timeline;
}

std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

void metric(std::string& text, const char* name, const char* type, const char* help, std::uint64_t value) {
  text += std::string("# HELP tandem_") + name + " " + help + "\n# TYPE tandem_" + name + " " + type + "\ntandem_" +
          name + " " + std::to_string(value) + "\n";
}

}  // namespace

void Operators::open(int listener) {
  control_ = std::make_unique<ControlServer>(group_.process.loop(), listener,
                                             [this](const std::string& command) { return answer(command); });
}

void Operators::open_alone() {
  try {
    lone_socket_ = std::make_unique<LoneSocket>(group_.options.runtime_dir);
    if (lone_socket_->fd() >= 0) open(lone_socket_->fd());
  } catch (const NodeError& error) {
    group_.log(std::string("tandemctl cannot ask this process: ") + error.what(), LogLevel::info);
  }
}

ControlServer::Reply Operators::answer(const std::string& command) {
  if (command == "status") return {status_json(), {}};
  if (command == "connections") return connections_json();
  if (command == "metrics") return metrics_reply();
  if (command == "arp") return {arp_json(), {}};
  if (command == "listeners") return {listeners_json(), {}};
  if (command.starts_with("capture")) return capture_reply(command);
  if (command == "device") return {device_json(), {}};
  if (command == "shutdown") {
    group_.shut_down = true;
    group_.process.stop();
    return {text_of({{"shutdown", "begun"}}), {}};
  }
  if (command == "switchover") {
    std::string why;
    if (!group_.primary.request_switchover(&why)) return {error_answer(why, exit_code::kFailure), {}};
    return {text_of({{"switchover", "begun"}}), {}};
  }
  if (group_.application != nullptr) {
    std::uint64_t cursor = 0;
    std::string text;
    const bool more = group_.application->control(group_.node, command, cursor, text);
    if (more) {
      return {std::move(text), [this, command, cursor](std::string& out) mutable {
                return group_.application->control(group_.node, command, cursor, out);
              }};
    }
    if (!text.empty()) return {std::move(text), {}};
  }
  return {error_answer("this program knows no command \"" + command + "\"", exit_code::kUsage), {}};
}

std::string Operators::status_json() const {
  json status;
  status["role"] = to_string(group_.role);
  status["pid"] = system::process_id();
  status["group"] = group_.options.group;
  status["device"] = group_.device->description();
  status["epoch"] = group_.shared != nullptr ? group_.shared->epoch.load() : 0;
  // A pair without a link keeps its connections, and serves nobody.
  const LinkCapabilities link = group_.device->capabilities();
  status["protected"] = group_.primary.twins().is_protected() && link.up;
  status["why_unprotected"] =
      link.up ? std::string(group_.primary.twins().why_unprotected()) : group_.device->link_reason();
  status["link"] = {
      {"up", link.up}, {"mtu", link.mtu}, {"queues", link.queues}, {"why_down", group_.device->link_reason()}};
  status["twin"] = nullptr;
  status["hang_covered"] = false;
  status["why_hang_uncovered"] = group_.primary.twins().why_said();
  json members = json::array();
  if (group_.shared != nullptr) {
    for (const ReaderSlot& reader : group_.shared->readers) {
      if (reader.state.load() != ReaderState::member) continue;
      const std::uint32_t pid = reader.number.load();
      const Fencing fencing = reader.fencing.load();
      status["twin"] = pid;
      status["hang_covered"] = fencing == Fencing::possible;
      status["why_hang_uncovered"] = why_no_fence(fencing);
      members.push_back({{"pid", pid},
                         {"acknowledges", "shm"},
                         {"survives", "process"},
                         {"lag_bytes", group_.shared->published.load() - reader.position.load()}});
    }
  }
  status["members"] = std::move(members);
  status["futex_wait"] = group_.process.loop().futex_waits_in_thread() ? "thread" : "io_uring";
  status["capture"] = capture_json();
  json deadly = json::array();
  if (group_.shared != nullptr)
    for (const DeadlyFrame& frame : group_.shared->deadly)
      if (frame.key.load() != 0)
        deadly.push_back(
            {{"deaths", frame.deaths.load()}, {"hangs", frame.hangs.load()}, {"drops", frame.drops.load()}});
  status["deadly_frames"] = std::move(deadly);
  status["connections"] = group_.stack->connection_count();
  status["unlinked"] = group_.stack->unlinked_count();
  status["takeovers"] = group_.shared != nullptr ? group_.shared->takeovers.load() : 0;
  status["timeline"] = group_.shared != nullptr ? timeline_of(group_.shared->last_takeover) : json::object();
  const AttachServer::Joined& joined = group_.primary.twins().joined();
  status["join"] = {{"nanoseconds", joined.took_ns},
                    {"connections", joined.connections},
                    {"longest_turn_nanoseconds", joined.longest_turn_ns}};
  status["uptime_seconds"] = static_cast<double>(group_.now_ns - group_.process.started_ns()) / 1e9;
  return text_of(status);
}

nlohmann::json Operators::connection_json(Connection& connection) const {
  const TcpState state = connection.state();
  json item;
  item["id"] = connection.id();
  item["local"] = state.local.to_string();
  item["remote"] = state.remote.to_string();
  item["phase"] = to_string(state.phase);
  item["service"] = connection.service();
  item["replicated"] = connection.is_replicated();
  const bool survives = connection.is_replicated() && group_.primary.twins().has_member();
  item["survives"] = survives ? "process" : "nothing";
  item["why"] = survives                      ? "a member twin holds it in shared memory"
                : !connection.is_replicated() ? "the application has not asked for replication"
                : group_.shared == nullptr    ? "the process was started without a group"
                                              : group_.primary.twins().why_said();
  item["snd_una"] = state.snd_una;
  item["snd_nxt"] = state.snd_nxt;
  item["write_seq"] = state.write_seq;
  item["rcv_nxt"] = state.rcv_nxt;
  item["snd_wnd"] = state.snd_wnd;
  item["rcv_wnd"] = state.rcv_wnd;
  item["cwnd"] = state.cwnd;
  item["ssthresh"] = state.ssthresh;
  item["mss"] = state.mss;
  item["srtt_ms"] = state.srtt_ms;
  item["rto_ms"] = state.rto_ms;
  item["unacknowledged_bytes"] = state.bytes_written - state.bytes_acked;
  item["unread_bytes"] = state.bytes_received - state.bytes_consumed;
  item["bytes_written"] = state.bytes_written;
  item["bytes_received"] = state.bytes_received;
  return item;
}

ControlServer::Reply Operators::connections_json() {
  // Ten thousand of them would be a turn of many milliseconds: a few a turn. What closes meanwhile is left out.
  auto left = std::make_shared<std::vector<ConnectionId>>();
  group_.stack->for_each_connection([&](Connection& connection) { left->push_back(connection.id()); });
  std::reverse(left->begin(), left->end());
  return {"{\"connections\":[", [this, left, first = true](std::string& text) mutable {
            for (std::size_t count = 0; count < kConnectionsPerTurn && !left->empty(); ++count) {
              Connection* connection = group_.stack->find(left->back());
              left->pop_back();
              if (connection == nullptr) continue;
              if (!std::exchange(first, false)) text += ',';
              text += text_of(connection_json(*connection));
            }
            if (!left->empty()) return true;
            text += "]}";
            return false;
          }};
}

/// One JSON string, whose text comes piece by piece: the application's part may be megabytes.
ControlServer::Reply Operators::metrics_reply() {
  const auto append_escaped = [](std::string& out, const std::string& piece) {
    const std::string quoted = text_of(piece);
    out.append(quoted, 1, quoted.size() - 2);
  };
  std::string text = "{\"text\":\"";
  append_escaped(text, own_metrics());
  return {std::move(text), [this, append_escaped, cursor = std::uint64_t{0}](std::string& out) mutable {
            std::string piece;
            const bool more = group_.application != nullptr && group_.application->metrics(group_.node, cursor, piece);
            append_escaped(out, piece);
            if (!more) out += "\"}";
            return more;
          }};
}

std::string Operators::own_metrics() {
  std::string text;
  const StackStatistics& stack = group_.stack->statistics();
  const DeviceStatistics device = group_.device->statistics();
  const FrameCensus census = group_.device->census();
  const Primary::Counters& primary = group_.primary.counters();
  metric(text, "turns_total", "counter", "Turns of the loop.", primary.turns);
  metric(text, "longest_turn_nanoseconds", "gauge", "Longest turn so far.", primary.longest_turn_ns);
  metric(text, "frames_in_total", "counter", "Frames that the stack took in.", stack.frames_in);
  metric(text, "frames_out_total", "counter", "Frames that the stack staged.", stack.frames_out);
  metric(text, "frames_out_dropped_total", "counter", "Packets lost because the device had no room.",
         stack.frames_out_dropped);
  metric(text, "ip_malformed_total", "counter", "Malformed IP packets.", stack.ip_malformed);
  metric(text, "tcp_malformed_total", "counter", "Malformed TCP segments.", stack.tcp_malformed);
  metric(text, "udp_malformed_total", "counter", "Malformed UDP datagrams.", stack.udp_malformed);
  metric(text, "icmp_malformed_total", "counter", "Malformed ICMP messages.", stack.icmp_malformed);
  metric(text, "arp_malformed_total", "counter", "Malformed ARP packets.", stack.arp_malformed);
  metric(text, "checksum_errors_total", "counter", "Packets with a wrong checksum.", stack.checksum_errors);
  metric(text, "tcp_segments_in_total", "counter", "TCP segments received.", stack.segments_in);
  metric(text, "tcp_segments_out_total", "counter", "TCP segments sent.", stack.segments_out);
  metric(text, "tcp_retransmissions_total", "counter", "TCP segments sent again.", stack.retransmissions);
  metric(text, "tcp_resets_sent_total", "counter", "RST segments sent.", stack.resets_sent);
  metric(text, "tcp_resets_received_total", "counter", "RST segments received.", stack.resets_received);
  metric(text, "connections", "gauge", "Connections, TIME_WAIT not counted.", group_.stack->connection_count());
  metric(text, "connections_opened_total", "counter", "Connections opened.", stack.connections_opened);
  metric(text, "connections_refused_total", "counter", "SYNs not answered or refused.", stack.connections_refused);
  metric(text, "address_conflicts_total", "counter", "Claims of other hosts to addresses of ours.",
         stack.address_conflicts);
  metric(text, "neighbours", "gauge", "Hosts on the link in the ARP and ND table.", stack.neighbours);
  metric(text, "neighbours_evicted_total", "counter", "Neighbours that made room for others.",
         stack.neighbours_evicted);
  metric(text, "neighbours_refused_total", "counter", "Neighbours that found a table of live connections' alone.",
         stack.neighbours_refused);
  metric(text, "neighbours_unreachable_total", "counter", "Neighbours that gave no answer.",
         stack.neighbours_unreachable);
  metric(text, "packets_unresolved_total", "counter", "Packets given up while they waited for a neighbour.",
         stack.packets_unresolved);
  metric(text, "connections_half_open", "gauge", "Passive opens whose SYN-ACK is not answered yet.", stack.half_open);
  metric(text, "connections_time_wait", "gauge", "Connections in TIME_WAIT.", stack.time_wait);
  metric(text, "syn_cookies_sent_total", "counter", "SYNs answered by a cookie, nothing kept.", stack.syn_cookies_sent);
  metric(text, "syn_cookies_accepted_total", "counter", "Connections opened by a cookie.", stack.syn_cookies_accepted);
  metric(text, "time_wait_evicted_total", "counter", "TIME_WAIT ended early for want of room.",
         stack.time_wait_evicted);
  metric(text, "time_wait_reused_total", "counter", "TIME_WAIT ended by a new connection between the same ends.",
         stack.time_wait_reused);
  metric(text, "closes_given_up_total", "counter", "Closed connections whose peer had gone silent.",
         stack.closes_given_up);
  metric(text, "challenge_acks_limited_total", "counter", "Answers to unacceptable segments that a limit held back.",
         stack.challenge_acks_limited);
  metric(text, "resets_limited_total", "counter", "RSTs that a limit held back.", stack.resets_limited);
  metric(text, "icmp_errors_limited_total", "counter", "ICMP errors that a limit held back.",
         stack.icmp_errors_limited);
  metric(text, "device_rx_frames_total", "counter", "Frames taken from the device.", device.rx_frames);
  metric(text, "device_tx_frames_total", "counter", "Frames handed to the device.", device.tx_frames);
  metric(text, "device_rx_dropped_total", "counter", "Frames that the kernel dropped.",
         device.rx_dropped + device.rx_ring_full);
  metric(text, "device_tx_calls_total", "counter", "Calls into the kernel to send, AF_XDP.", device.tx_calls);
  metric(text, "device_tx_largest_call", "gauge", "Most packets that one of them has sent.", device.tx_largest_call);
  metric(text, "device_tx_lost_total", "counter", "Packets lost for want of a frame or a descriptor.",
         device.tx_no_frame + device.tx_ring_full);
  metric(text, "link_up", "gauge", "1 while packets can pass.", group_.device->capabilities().up ? 1 : 0);
  metric(text, "link_mtu_bytes", "gauge", "Largest packet of the link.", group_.device->capabilities().mtu);
  metric(text, "checksums_unfinished_total", "counter",
         "Checksums that a virtual link left unfinished, taken as right.", stack.unfinished_checksums);
  metric(text, "checksums_refused_total", "counter", "Unfinished checksums on a link of hardware, dropped.",
         stack.unfinished_refused);
  metric(text, "device_rx_no_socket_total", "counter", "Frames for us on a queue that nobody reads.",
         device.rx_no_socket);
  metric(text, "device_rx_too_large_total", "counter", "Frames for us that were larger than ours hold, dropped.",
         device.rx_too_large);
  metric(text, "device_rx_other_vlan_total", "counter",
         "Frames that would be for us, with another VLAN's tag or without ours, not taken.", device.rx_other_vlan);
  metric(text, "frames_deadly_total", "counter", "Frames dropped because they end whoever reads them.",
         primary.deadly_frames);
  metric(text, "frames_total", "gauge", "Frames of the pool.", census.total);
  metric(text, "frames_free", "gauge", "Frames that are free.", census.free);
  metric(text, "frames_held", "gauge", "Received frames that the stack refers to.", census.held);
  metric(text, "frames_missing", "gauge", "Frames in no ring: the driver's with zero copy, else a leak.",
         census.missing);
  if (group_.shared != nullptr) {
    const AttachServer::Counters& twins = group_.primary.twins().counters();
    const LogWriter& writer = group_.primary.writer();
    metric(text, "protected", "gauge", "1 when a member twin holds every replicated connection and is caught up.",
           group_.primary.twins().is_protected() ? 1 : 0);
    metric(text, "epoch", "gauge", "Grows by one with each promotion.", group_.shared->epoch.load());
    metric(text, "takeovers_total", "counter", "Takeovers and switchovers of the group.",
           group_.shared->takeovers.load());
    metric(text, "log_position_bytes", "counter", "Published position of the log.", group_.shared->published.load());
    metric(text, "log_room_bytes", "gauge", "Free room in the log.", writer.room());
    metric(text, "log_transactions_total", "counter", "Transactions published by this process.", writer.transactions());
    metric(text, "log_largest_transaction_bytes", "gauge", "Largest transaction of this process.",
           writer.largest_transaction_bytes());
    metric(text, "log_waits_total", "counter", "Turns that waited for room in the log.", primary.log_waits);
    metric(text, "twins_attached_total", "counter", "Twins that attached to this process.", twins.attached);
    metric(text, "twins_removed_total", "counter", "Twins that were removed or went.", twins.removed);
    metric(text, "twins_behind_total", "counter",
           "How often a member twin fell so far behind that it protected no more.", twins.behind);
    metric(text, "attaches_refused_total", "counter", "Twins that were refused.", twins.refused);
  }
  if (control_) {
    metric(text, "control_requests_total", "counter", "Requests on the control socket.", control_->requests());
    metric(text, "control_malformed_total", "counter", "Requests that were no request.", control_->malformed());
  }
  return text;
}

}  // namespace tandem::ha
