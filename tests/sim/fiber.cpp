// SPDX-License-Identifier: BSD-3-Clause
#include "fiber.hpp"

#include <cxxabi.h>
#include <sys/mman.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#ifdef TANDEM_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace tandem::sim {
namespace {

#ifdef TANDEM_ADDRESS_SANITIZER
constexpr std::size_t kStackBytes = std::size_t{1} << 20;
#else
constexpr std::size_t kStackBytes = std::size_t{256} << 10;
#endif
constexpr std::size_t kGuardBytes = 4096;

std::vector<std::uint8_t*>& pool() {
  static std::vector<std::uint8_t*> stacks;
  return stacks;
}

std::uint8_t* take_stack() {
  if (!pool().empty()) {
    std::uint8_t* const stack = pool().back();
    pool().pop_back();
    return stack;
  }
  void* const at = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (at == MAP_FAILED || mprotect(at, kGuardBytes, PROT_NONE) != 0) {
    std::perror("tandem-sim: mapping a process's stack");
    std::abort();
  }
  return static_cast<std::uint8_t*>(at);
}

void exchange_exceptions(std::uint64_t (&kept)[2]) {
  std::uint64_t now[2];
  void* const place = abi::__cxa_get_globals();
  std::memcpy(now, place, sizeof now);
  std::memcpy(place, kept, sizeof now);
  std::memcpy(kept, now, sizeof now);
}

}  // namespace

Fiber::~Fiber() { drop(); }

void Fiber::start(Entry entry, void* argument) {
  stack_ = take_stack();
  entry_ = entry;
  argument_ = argument;
  context_ = boost::context::detail::make_fcontext(stack_ + kGuardBytes + kStackBytes, kStackBytes, &Fiber::trampoline);
}

void Fiber::trampoline(boost::context::detail::transfer_t from) {
  auto* const fiber = static_cast<Fiber*>(from.data);
  fiber->outside_ = from.fctx;
#ifdef TANDEM_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(nullptr, &fiber->outside_bottom_, &fiber->outside_bytes_);
#endif
  fiber->entry_(fiber->argument_);
  std::abort();
}

void Fiber::resume() {
  const int before = errno;
  errno = errno_;
  exchange_exceptions(exceptions_);
#ifdef TANDEM_ADDRESS_SANITIZER
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_ + kGuardBytes, kStackBytes);
#endif
  context_ = boost::context::detail::jump_fcontext(context_, this).fctx;
#ifdef TANDEM_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  exchange_exceptions(exceptions_);
  errno_ = errno;
  errno = before;
}

void Fiber::leave() {
#ifdef TANDEM_ADDRESS_SANITIZER
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, outside_bottom_, outside_bytes_);
#endif
  outside_ = boost::context::detail::jump_fcontext(outside_, nullptr).fctx;
#ifdef TANDEM_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(fake, &outside_bottom_, &outside_bytes_);
#endif
}

void Fiber::drop() {
  if (stack_ == nullptr) return;
#ifdef TANDEM_ADDRESS_SANITIZER
  // Frames that were left behind would look like use after return to whoever gets the stack next.
  __asan_unpoison_memory_region(stack_ + kGuardBytes, kStackBytes);
#endif
  pool().push_back(stack_);
  stack_ = nullptr;
  context_ = nullptr;
}

}  // namespace tandem::sim
