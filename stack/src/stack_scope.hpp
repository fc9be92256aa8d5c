// SPDX-License-Identifier: BSD-3-Clause
//
// Being inside a stack. lwIP works on one block of thread-local state (tandem_stack_state.h); a scope makes that block hold
// the state of its stack, and gives the one before it its block back when it ends. Entering the stack that one is in already
// costs a comparison, so every public call enters, and a handler of one stack may call into another.
#pragma once

#include <cstdint>
#include <vector>

#include "tandem/stack.hpp"

namespace tandem {

/// A stack's lwIP state while another stack has the thread's block.
class StackState {
 public:
  StackState();
  ~StackState();
  StackState(const StackState&) = delete;
  StackState& operator=(const StackState&) = delete;

 private:
  friend class StackScope;
  std::vector<std::uint8_t> image_;
};

class StackScope {
 public:
  explicit StackScope(Stack::Impl& stack);
  ~StackScope();
  StackScope(const StackScope&) = delete;
  StackScope& operator=(const StackScope&) = delete;

  /// The stack that lwIP works for now. Only within a scope.
  [[nodiscard]] static Stack::Impl& current();

  // ---- For who runs several call stacks on one thread (the simulator's processes) ----

  /// Leaves whatever stack one is in; what resume() wants when this call stack goes on.
  [[nodiscard]] static Stack::Impl* suspend();
  static void resume(Stack::Impl* stack);
  /// The stack whose state lies in the thread's block will not be entered again, and its memory is gone.
  static void forget_resident();
  /// Where the state is kept of whose bytes lie in the thread's block; null when nobody's.
  [[nodiscard]] static const void* resident();

 private:
  static void make_resident(StackState& state);

  Stack::Impl* previous_;
};

}  // namespace tandem
