// SPDX-License-Identifier: BSD-3-Clause
//
// The options that every program on Tandem shares, as text: for a program of somebody else's that wants them on its command line
// or in its own configuration file. Nothing here needs a library beside the standard one. Not for use behind Node::run.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/node.hpp"

namespace tandem {

/// Something that was typed is wrong; what() is meant for the person who typed it. Programs exit with exit_code::kUsage.
class OptionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One of the options that make a NodeOptions.
struct CommonOption {
  std::string_view name;         ///< without the two dashes
  std::string_view placeholder;  ///< of its value; empty: a flag, which is set by "true" or by standing there
  std::string_view help;         ///< one line
  bool repeatable = false;
};

/// All of them, in the order in which a help text shows them.
[[nodiscard]] std::span<const CommonOption> common_options();
/// The same as lines of a help text.
[[nodiscard]] std::string common_options_help();

/// Sets what the option `name` (without dashes) says. Options may come in any order. Throws OptionError when there is no such
/// option or the value is none for it.
void set_option(NodeOptions& options, std::string_view name, std::string_view value);
/// What can be judged only when all of them are known: what is missing, and what can never work together. To be called once,
/// behind the last set_option. Throws OptionError.
void finish_options(NodeOptions& options);

/// A whole command line of `--name value`, `--name=value` and `--flag`, for a program whose options are these alone. Prints
/// help and exits with 0 on --help; prints what is wrong and exits with exit_code::kUsage when something is. `rest`: takes what
/// belongs to no common option, in order, instead of calling it wrong.
[[nodiscard]] NodeOptions parse_options(int argc, const char* const* argv, std::vector<std::string>* rest = nullptr);

/// A decimal number from `least` to `most`. `what` names it in the error ("--detect"). Throws OptionError.
std::uint64_t parse_number(std::string_view what, std::string_view text, std::uint64_t least, std::uint64_t most);
/// A number of bytes, with K, M or G behind it for powers of 1,024. Throws OptionError.
std::uint64_t parse_bytes(std::string_view what, std::string_view text, std::uint64_t least, std::uint64_t most);
/// Seconds with a fraction ("0.5"), as nanoseconds. Throws OptionError.
std::uint64_t parse_seconds(std::string_view what, std::string_view text, double least, double most);
/// Shortest form that parse_bytes reads: "4M", "1500".
std::string format_bytes(std::uint64_t bytes);

}  // namespace tandem
