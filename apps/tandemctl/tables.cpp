// SPDX-License-Identifier: BSD-3-Clause
#include "tables.hpp"

#include <algorithm>
#include <functional>
#include <iomanip>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

namespace tandem::ctl {

namespace {

using nlohmann::json;

/// What a timeline counts instead of timing it.
const std::set<std::string, std::less<>> kCounts{"lag_bytes", "adopted_packets"};

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
    // The moment itself, on a clock that counts since boot, is of no use to a person.
    if (key == "noticed_at") continue;
    const bool is_duration = value.is_number() && !kCounts.contains(key);
    rows.push_back({"  " + key, is_duration ? microseconds(value) : shown(value)});
  }
  return text + "last takeover\n" + aligned(rows);
}

std::string connections_table(const json& answer) {
  const json list = answer.is_object() ? answer.value("connections", json::array()) : answer;
  if (!list.is_array() || list.empty()) return "no connections\n";
  std::vector<std::vector<std::string>> rows{
      {"LOCAL", "REMOTE", "PHASE", "SURVIVES", "UNACKED", "UNREAD", "SND_WND", "RCV_WND", "CWND", "SRTT_MS", "WHY"}};
  for (const json& row : list) {
    if (!row.is_object()) continue;
    rows.push_back({member(row, "local"), member(row, "remote"), member(row, "phase"), member(row, "survives"),
                    member(row, "unacknowledged_bytes"), member(row, "unread_bytes"), member(row, "snd_wnd"),
                    member(row, "rcv_wnd"), member(row, "cwnd"), member(row, "srtt_ms"), member(row, "why")});
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
