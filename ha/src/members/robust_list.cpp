// SPDX-License-Identifier: BSD-3-Clause
#include "members/robust_list.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <climits>
#include <cstddef>
#include <cstdint>

namespace tandem::ha {
namespace {

constexpr long kFutexOffset = static_cast<long>(offsetof(LifeWord, word)) -
                              static_cast<long>(offsetof(LifeWord, node) + offsetof(LifeWord::Node, next));
#if defined(__GLIBC__) && defined(__LP64__)
// The library writes into the list's neighbours when it links and unlinks its mutexes.
static_assert(kFutexOffset ==
              static_cast<long>(offsetof(pthread_mutex_t, __data.__lock)) -
                  static_cast<long>(offsetof(pthread_mutex_t, __data.__list) + offsetof(__pthread_list_t, __next)));
static_assert(offsetof(LifeWord::Node, next) - offsetof(LifeWord::Node, previous) ==
              offsetof(__pthread_list_t, __next) - offsetof(__pthread_list_t, __prev));
#endif

/// For a thread that has no list, or one in which the words lie elsewhere. The library's has a pointer in front of it, too.
struct OwnList {
  void* before = nullptr;
  struct robust_list_head head {};
};
thread_local OwnList own_list;
thread_local struct robust_list_head* list = nullptr;
// fork(2) gives the child another thread id and an empty list.
thread_local pid_t prepared_process = 0;
thread_local pid_t prepared_thread = 0;

/// Priority-inheriting mutexes are marked in the lowest bit of the pointer that leads to them.
void** previous_of(void* next) {
  return reinterpret_cast<void**>((reinterpret_cast<std::uintptr_t>(next) & ~std::uintptr_t{1}) -
                                  (offsetof(LifeWord::Node, next) - offsetof(LifeWord::Node, previous)));
}

void** next_of(struct robust_list_head& head) { return reinterpret_cast<void**>(&head.list.next); }

}  // namespace

void prepare_robust_list() {
  const pid_t process = getpid();
  if (prepared_process == process) return;
  prepared_process = process;
  prepared_thread = static_cast<pid_t>(syscall(SYS_gettid));
  std::size_t bytes = 0;
  list = nullptr;
  if (syscall(SYS_get_robust_list, 0, &list, &bytes) == 0 && list != nullptr && bytes == sizeof *list &&
      list->futex_offset == kFutexOffset)
    return;
  list = &own_list.head;
  list->list.next = &list->list;
  list->futex_offset = kFutexOffset;
  list->list_op_pending = nullptr;
  syscall(SYS_set_robust_list, list, sizeof *list);
}

std::uint32_t own_life_word() { return static_cast<std::uint32_t>(prepared_thread) | FUTEX_WAITERS; }

void begin_enlisting(LifeWord& life) { list->list_op_pending = reinterpret_cast<struct robust_list*>(&life.node.next); }

void end_enlisting(LifeWord& life, bool taken) {
  if (taken) {
    void* const first = list->list.next;
    life.node.next = first;
    life.node.previous = next_of(*list);
    *previous_of(first) = &life.node.next;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    *next_of(*list) = &life.node.next;
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  list->list_op_pending = nullptr;
}

void wake_word(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void delist(LifeWord& life) {
  if (life.node.previous == nullptr) return;
  *life.node.previous = life.node.next;
  *previous_of(life.node.next) = life.node.previous;
  life.node = {};
}

}  // namespace tandem::ha
