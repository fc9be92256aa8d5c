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

namespace {

/// A column: its head, and the member that it shows.
using Columns = std::vector<std::pair<const char*, const char*>>;

std::string list_table(const json& answer, const char* key, const Columns& columns) {
  const json list = answer.is_object() && answer.contains(key) ? answer[key] : answer;
  if (!list.is_array() || list.empty()) return std::string("no ") + key + "\n";
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& [head, name] : columns) rows.front().emplace_back(head);
  for (const json& item : list) {
    if (!item.is_object()) continue;
    std::vector<std::string>& row = rows.emplace_back();
    for (const auto& [head, name] : columns) row.push_back(member(item, name));
  }
  return aligned(rows);
}

/// "1d02h", "03:04:05": as long as a person cares for.
std::string uptime(const json& milliseconds) {
  if (!milliseconds.is_number_integer() || milliseconds <= 0) return "-";
  const std::uint64_t seconds = milliseconds.get<std::uint64_t>() / 1000;
  std::ostringstream text;
  text << std::setfill('0');
  if (seconds >= 86'400)
    text << seconds / 86'400 << "d" << std::setw(2) << seconds / 3600 % 24 << "h";
  else
    text << std::setw(2) << seconds / 3600 << ":" << std::setw(2) << seconds / 60 % 60 << ":" << std::setw(2)
         << seconds % 60;
  return text.str();
}

}  // namespace

std::string connections_table(const json& answer) {
  return list_table(answer, "connections",
                    {{"LOCAL", "local"},
                     {"REMOTE", "remote"},
                     {"PHASE", "phase"},
                     {"SURVIVES", "survives"},
                     {"UNACKED", "unacknowledged_bytes"},
                     {"UNREAD", "unread_bytes"},
                     {"SND_WND", "snd_wnd"},
                     {"RCV_WND", "rcv_wnd"},
                     {"CWND", "cwnd"},
                     {"SRTT_MS", "srtt_ms"},
                     {"WHY", "why"}});
}

std::string neighbors_table(const json& answer) {
  json shown = answer;
  if (shown.is_object() && shown.contains("neighbors") && shown["neighbors"].is_array()) {
    for (json& row : shown["neighbors"]) {
      if (row.is_object() && row.contains("uptime_ms")) row["uptime"] = uptime(row["uptime_ms"]);
      if (row.is_object() && row.contains("max_prefix") && row["max_prefix"] == 0) row["max_prefix"] = nullptr;
      if (row.is_object() && row.contains("last_down") && row["last_down"] == "") row["last_down"] = nullptr;
    }
  }
  return list_table(shown, "neighbors",
                    {{"NEIGHBOR", "address"},
                     {"AS", "as"},
                     {"STATE", "state"},
                     {"UPTIME", "uptime"},
                     {"HOLD", "hold_time_s"},
                     {"RX_V4", "received_ipv4"},
                     {"RX_V6", "received_ipv6"},
                     {"MAX", "max_prefix"},
                     {"TX_V4", "advertised_ipv4"},
                     {"TX_V6", "advertised_ipv6"},
                     {"UPS", "times_established"},
                     {"LAST_DOWN", "last_down"}});
}

std::string arp_table(const json& answer) {
  return list_table(answer, "arp", {{"ADDRESS", "address"}, {"MAC", "mac"}});
}

std::string listeners_table(const json& answer) {
  return list_table(answer, "listeners", {{"LOCAL", "local"}, {"SERVICE", "service"}});
}

std::string device_table(const json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : answer.items()) {
    if (value != "") rows.push_back({key, shown(value)});
  }
  return aligned(rows);
}

std::string capture_table(const json& answer) {
  if (answer.contains("captured")) return device_table(answer["captured"]);
  if (!answer.contains("capture") || !answer["capture"].is_object()) return "nothing is being captured\n";
  return device_table(answer["capture"]);
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
  return aligned(rows) + (answer.contains("neighbors") ? "\n" + neighbors_table(answer) : std::string());
}

}  // namespace tandem::ctl
