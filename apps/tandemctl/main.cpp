// SPDX-License-Identifier: BSD-3-Clause
//
// Asks a node over its control socket: the primary of a group, or a process without a group.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "capture_file.hpp"
#include "control_client.hpp"
#include "find_socket.hpp"
#include "tables.hpp"
#include "tandem_cli/command_line.hpp"

namespace {

using nlohmann::json;
using tandem::cli::CommandLine;
using tandem::cli::UsageError;
using Clock = std::chrono::steady_clock;

/// Beside those of exit_code: no process of the group runs, and --check found the group unprotected.
constexpr int kNoGroup = 81;
constexpr int kUnprotected = 82;
constexpr std::chrono::milliseconds kLookEvery{10};

struct Command {
  std::string_view name;
  std::string_view help;
  std::string (*table)(const json& answer);
};

std::string metrics_text(const json& answer) {
  const auto text = answer.find("text");
  return text != answer.end() && text->is_string() ? text->get<std::string>() : std::string();
}

constexpr std::array kCommands{
    Command{"status", "role, twin, whether the group is protected, and how the last takeover went",
            tandem::ctl::status_table},
    Command{"connections", "every connection: its phase, what it would survive now and why, its queues",
            tandem::ctl::connections_table},
    Command{"listeners", "where connections are accepted", tandem::ctl::listeners_table},
    Command{"arp", "neighbours on the link, IPv4 and IPv6, whose link addresses are known", tandem::ctl::arp_table},
    Command{"device", "what device was got, its addresses, and what it has carried and lost",
            tandem::ctl::device_table},
    Command{"neighbors", "each neighbor of the BGP speaker: state, routes, why it was down last",
            tandem::ctl::neighbors_table},
    Command{"routes", "how many routes the BGP speaker has received, chosen and advertised, and its neighbors",
            tandem::ctl::routes_table},
    Command{"capture",
            "capture start FILE|stop: write every packet to FILE as pcapng, until stopped; without a word: is it on",
            tandem::ctl::capture_table},
    Command{"switchover", "hand over to the twin, without loss; --wait: until the twin has taken over",
            tandem::ctl::status_table},
    Command{"shutdown", "end the whole group for good: connections are closed in good order, nobody takes over",
            tandem::ctl::status_table},
    Command{"metrics", "counters, in the Prometheus text format", metrics_text},
};

const Command* find_command(const std::string& name) {
  const auto* found =
      std::find_if(kCommands.begin(), kCommands.end(), [&](const Command& item) { return item.name == name; });
  return found == kCommands.end() ? nullptr : found;
}

std::string command_names() {
  std::string names;
  for (std::size_t i = 0; i < kCommands.size(); ++i)
    names += (i == 0 ? "" : i + 1 == kCommands.size() ? " and " : ", ") + std::string(kCommands[i].name);
  return names;
}

std::string epilogue() {
  std::string text = "Commands:\n";
  for (const Command& command : kCommands) {
    std::string line = "  " + std::string(command.name);
    line.resize(15, ' ');
    text += line + std::string(command.help) + "\n";
  }
  return text +
         "\nWithout --group and --pid whoever alone answers below --runtime-dir is asked.\n"
         "\nExit codes: 64 wrong usage, 81 no such process runs here, 82 --check: not protected, else that of the "
         "answer or 1.\n";
}

/// What was asked for.
struct Request {
  const Command* command = nullptr;
  std::string path;
  int timeout_ms = 0;
  bool as_json = false;
  bool check = false;
};

/// Prints what is wrong with an answer; exit_code::kOk when nothing is.
int judge(const Request& request, const json& answer, const std::string& text) {
  const std::string name(request.command->name);
  if (!answer.is_object()) {
    std::cerr << "tandemctl: the answer to '" << name << "' is no JSON object: " << text.substr(0, 200) << "\n";
    return tandem::exit_code::kProtocol;
  }
  if (!answer.contains("error")) return tandem::exit_code::kOk;
  const json& why = answer["error"];
  std::cerr << "tandemctl: " << name << ": " << (why.is_string() ? why.get<std::string>() : why.dump()) << "\n";
  const auto code = answer.find("code");
  const bool usable = code != answer.end() && code->is_number_integer() && *code > 0 && *code < 126;
  return usable ? code->get<int>() : tandem::exit_code::kFailure;
}

int ask_once(const Request& request) {
  const std::string text = tandem::ctl::ask(request.path, std::string(request.command->name), request.timeout_ms);
  const json answer = json::parse(text, nullptr, false);
  if (request.as_json) std::cout << text << "\n";
  if (const int code = judge(request, answer, text); code != tandem::exit_code::kOk) return code;
  if (!request.as_json) std::cout << request.command->table(answer);
  std::cout.flush();
  const bool is_protected = answer.contains("protected") && answer["protected"] == true;
  return request.check && !is_protected ? kUnprotected : tandem::exit_code::kOk;
}

/// Once a second until it is interrupted. A group whose primary is being replaced is asked again.
int watch(const Request& request, std::chrono::milliseconds interval) {
  const bool on_terminal = ::isatty(STDOUT_FILENO) == 1;
  while (true) {
    if (on_terminal) std::cout << "\033[H\033[2J";
    try {
      ask_once(request);
    } catch (const std::runtime_error& error) {
      std::cerr << "tandemctl: " << error.what() << "\n";
    }
    if (!on_terminal && !request.as_json) std::cout << "\n";
    std::cout.flush();
    std::this_thread::sleep_for(interval);
  }
}

json status_of(const Request& request) {
  return json::parse(tandem::ctl::ask(request.path, "status", request.timeout_ms), nullptr, false);
}

/// Asks for a switchover and returns when the twin answers as primary.
int switch_over_and_wait(const Request& request) {
  const auto until = Clock::now() + std::chrono::milliseconds(request.timeout_ms);
  const json before = status_of(request);
  const std::string text = tandem::ctl::ask(request.path, "switchover", request.timeout_ms);
  if (const int code = judge(request, json::parse(text, nullptr, false), text); code != tandem::exit_code::kOk)
    return code;
  while (Clock::now() < until) {
    json now;
    try {
      now = status_of(request);
    } catch (const std::runtime_error&) {
      // In between nobody answers.
    }
    const bool answers = now.is_object() && now.contains("pid") && now.contains("epoch");
    if (answers && now["pid"] != before["pid"] && now["role"] == "primary") {
      std::cout << (request.as_json
                        ? now.dump() + "\n"
                        : "pid " + now["pid"].dump() + " has taken over from pid " + before["pid"].dump() + "\n");
      return tandem::exit_code::kOk;
    }
    if (answers && now["pid"] == before["pid"] && now["epoch"] != before["epoch"]) {
      std::cerr << "tandemctl: switchover: the twin did not take over, and pid " << before["pid"].dump()
                << " goes on as primary; `tandemctl status` says whether it has a twin\n";
      return tandem::exit_code::kFailure;
    }
    std::this_thread::sleep_for(kLookEvery);
  }
  std::cerr << "tandemctl: switchover: nobody else was primary within " << request.timeout_ms
            << " ms; `tandemctl status` says what is\n";
  return tandem::exit_code::kFailure;
}

/// capture [start FILE|stop]: the file is opened here, so that it is the operator's.
int capture(const Request& request, const std::vector<std::string>& words) {
  const bool starts = words.size() == 3 && words[1] == "start";
  if (!starts && words.size() != 1 && !(words.size() == 2 && words[1] == "stop"))
    throw UsageError("it is `capture start FILE`, `capture stop` or `capture`");
  const std::string name = starts ? tandem::ctl::absolute_name(words[2]) : std::string();
  const std::string command = starts ? "capture start " + name : words.size() == 2 ? "capture stop" : "capture";
  std::optional<tandem::ctl::CaptureFile> file;
  if (starts) file.emplace(name);
  const std::string text = tandem::ctl::ask(request.path, command, request.timeout_ms, file ? file->fd() : -1);
  const json answer = json::parse(text, nullptr, false);
  if (request.as_json) std::cout << text << "\n";
  if (const int code = judge(request, answer, text); code != tandem::exit_code::kOk) return code;
  if (file) file->keep();
  if (!request.as_json) std::cout << request.command->table(answer);
  return tandem::exit_code::kOk;
}

int run(CommandLine& command_line, int argc, char** argv) {
  if (!command_line.parse(argc, argv)) return tandem::exit_code::kOk;
  if (command_line.words().empty()) throw UsageError("a command is missing: " + command_names());
  Request request;
  const std::string& name = command_line.words().front();
  request.command = find_command(name);
  if (request.command == nullptr) throw UsageError("there is no command '" + name + "'; there are " + command_names());
  request.timeout_ms = static_cast<int>(command_line.number("timeout", 5'000, 1, 600'000));
  request.as_json = command_line.flag("json");
  request.check = command_line.flag("check");
  if (request.check && name != "status") throw UsageError("--check belongs to status");
  if (command_line.flag("wait") && name != "switchover") throw UsageError("--wait belongs to switchover");
  if (name != "capture" && command_line.words().size() > 1)
    throw UsageError("'" + command_line.words()[1] + "': " + name + " takes no further word");
  if (command_line.flag("watch") && name == "capture" && command_line.words().size() > 1)
    throw UsageError("--watch is for commands that only look");
  if (command_line.flag("watch") && name == "switchover")
    throw UsageError("--watch would hand over again and again; it is for commands that only look");
  request.path = tandem::ctl::find_socket(
      command_line.has("runtime-dir") ? command_line.text("runtime-dir") : "/run/tandem", command_line.text("group"),
      command_line.has("pid") ? std::to_string(command_line.number("pid", 0, 1, INT32_MAX)) : std::string());
  if (command_line.flag("wait")) return switch_over_and_wait(request);
  if (command_line.flag("watch"))
    return watch(request, std::chrono::milliseconds(command_line.number("interval", 1'000, 100, 3'600'000)));
  if (name == "capture") return capture(request, command_line.words());
  return ask_once(request);
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine command_line("tandemctl", "[--group NAME] COMMAND [OPTION...]",
                           "Asks the primary of a replication group, or a process without one.",
                           CommandLine::Common::none);
  command_line.add_options()                                                                       //
      ("runtime-dir", tandem::cli::text_option("DIR"), "where processes meet (/run/tandem)")       //
      ("group", tandem::cli::text_option("NAME"), "the group")                                     //
      ("pid", tandem::cli::text_option("N"), "the process that was started without a group")       //
      ("json", tandem::cli::flag_option(), "print the answer as it came")                          //
      ("check", tandem::cli::flag_option(), "status: exit with 82 unless the group is protected")  //
      ("wait", tandem::cli::flag_option(), "switchover: return when the twin has taken over")      //
      ("watch", tandem::cli::flag_option(), "ask again and again, until interrupted")              //
      ("interval", tandem::cli::text_option("MS"), "how often --watch asks (1000)")                //
      ("timeout", tandem::cli::text_option("MS"), "how long to wait for an answer, or a switchover (5000)");
  command_line.accept_words(3);
  command_line.set_epilogue(epilogue());
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
