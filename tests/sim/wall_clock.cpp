// SPDX-License-Identifier: BSD-3-Clause
//
// No clock but the loop's plays a part in what a node does: one that asks the system for the time breaks a rule.
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <ctime>

#include "kernel.hpp"

namespace {

void asked(const char* how) {
  using tandem::sim::the_kernel;
  if (the_kernel != nullptr && the_kernel->current != nullptr)
    the_kernel->director().violation("no other clock", std::string("a process asks ") + how + " for the time");
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  asked("clock_gettime");
  return static_cast<int>(syscall(SYS_clock_gettime, clock, time));
}

time_t time(time_t* where) noexcept {
  asked("time");
  timespec now{};
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  if (where != nullptr) *where = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(timeval* time, void*) noexcept {
  asked("gettimeofday");
  timespec now{};
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  *time = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

}  // extern "C"
