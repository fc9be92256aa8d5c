// SPDX-License-Identifier: BSD-3-Clause
#include "etcd_messages.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace tandem::ha::etcd {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr std::array<std::string_view, 5> kKinds = {"none", "add", "remove", "take", "fresh"};

/// What an answer is not.
struct Unfit : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string base64(std::string_view text) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, text.size() - i);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? static_cast<std::uint8_t>(text[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string from_base64(std::string_view text) {
  const auto digit = [](char c) -> std::uint32_t {
    if (c >= 'A' && c <= 'Z') return static_cast<std::uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<std::uint32_t>(c - 'a' + 26);
    if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0' + 52);
    if (c == '+') return 62;
    if (c == '/') return 63;
    throw Unfit("a value is not base64");
  };
  if (text.size() % 4 != 0) throw Unfit("a value is not base64");
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const std::size_t padding = last ? (text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2) : 0;
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 4; ++k) bits = bits << 6 | (k < 4 - padding ? digit(text[i + k]) : 0);
    for (std::size_t k = 0; k < 3 - padding; ++k) out += static_cast<char>(bits >> (16 - 8 * k) & 0xff);
  }
  return out;
}

template <int kBase>
std::uint64_t number(const json& value, const char* what) {
  // etcd writes 64-bit numbers as texts, and leaves out those that are 0.
  if (!value.is_string()) throw Unfit(std::string(what) + " is no number in a text");
  const auto& text = value.get_ref<const std::string&>();
  std::uint64_t result = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result, kBase);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    throw Unfit(std::string(what) + " is no number: '" + text.substr(0, 40) + "'");
  return result;
}

const json& member(const json& object, const char* name) {
  if (!object.is_object() || !object.contains(name)) throw Unfit(std::string("it has no '") + name + "'");
  return object.at(name);
}

std::string id_text(MemberId id) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out(16, '0');
  for (std::size_t i = 0; i < 16; ++i) out[15 - i] = digits[id >> (4 * i) & 15];
  return out;
}

MemberId id_of(const json& value, const char* what) {
  const MemberId id = number<16>(value, what);
  if (id == 0) throw Unfit(std::string(what) + " is nobody");
  return id;
}

ArbiterRegister register_of(std::string_view text) {
  const json value = json::parse(text, nullptr, false);
  if (value.is_discarded() || !value.is_object()) throw Unfit("what stands under the key is no register");
  const json& format = member(value, "format");
  if (!format.is_number_integer() || format.get<std::int64_t>() != kFormat)
    throw Unfit("the register is of a format that this version does not know. Run the same version on all boxes");
  ArbiterRegister result;
  result.epoch = number<10>(member(value, "epoch"), "epoch");
  result.owner = id_of(member(value, "owner"), "owner");
  result.by = id_of(member(value, "by"), "by");
  result.serial = number<10>(member(value, "serial"), "serial");
  const json& kind = member(value, "kind");
  const auto found =
      std::find(kKinds.begin() + 1, kKinds.end(), kind.is_string() ? kind.get_ref<const std::string&>() : "");
  if (found == kKinds.end()) throw Unfit("kind is none that there is");
  result.kind = static_cast<SwapKind>(found - kKinds.begin());
  const json& members = member(value, "members");
  if (!members.is_array() || members.empty() || members.size() > kMostMembers)
    throw Unfit("members are no list of 1 to " + std::to_string(kMostMembers));
  for (const json& item : members) {
    const MemberId id = id_of(item, "a member");
    if (result.names(id)) throw Unfit("a member stands there twice");
    result.members.push_back(id);
  }
  if (!result.names(result.owner)) throw Unfit("the owner is no member");
  if (result.epoch == 0) throw Unfit("there is no epoch 0");
  return result;
}

/// Of a key and its modification revision, by a range's answer.
ArbiterRegister from_range(const json& range) {
  if (!range.is_object()) throw Unfit("an answer is no object");
  if (!range.contains("kvs") || range.at("kvs").empty()) return {};
  const json& all = range.at("kvs");
  if (!all.is_array() || all.size() != 1) throw Unfit("there is more than one value");
  const std::string text =
      from_base64(member(all.at(0), "value").is_string() ? all.at(0).at("value").get_ref<const std::string&>()
                                                         : throw Unfit("the value is no text"));
  ArbiterRegister result = register_of(text);
  result.revision = number<10>(member(all.at(0), "mod_revision"), "mod_revision");
  if (result.revision == 0) throw Unfit("a key that exists has no revision");
  return result;
}

ArbiterRegister from_swap(const json& answer, const Swap& swap) {
  if (answer.contains("succeeded")) {
    if (!answer.at("succeeded").is_boolean()) throw Unfit("succeeded is neither true nor false");
    if (answer.at("succeeded").get<bool>()) {
      ArbiterRegister result = swap.value;
      result.revision = number<10>(member(member(answer, "header"), "revision"), "revision");
      if (result.revision <= swap.expected) throw Unfit("the swap has raised no revision");
      return result;
    }
  }
  const json& responses = member(answer, "responses");
  if (!responses.is_array() || responses.size() != 1) throw Unfit("there is not one response");
  ArbiterRegister result = from_range(member(responses.at(0), "response_range"));
  if (result.revision == swap.expected) throw Unfit("it has refused the revision that stands there");
  return result;
}

}  // namespace

std::string encode_register(const ArbiterRegister& value) {
  ordered_json members = ordered_json::array();
  for (const MemberId id : value.members) members.push_back(id_text(id));
  return ordered_json{{"format", kFormat},
                      {"epoch", std::to_string(value.epoch)},
                      {"owner", id_text(value.owner)},
                      {"members", std::move(members)},
                      {"by", id_text(value.by)},
                      {"kind", kKinds.at(static_cast<std::size_t>(value.kind))},
                      {"serial", std::to_string(value.serial)}}
      .dump();
}

std::optional<ArbiterRegister> decode_register(std::string_view text, std::string& error) try {
  return register_of(text);
} catch (const Unfit& unfit) {
  error = unfit.what();
  return std::nullopt;
}

std::string swap_request(std::string_view key, const Swap& swap) {
  const std::string name = base64(key);
  const ordered_json compare{
      {"key", name}, {"target", "MOD"}, {"result", "EQUAL"}, {"mod_revision", std::to_string(swap.expected)}};
  const ordered_json put{{"request_put", {{"key", name}, {"value", base64(encode_register(swap.value))}}}};
  const ordered_json range{{"request_range", {{"key", name}}}};
  return ordered_json{{"compare", ordered_json::array({compare})},
                      {"success", ordered_json::array({put})},
                      {"failure", ordered_json::array({range})}}
      .dump();
}

std::string read_request(std::string_view key) { return ordered_json{{"key", base64(key)}}.dump(); }

std::string login_request(std::string_view user, std::string_view password) {
  return ordered_json{{"name", std::string(user)}, {"password", std::string(password)}}.dump(
      -1, ' ', false, ordered_json::error_handler_t::replace);
}

std::optional<ArbiterRegister> read_answer(std::string_view body, const Swap* swap, std::string& error) try {
  const json answer = json::parse(body, nullptr, false);
  if (answer.is_discarded() || !answer.is_object()) throw Unfit("it is no JSON object");
  // Nobody without a header is etcd.
  static_cast<void>(number<10>(member(member(answer, "header"), "revision"), "revision"));
  return swap != nullptr ? from_swap(answer, *swap) : from_range(answer);
} catch (const Unfit& unfit) {
  error = unfit.what();
  return std::nullopt;
}

std::optional<std::string> read_token(std::string_view body) {
  const json answer = json::parse(body, nullptr, false);
  if (!answer.is_object() || !answer.contains("token") || !answer.at("token").is_string()) return std::nullopt;
  const auto& token = answer.at("token").get_ref<const std::string&>();
  const bool fits = !token.empty() && token.size() <= 4096 &&
                    std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 127; });
  return fits ? std::optional(token) : std::nullopt;
}

std::string error_of(std::string_view body) {
  const json answer = json::parse(body, nullptr, false);
  for (const char* name : {"error", "message"}) {
    if (answer.is_object() && answer.contains(name) && answer.at(name).is_string())
      return answer.at(name).get_ref<const std::string&>().substr(0, 200);
  }
  return {};
}

}  // namespace tandem::ha::etcd
