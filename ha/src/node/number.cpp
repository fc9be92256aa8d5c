// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/options.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

namespace tandem {

namespace {

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// The decimal digits in front of `text`; the rest stays in `text`. False when there is none or it does not fit.
bool take_number(std::string_view& text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::uint64_t parse_number(std::string_view what, std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  std::string_view rest = text;
  if (!take_number(rest, value) || !rest.empty() || value < least || value > most) {
    throw OptionError(std::string(what) + " takes a whole number from " + std::to_string(least) + " to " +
                      std::to_string(most) + ", not " + quoted(text));
  }
  return value;
}

std::uint64_t parse_bytes(std::string_view what, std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  std::string_view rest = text;
  bool good = take_number(rest, value);
  if (good && rest.size() == 1) {
    unsigned shift = 0;
    switch (rest.front()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      default:
        good = false;
    }
    if (good && value > (UINT64_MAX >> shift)) good = false;
    value <<= shift;
  } else if (!rest.empty()) {
    good = false;
  }
  if (!good || value < least || value > most) {
    throw OptionError(std::string(what) + " takes a number of bytes from " + format_bytes(least) + " to " +
                      format_bytes(most) + " (K, M and G may follow it), not " + quoted(text));
  }
  return value;
}

std::uint64_t parse_seconds(std::string_view what, std::string_view text, double least, double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value < least ||
      value > most) {
    throw OptionError(std::string(what) + " takes a number of seconds, not " + quoted(text));
  }
  return static_cast<std::uint64_t>(value * 1e9);
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr const char* kSuffix[] = {"", "K", "M", "G"};
  unsigned power = 0;
  while (power < 3 && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++power;
  }
  return std::to_string(bytes) + kSuffix[power];
}

}  // namespace tandem
