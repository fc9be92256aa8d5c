// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "control_server.hpp"

using namespace tandem::ha;

TEST_CASE("requests on the control socket") {
  CHECK(parse_request(R"({"command":"status"})") == "status");
  CHECK(parse_request(R"({"command":"routes","more":1})") == "routes");
  for (const char* garbage : {"", "status", "{", "[]", "null", "{}", R"({"command":7})", R"(["command","status"])", "\xff\xfe\x00",
                              "GET / HTTP/1.1", R"({"command":{"command":"status"}})"}) {
    CHECK(parse_request(garbage).empty());
  }
}

TEST_CASE("an error is one line of JSON whatever its text") {
  const std::string answer = error_answer("a \"quoted\"\nline and \xff", 64);
  CHECK(answer.find('\n') == std::string::npos);
  CHECK(answer.find("\"code\":64") != std::string::npos);
}
