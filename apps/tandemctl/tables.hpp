// SPDX-License-Identifier: BSD-3-Clause
//
// Answers of the control socket as tables for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tandem::ctl {

/// Throws nothing on members that are missing or of another type: they are left out.
std::string status_table(const nlohmann::json& answer);
std::string connections_table(const nlohmann::json& answer);
std::string routes_table(const nlohmann::json& answer);
std::string neighbors_table(const nlohmann::json& answer);
std::string arp_table(const nlohmann::json& answer);
std::string listeners_table(const nlohmann::json& answer);
/// One row a member.
std::string capture_table(const nlohmann::json& answer);
std::string device_table(const nlohmann::json& answer);

}  // namespace tandem::ctl
