// SPDX-License-Identifier: BSD-3-Clause
//
// Reading scripts, and doing what their lines say. What the lines expect is in expectation.cpp.
#include "script.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace tandem::wire {

namespace {

/// "250ms", "3s"; nanoseconds.
std::uint64_t duration(const std::string& word) {
  const auto unit = word.find_first_not_of("0123456789");
  if (unit == 0 || unit == std::string::npos) throw ScriptError("'" + word + "' is no time: 250ms, 3s");
  const std::uint64_t value = std::stoull(word.substr(0, unit));
  if (word.substr(unit) == "ms") return value * kMs;
  if (word.substr(unit) == "s") return value * 1000 * kMs;
  throw ScriptError("'" + word + "' is no time: 250ms, 3s");
}

const std::string& word_at(const Words& words, std::size_t i) {
  if (i >= words.size()) throw ScriptError("'" + words.front() + "' wants more");
  return words[i];
}

}  // namespace

std::vector<Script> read_scripts(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw ScriptError("0: cannot be read");
  std::vector<Script> scripts;
  std::string text;
  for (int number = 1; std::getline(in, text); ++number) {
    text = text.substr(0, text.find('#'));
    std::istringstream split(text);
    Words words;
    for (std::string word; split >> word;) words.push_back(word);
    if (words.empty()) continue;
    if (words.front() == "==") {
      scripts.push_back({text.substr(text.find_first_not_of("= ")), number, {}, {4, 6}});
    } else if (scripts.empty()) {
      throw ScriptError(std::to_string(number) + ": a script begins with == and its name");
    } else if (words.front() == "family") {
      scripts.back().families = {words.at(1) == "6" ? 6 : 4};
    } else {
      scripts.back().lines.push_back({number, words, text});
    }
  }
  return scripts;
}

void Run::play(const Script& script) {
  int number = script.line;
  try {
    for (const Line& line : script.lines) {
      number = line.number;
      step(line.words);
    }
    nothing_left();
  } catch (const ScriptError& error) {
    throw ScriptError(std::to_string(number) + ": " + error.what());
  }
}

void Run::step(const Words& words) {
  if (words.front() == "<") {
    expect({words.begin() + 1, words.end()});
    return;
  }
  if (words.front() == "ignore") {
    if (words.size() > 1 && subject_.sent.size() > number(words[1])) {
      throw ScriptError("the stack sent " + std::to_string(subject_.sent.size()) + " segments");
    }
    subject_.sent.clear();
    return;
  }
  nothing_left();
  if (words.front() == ">") {
    send(parse_segment({words.begin() + 1, words.end()}));
  } else {
    command(words);
  }
  since_ns_ = subject_.now_ns();
}

void Run::nothing_left() {
  if (!subject_.sent.empty()) throw ScriptError("not expected: " + text_of(subject_.sent.front()));
}

void Run::command(const Words& words) {
  const std::string& verb = words.front();
  if (verb == "listen") {
    subject_.listen();
  } else if (verb == "established") {
    establish(words);
  } else if (verb == "wait") {
    subject_.advance(subject_.now_ns() + duration(word_at(words, 1)), false);
  } else if (verb == "sleep") {
    subject_.sleep(duration(word_at(words, 1)));
  } else if (verb == "full" || verb == "room") {
    subject_.fill_link(verb == "full");
  } else if (verb == "mtu") {
    subject_.set_mtu(number(word_at(words, 1)));
  } else if (verb == "feed") {
    feed(number(word_at(words, 1)), number(word_at(words, 2)));
  } else if (verb == "takeover") {
    subject_.take_over(word_at(words, 1) == "exact" ? Stack::Adoption::exact : Stack::Adoption::kicked);
  } else if (verb == "hold") {
    subject_.hold();
  } else if (verb == "release") {
    subject_.release();
  } else if (verb == "times") {
    send_many(words);
  } else if (verb == "peer") {
    set_peer(words);
  } else if (verb == "expect") {
    expect_application(words);
  } else {
    application(words);
  }
}

void Run::set_peer(const Words& words) {
  if (word_at(words, 1) != "win") throw ScriptError("a peer has a 'win'");
  numbers_of(0).window = number(word_at(words, 2));
}

void Run::application(const Words& words) {
  const std::string& verb = words.front();
  const bool named = words.size() >= 3 && words[words.size() - 2] == "port";
  const std::uint16_t port = named ? static_cast<std::uint16_t>(number(words.back())) : kPeerPort;
  if (verb == "connect") {
    subject_.connect(port);
    return;
  }
  if (verb == "pause" || verb == "resume") subject_.seen(port).reads = verb == "resume";
  Connection* const connection = subject_.find(port);
  if (verb == "pause") return;
  if (connection == nullptr) throw ScriptError("there is no connection for '" + verb + "'");
  if (verb == "write") {
    subject_.write(port, number(word_at(words, 1)));
    return;
  }
  if (verb == "resume") {
    while (!connection->unread().empty()) connection->handler()->on_receive(*connection, connection->unread());
  } else if (verb == "close") {
    connection->close();
  } else if (verb == "half_close") {
    connection->half_close();
  } else if (verb == "abort") {
    connection->abort();
  } else if (verb == "nodelay") {
    connection->set_no_delay(true);
  } else if (verb == "keepalive") {
    connection->set_keepalive(static_cast<std::uint32_t>(duration(word_at(words, 1)) / kMs),
                              static_cast<std::uint32_t>(duration(word_at(words, 2)) / kMs), number(word_at(words, 3)));
  } else {
    throw ScriptError("'" + verb + "' is nothing that can be done");
  }
  subject_.settle();
}

std::uint32_t Run::peer_clock() const { return static_cast<std::uint32_t>(subject_.now_ns() / kMs); }

fuzz::Octets Run::options_of(const Segment& segment, const Numbers& numbers) const {
  fuzz::Octets out = segment.raw_options;
  if (segment.mss) {
    fuzz::put(out, fuzz::Octets{2, 4});
    fuzz::put16(out, *segment.mss);
  }
  if (segment.scale) fuzz::put(out, fuzz::Octets{1, 3, 3, static_cast<std::uint8_t>(*segment.scale)});
  if (segment.sack_permitted) fuzz::put(out, fuzz::Octets{1, 1, 4, 2});
  if ((numbers.timestamps || segment.ts_val) && !segment.no_timestamps) {
    fuzz::put(out, fuzz::Octets{1, 1, 8, 10});
    fuzz::put32(out, segment.ts_val.value_or(peer_clock()));
    fuzz::put32(out, segment.ts_echo.value_or((segment.flags & fuzz::tcp_bit::kAck) != 0 ? numbers.stack_ts_val : 0));
  }
  if (!segment.sack.empty()) {
    fuzz::put(out, fuzz::Octets{1, 1, 5, static_cast<std::uint8_t>(2 + 8 * segment.sack.size())});
    for (const SackBlock& block : segment.sack) {
      fuzz::put32(out, numbers.stack_isn + block.begin);
      fuzz::put32(out, numbers.stack_isn + block.end);
    }
  }
  return out;
}

void Run::send(const Segment& segment) {
  const std::uint16_t port = segment.peer_port == 0 ? kPeerPort : segment.peer_port;
  Numbers& numbers = numbers_of(port);
  if (segment.peer_isn) {
    numbers = {};
    numbers.peer_isn = *segment.peer_isn;
  }
  if ((segment.flags & fuzz::tcp_bit::kSyn) != 0) numbers.peer_scale = segment.scale;
  fuzz::TcpFields tcp;
  tcp.source = port;
  tcp.destination = kStackPort;
  tcp.seq = numbers.peer_isn + segment.seq.value_or(0);
  tcp.ack = segment.ack ? numbers.stack_isn + *segment.ack : 0;
  tcp.flags = segment.flags;
  tcp.window = static_cast<std::uint16_t>(segment.window.value_or(numbers.window));
  tcp.urgent = static_cast<std::uint16_t>(segment.urgent.value_or(0));
  tcp.options = options_of(segment, numbers);
  // The first byte behind the SYN is the stream's first.
  const bool syn = (segment.flags & fuzz::tcp_bit::kSyn) != 0;
  const std::uint32_t position = segment.seq.value_or(0) - (syn ? 0U : 1U);
  for (std::uint32_t i = 0; i < segment.length; ++i) tcp.payload.push_back(pattern(position + i));
  subject_.send(tcp, segment.bad_checksum);
}

void Run::feed(std::uint32_t seq, std::uint32_t length) {
  constexpr std::uint32_t kPieceBytes = 1000;
  for (std::uint32_t done = 0; done < length;) {
    Segment segment;
    segment.flags = fuzz::tcp_bit::kAck;
    segment.seq = seq + done;
    segment.ack = 1;
    segment.length = std::min(length - done, kPieceBytes);
    done += segment.length;
    send(segment);
  }
  constexpr std::uint64_t kLongestDelayNs = 500 * kMs;
  subject_.advance(subject_.now_ns() + kLongestDelayNs, false);
  subject_.sent.clear();
}

void Run::send_many(const Words& words) {
  // times N [ports] > SEGMENT
  const std::uint32_t count = number(word_at(words, 1));
  const bool ports = word_at(words, 2) == "ports";
  Segment segment = parse_segment({words.begin() + (ports ? 4 : 3), words.end()});
  for (std::uint32_t i = 0; i < count; ++i) {
    send(segment);
    if (ports) segment.peer_port = static_cast<std::uint16_t>(segment.peer_port + 1);
  }
}

void Run::establish(const Words& words) {
  // established [active] [win N] [mss N] [ws N] [ts] [sackok]
  bool active = false, timestamps = false;
  Words options;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "active") {
      active = true;
    } else if (words[i] == "ts") {
      timestamps = true;
    } else {
      options.push_back(words[i]);
    }
  }
  const auto line = [&](Words head, const Words& tail) {
    head.insert(head.end(), tail.begin(), tail.end());
    return parse_segment(head);
  };
  Numbers& numbers = numbers_of(0);
  if (active) {
    subject_.connect(kPeerPort);
    expect({"S", "seq", "0"});
  }
  numbers.timestamps = timestamps;
  Segment syn = line(active ? Words{"SA", "seq", "0", "ack", "1"} : Words{"S", "seq", "0"}, options);
  if (syn.window) numbers.window = *syn.window;
  if (!active) subject_.listen();
  send(syn);
  expect(active ? Words{"A", "seq", "1", "ack", "1"} : Words{"SA", "seq", "0", "ack", "1"});
  if (!active) send(parse_segment({"A", "seq", "1", "ack", "1"}));
  expect_application({"expect", "ESTABLISHED"});
}

}  // namespace tandem::wire
