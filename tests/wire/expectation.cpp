// SPDX-License-Identifier: BSD-3-Clause
//
// What scripts expect: segments of the stack, when they come, and what its application has seen.
#include <sstream>

#include "script.hpp"

namespace tandem::wire {

namespace {

struct Within {
  std::uint64_t from_ns = 0, to_ns = 0;
};

/// "900-1100ms", "200ms" (at most). Nothing when the word is no such.
std::optional<Within> parse_within(const std::string& word) {
  if (word.empty() || word[0] < '0' || word[0] > '9') return std::nullopt;
  std::size_t used = 0;
  std::uint64_t from = 0;
  std::uint64_t to = std::stoull(word, &used);
  if (used < word.size() && word[used] == '-') {
    from = to;
    const std::string rest = word.substr(used + 1);
    std::size_t more = 0;
    to = std::stoull(rest, &more);
    used += 1 + more;
  }
  const std::string unit = word.substr(used);
  if (unit != "ms" && unit != "s") throw ScriptError("'" + word + "' is no time: 200ms, 900-1100ms, 1-2s");
  const std::uint64_t scale = unit == "s" ? 1000 * kMs : kMs;
  return Within{from * scale, to * scale};
}

[[noreturn]] void differs(const std::string& what, std::uint32_t expected, std::uint32_t actual,
                          const std::string& text) {
  std::ostringstream out;
  out << what << " is " << actual << ", and " << expected << " was expected: " << text;
  throw ScriptError(out.str());
}

template <typename Value>
void check(const char* what, const std::optional<Value>& expected, const std::optional<Value>& actual,
           const std::string& text) {
  if (!expected) return;
  if (!actual) throw ScriptError(std::string(what) + " is not there: " + text);
  if (*expected != *actual) differs(what, *expected, *actual, text);
}

std::uint8_t without_push(std::uint8_t flags) { return static_cast<std::uint8_t>(flags & ~fuzz::tcp_bit::kPsh); }

}  // namespace

std::string Run::text_of(const Sent& sent) const {
  const auto found = numbers_.find(sent.peer_port);
  const Numbers numbers = found == numbers_.end() ? Numbers{} : found->second;
  std::ostringstream out;
  out << flags_text(sent.tcp.flags) << " seq " << sent.tcp.seq - numbers.stack_isn << " len "
      << sent.tcp.payload.size();
  if ((sent.tcp.flags & fuzz::tcp_bit::kAck) != 0) out << " ack " << sent.tcp.ack - numbers.peer_isn;
  out << " win " << sent.tcp.window;
  if (sent.peer_port != kPeerPort) out << " port " << sent.peer_port;
  const Options options = parse_options(sent.tcp.options);
  if (options.mss) out << " mss " << *options.mss;
  if (options.scale) out << " ws " << *options.scale;
  if (options.sack_permitted) out << " sackok";
  for (const SackBlock& block : options.sack) {
    out << " sack " << block.begin - numbers.peer_isn << "-" << block.end - numbers.peer_isn;
  }
  if (options.ts_val) out << " ts " << *options.ts_val << " ecr " << *options.ts_echo;
  out << " (after " << (sent.time_ns - since_ns_) / kMs << " ms)";
  return out.str();
}

void Run::expect(Words words) {
  if (words.empty()) throw ScriptError("a segment begins with its flags");
  Within within;
  if (const auto parsed = parse_within(words.front())) {
    within = *parsed;
    words.erase(words.begin());
  }
  if (subject_.sent.empty()) subject_.advance(since_ns_ + within.to_ns, true);
  if (subject_.sent.empty()) throw ScriptError("nothing was sent");
  const Sent actual = subject_.sent.front();
  Numbers& numbers = numbers_of(actual.peer_port);
  const bool syn = (actual.tcp.flags & fuzz::tcp_bit::kSyn) != 0;
  if (syn && !numbers.stack_isn_known) {
    numbers.stack_isn = actual.tcp.seq;
    numbers.stack_isn_known = true;
  }
  const Segment expected = parse_segment(words);
  if (actual.time_ns - since_ns_ < within.from_ns) throw ScriptError("too early: " + text_of(actual));
  compare(expected, actual);
  const Options options = parse_options(actual.tcp.options);
  if (options.ts_val) numbers.stack_ts_val = *options.ts_val;
  if (syn) numbers.scale = options.scale.value_or(0);
  since_ns_ = actual.time_ns;
  subject_.sent.pop_front();
}

void Run::compare(const Segment& expected, const Sent& actual) {
  const Numbers& numbers = numbers_of(actual.peer_port);
  const std::string text = text_of(actual);
  if (actual.peer_port != (expected.peer_port == 0 ? kPeerPort : expected.peer_port)) {
    throw ScriptError("another port: " + text);
  }
  if (without_push(expected.flags) != without_push(actual.tcp.flags)) throw ScriptError("other flags: " + text);
  const bool acks = (actual.tcp.flags & fuzz::tcp_bit::kAck) != 0;
  const auto length = static_cast<std::uint32_t>(actual.tcp.payload.size());
  check<std::uint32_t>("seq", expected.seq, actual.tcp.seq - numbers.stack_isn, text);
  if (expected.length != length) differs("len", expected.length, length, text);
  if (acks) {
    check<std::uint32_t>("ack", expected.ack, actual.tcp.ack - numbers.peer_isn, text);
  } else if (actual.tcp.ack != 0) {
    throw ScriptError("an ACK number without the flag: " + text);
  }
  if (expected.window &&
      (expected.window_at_least ? actual.tcp.window < *expected.window : actual.tcp.window != *expected.window)) {
    differs("win", *expected.window, actual.tcp.window, text);
  }
  const std::uint32_t first = actual.tcp.seq - numbers.stack_isn - 1;
  for (std::uint32_t i = 0; i < length && !expected.old; ++i) {
    if (actual.tcp.payload[i] != pattern(first + i)) throw ScriptError("carries a wrong byte: " + text);
  }
  compare_options(expected, actual);
}

void Run::compare_options(const Segment& expected, const Sent& actual) {
  const Numbers& numbers = numbers_of(actual.peer_port);
  const std::string text = text_of(actual);
  const Options options = parse_options(actual.tcp.options);
  check("mss", expected.mss, options.mss, text);
  check("ws", expected.scale, options.scale, text);
  check("ts", expected.ts_val, options.ts_val, text);
  check("ecr", expected.ts_echo, options.ts_echo, text);
  if (expected.sack_permitted && !options.sack_permitted) throw ScriptError("no SACK permitted: " + text);
  if (expected.no_timestamps && options.ts_val) throw ScriptError("carries timestamps: " + text);
  const bool reset = (actual.tcp.flags & fuzz::tcp_bit::kRst) != 0;
  if (numbers.timestamps && !reset && !options.ts_val && !expected.no_timestamps) {
    throw ScriptError("carries no timestamps although they were negotiated: " + text);
  }
  if (expected.sack.empty()) return;
  if (expected.sack.size() != options.sack.size()) throw ScriptError("other SACK blocks: " + text);
  for (std::size_t i = 0; i < expected.sack.size(); ++i) {
    check<std::uint32_t>("a SACK block's begin", expected.sack[i].begin, options.sack[i].begin - numbers.peer_isn,
                         text);
    check<std::uint32_t>("a SACK block's end", expected.sack[i].end, options.sack[i].end - numbers.peer_isn, text);
  }
}

void Run::expect_application(const Words& words) {
  // expect PHASE | none | received N | written N | connected N | eof N | reset N | closed N | connections N   [port P]
  if (words.size() < 2) throw ScriptError("'expect' wants more");
  const bool named = words.size() >= 4 && words[words.size() - 2] == "port";
  const std::uint16_t port = named ? static_cast<std::uint16_t>(number(words.back())) : kPeerPort;
  const std::string& what = words[1];
  const Seen& seen = subject_.seen(port);
  const std::vector<std::pair<std::string, std::uint64_t>> counts = {
      {"received", seen.received},
      {"connected", static_cast<std::uint64_t>(seen.connected)},
      {"eof", static_cast<std::uint64_t>(seen.eof)},
      {"reset", static_cast<std::uint64_t>(seen.reset)},
      {"closed", static_cast<std::uint64_t>(seen.closed)},
      {"connections", subject_.connections()},
  };
  for (const auto& [name, value] : counts) {
    if (name != what) continue;
    if (words.size() < 3) throw ScriptError("'expect " + what + "' wants a number");
    if (value != number(words[2]))
      differs(what, number(words[2]), static_cast<std::uint32_t>(value), "the application");
    if (!seen.as_written) throw ScriptError("the application has received other bytes than were sent");
    return;
  }
  Connection* const connection = subject_.find(port);
  if (what == "none") {
    if (connection != nullptr)
      throw ScriptError("there is a connection, " + std::string(to_string(connection->phase())));
    return;
  }
  if (connection == nullptr) throw ScriptError("there is no connection");
  if (to_string(connection->phase()) != what) {
    throw ScriptError("the connection is " + std::string(to_string(connection->phase())) + ", not " + what);
  }
}

}  // namespace tandem::wire
