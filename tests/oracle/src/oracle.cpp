// SPDX-License-Identifier: BSD-3-Clause
#include "oracle/oracle.hpp"

#include <algorithm>

#include "flow_table.hpp"
#include "judge.hpp"
#include "neighbours.hpp"
#include "packet.hpp"
#include "sequence.hpp"

namespace tandem::oracle {

namespace {

constexpr std::uint64_t kGivesUpNs = 60'000'000'000;

std::string packet_name(const Packet& packet) { return words(packet.source.text(), " > ", packet.destination.text()); }

}  // namespace

struct Oracle::Impl {
  Options options;
  Findings findings;
  FlowTable flows;
  Counts counts;

  explicit Impl(Options given) : options(std::move(given)), findings(options.violations_kept) {}

  bool is_judged(const Host& host) const {
    return options.judged.empty() ||
           std::find(options.judged.begin(), options.judged.end(), host) != options.judged.end();
  }

  /// Index of the source in the key.
  static std::size_t key_of(const Packet& packet, FlowKey& key) {
    const TcpHeader& tcp = packet.tcp;
    const bool source_first =
        std::pair(packet.source.bytes, tcp.source_port) <= std::pair(packet.destination.bytes, tcp.destination_port);
    const std::size_t index = source_first ? 0 : 1;
    key.host[index] = packet.source;
    key.port[index] = tcp.source_port;
    key.host[1 - index] = packet.destination;
    key.port[1 - index] = tcp.destination_port;
    return index;
  }

  Connection& begin(const FlowKey& key, std::uint64_t now_ns) {
    Connection& connection = flows.add(key, now_ns);
    ++counts.connections;
    for (std::size_t i = 0; i < 2; ++i) connection.end[i].judged = is_judged(key.host[i]);
    return connection;
  }

  void begin_anew(Connection& connection) {
    connection.begin_anew();
    ++counts.connections;
  }

  /// Both ends' positions get a place to start from.
  static void refer(Connection& connection, std::size_t from, const TcpHeader& tcp) {
    End& sender = connection.end[from];
    End& receiver = connection.end[1 - from];
    if (!sender.has_reference) sender.nxt = kFirstPosition + tcp.seq;
    if (!receiver.has_reference && tcp.has(flag::ack)) {
      receiver.nxt = kFirstPosition + tcp.ack;
      receiver.has_reference = true;
    }
    sender.has_reference = true;
  }

  /// Whether it answers a SYN that came for a connection which was known already: then that is the one that is meant.
  bool answer_pending(std::uint64_t now_ns, Connection& connection, std::size_t from, const TcpHeader& tcp) {
    End& receiver = connection.end[1 - from];
    const bool answered_anew = options.stateless_answers && receiver.syn.seen && !connection.synchronized &&
                               connection.end[from].syn.seen && connection.end[from].syn.seq != tcp.seq;
    const SynInfo pending = answered_anew ? receiver.syn : connection.pending[1 - from];
    if (!pending.seen || !tcp.has(flag::ack) || tcp.ack != pending.seq + 1) return false;
    const std::uint64_t clock = receiver.ts_max;
    begin_anew(connection);
    TcpHeader syn;
    syn.seq = pending.seq;
    syn.window = pending.window;
    syn.flags = flag::syn;
    syn.options = pending.options;
    refer(connection, 1 - from, syn);
    Judge asked(options, findings, now_ns, connection, 1 - from, syn);
    asked.learn();
    asked.learn_arrival();
    // Its SYN was repeated since, and each has a time of its own.
    if (answered_anew) receiver.ts_max = std::max(receiver.ts_max, clock);
    return true;
  }

  /// Decides what a SYN means for a connection that is known already. False: nothing more is to be read from it now.
  bool admit_syn(std::uint64_t now_ns, Connection& connection, std::size_t from, const TcpHeader& tcp) {
    End& sender = connection.end[from];
    End& receiver = connection.end[1 - from];
    const bool over = connection.is_over();
    if (answer_pending(now_ns, connection, from, tcp)) return true;
    if (sender.syn.seen && sender.syn.seq == tcp.seq && !(over && connection.synchronized && !tcp.has(flag::ack)))
      return true;
    if (!sender.known && !sender.reset) return true;
    const auto violation = [&](std::string_view rule, std::string text) {
      if (sender.judged && !options.gaps)
        Judge(options, findings, now_ns, connection, from, tcp).violation(rule, std::move(text));
    };
    if (!tcp.has(flag::ack)) {
      // One that lives, or is in TIME-WAIT, may answer with an ACK of its own.
      if (connection.synchronized && !sender.judged && !receiver.reset) {
        connection.pending[from] = {true, false, tcp.seq, tcp.window, tcp.options};
        // Whoever answers may echo it.
        Judge(options, findings, now_ns, connection, from, tcp).learn_timestamps();
        return false;
      }
      if (connection.synchronized && !over) {
        violation("handshake", "a SYN within a connection that has neither ended nor been reset");
      } else if (!over && sender.syn.seen && now_ns - connection.last_ns < kGivesUpNs) {
        violation("handshake",
                  words("the SYN is repeated with another sequence number, ", tcp.seq, " instead of ", sender.syn.seq));
      }
      begin_anew(connection);
      return true;
    }
    if (sender.syn.seen && receiver.syn.seen && !over) {
      violation("handshake", words("the SYN-ACK is repeated with another sequence number, ", tcp.seq, " instead of ",
                                   sender.syn.seq));
    }
    begin_anew(connection);
    return true;
  }

  void judge_tcp(std::uint64_t now_ns, const Packet& packet) {
    FlowKey key;
    const std::size_t from = key_of(packet, key);
    const TcpHeader& tcp = packet.tcp;
    ++counts.tcp_packets;
    Connection* found = flows.find(key);
    Connection& connection = found != nullptr ? *found : begin(key, now_ns);
    const bool syn = tcp.has(flag::syn) && !tcp.has(flag::rst);
    if (syn && !admit_syn(now_ns, connection, from, tcp)) return;
    // Nobody listens there any more.
    if (tcp.has(flag::rst) && connection.synchronized && connection.is_over())
      answer_pending(now_ns, connection, from, tcp);
    refer(connection, from, tcp);
    Judge judge(options, findings, now_ns, connection, from, tcp);
    if (judge.from.judged) {
      judge.judge_flags();
      judge.judge_options();
      judge.judge_timestamps();
      if (tcp.has(flag::rst)) {
        judge.judge_reset();
      } else {
        judge.judge_acknowledgement();
        judge.judge_window();
        judge.judge_sack();
        judge.judge_end_of_stream();
        judge.judge_bytes();
        if (syn) {
          judge.judge_syn();
        } else {
          judge.judge_sequence();
          judge.judge_ack_rate();
        }
      }
    }
    judge.learn();
    connection.last_ns = now_ns;
  }

  void observe(std::uint64_t now_ns, Frame frame, std::size_t wire_length) {
    ++counts.frames;
    const Packet packet = Packet::parse(frame, wire_length, true);
    const bool judged =
        packet.kind != Packet::Kind::other && packet.kind != Packet::Kind::arp && is_judged(packet.source);
    if (!options.judged.empty() || !options.macs.empty()) judge_neighbours(options, findings, now_ns, packet);
    if (packet.complaint == "checksum") {
      if (judged && options.judge_checksums) {
        findings.add(now_ns, packet_name(packet), packet.complaint, std::string(packet.complaint_words));
        return;
      }
      if (!judged && options.check_peer_checksums) return;
    } else if (!packet.complaint.empty()) {
      if (judged && packet.complaint != "cut") {
        findings.add(now_ns, packet_name(packet), packet.complaint, std::string(packet.complaint_words));
      }
      return;
    }
    if (packet.kind == Packet::Kind::tcp && (judged || is_judged(packet.destination))) judge_tcp(now_ns, packet);
  }

  void arrived(std::uint64_t now_ns, Frame frame) {
    const Packet packet = Packet::parse(frame, frame.size(), true);
    const bool is_taken = packet.complaint.empty() || packet.complaint_words == kNoHopsLeft;
    if (packet.kind != Packet::Kind::tcp || !is_taken || !is_judged(packet.destination)) return;
    FlowKey key;
    const std::size_t from = key_of(packet, key);
    Connection* connection = flows.find(key);
    if (connection == nullptr || packet.tcp.has(flag::rst)) return;
    Judge(options, findings, now_ns, *connection, from, packet.tcp).learn_arrival();
  }
};

Oracle::Oracle(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Oracle::~Oracle() = default;

void Oracle::observe(std::uint64_t time_ns, Frame frame, std::size_t wire_length) {
  impl_->observe(time_ns, frame, std::max(wire_length, frame.size()));
  impl_->counts.violations = impl_->findings.count();
}

void Oracle::arrived(std::uint64_t time_ns, Frame frame) { impl_->arrived(time_ns, frame); }

const std::vector<Violation>& Oracle::violations() const { return impl_->findings.violations(); }
const Counts& Oracle::counts() const { return impl_->counts; }

void Oracle::clear() {
  impl_->flows.clear();
  impl_->findings.clear();
  impl_->counts = {};
}

}  // namespace tandem::oracle
