// SPDX-License-Identifier: BSD-3-Clause
//
// Stands in for Catch2 where a fuzzer uses a unit test's world: what does not hold ends the process, so that the fuzzer keeps
// the input that led there.
#pragma once

#include "../../require.hpp"

#define REQUIRE(...) FUZZ_REQUIRE(__VA_ARGS__)
#define CHECK(...) FUZZ_REQUIRE(__VA_ARGS__)
#define REQUIRE_FALSE(...) FUZZ_REQUIRE(!(__VA_ARGS__))
#define CHECK_FALSE(...) FUZZ_REQUIRE(!(__VA_ARGS__))
#define INFO(text) static_cast<void>(0)
#define UNSCOPED_INFO(text) static_cast<void>(0)
#define FAIL(text) ::tandem::fuzz::failed("reached what cannot be: " #text, __FILE__, __LINE__)
