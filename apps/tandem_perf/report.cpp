// SPDX-License-Identifier: BSD-3-Clause
#include "report.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

namespace tandem::perf {

namespace {

using nlohmann::json;

std::uint64_t nanoseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_usec) * 1'000;
}

json processor_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return {{"user_ns", nanoseconds(usage.ru_utime)}, {"system_ns", nanoseconds(usage.ru_stime)}};
}

json quantiles(const Histogram& histogram) {
  return {{"count", histogram.count()},        {"min", histogram.min()},         {"mean", histogram.mean()},
          {"p50", histogram.quantile(0.5)},    {"p90", histogram.quantile(0.9)}, {"p99", histogram.quantile(0.99)},
          {"p999", histogram.quantile(0.999)}, {"max", histogram.max()}};
}

json silence_object(const std::optional<Silence>& silence) {
  if (!silence) return nullptr;
  return {{"length_ns", silence->length_ns()},
          {"start_ns", silence->start_ns},
          {"end_ns", silence->end_ns},
          {"connection", silence->flow}};
}

json silence_rows(const Meter& meter) {
  json rows = json::array();
  for (const Silence& silence : meter.silences()) {
    rows.push_back({silence.direction == Direction::received ? "received" : "sent", silence.flow, silence.start_ns,
                    silence.end_ns});
  }
  return rows;
}

json digest_rows(const Meter& meter) {
  json rows = json::array();
  for (const Meter::StreamDigest& digest : meter.digests()) {
    rows.push_back({{"connection", digest.flow}, {"expected", digest.expected}, {"seen", digest.seen}});
  }
  return rows;
}

bool is_good(const Settings& settings, const Meter& meter) {
  if (meter.error_count() != 0) return false;
  return settings.mode == Mode::serve || meter.connected_count() > 0;
}

json result_object(const Settings& settings, const Meter& meter, std::uint64_t now_ns) {
  const double seconds = static_cast<double>(now_ns - meter.start_ns()) / 1e9;
  json result{
      {"event", "result"},
      {"mode", to_string(settings.mode)},
      {"carrier", settings.kernel ? "kernel" : "tandem"},
      {"spin", settings.spin},
      {"ok", is_good(settings, meter)},
      {"errors", meter.errors()},
      {"error_count", meter.error_count()},
      {"start_ns", meter.start_ns()},
      {"end_ns", now_ns},
      {"seconds", seconds},
      {"connections", meter.connected_count()},
      {"done", meter.done_count()},
      {"failed", meter.failed_count()},
      {"received_bytes", meter.bytes(Direction::received)},
      {"sent_bytes", meter.bytes(Direction::sent)},
      {"requests", meter.latency().count()},
      {"latency_ns", quantiles(meter.latency())},
      {"connect_ns", quantiles(meter.connect_time())},
      {"longest_silence",
       {{"received", silence_object(meter.longest(Direction::received))},
        {"sent", silence_object(meter.longest(Direction::sent))}}},
      {"silences", silence_rows(meter)},
      {"silences_left_out", meter.silences_left_out()},
      {"silence_floor_ns", settings.gap_floor_ns},
      {"interval_ns", meter.interval_ns()},
      {"intervals", {{"received", meter.intervals(Direction::received)}, {"sent", meter.intervals(Direction::sent)}}},
      {"retransmissions", settings.kernel ? json(meter.retransmissions()) : json(nullptr)},
      {"resets", meter.resets()},
      {"sha256", digest_rows(meter)},
      {"cpu", processor_time()}};
  return result;
}

std::string microseconds(std::uint64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f us", static_cast<double>(nanoseconds) / 1e3);
  return text;
}

void print_result_text(const Settings& settings, const Meter& meter, std::uint64_t now_ns) {
  const double seconds = static_cast<double>(now_ns - meter.start_ns()) / 1e9;
  const auto rate = [&](Direction direction) {
    return static_cast<double>(meter.bytes(direction)) * 8 / seconds / 1e6;
  };
  std::printf("%s over %s, %s: %s\n", std::string(to_string(settings.mode)).c_str(),
              settings.kernel ? "the kernel" : "tandem", settings.spin ? "spinning" : "sleeping",
              is_good(settings, meter) ? "good" : "FAILED");
  std::printf("  connections   %zu opened, %zu done, %zu failed\n", meter.connected_count(), meter.done_count(),
              meter.failed_count());
  std::printf("  received      %.1f Mbit/s, %llu bytes\n", rate(Direction::received),
              static_cast<unsigned long long>(meter.bytes(Direction::received)));
  std::printf("  sent          %.1f Mbit/s, %llu bytes\n", rate(Direction::sent),
              static_cast<unsigned long long>(meter.bytes(Direction::sent)));
  const Histogram& latency = meter.latency();
  if (latency.count() > 0) {
    std::printf("  answers       %llu; p50 %s, p99 %s, max %s\n", static_cast<unsigned long long>(latency.count()),
                microseconds(latency.quantile(0.5)).c_str(), microseconds(latency.quantile(0.99)).c_str(),
                microseconds(latency.max()).c_str());
  }
  for (const Direction direction : {Direction::received, Direction::sent}) {
    const auto& longest = meter.longest(direction);
    if (!longest) continue;
    std::printf("  silence       %s longest when %s\n", microseconds(longest->length_ns()).c_str(),
                direction == Direction::received ? "receiving" : "sending");
  }
  if (settings.kernel) {
    std::printf("  kernel        %llu segments sent again, %llu resets\n",
                static_cast<unsigned long long>(meter.retransmissions()),
                static_cast<unsigned long long>(meter.resets()));
  }
  for (const Meter::StreamDigest& digest : meter.digests()) {
    std::printf("  SHA-256       %s%s\n", digest.expected.c_str(),
                digest.seen.empty()              ? ""
                : digest.seen == digest.expected ? ", equal at both ends"
                                                 : ", DIFFERENT");
  }
  for (const std::string& error : meter.errors()) std::printf("  error         %s\n", error.c_str());
}

}  // namespace

void print_start(const Settings& settings, const Meter& meter) {
  if (!settings.json) return;
  const json line{
      {"event", "start"}, {"mode", to_string(settings.mode)}, {"pid", ::getpid()}, {"at_ns", meter.start_ns()}};
  std::cout << line.dump() << std::endl;
}

void print_progress(const Settings& settings, const Meter& meter, std::uint64_t now_ns) {
  if (!settings.json) {
    std::printf("%7.1f s  %zu open, received %llu, sent %llu bytes\n",
                static_cast<double>(now_ns - meter.start_ns()) / 1e9,
                meter.connected_count() - meter.done_count() - meter.failed_count(),
                static_cast<unsigned long long>(meter.bytes(Direction::received)),
                static_cast<unsigned long long>(meter.bytes(Direction::sent)));
    std::fflush(stdout);
    return;
  }
  const auto oldest = [&](Direction direction) {
    const auto at = meter.oldest_progress_ns(direction);
    return at ? json(*at) : json(nullptr);
  };
  const json line{{"event", "progress"},
                  {"at_ns", now_ns},
                  {"connected", meter.connected_count()},
                  {"done", meter.done_count()},
                  {"failed", meter.failed_count()},
                  {"received_bytes", meter.bytes(Direction::received)},
                  {"sent_bytes", meter.bytes(Direction::sent)},
                  {"oldest_received_ns", oldest(Direction::received)},
                  {"oldest_sent_ns", oldest(Direction::sent)},
                  {"errors", meter.error_count()}};
  std::cout << line.dump() << std::endl;
}

bool print_result(const Settings& settings, const Meter& meter, std::uint64_t now_ns) {
  if (settings.json) {
    std::cout << result_object(settings, meter, now_ns).dump() << std::endl;
  } else {
    print_result_text(settings, meter, now_ns);
  }
  return is_good(settings, meter);
}

}  // namespace tandem::perf
