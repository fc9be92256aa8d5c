// SPDX-License-Identifier: BSD-3-Clause
#include "tandem_cli/service_manager.hpp"

#include <catch2/catch.hpp>

using tandem::NodeState;
using tandem::Role;
using tandem::cli::notification;

namespace {

bool says(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("the service manager is told that a process is ready once, when it is") {
  const NodeState starting{Role::twin, false, false, false};
  CHECK_FALSE(says(notification(starting, false), "READY=1"));
  CHECK(says(notification(starting, false), "EXTEND_TIMEOUT_USEC=30000000"));
  const NodeState ready{Role::twin, true, true, false};
  CHECK(says(notification(ready, false), "READY=1"));
  CHECK_FALSE(says(notification(ready, true), "READY=1"));
  CHECK_FALSE(says(notification(ready, false), "EXTEND_TIMEOUT_USEC=30000000"));
  // One that has to catch up again has been ready, and does not start anew.
  CHECK_FALSE(says(notification(starting, true), "EXTEND_TIMEOUT_USEC=30000000"));
}

TEST_CASE("each word to the service manager feeds its watchdog and says what the process does") {
  for (const Role role : {Role::alone, Role::primary, Role::twin}) {
    for (const bool ready : {false, true}) {
      const std::string text = notification({role, ready, false, false}, false);
      CHECK(says(text, "WATCHDOG=1"));
      CHECK(text.find("STATUS=") != std::string::npos);
      CHECK_FALSE(says(text, "STOPPING=1"));
    }
  }
  CHECK(says(notification({Role::primary, true, true, true}, true), "STOPPING=1"));
  CHECK(notification({Role::primary, true, false, false}, true).find("unprotected") != std::string::npos);
}
