// SPDX-License-Identifier: BSD-3-Clause
//
// One segment, the connection it belongs to, and the place where violations go: what every rule works on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "connection.hpp"
#include "oracle/oracle.hpp"
#include "packet.hpp"

namespace tandem::oracle {

class Findings {
 public:
  explicit Findings(std::size_t kept) : kept_(kept) {}
  void add(std::uint64_t time_ns, std::string connection, std::string_view rule, std::string words);
  void clear();
  const std::vector<Violation>& violations() const { return violations_; }
  std::uint64_t count() const { return count_; }

 private:
  std::size_t kept_;
  std::vector<Violation> violations_;
  std::uint64_t count_ = 0;
};

/// Joins text and numbers.
template <typename... Pieces>
std::string words(const Pieces&... pieces) {
  std::string all;
  const auto append = [&all](const auto& piece) {
    if constexpr (std::is_convertible_v<decltype(piece), std::string_view>) {
      all += std::string_view(piece);
    } else {
      all += std::to_string(piece);
    }
  };
  (append(pieces), ...);
  return all;
}

struct Judge {
  const Options& options;
  Findings& findings;
  std::uint64_t now_ns;
  Connection& connection;
  End& from;
  End& to;
  std::size_t from_index;
  const TcpHeader& tcp;
  // The segment in positions of `from`'s stream (seq, data_end without FIN, end with it) and of `to`'s (ack).
  std::uint64_t seq = 0, data_end = 0, end = 0, ack = 0;

  Judge(const Options& options, Findings& findings, std::uint64_t now_ns, Connection& connection,
        std::size_t from_index, const TcpHeader& tcp);

  bool is_pure_ack() const { return tcp.length() == 0; }
  /// What `to` is known to have sent is all that it has sent.
  bool knows_all_of_to() const { return to.known && to.settled && !options.gaps; }
  bool knows_all_of_from() const { return from.known && from.settled && !options.gaps; }
  bool knows_arrivals() const {
    return (options.arrivals || options.vantage == Vantage::at_judged) && !options.gaps && to.syn.seen;
  }
  /// It tells `to` something new: more is acknowledged, another window, other SACK blocks.
  bool tells_news() const;
  /// It tells `to` something that it has to know: as tells_news(), but not what only shrinks or goes away.
  bool tells_needed_news() const;
  /// The i-th SACK block in positions of `to`'s stream.
  Range block(std::size_t i) const;
  /// The i-th block reports what came twice (RFC 2883).
  bool is_duplicate_report(std::size_t i) const;

  void violation(std::string_view rule, std::string words) const;
  std::string from_text(std::uint64_t position) const;  ///< for people: relative to the first sequence number
  std::string to_text(std::uint64_t position) const;

  // Rules, a file each; none changes the connection.
  void judge_flags() const;            // handshake.cpp
  void judge_syn() const;              // handshake.cpp
  void judge_options() const;          // negotiated.cpp
  void judge_timestamps() const;       // negotiated.cpp
  void judge_acknowledgement() const;  // acknowledgement.cpp
  void judge_window() const;           // acknowledgement.cpp
  void judge_ack_rate();               // acknowledgement.cpp; takes from the allowance
  void judge_sequence() const;         // sequence_rules.cpp
  void judge_end_of_stream() const;    // sequence_rules.cpp
  void judge_bytes();                  // sequence_rules.cpp; keeps the bytes
  void judge_reset() const;            // sequence_rules.cpp
  void judge_sack() const;             // sack.cpp

  // What the segment tells (learn.cpp).
  void learn();
  void learn_syn();
  void learn_timestamps();
  void learn_sack();
  void learn_settled();
  /// The segment has reached `to`.
  void learn_arrival();
};

}  // namespace tandem::oracle
