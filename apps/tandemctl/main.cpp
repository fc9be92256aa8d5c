// SPDX-License-Identifier: BSD-3-Clause
//
// Asks the primary of a group over its control socket.
#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <string>

#include "control_client.hpp"
#include "tables.hpp"
#include "tandem_cli/command_line.hpp"

namespace {

using nlohmann::json;
using tandem::cli::CommandLine;
using tandem::cli::UsageError;

/// Beside those of exit_code: no process of the group runs.
constexpr int kNoGroup = 81;

constexpr std::array<std::string_view, 5> kCommands{"status", "connections", "routes", "switchover", "metrics"};

constexpr const char* kEpilogue =
    "Commands:\n"
    "  status       role, twin, whether the group is protected, and how the last takeover went\n"
    "  connections  every connection: its phase, what it would survive now and why, its queues\n"
    "  routes       how many routes the BGP speaker has received, chosen and advertised\n"
    "  switchover   hand over to the twin, without loss\n"
    "  metrics      counters, in the Prometheus text format\n"
    "\n"
    "Exit codes: 64 wrong usage, 81 no process of the group runs here, else that of the answer or 1.\n";

int print_answer(const std::string& command, const std::string& answer, bool as_json) {
  const json parsed = json::parse(answer, nullptr, false);
  if (!parsed.is_object()) {
    std::cerr << "tandemctl: the answer to '" << command << "' is no JSON object: " << answer.substr(0, 200) << "\n";
    return tandem::exit_code::kProtocol;
  }
  const bool failed = parsed.contains("error");
  if (as_json) std::cout << answer << "\n";
  if (failed) {
    const json& why = parsed["error"];
    std::cerr << "tandemctl: " << command << ": " << (why.is_string() ? why.get<std::string>() : why.dump()) << "\n";
    const auto code = parsed.find("code");
    const bool usable = code != parsed.end() && code->is_number_integer() && *code > 0 && *code < 126;
    return usable ? code->get<int>() : tandem::exit_code::kFailure;
  }
  if (as_json) return tandem::exit_code::kOk;
  if (command == "metrics" && parsed.contains("text") && parsed["text"].is_string()) {
    std::cout << parsed["text"].get<std::string>();
  } else if (command == "connections") {
    std::cout << tandem::ctl::connections_table(parsed);
  } else if (command == "routes") {
    std::cout << tandem::ctl::routes_table(parsed);
  } else {
    std::cout << tandem::ctl::status_table(parsed);
  }
  return tandem::exit_code::kOk;
}

int run(CommandLine& command_line, int argc, char** argv) {
  if (!command_line.parse(argc, argv)) return tandem::exit_code::kOk;
  if (command_line.words().empty()) {
    throw UsageError("a command is missing: status, connections, routes, switchover or metrics");
  }
  const std::string& command = command_line.words().front();
  if (std::find(kCommands.begin(), kCommands.end(), command) == kCommands.end()) {
    throw UsageError("there is no command '" + command +
                     "'; there are status, connections, routes, switchover and metrics");
  }
  if (!command_line.has("group")) throw UsageError("--group is missing: which group to ask");
  const std::string directory = command_line.has("runtime-dir") ? command_line.text("runtime-dir") : "/run/tandem";
  const int timeout_ms = static_cast<int>(command_line.number("timeout", 5'000, 1, 600'000));
  const std::string path = directory + "/" + command_line.text("group") + "/control.sock";
  return print_answer(command, tandem::ctl::ask(path, command, timeout_ms), command_line.flag("json"));
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine command_line("tandemctl", "[--runtime-dir DIR] --group NAME COMMAND [--json]",
                           "Asks the primary of a replication group.", CommandLine::Common::none);
  command_line.add_options()                                                                              //
      ("runtime-dir", tandem::cli::text_option("DIR"), "where the group's processes meet (/run/tandem)")  //
      ("group", tandem::cli::text_option("NAME"), "the group")                                            //
      ("json", tandem::cli::flag_option(), "print the answer as it came")                                 //
      ("timeout", tandem::cli::text_option("MS"), "how long to wait for the answer (5000)");
  command_line.accept_words(1);
  command_line.set_epilogue(kEpilogue);
  try {
    return run(command_line, argc, argv);
  } catch (const UsageError& error) {
    return command_line.report(error);
  } catch (const tandem::ctl::NoGroup& error) {
    std::cerr << "tandemctl: " << error.what() << "\n";
    return kNoGroup;
  } catch (const std::exception& error) {
    std::cerr << "tandemctl: " << error.what() << "\n";
    return tandem::exit_code::kFailure;
  }
}
