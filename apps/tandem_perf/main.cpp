// SPDX-License-Identifier: BSD-3-Clause
//
// Load generator and meter, on the kernel's sockets or on a node of our own, with the same options and the same flows.
#include <unistd.h>

#include <exception>
#include <iostream>
#include <system_error>

#include "kernel_driver.hpp"
#include "meter.hpp"
#include "node_driver.hpp"
#include "report.hpp"
#include "settings.hpp"
#include "tandem/loop.hpp"
#include "tandem_cli/command_line.hpp"

namespace {

using namespace tandem;
using perf::Settings;

constexpr const char* kEpilogue =
    "Modes:\n"
    "  echo         a random stream to an echo service and back, every byte and its SHA-256 verified\n"
    "  chargen      the stream of a character generator, verified the same way\n"
    "  discard      a random stream into a discard service\n"
    "  send         bytes into a discard service, as fast as it goes\n"
    "  receive      bytes from a character generator, as fast as it goes\n"
    "  rr           requests to an echo service, each after the answer to the one before\n"
    "  connections  many connections, each mostly idle\n"
    "  serve        echo, discard and chargen\n"
    "\n"
    "Exit codes: 0 all went well, 1 an error was counted, 64 wrong usage, else those of a node.\n";

int run(cli::CommandLine& command_line, int argc, char** argv) {
  if (!command_line.parse(argc, argv)) return exit_code::kOk;
  const Settings settings = perf::make_settings(command_line);
  NodeOptions node_options;
  if (!settings.kernel) node_options = command_line.node_options();
  // Whatever goes wrong, the process does not outlive its limit by much.
  ::alarm(static_cast<unsigned>(settings.limit_ns / 1'000'000'000 + 15));
  perf::Meter meter(monotonic_ns(), settings.gap_floor_ns, settings.interval_ns);
  const auto report = [&](const perf::Meter& seen, std::uint64_t now_ns) {
    perf::print_progress(settings, seen, now_ns);
  };
  perf::print_start(settings, meter);
  int code = exit_code::kOk;
  if (settings.kernel) {
    perf::KernelDriver(settings, meter, report).run();
  } else {
    code = perf::NodeDriver(settings, node_options, meter, report).run();
  }
  const bool good = perf::print_result(settings, meter, monotonic_ns());
  if (code != exit_code::kOk) return code;
  return good ? exit_code::kOk : exit_code::kFailure;
}

}  // namespace

int main(int argc, char** argv) {
  cli::CommandLine command_line("tandem-perf", "MODE [--kernel] [OPTION...]",
                                "Generates load over TCP and measures it, on the kernel's sockets or on Tandem.");
  perf::add_options(command_line);
  command_line.accept_words(1);
  command_line.set_epilogue(kEpilogue);
  try {
    return run(command_line, argc, argv);
  } catch (const cli::UsageError& error) {
    return command_line.report(error);
  } catch (const std::system_error& error) {
    std::cerr << "tandem-perf: " << error.what() << "\n";
    return exit_code::kSystem;
  } catch (const std::exception& error) {
    std::cerr << "tandem-perf: " << error.what() << "\n";
    return exit_code::kFailure;
  }
}
