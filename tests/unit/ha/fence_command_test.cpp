// SPDX-License-Identifier: BSD-3-Clause
#include "members/fence_command.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

using namespace tandem::ha;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

constexpr int kBound_ms = 20'000;

/// A script in a folder of its own.
class Script {
 public:
  explicit Script(const std::string& text, mode_t mode = 0700) {
    char name[] = "/tmp/tandem-fence-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    folder = name;
    path = folder + "/fence";
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    ::chmod(path.c_str(), mode);
  }
  ~Script() { fs::remove_all(folder); }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ifstream file(folder + "/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::string folder, path;
};

FenceResult result_of(FenceCommand& command) {
  for (int waited_ms = 0; waited_ms < kBound_ms; waited_ms += 10) {
    if (auto result = command.take()) return *result;
    pollfd ready{command.event_fd(), POLLIN, 0};
    ::poll(&ready, 1, 10);
  }
  FAIL("no result");
  return {};
}

FenceResult run(const std::string& text, std::uint32_t timeout_ms = 10'000) {
  const Script script(text);
  FenceCommand command(script.path, timeout_ms);
  REQUIRE(command.fence("edge", "left"));
  return result_of(command);
}

bool eventually(const std::function<bool()>& holds) {
  for (int waited_ms = 0; waited_ms < kBound_ms; waited_ms += 10) {
    if (holds()) return true;
    ::poll(nullptr, 0, 10);
  }
  return false;
}

bool lives(const std::string& pid) { return !pid.empty() && ::kill(static_cast<pid_t>(std::stol(pid)), 0) == 0; }

}  // namespace

TEST_CASE("a fence is a command that ends with 0, and is told whom to end") {
  const Script script("echo \"$0 $1 $2 $#\" >\"$(dirname \"$0\")/told\"; echo cutting; echo power is off");
  FenceCommand command(script.path, 10'000);
  CHECK_FALSE(command.take());
  REQUIRE(command.fence("edge", "left box"));
  CHECK_FALSE(command.fence("edge", "left box"));  // one is under way
  const FenceResult result = result_of(command);
  CHECK(result.fenced);
  CHECK(result.said == "it ended with 0: power is off");
  CHECK(script.content("told") == script.path + " edge left box 2\n");
  CHECK(command.fence("edge", "right"));
  CHECK(result_of(command).fenced);
}

TEST_CASE("whatever else a command does is no fence, and its last line is told") {
  CHECK_FALSE(run("exit 3").fenced);
  CHECK(run("exit 3").said == "it ended with 3");
  CHECK(run("echo no such machine >&2; exit 1").said == "it ended with 1: no such machine");
  CHECK(run("kill -SEGV $$").said == "it was ended by signal 11");
  CHECK(run("printf 'a\\tb'; exit 1").said == "it ended with 1: a?b");
  const FenceResult much = run("yes 0123456789 | head -c 3000000; printf '%0500d' 7; exit 4");
  CHECK_FALSE(much.fenced);
  CHECK(much.said.size() < 300);
}

TEST_CASE("a command that does not end is ended in time, with all that it has started") {
  const Script script("sleep 1000 & echo $! >\"$(dirname \"$0\")/child\"; echo waiting; exec sleep 1000");
  FenceCommand command(script.path, 300);
  REQUIRE(command.fence("edge", "left"));
  const FenceResult result = result_of(command);
  CHECK_FALSE(result.fenced);
  CHECK(result.said == "it had not ended in time and was ended: waiting");
  const std::string child = script.content("child");
  REQUIRE_FALSE(child.empty());
  CHECK(eventually([&] { return !lives(child); }));
}

TEST_CASE("what a command leaves running holds nobody up and does not outlive it") {
  const Script script("sleep 1000 & echo $! >\"$(dirname \"$0\")/child\"; echo done");
  FenceCommand command(script.path, 10'000);
  REQUIRE(command.fence("edge", "left"));
  CHECK(result_of(command).fenced);
  const std::string child = script.content("child");
  CHECK(eventually([&] { return !lives(child); }));
}

TEST_CASE("a command that can never work is refused with what to do") {
  const auto refusal = [](const std::string& path) -> std::string {
    try {
      const FenceCommand command(path, 1000);
      return "it was taken";
    } catch (const FenceCommandError& error) {
      return error.what();
    }
  };
  CHECK_THAT(refusal(""), Contains("takes command:PATH"));
  CHECK_THAT(refusal("fence"), Contains("absolute"));
  CHECK_THAT(refusal("/nowhere/fence"), Contains("No such file") && Contains("put it there"));
  CHECK_THAT(refusal("/tmp"), Contains("cannot be executed"));
  const Script plain("exit 0", 0600), open("exit 0", 0777);
  CHECK_THAT(refusal(plain.path), Contains("chmod +x"));
  CHECK_THAT(refusal(open.path), Contains("chmod o-w"));
}

TEST_CASE("a command that has gone since, or is no program, is no fence") {
  Script script("exit 0");
  FenceCommand command(script.path, 1000);
  fs::remove(script.path);
  REQUIRE(command.fence("edge", "left"));
  const FenceResult result = result_of(command);
  CHECK_FALSE(result.fenced);
  CHECK(result.said == "it could not be run: No such file or directory");
  std::ofstream(script.path) << "no program";
  ::chmod(script.path.c_str(), 0700);
  REQUIRE(command.fence("edge", "left"));
  CHECK(result_of(command).said == "it could not be run: Exec format error");
}

TEST_CASE("names that cannot be passed are refused") {
  const Script script("exit 0");
  FenceCommand command(script.path, 1000);
  CHECK_FALSE(command.fence("edge", std::string(256, 'x')));
  CHECK_FALSE(command.fence(std::string_view("a\0b", 3), "left"));
  CHECK(command.fence(std::string(255, 'x'), std::string(255, 'y')));
  CHECK(result_of(command).fenced);
}

TEST_CASE("whoever ends ends the command that it has begun") {
  const Script script("echo $$ >\"$(dirname \"$0\")/self\"; exec sleep 1000");
  {
    FenceCommand command(script.path, 60'000);
    REQUIRE(command.fence("edge", "left"));
    REQUIRE(eventually([&] { return script.content("self").ends_with("\n"); }));
  }
  CHECK(eventually([&] { return !lives(script.content("self")); }));
}

TEST_CASE("a helper that has gone is told, and what it ran goes with it") {
  const Script script("echo $PPID >\"$(dirname \"$0\")/helper\"; echo $$ >\"$(dirname \"$0\")/self\"; exec sleep 1000");
  FenceCommand command(script.path, 60'000);
  REQUIRE(command.fence("edge", "left"));
  REQUIRE(eventually([&] { return script.content("self").ends_with("\n"); }));
  REQUIRE(::kill(static_cast<pid_t>(std::stol(script.content("helper"))), SIGKILL) == 0);
  const FenceResult result = result_of(command);
  CHECK_FALSE(result.fenced);
  CHECK_THAT(result.said, Contains("has gone"));
  CHECK(eventually([&] { return !lives(script.content("self")); }));
  CHECK_FALSE(command.fence("edge", "left"));
}

TEST_CASE("the helper ends with its process, however that ends, and holds none of its descriptors") {
  const Script script("echo $PPID >\"$(dirname \"$0\")/helper\"; echo $$ >\"$(dirname \"$0\")/self\"; exec sleep 1000");
  std::array<int, 2> held{};
  REQUIRE(::pipe(held.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    FenceCommand command(script.path, 60'000);
    if (!command.fence("edge", "left")) ::_exit(1);
    ::poll(nullptr, 0, kBound_ms);
    ::_exit(2);
  }
  REQUIRE(eventually([&] { return script.content("self").ends_with("\n"); }));
  const fs::path ours = fs::read_symlink("/proc/self/fd/" + std::to_string(held[0]));
  std::string helper = script.content("helper");
  helper.erase(helper.find_last_not_of('\n') + 1);
  for (const auto& entry : fs::directory_iterator("/proc/" + helper + "/fd"))
    CHECK(fs::read_symlink(entry.path()) != ours);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (const int end : held) ::close(end);
  CHECK(eventually([&] { return !lives(script.content("self")) && !lives(helper); }));
}
