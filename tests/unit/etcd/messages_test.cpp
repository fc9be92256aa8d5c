// SPDX-License-Identifier: BSD-3-Clause
#include "etcd_messages.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace tandem::ha;
using Catch::Matchers::Contains;

namespace {

const ArbiterRegister kValue{0, 2, 0xa1, {0xa1, 0xb2}, 0xa1, SwapKind::add, 7};
constexpr std::string_view kText =
    R"({"format":1,"epoch":"2","owner":"00000000000000a1","members":["00000000000000a1","00000000000000b2"],)"
    R"("by":"00000000000000a1","kind":"add","serial":"7"})";

/// As etcd answers; `value` stands under the key.
std::string ranged(const std::string& value, const std::string& revision = "12") {
  return R"({"header":{"revision":"12"},"kvs":[{"key":"dGFuZGVtL2c=","mod_revision":")" + revision + R"(","value":")" +
         value + R"("}],"count":"1"})";
}
std::string refused(const std::string& range) {
  return R"({"header":{"revision":"12"},"responses":[{"response_range":)" + range + "}]}";
}
/// kText in base64.
const std::string kEncoded =
    "eyJmb3JtYXQiOjEsImVwb2NoIjoiMiIsIm93bmVyIjoiMDAwMDAwMDAwMDAwMDBhMSIsIm1lbWJlcnMiOlsiMDAwMDAwMDAwMDAwMDBhMSIsIjAwMD"
    "Aw"
    "MDAwMDAwMDAwYjIiXSwiYnkiOiIwMDAwMDAwMDAwMDAwMGExIiwia2luZCI6ImFkZCIsInNlcmlhbCI6IjcifQ==";

std::string why_not(const std::string& body, const Swap* swap = nullptr) {
  std::string error;
  return etcd::read_answer(body, swap, error) ? "it was believed" : error;
}
std::string with(const char* name, const nlohmann::json& value) {
  auto object = nlohmann::json::parse(kText);
  if (value.is_null())
    object.erase(name);
  else
    object[name] = value;
  std::string error;
  return etcd::decode_register(object.dump(), error) ? "it was believed" : error;
}

}  // namespace

TEST_CASE("the register's value is the one of its format, to the byte") {
  CHECK(etcd::encode_register(kValue) == kText);
  std::string error;
  const auto read = etcd::decode_register(kText, error);
  REQUIRE(read);
  CHECK(etcd::encode_register(*read) == kText);
  CHECK(read->owner == 0xa1);
  CHECK(read->members == std::vector<MemberId>{0xa1, 0xb2});
  CHECK(read->kind == SwapKind::add);
  CHECK(read->serial == 7);
}

TEST_CASE("a swap compares the revision alone, and asks what stands there otherwise") {
  const auto request = nlohmann::json::parse(etcd::swap_request("tandem/g", {11, kValue}));
  CHECK(request["compare"] ==
        nlohmann::json::parse(R"([{"key":"dGFuZGVtL2c=","target":"MOD","result":"EQUAL","mod_revision":"11"}])"));
  CHECK(request["success"] ==
        nlohmann::json::parse(R"([{"request_put":{"key":"dGFuZGVtL2c=","value":")" + kEncoded + R"("}}])"));
  CHECK(request["failure"] == nlohmann::json::parse(R"([{"request_range":{"key":"dGFuZGVtL2c="}}])"));
  CHECK(etcd::read_request("tandem/g") == R"({"key":"dGFuZGVtL2c="})");
}

TEST_CASE("what stands there is read from every answer") {
  std::string error;
  const Swap swap{11, kValue};
  const auto won = etcd::read_answer(
      R"({"header":{"revision":"12"},"succeeded":true,"responses":[{"response_put":{"header":{"revision":"12"}}}]})",
      &swap, error);
  REQUIRE(won);
  CHECK(won->revision == 12);
  CHECK(won->serial == 7);
  const auto lost = etcd::read_answer(refused(ranged(kEncoded)), &swap, error);
  REQUIRE(lost);
  CHECK(lost->revision == 12);
  const auto gone = etcd::read_answer(refused(R"({"header":{"revision":"12"}})"), &swap, error);
  REQUIRE(gone);
  CHECK(gone->revision == 0);
  const auto read = etcd::read_answer(ranged(kEncoded), nullptr, error);
  REQUIRE(read);
  CHECK(read->members.size() == 2);
  const auto none = etcd::read_answer(R"({"header":{"revision":"5"}})", nullptr, error);
  REQUIRE(none);
  CHECK(none->revision == 0);
  CHECK(none->members.empty());
}

TEST_CASE("an answer that cannot be true is not believed") {
  const Swap swap{12, kValue};
  CHECK_THAT(why_not(""), Contains("no JSON object"));
  CHECK_THAT(why_not("<html>"), Contains("no JSON object"));
  CHECK_THAT(why_not("[]"), Contains("no JSON object"));
  CHECK_THAT(why_not("{}"), Contains("no 'header'"));
  CHECK_THAT(why_not(R"({"header":{"revision":5}})"), Contains("revision is no number in a text"));
  CHECK_THAT(why_not(R"({"header":{"revision":"5x"}})"), Contains("revision is no number"));
  CHECK_THAT(why_not(ranged("###=")), Contains("base64"));
  CHECK_THAT(why_not(ranged("eyJ")), Contains("base64"));
  CHECK_THAT(why_not(ranged("e30=")), Contains("no 'format'"));
  CHECK_THAT(why_not(ranged(kEncoded, "0")), Contains("has no revision"));
  CHECK_THAT(why_not(R"({"header":{"revision":"5"},"kvs":[{"mod_revision":"5","value":7}]})"), Contains("no text"));
  CHECK_THAT(why_not(R"({"header":{"revision":"5"},"kvs":[{},{}]})"), Contains("more than one"));
  CHECK_THAT(why_not(R"({"header":{"revision":"12"},"succeeded":true})", &swap), Contains("raised no revision"));
  CHECK_THAT(why_not(R"({"header":{"revision":"12"},"succeeded":"yes"})", &swap), Contains("neither true nor false"));
  CHECK_THAT(why_not(R"({"header":{"revision":"12"}})", &swap), Contains("no 'responses'"));
  CHECK_THAT(why_not(R"({"header":{"revision":"12"},"responses":[]})", &swap), Contains("not one response"));
  // The one that was expected stands there, and the swap was refused: nobody can tell what that means.
  CHECK_THAT(why_not(refused(ranged(kEncoded)), &swap), Contains("refused the revision"));
  std::string deep(20000, '[');
  CHECK_THAT(why_not(deep), Contains("no JSON object"));
}

TEST_CASE("a register that cannot be one of ours is refused, field by field") {
  CHECK(with("serial", "9") == "it was believed");
  CHECK_THAT(with("format", nullptr), Contains("no 'format'"));
  CHECK_THAT(with("format", 2), Contains("Run the same version"));
  CHECK_THAT(with("format", "1"), Contains("Run the same version"));
  CHECK_THAT(with("epoch", "0"), Contains("no epoch 0"));
  CHECK_THAT(with("epoch", "-1"), Contains("epoch is no number"));
  CHECK_THAT(with("epoch", "18446744073709551616"), Contains("epoch is no number"));
  CHECK_THAT(with("owner", "00000000000000c3"), Contains("the owner is no member"));
  CHECK_THAT(with("owner", "0"), Contains("owner is nobody"));
  CHECK_THAT(with("owner", "xyz"), Contains("owner is no number"));
  CHECK_THAT(with("by", nullptr), Contains("no 'by'"));
  CHECK_THAT(with("kind", "none"), Contains("kind is none"));
  CHECK_THAT(with("kind", 3), Contains("kind is none"));
  CHECK_THAT(with("members", nlohmann::json::array()), Contains("no list of 1 to 64"));
  CHECK_THAT(with("members", "a1"), Contains("no list"));
  CHECK_THAT(with("members", {"a1", "a1"}), Contains("twice"));
  CHECK_THAT(with("members", {"a1", 7}), Contains("no number in a text"));
  CHECK_THAT(with("members", std::vector<std::string>(65, "a1")), Contains("no list of 1 to 64"));
}

TEST_CASE("tokens and errors are texts of bounded length") {
  CHECK(etcd::read_token(R"({"token":"abc.1"})") == "abc.1");
  CHECK_FALSE(etcd::read_token(R"({"token":""})"));
  CHECK_FALSE(etcd::read_token(R"({"token":"a\r\nX: y"})"));
  CHECK_FALSE(etcd::read_token(R"({"token":5})"));
  CHECK_FALSE(etcd::read_token("nonsense"));
  CHECK(etcd::error_of(R"({"error":"etcdserver: user name is empty","code":3})") == "etcdserver: user name is empty");
  CHECK(etcd::error_of("nonsense").empty());
}
