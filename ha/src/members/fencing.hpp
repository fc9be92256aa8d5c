// SPDX-License-Identifier: BSD-3-Clause
//
// What is said where a twin cannot end a primary that hangs.
#pragma once

#include <string>

#include "members/shared_group.hpp"

namespace tandem::ha {

inline std::string why_no_fence(Fencing fencing) {
  switch (fencing) {
    case Fencing::possible:
      return {};
    case Fencing::other_namespace:
      return "it runs in another pid namespace, into which the kernel lets no signal through (run both in one, or the "
             "twin in the namespace from which the other's was made)";
    case Fencing::not_permitted:
      return "this process may not signal it (same user or CAP_KILL, and a kernel that has pidfd_open)";
    case Fencing::unknown:
      break;
  }
  return "the twin has not found out yet whether it may";
}

}  // namespace tandem::ha
