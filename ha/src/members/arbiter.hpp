// SPDX-License-Identifier: BSD-3-Clause
//
// Where the register of a group's members stands (members/arbiter_register.hpp), outside of the boxes that it judges. Asking may take
// as long as it likes: nothing here ever waits, and an answer is told by a descriptor.
#pragma once

#include <optional>
#include <string>

#include "members/arbiter_register.hpp"

namespace tandem::ha {

struct ArbiterAnswer {
  /// What stands there: whether a swap has won is seen from that (Membership::register_seen). None: it could not be asked, or what it
  /// said is no register; a swap may then have won or not.
  std::optional<ArbiterRegister> value;
  std::string error;  ///< without a value: what was tried, what happened, what to do
};

class Arbiter {
 public:
  Arbiter() = default;
  Arbiter(const Arbiter&) = delete;
  Arbiter& operator=(const Arbiter&) = delete;
  virtual ~Arbiter() = default;

  /// Replaces what stands there if its revision is the expected one still. Asking for the same swap again is no second one.
  virtual void swap(const Swap& swap) = 0;
  virtual void read() = 0;
  /// Readable when an answer is there. Of the arbiter's; not to be closed.
  [[nodiscard]] virtual int event_fd() const = 0;
  /// The answers, in the order in which they were asked for; one each.
  virtual std::optional<ArbiterAnswer> take() = 0;
};

}  // namespace tandem::ha
