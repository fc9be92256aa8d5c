// SPDX-License-Identifier: BSD-3-Clause
//
// Numbers as people type them in options, with errors that say what was expected.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tandem::cli {

/// Something that was typed is wrong; what() is meant for the person who typed it. Programs exit with exit_code::kUsage.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A decimal number from `least` to `most`. `what` names it in the error ("--detect").
std::uint64_t parse_number(std::string_view what, std::string_view text, std::uint64_t least, std::uint64_t most);

/// A number of bytes, with K, M or G behind it for powers of 1,024.
std::uint64_t parse_bytes(std::string_view what, std::string_view text, std::uint64_t least, std::uint64_t most);

/// Seconds with a fraction ("0.5"), as nanoseconds.
std::uint64_t parse_seconds(std::string_view what, std::string_view text, double least, double most);

/// Shortest form that parse_bytes reads: "4M", "1500".
std::string format_bytes(std::uint64_t bytes);

}  // namespace tandem::cli
