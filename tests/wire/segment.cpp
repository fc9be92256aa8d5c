// SPDX-License-Identifier: BSD-3-Clause
#include "segment.hpp"

#include <charconv>
#include <string_view>

namespace tandem::wire {

namespace {

constexpr std::string_view kFlagLetters = "FSRPAUEC";

std::uint8_t parse_flags(const std::string& word) {
  std::uint8_t flags = 0;
  if (word == "-") return flags;
  for (const char letter : word) {
    const auto bit = kFlagLetters.find(letter);
    if (bit == std::string_view::npos)
      throw ScriptError("'" + word + "' are no flags: letters of " + std::string(kFlagLetters) + ", or -");
    flags = static_cast<std::uint8_t>(flags | 1U << bit);
  }
  return flags;
}

SackBlock parse_block(const std::string& word) {
  const auto dash = word.find('-');
  if (dash == std::string::npos) throw ScriptError("'" + word + "' is no SACK block: BEGIN-END");
  return {number(word.substr(0, dash)), number(word.substr(dash + 1))};
}

fuzz::Octets parse_hex(const std::string& word) {
  fuzz::Octets out;
  for (std::size_t at = 0; at + 1 < word.size(); at += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoul(word.substr(at, 2), nullptr, 16)));
  }
  return out;
}

}  // namespace

std::uint32_t number(const std::string& word) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || value > 0xffffffffLL || value < -0x80000000LL) {
    throw ScriptError("'" + word + "' is no number of 32 bits");
  }
  return static_cast<std::uint32_t>(value);
}

Segment parse_segment(const Words& words) {
  if (words.empty()) throw ScriptError("a segment begins with its flags");
  Segment out;
  out.flags = parse_flags(words.front());
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& key = words[i];
    const auto next = [&]() -> const std::string& {
      if (++i == words.size()) throw ScriptError("'" + key + "' wants a value");
      return words[i];
    };
    if (key == "seq")
      out.seq = number(next());
    else if (key == "ack")
      out.ack = number(next());
    else if (key == "len")
      out.length = number(next());
    else if (key == "mss")
      out.mss = number(next());
    else if (key == "ws")
      out.scale = number(next());
    else if (key == "sackok")
      out.sack_permitted = true;
    else if (key == "sack")
      out.sack.push_back(parse_block(next()));
    else if (key == "ts") {
      const std::string& value = next();
      if (value == "none")
        out.no_timestamps = true;
      else
        out.ts_val = number(value);
    } else if (key == "ecr")
      out.ts_echo = number(next());
    else if (key == "urg")
      out.urgent = number(next());
    else if (key == "isn")
      out.peer_isn = number(next());
    else if (key == "port")
      out.peer_port = static_cast<std::uint16_t>(number(next()));
    else if (key == "opt")
      out.raw_options = parse_hex(next());
    else if (key == "old")
      out.old = true;
    else if (key == "badsum")
      out.bad_checksum = true;
    else if (key == "win") {
      std::string value = next();
      out.window_at_least = value.rfind(">=", 0) == 0;
      out.window = number(out.window_at_least ? value.substr(2) : value);
    } else {
      throw ScriptError("'" + key + "' is nothing that a segment has");
    }
  }
  return out;
}

Options parse_options(const fuzz::Octets& bytes) {
  Options out;
  for (std::size_t at = 0; at < bytes.size() && bytes[at] != 0;) {
    if (bytes[at] == 1) {
      ++at;
      continue;
    }
    const Bytes option = Bytes(bytes).subspan(at, bytes[at + 1]);
    if (option[0] == 2) out.mss = fuzz::get16(option, 2);
    if (option[0] == 3) out.scale = option[2];
    if (option[0] == 4) out.sack_permitted = true;
    for (std::size_t block = 2; option[0] == 5 && block < option.size(); block += 8) {
      out.sack.push_back({fuzz::get32(option, block), fuzz::get32(option, block + 4)});
    }
    if (option[0] == 8) {
      out.ts_val = fuzz::get32(option, 2);
      out.ts_echo = fuzz::get32(option, 6);
    }
    at += option.size();
  }
  return out;
}

std::string flags_text(std::uint8_t flags) {
  std::string out;
  for (std::size_t bit = 0; bit < kFlagLetters.size(); ++bit) {
    if ((flags >> bit & 1) != 0) out += kFlagLetters[bit];
  }
  return out.empty() ? "-" : out;
}

}  // namespace tandem::wire
