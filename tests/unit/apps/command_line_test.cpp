// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/command_line.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

using namespace tandem;
using cli::CommandLine;
using cli::UsageError;

namespace {

CommandLine parsed(std::vector<const char*> arguments) {
  CommandLine command_line("program", "", "");
  command_line.add_options()("port-base", cli::text_option("N"), "");
  arguments.insert(arguments.begin(), "program");
  const bool goes_on = command_line.parse(static_cast<int>(arguments.size()), arguments.data());
  REQUIRE(goes_on);
  return command_line;
}

/// The arguments that every node needs, and more.
NodeOptions node_with(std::vector<const char*> more) {
  std::vector<const char*> arguments{"--device", "tap:t0", "--address", "192.0.2.1/24"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return parsed(arguments).node_options();
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) {
    const int fd = ::mkstemp(path_.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const char* path() const { return path_.c_str(); }

 private:
  std::string path_ = "/tmp/tandem-command-line-XXXXXX";
};

}  // namespace

TEST_CASE("the common options make the node's") {
  const NodeOptions node = parsed({"--device",      "xdp:eth0,queue=3,mode=native",
                                   "--address",     "192.0.2.1/24",
                                   "--address",     "2001:db8::1/64",
                                   "--gateway",     "192.0.2.254",
                                   "--group",       "edge-1",
                                   "--runtime-dir", "/run/x",
                                   "--detect",      "20",
                                   "--capture",     "/tmp/c.pcapng",
                                   "--mac",         "02:00:00:00:00:0a",
                                   "--spin",        "0",
                                   "--twin-spin",   "--log-size",
                                   "16M",           "--no-mirror"})
                               .node_options();
  CHECK(node.device.spec.kind == DeviceSpec::Kind::xdp);
  CHECK(node.device.spec.interface == "eth0");
  CHECK(node.device.spec.queue == 3);
  CHECK(node.device.spec.mode == DeviceSpec::Mode::native);
  REQUIRE(node.addresses.size() == 2);
  CHECK(node.addresses[1] == *IpPrefix::parse("2001:db8::1/64"));
  REQUIRE(node.gateways.size() == 1);
  CHECK(node.group == "edge-1");
  CHECK(node.device.group == "edge-1");
  CHECK(node.runtime_dir == "/run/x");
  CHECK(node.detect_ms == 20);
  CHECK(node.device.capture_path == "/tmp/c.pcapng");
  CHECK(node.device.mac == MacAddress::parse("02:00:00:00:00:0a"));
  CHECK(node.loop.spin_us == 0);
  CHECK(node.twin_spins);
  CHECK(node.log_bytes == 16U << 20);
  CHECK_FALSE(node.mirror);
}

TEST_CASE("without options a node has the documented defaults") {
  const NodeOptions node = node_with({});
  CHECK(node.runtime_dir == "/run/tandem");
  CHECK(node.detect_ms == 50);
  CHECK(node.group.empty());
  CHECK(node.mirror);
  CHECK_FALSE(node.twin_spins);
  CHECK_FALSE(node.device.mac.has_value());
}

TEST_CASE("options that are wrong are refused with what was expected") {
  const std::vector<std::vector<const char*>> wrong{
      {"--address", "192.0.2.2"},
      {"--address", "192.0.2.2/33"},
      {"--address", "192.0.2.1/32"},
      {"--address", "0.0.0.0/0"},
      {"--gateway", "2001:db8::fe"},
      {"--gateway", "nowhere"},
      {"--gateway", "198.51.100.1"},
      {"--address", "192.0.2.0/24"},
      {"--neighbors", "15"},
      {"--mac", "01:00:00:00:00:0a"},
      {"--mac", "2:0:0:0:0:a"},
      {"--group", "a/b"},
      {"--group", ""},
      {"--group", ".hidden"},
      {"--runtime-dir", "run"},
      {"--detect", "0"},
      {"--detect", "50ms"},
      {"--log-size", "63M"},
      {"--log-size", "4M"},
      {"--frames", "1000"},
      {"--receive-window", "1K"},
      {"--spin", "-1"},
      {"--gateway", "192.0.2.254", "--gateway", "192.0.2.253"},
  };
  for (const auto& arguments : wrong) {
    INFO(arguments[0] << " " << arguments[1]);
    CHECK_THROWS_AS(node_with(arguments), UsageError);
  }
  CHECK_THROWS_AS(parsed({"--address", "192.0.2.1/24"}).node_options(), UsageError);
  CHECK_THROWS_AS(parsed({"--device", "tap:t0"}).node_options(), UsageError);
  CHECK_THROWS_AS(parsed({"--device", "eth0", "--address", "192.0.2.1/24"}).node_options(), UsageError);
}

TEST_CASE("options that do not exist, are cut short, lack a value or are given twice are refused") {
  for (const auto& arguments : std::vector<std::vector<const char*>>{
           {"--frobnicate"}, {"--dev", "tap:t0"}, {"--group"}, {"--group", "a", "--group", "b"}, {"word"}}) {
    INFO(arguments[0]);
    CHECK_THROWS_AS(parsed(arguments), UsageError);
  }
}

TEST_CASE("a configuration file takes the same keys, and the command line wins") {
  const TemporaryFile file(
      "# a comment\ndevice = tap:t7\naddress = 192.0.2.9/24\naddress = 2001:db8::9/64\n\ndetect = 70\n"
      "twin-spin = true\nport-base = 100\n");
  const CommandLine command_line = parsed({"--config", file.path(), "--detect", "30"});
  const NodeOptions node = command_line.node_options();
  CHECK(node.device.spec.interface == "t7");
  CHECK(node.addresses.size() == 2);
  CHECK(node.detect_ms == 30);
  CHECK(node.twin_spins);
  CHECK(command_line.number("port-base", 0, 0, 60'000) == 100);
}

TEST_CASE("what looks like a placeholder of the option parser's is refused, on the command line and in a file") {
  CHECK_THROWS_AS(parsed({"--grup=%original_token%"}), UsageError);
  CHECK_THROWS_AS(parsed({"--grup", "%canonical_option%"}), UsageError);
  const TemporaryFile file("detect = 20\n%original_token% = 3\n");
  CHECK_THROWS_WITH(parsed({"--config", file.path()}), Catch::StartsWith(std::string(file.path()) + ":2: "));
  CHECK(parsed({"--capture", "100%.pcapng"}).text("capture") == "100%.pcapng");
}

TEST_CASE("an error in a configuration file names the line") {
  for (const char* text :
       {"device = tap:t0\nfrobnicate = 1\n", "device = tap:t0\n[section]\n", "device = tap:t0\nnonsense\n"}) {
    const TemporaryFile file(text);
    INFO(text);
    CHECK_THROWS_WITH(parsed({"--config", file.path()}), Catch::StartsWith(std::string(file.path()) + ":2: "));
  }
  CHECK_THROWS_AS(parsed({"--config", "/nonexistent"}), UsageError);
}
