// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/command_line.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>
#include <utility>

#ifdef TANDEM_STOP_POINTS
#include "tandem/stop_point.hpp"
#endif

namespace tandem::cli {

namespace po = boost::program_options;

namespace {

constexpr unsigned kHelpColumns = 110;

/// The library puts what was typed into its error messages and then replaces these words in them as long as it finds one:
/// for ever, when what was typed holds one.
void check_for_placeholders(std::string_view typed) {
  for (const std::string_view word :
       {"%original_token%", "%canonical_option%", "%option%", "%prefix%", "%value%", "%invalid_line%"}) {
    if (typed.find(word) != std::string_view::npos) {
      throw UsageError("'" + std::string(word) + "' cannot stand in an option");
    }
  }
}

}  // namespace

po::typed_value<std::string>* text_option(const std::string& placeholder) {
  return po::value<std::string>()->value_name(placeholder);
}

po::typed_value<std::vector<std::string>>* texts_option(const std::string& placeholder) {
  return po::value<std::vector<std::string>>()->value_name(placeholder);
}

po::typed_value<bool>* flag_option() { return po::bool_switch(); }

CommandLine::CommandLine(std::string name, std::string usage, std::string summary, Common common)
    : name_(std::move(name)),
      usage_(std::move(usage)),
      summary_(std::move(summary)),
      own_("Options of " + name_, kHelpColumns),
      common_("Common options", kHelpColumns),
      only_command_line_("Only on the command line", kHelpColumns) {
  only_command_line_.add_options()                                                             //
      ("config", text_option("FILE"), "take options from FILE too: one `key = value` a line")  //
      ("help", flag_option(), "show this text and exit")                                       //
      ("version", flag_option(), "show the version and exit");
  if (common == Common::none) return;
#ifdef TANDEM_STOP_POINTS
  only_command_line_.add_options()("list-stop-points", flag_option(),
                                   "print the places at which TANDEM_STOP=NAME:COUNT kills the process, and exit");
#endif
  for (const CommonOption& option : common_options()) {
    const std::string name(option.name), placeholder(option.placeholder), help(option.help);
    // The library owns what it is given.
    const po::value_semantic* value = nullptr;
    if (option.placeholder.empty())
      value = flag_option();
    else if (option.repeatable)
      value = texts_option(placeholder);
    else
      value = text_option(placeholder);
    common_.add_options()(name.c_str(), value, help.c_str());
  }
}

po::options_description_easy_init CommandLine::add_options() { return own_.add_options(); }

bool CommandLine::parse(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) check_for_placeholders(argv[i]);
  po::options_description all;
  all.add(own_).add(common_).add(only_command_line_);
  po::options_description words;
  words.add_options()("words", po::value<std::vector<std::string>>());
  all.add(words);
  po::positional_options_description positions;
  positions.add("words", -1);
  try {
    // An option that is cut short would change its meaning when another one with the same beginning comes.
    const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(argc, argv).options(all).positional(positions).style(style).run(), values_);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  if (flag("help")) {
    print_help();
    return false;
  }
  if (flag("version")) {
    std::cout << name_ << " " << TANDEM_VERSION << "\n";
    return false;
  }
#ifdef TANDEM_STOP_POINTS
  if (flag("list-stop-points")) {
    for (const std::string_view name : kStopPoints) std::cout << name << "\n";
    return false;
  }
#endif
  if (values_.count("words") != 0) words_ = values_["words"].as<std::vector<std::string>>();
  if (words_.size() > most_words_) {
    throw UsageError("'" + words_[most_words_] + "' belongs to no option");
  }
  if (has("config")) read_file(text("config"));
  return true;
}

NodeOptions CommandLine::parse_or_exit(int argc, const char* const* argv) {
  try {
    if (!parse(argc, argv)) std::exit(exit_code::kOk);
    return node_options();
  } catch (const UsageError& error) {
    std::exit(report(error));
  }
}

void CommandLine::read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError("--config: '" + path + "' cannot be read");
  po::options_description keys;
  keys.add(own_).add(common_);
  po::parsed_options found(&keys);
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    const std::string place = path + ":" + std::to_string(number) + ": ";
    const auto first = line.find_first_not_of(" \t\r");
    if (first != std::string::npos && line[first] == '[') {
      throw UsageError(place + "sections are not used here; write `key = value`");
    }
    try {
      check_for_placeholders(line);
      // Line by line, so that an error can name its line.
      std::istringstream one_line(line);
      for (auto& option : po::parse_config_file(one_line, keys).options) found.options.push_back(std::move(option));
    } catch (const std::exception& error) {
      throw UsageError(place + error.what());
    }
  }
  try {
    po::store(found, values_);
  } catch (const po::error& error) {
    throw UsageError(path + ": " + error.what());
  }
}

NodeOptions CommandLine::node_options() const {
  NodeOptions options;
  for (const CommonOption& option : common_options()) {
    const std::string name(option.name);
    if (option.placeholder.empty()) {
      if (flag(name)) set_option(options, name, "true");
    } else if (option.repeatable) {
      for (const std::string& value : texts(name)) set_option(options, name, value);
    } else if (has(name)) {
      set_option(options, name, text(name));
    }
  }
  finish_options(options);
  return options;
}

bool CommandLine::has(const std::string& option) const {
  const auto found = values_.find(option);
  return found != values_.end() && !found->second.defaulted();
}

std::string CommandLine::text(const std::string& option) const {
  return has(option) ? values_[option].as<std::string>() : std::string();
}

std::vector<std::string> CommandLine::texts(const std::string& option) const {
  return has(option) ? values_[option].as<std::vector<std::string>>() : std::vector<std::string>();
}

bool CommandLine::flag(const std::string& option) const {
  const auto found = values_.find(option);
  return found != values_.end() && found->second.as<bool>();
}

std::uint64_t CommandLine::number(const std::string& option, std::uint64_t otherwise, std::uint64_t least,
                                  std::uint64_t most) const {
  return has(option) ? parse_number("--" + option, text(option), least, most) : otherwise;
}

std::uint64_t CommandLine::number_or_exit(const std::string& option, std::uint64_t otherwise, std::uint64_t least,
                                          std::uint64_t most) const {
  try {
    return number(option, otherwise, least, most);
  } catch (const UsageError& error) {
    std::exit(report(error));
  }
}

int CommandLine::report(const UsageError& error) const {
  std::cerr << name_ << ": " << error.what() << "\n" << name_ << ": `" << name_ << " --help` lists the options\n";
  return exit_code::kUsage;
}

void CommandLine::print_help() const {
  std::cout << "Usage: " << name_ << " " << usage_ << "\n\n" << summary_ << "\n\n";
  if (!own_.options().empty()) std::cout << own_ << "\n";
  if (!common_.options().empty()) std::cout << common_ << "\n";
  std::cout << only_command_line_;
  if (!epilogue_.empty()) std::cout << "\n" << epilogue_;
}

}  // namespace tandem::cli
