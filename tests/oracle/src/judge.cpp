// SPDX-License-Identifier: BSD-3-Clause
#include "judge.hpp"

#include <utility>

#include "sequence.hpp"

namespace tandem::oracle {

namespace {

std::string position_text(const End& end, std::uint64_t position) {
  const auto number = std::to_string(static_cast<std::uint32_t>(position));
  if (!end.syn.seen) return number;
  return words(number, " (ISN", position < end.isn ? "-" : "+",
               position < end.isn ? end.isn - position : position - end.isn, ")");
}

std::string endpoint(const Host& host, std::uint16_t port) {
  return host.is_v4() ? words(host.text(), ":", port) : words("[", host.text(), "]:", port);
}

}  // namespace

void Findings::add(std::uint64_t time_ns, std::string connection, std::string_view rule, std::string text) {
  ++count_;
  if (violations_.size() < kept_) {
    violations_.push_back({time_ns, std::move(connection), std::string(rule), std::move(text)});
  }
}

void Findings::clear() {
  violations_.clear();
  count_ = 0;
}

Judge::Judge(const Options& options_, Findings& findings_, std::uint64_t now, Connection& connection_,
             std::size_t index, const TcpHeader& tcp_)
    : options(options_),
      findings(findings_),
      now_ns(now),
      connection(connection_),
      from(connection_.end[index]),
      to(connection_.end[1 - index]),
      from_index(index),
      tcp(tcp_) {
  seq = unwrap(from.nxt, tcp.seq);
  ack = unwrap(to.nxt, tcp.ack);
  end = seq + tcp.length();
  data_end = end - (tcp.has(flag::fin) ? 1 : 0);
}

void Judge::violation(std::string_view rule, std::string text) const {
  const FlowKey& key = connection.key;
  findings.add(now_ns,
               words(endpoint(key.host[from_index], key.port[from_index]), " > ",
                     endpoint(key.host[1 - from_index], key.port[1 - from_index])),
               rule, std::move(text));
}

std::string Judge::from_text(std::uint64_t position) const { return position_text(from, position); }
std::string Judge::to_text(std::uint64_t position) const { return position_text(to, position); }

}  // namespace tandem::oracle
