// SPDX-License-Identifier: BSD-3-Clause
//
// What a fuzzer asserts about the code under test.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace tandem::fuzz {

[[noreturn]] inline void failed(const char* what, const char* file, int line, const std::string& detail = {}) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  if (!detail.empty()) std::fprintf(stderr, "  %s\n", detail.c_str());
  std::abort();
}

}  // namespace tandem::fuzz

#define FUZZ_REQUIRE(...)                                       \
  do {                                                          \
    if (!(__VA_ARGS__)) {                                       \
      ::tandem::fuzz::failed(#__VA_ARGS__, __FILE__, __LINE__); \
    }                                                           \
  } while (false)
/// The same, with a text that says more; it is made only when needed.
#define FUZZ_REQUIRE_WITH(condition, detail)                            \
  do {                                                                  \
    if (!(condition)) {                                                 \
      ::tandem::fuzz::failed(#condition, __FILE__, __LINE__, (detail)); \
    }                                                                   \
  } while (false)
