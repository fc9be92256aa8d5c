// SPDX-License-Identifier: BSD-3-Clause
#include "tables.hpp"

#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <sstream>
#include <utility>
#include <vector>

namespace tandem::ctl {

namespace {

using nlohmann::json;

/// A value as one word or phrase.
std::string shown(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "-";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    std::string text;
    for (const json& item : value) text += (text.empty() ? "" : " ") + shown(item);
    return text.empty() ? "-" : text;
  }
  return value.dump();
}

/// Rows with columns as wide as their widest cell; the last one is not padded.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::ostringstream text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i + 1 == row.size()) {
        text << row[i];
      } else {
        text << std::left << std::setw(static_cast<int>(widths[i]) + 2) << row[i];
      }
    }
    text << "\n";
  }
  return text.str();
}

std::string microseconds(const json& nanoseconds) {
  if (!nanoseconds.is_number()) return shown(nanoseconds);
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << nanoseconds.get<double>() / 1e3 << " us";
  return text.str();
}

/// Sequence numbers wrap, so their distance is taken modulo 2^32.
std::string distance(const json& row, const char* from, const char* to) {
  if (!row.contains(from) || !row.contains(to) || !row[from].is_number() || !row[to].is_number()) return "-";
  return std::to_string(static_cast<std::uint32_t>(row[to].get<std::uint64_t>() - row[from].get<std::uint64_t>()));
}

std::string member(const json& row, const char* key) { return row.contains(key) ? shown(row[key]) : "-"; }

}  // namespace

std::string status_table(const json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : answer.items()) {
    if (!value.is_object()) rows.push_back({key, shown(value)});
  }
  std::string text = aligned(rows);
  if (!answer.contains("timeline") || !answer["timeline"].is_object() || answer["timeline"].empty()) return text;
  rows.clear();
  for (const auto& [key, value] : answer["timeline"].items()) {
    // Times of a clock are of no use to a person; the durations are.
    const bool is_instant = value.is_number() && value.get<double>() > 3.6e12;
    if (!is_instant) rows.push_back({"  " + key, microseconds(value)});
  }
  return text + "last takeover\n" + aligned(rows);
}

std::string connections_table(const json& answer) {
  const json& list = answer.is_array() ? answer : answer.value("connections", json::array());
  if (!list.is_array() || list.empty()) return "no connections\n";
  std::vector<std::vector<std::string>> rows{{"LOCAL", "REMOTE", "PHASE", "SURVIVES", "UNACKED", "UNSENT", "UNREAD",
                                              "SND_WND", "RCV_WND", "CWND", "SRTT_MS", "WHY"}};
  for (const json& row : list) {
    if (!row.is_object()) continue;
    rows.push_back({member(row, "local"), member(row, "remote"), member(row, "phase"), member(row, "survives"),
                    distance(row, "snd_una", "snd_nxt"), distance(row, "snd_nxt", "write_seq"),
                    distance(row, "bytes_consumed", "bytes_received"), member(row, "snd_wnd"), member(row, "rcv_wnd"),
                    member(row, "cwnd"), member(row, "srtt_ms"), member(row, "why")});
  }
  return aligned(rows);
}

std::string routes_table(const json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : answer.items()) {
    if (value.is_object()) {
      for (const auto& [inner, count] : value.items()) rows.push_back({key + " " + inner, shown(count)});
    } else if (!value.is_array()) {
      rows.push_back({key, shown(value)});
    }
  }
  return aligned(rows);
}

}  // namespace tandem::ctl
