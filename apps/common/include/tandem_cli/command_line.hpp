// SPDX-License-Identifier: BSD-3-Clause
//
// The command line that all programs share, and the configuration file with the same keys.
#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/node.hpp"
#include "tandem_cli/number.hpp"

namespace tandem::cli {

/// Options of one program: the common ones, which make a NodeOptions, and its own. Keys that the command line names win
/// over those of --config FILE, repeatable ones included.
class CommandLine {
 public:
  /// Whether the program is, or can be, a node.
  enum class Common : std::uint8_t { none, node };

  /// `usage` stands behind "Usage: NAME " in the help.
  CommandLine(std::string name, std::string usage, std::string summary, Common common = Common::node);

  /// For options of the program's own: command_line.add_options()("port-base", text_option("N"), "...").
  boost::program_options::options_description_easy_init add_options();
  /// Accepts up to `most` words that belong to no option.
  void accept_words(std::size_t most) { most_words_ = most; }
  /// Closing paragraphs of --help.
  void set_epilogue(std::string text) { epilogue_ = std::move(text); }

  /// Reads the command line and the file that --config names. False when --help or --version was asked for and printed.
  /// Throws UsageError.
  bool parse(int argc, const char* const* argv);
  /// parse and node_options, for programs that are always a node: prints what is wrong and exits with
  /// exit_code::kUsage, exits with 0 after --help and --version.
  NodeOptions parse_or_exit(int argc, const char* const* argv);

  /// What the common options say. Throws UsageError when one is missing or wrong.
  [[nodiscard]] NodeOptions node_options() const;

  [[nodiscard]] bool has(const std::string& option) const;
  [[nodiscard]] std::string text(const std::string& option) const;
  [[nodiscard]] std::vector<std::string> texts(const std::string& option) const;
  [[nodiscard]] bool flag(const std::string& option) const;
  /// A number from `least` to `most`, or `otherwise` when the option is not given. Throws UsageError.
  [[nodiscard]] std::uint64_t number(const std::string& option, std::uint64_t otherwise, std::uint64_t least,
                                     std::uint64_t most) const;
  /// The same, as parse_or_exit does.
  [[nodiscard]] std::uint64_t number_or_exit(const std::string& option, std::uint64_t otherwise, std::uint64_t least,
                                             std::uint64_t most) const;
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  /// "NAME: what" and how to get help, on standard error; returns exit_code::kUsage.
  int report(const UsageError& error) const;

 private:
  void read_file(const std::string& path);
  void print_help() const;

  std::string name_;
  std::string usage_;
  std::string summary_;
  std::string epilogue_;
  std::size_t most_words_ = 0;
  std::vector<std::string> words_;
  boost::program_options::options_description own_;
  boost::program_options::options_description common_;
  boost::program_options::options_description only_command_line_;
  boost::program_options::variables_map values_;
};

/// An option with a value, shown as "--name PLACEHOLDER" in the help.
boost::program_options::typed_value<std::string>* text_option(const std::string& placeholder);
/// The same, given any number of times.
boost::program_options::typed_value<std::vector<std::string>>* texts_option(const std::string& placeholder);
/// An option without a value; `key = true` in a file.
boost::program_options::typed_value<bool>* flag_option();

}  // namespace tandem::cli
