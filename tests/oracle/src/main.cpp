// SPDX-License-Identifier: BSD-3-Clause
//
// tandem-oracle: judges captures.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "capture_file.hpp"
#include "oracle/oracle.hpp"

namespace {

using namespace tandem::oracle;

constexpr int kViolations = 1, kUsage = 64, kUnreadable = 66;

constexpr const char* kHelp =
    R"(Usage: tandem-oracle [OPTION...] FILE...

Judges the TCP, ARP and neighbour discovery in captures (pcap, pcapng) as a strict peer would, prints what is wrong, and ends
with "N connections, M packets, K violations". Each interface of each file is a link of its own, unless --merge is given.

  --judge ADDRESS   judge what this host sends; may be repeated (default: both ends of everything)
  --mac MAC         the judged hosts' link address; may be repeated
  --also ADDRESS    another host's address on the same link address; may be repeated
  --at-judged       captured at the judged host: every frame of its own is seen, every other one has arrived
  --any-order       packets may overtake one another before they are captured
  --gaps            the capture lost frames
  --no-reset        an RST of a judged host is a violation
  --no-checksums    checksums are filled in behind the capture
  --check-peers     the other hosts' frames with wrong checksums do not count
  --merge           the files are one link; their frames are put in the order of time
  --most N          violations to print (100)

Exit code: 0 nothing is wrong, 1 there are violations, 64 wrong usage, 66 a file cannot be read.
)";

struct Settings {
  Options options;
  bool merge = false;
  std::vector<std::string> files;
};

[[noreturn]] void usage_error(const std::string& what) {
  std::fprintf(stderr, "tandem-oracle: %s; see tandem-oracle --help\n", what.c_str());
  std::exit(kUsage);
}

Host host_of(const std::string& text) {
  Host host;
  if (!Host::parse(text, host)) usage_error("'" + text + "' is no address");
  return host;
}

Mac mac_of(const std::string& text) {
  Mac mac{};
  char rest = 0;
  if (std::sscanf(text.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
                  &mac[5], &rest) != 6) {
    usage_error("'" + text + "' is no link address such as 02:00:00:00:00:01");
  }
  return mac;
}

std::size_t number_of(const std::string& text) {
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text.c_str(), &end, 10);
  if (text.empty() || *end != 0 || text[0] == '-') usage_error("'" + text + "' is no number");
  return static_cast<std::size_t>(value);
}

Settings parse(int argc, char** argv) {
  Settings settings;
  Options& options = settings.options;
  options.vantage = Vantage::elsewhere;
  options.check_peer_checksums = false;
  options.violations_kept = 100;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string {
      if (++i >= argc) usage_error(word + " needs a value");
      return argv[i];
    };
    if (word == "--help" || word == "-h") {
      std::fputs(kHelp, stdout);
      std::exit(0);
    } else if (word == "--judge") {
      options.judged.push_back(host_of(value()));
    } else if (word == "--also") {
      options.also.push_back(host_of(value()));
    } else if (word == "--mac") {
      options.macs.push_back(mac_of(value()));
    } else if (word == "--at-judged") {
      options.vantage = Vantage::at_judged;
    } else if (word == "--any-order") {
      options.in_order = false;
    } else if (word == "--gaps") {
      options.gaps = true;
    } else if (word == "--no-reset") {
      options.may_end = [](const Ending& ending) { return ending.kind != Ending::Kind::reset; };
    } else if (word == "--no-checksums") {
      options.judge_checksums = false;
    } else if (word == "--check-peers") {
      options.check_peer_checksums = true;
    } else if (word == "--merge") {
      settings.merge = true;
    } else if (word == "--most") {
      options.violations_kept = number_of(value());
    } else if (word.starts_with("-")) {
      usage_error("there is no option '" + word + "'");
    } else {
      settings.files.push_back(word);
    }
  }
  if (settings.files.empty()) usage_error("no file is named");
  return settings;
}

/// The oracles of all links, and what they say in the end.
class Bench {
 public:
  explicit Bench(Settings settings) : settings_(std::move(settings)) {}

  int run() {
    settings_.merge ? judge_merged() : judge_apart();
    for (const auto& [link, oracle] : oracles_) report(link, *oracle);
    std::printf("%" PRIu64 " connections, %" PRIu64 " packets, %" PRIu64 " violations\n", sum_.connections,
                sum_.tcp_packets, sum_.violations);
    return sum_.violations == 0 ? 0 : kViolations;
  }

 private:
  using Link = std::pair<std::size_t, std::size_t>;  // file and interface

  struct Kept {
    std::uint64_t time_ns;
    std::vector<std::uint8_t> bytes;
    std::size_t wire_length;
  };

  Oracle& oracle(Link link) {
    auto& place = oracles_[link];
    if (!place) place = std::make_unique<Oracle>(settings_.options);
    return *place;
  }

  void note_end(const CaptureFile& file, const std::string& path) const {
    if (file.ended_early()) std::fprintf(stderr, "%s: the last record is cut short and was left out\n", path.c_str());
  }

  void judge_apart() {
    for (std::size_t i = 0; i < settings_.files.size(); ++i) {
      CaptureFile file(settings_.files[i]);
      std::uint64_t now_ns = 0;
      for (CapturedFrame frame; file.next(frame);) {
        // Several processors may have stamped a capture's frames; the order in the file is theirs on the wire.
        now_ns = std::max(now_ns, frame.time_ns);
        oracle({i, frame.interface}).observe(now_ns, frame.bytes, frame.wire_length);
      }
      note_end(file, settings_.files[i]);
    }
  }

  void judge_merged() {
    std::vector<Kept> all;
    for (const std::string& path : settings_.files) {
      CaptureFile file(path);
      for (CapturedFrame frame; file.next(frame);) {
        all.push_back({frame.time_ns, {frame.bytes.begin(), frame.bytes.end()}, frame.wire_length});
      }
      note_end(file, path);
    }
    std::stable_sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) { return a.time_ns < b.time_ns; });
    for (const Kept& frame : all) oracle({0, 0}).observe(frame.time_ns, frame.bytes, frame.wire_length);
  }

  void report(Link link, const Oracle& judge) {
    const Counts& counts = judge.counts();
    sum_.connections += counts.connections;
    sum_.tcp_packets += counts.tcp_packets;
    sum_.violations += counts.violations;
    for (const Violation& violation : judge.violations()) {
      std::printf("%s %" PRIu64 ".%09" PRIu64 " %s: %s: %s\n", settings_.files[link.first].c_str(),
                  violation.time_ns / 1'000'000'000, violation.time_ns % 1'000'000'000, violation.connection.c_str(),
                  violation.rule.c_str(), violation.words.c_str());
    }
    if (counts.violations > judge.violations().size()) {
      std::printf("%s: and %" PRIu64 " more\n", settings_.files[link.first].c_str(),
                  counts.violations - judge.violations().size());
    }
  }

  Settings settings_;
  std::map<Link, std::unique_ptr<Oracle>> oracles_;
  Counts sum_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    return Bench(parse(argc, argv)).run();
  } catch (const CaptureError& error) {
    std::fprintf(stderr, "tandem-oracle: %s\n", error.what());
    return kUnreadable;
  }
}
