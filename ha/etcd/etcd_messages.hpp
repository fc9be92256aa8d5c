// SPDX-License-Identifier: BSD-3-Clause
//
// What is asked of etcd's HTTP gateway (its API v3) and what it answers, as texts. An answer is believed only if every field of it can
// be true: whoever sits between, or what was written under our key by somebody else, yields an error.
//
// The register's value, JSON with its members in this order; ids are 16 hexadecimal digits, numbers are decimal texts:
//
//   {"format":1,"epoch":"2","owner":"00000000000000a1","members":["00000000000000a1","00000000000000b2"],
//    "by":"00000000000000a1","kind":"add","serial":"7"}
//
// `revision` is not part of it: it is the key's modification revision, which etcd gives.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "members/arbiter_register.hpp"

namespace tandem::ha::etcd {

inline constexpr std::size_t kMostMembers = 64;
/// Of an answer; longer ones are no register of ours.
inline constexpr std::size_t kMostAnswerBytes = 64 * 1024;

[[nodiscard]] std::string encode_register(const ArbiterRegister& value);
/// None when it is none, with the reason in `error`.
[[nodiscard]] std::optional<ArbiterRegister> decode_register(std::string_view text, std::string& error);

/// POST /v3/kv/txn: compares the modification revision, puts the value, or tells what stands there.
[[nodiscard]] std::string swap_request(std::string_view key, const Swap& swap);
/// POST /v3/kv/range.
[[nodiscard]] std::string read_request(std::string_view key);
/// POST /v3/auth/authenticate.
[[nodiscard]] std::string login_request(std::string_view user, std::string_view password);

/// What stands there, by the answer to swap_request() or read_request(); `swap`: what was asked for, null for a read. A key that does not
/// exist is a register with revision 0.
[[nodiscard]] std::optional<ArbiterRegister> read_answer(std::string_view body, const Swap* swap, std::string& error);
[[nodiscard]] std::optional<std::string> read_token(std::string_view body);
/// The text of an error that etcd answers with; empty when there is none.
[[nodiscard]] std::string error_of(std::string_view body);

}  // namespace tandem::ha::etcd
