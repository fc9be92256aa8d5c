// SPDX-License-Identifier: BSD-3-Clause
//
// A call stack of its own, on which a simulated process runs. A process that dies is a fiber that is never resumed: nothing is
// unwound and no destructor runs, exactly as with SIGKILL.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>

namespace tandem::sim {

class Fiber {
 public:
  using Entry = void (*)(void* argument);
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// `entry` must not return; it leaves for the last time with leave().
  void start(Entry entry, void* argument);
  /// From outside: runs it until it leaves.
  void resume();
  /// From within: back to where it was resumed.
  void leave();
  /// Its stack goes back to the pool; it is not resumed any more.
  void drop();

 private:
  static void trampoline(boost::context::detail::transfer_t from);

  boost::context::detail::fcontext_t context_ = nullptr;
  boost::context::detail::fcontext_t outside_ = nullptr;
  std::uint8_t* stack_ = nullptr;
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  /// The C++ runtime's stacks of exceptions in flight are per thread; these are the fiber's.
  std::uint64_t exceptions_[2] = {};
  int errno_ = 0;
  [[maybe_unused]] const void* outside_bottom_ = nullptr;  ///< for the address sanitizer
  [[maybe_unused]] std::size_t outside_bytes_ = 0;
};

}  // namespace tandem::sim
