// SPDX-License-Identifier: BSD-3-Clause
#include "stack_scope.hpp"

#include <cassert>
#include <cstring>
#include <utility>

#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

namespace {

constinit thread_local Stack::Impl* active_stack = nullptr;
/// Whose state lies in the thread's block. It outlasts the scope: most often the same stack is entered next.
constinit thread_local StackState* resident_state = nullptr;

}  // namespace

StackState::StackState() : image_(tandem_stack_state_size()) { tandem_stack_state_pristine(image_.data()); }

StackState::~StackState() {
  if (resident_state == this) {
    resident_state = nullptr;
  }
}

void StackScope::make_resident(StackState& state) {
  if (resident_state == &state) {
    return;
  }
  void* const block = tandem_stack_state_block();
  if (resident_state != nullptr) {
    std::memcpy(resident_state->image_.data(), block, resident_state->image_.size());
  }
  std::memcpy(block, state.image_.data(), state.image_.size());
  resident_state = &state;
}

StackScope::StackScope(Stack::Impl& stack) : previous_(active_stack) {
  active_stack = &stack;
  make_resident(stack.state);
}

StackScope::~StackScope() {
  active_stack = previous_;
  if (previous_ != nullptr) {
    make_resident(previous_->state);
  }
}

Stack::Impl* StackScope::suspend() { return std::exchange(active_stack, nullptr); }

void StackScope::resume(Stack::Impl* stack) {
  active_stack = stack;
  if (stack != nullptr) {
    make_resident(stack->state);
  }
}

void StackScope::forget_resident() { resident_state = nullptr; }

const void* StackScope::resident() { return resident_state; }

Stack::Impl& StackScope::current() {
  assert(active_stack != nullptr);
  return *active_stack;
}

}  // namespace tandem
