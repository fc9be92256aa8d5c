// SPDX-License-Identifier: BSD-3-Clause
#include "kernel.hpp"

#include <linux/futex.h>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "stack_scope.hpp"
#include "tandem/work.hpp"

namespace tandem::sim {

Kernel* the_kernel = nullptr;

namespace {

constexpr auto later = [](const auto& a, const auto& b) {
  return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : a.order > b.order;
};

}  // namespace

std::uint64_t Kernel::cost_of(Step step) {
  static const auto costs = [] {
    constexpr std::uint32_t kStepCost_ns = 20;
    std::array<std::uint32_t, kSteps> table{};
    table.fill(kStepCost_ns);
    table[step_of("turn.input")] = 500;
    table[step_of("log.record")] = 80;
    table[step_of("replica.record")] = 150;
    table[step_of("handler.served")] = 200;
    return table;
  }();
  return costs[step];
}

Kernel::Kernel(Director& director, std::uint64_t seed)
    : scheduling(seed, 1), random_bytes(seed, 2), director_(director) {
  the_kernel = this;
  events_.reserve(256);
}

Kernel::~Kernel() {
  events_.clear();
  actions_.clear();
  for (const auto& process : processes_) {
    if (process->state != Process::State::dead && process->state != Process::State::ended) bury(*process);
    close_all(*process);
  }
  the_kernel = nullptr;
}

void Kernel::add_event(std::uint64_t time_ns, Action action) {
  std::uint32_t place = 0;
  if (free_actions_.empty()) {
    place = static_cast<std::uint32_t>(actions_.size());
    actions_.push_back(std::move(action));
  } else {
    place = free_actions_.back();
    free_actions_.pop_back();
    actions_[place] = std::move(action);
  }
  events_.push_back({std::max(time_ns, now_ns), next_order_++, place});
  std::push_heap(events_.begin(), events_.end(), later);
}

bool Kernel::run_next(std::uint64_t until_ns) {
  if (events_.empty() || events_.front().time_ns > until_ns) {
    now_ns = std::max(now_ns, until_ns);
    return false;
  }
  std::pop_heap(events_.begin(), events_.end(), later);
  const Event event = events_.back();
  events_.pop_back();
  // One processor: what was due while a process was at work comes late.
  now_ns = std::max(now_ns, event.time_ns);
  const Action action = std::move(actions_[event.action]);
  actions_[event.action] = nullptr;
  free_actions_.push_back(event.action);
  action();
  return true;
}

Process& Kernel::spawn(std::function<int()> body) {
  const HeapScope heap;
  Process& process = *processes_.emplace_back(std::make_unique<Process>());
  process.pid = next_pid_++;
  // 1: each in a namespace of its own beside the others. 2: every second one in one that was made from the first's.
  const bool apart = pid_namespaces == 1 || (pid_namespaces == 2 && process.pid % 2 != 0);
  process.pid_namespace = apart ? static_cast<std::uint32_t>(process.pid) : 0;
  process.number = apart ? 1 : process.pid;
  process.body = std::move(body);
  process.arena = Arena::take();
  process.fiber.start(&Kernel::entry, &process);
  schedule_wake(process, now_ns);
  trace("process %d starts", process.pid);
  return process;
}

Process* Kernel::find(std::int32_t pid) {
  for (const auto& process : processes_) {
    if (process->pid == pid) return process.get();
  }
  return nullptr;
}

void Kernel::entry(void* argument) {
  auto& process = *static_cast<Process*>(argument);
  process.exit_code = process.body();
  process.state = Process::State::ended;
  process.fiber.leave();
}

void Kernel::run(Process& process) {
  process.state = Process::State::running;
  current = &process;
  current_arena = process.arena;
  StackScope::resume(static_cast<Stack::Impl*>(process.stack_scope));
  process.fiber.resume();
  process.stack_scope = StackScope::suspend();
  current = nullptr;
  current_arena = nullptr;
  if (process.state == Process::State::ended) {
    trace("process %d ends with code %d", process.pid, process.exit_code);
    director_.on_end(process);
    bury(process);
  } else if (process.state == Process::State::dead) {
    bury(process);
  }
}

void Kernel::bury(Process& process) {
  if (process.state != Process::State::ended) {
    process.state = Process::State::dead;
    ++killed;
  }
  process.waiter = nullptr;
  ++process.wake_generation;
  process.fiber.drop();
  if (process.arena->holds(StackScope::resident())) StackScope::forget_resident();
  process.arena->give_back();
  process.arena = nullptr;
  // As the kernel does it: the word first, then the memory and the descriptors, some time later.
  const std::uint64_t word_after = scheduling.between(1'000, 300'000);
  std::uint64_t gap = scheduling.skewed(3'000'000);
  // Much memory takes long; only the word says in time that the process has gone.
  if (gap % 4 == 0) gap += 2'000'000;
  const std::uint64_t close_after = word_after + gap;
  std::erase_if(word_waits_, [&process](const WordWait& wait) { return wait.process == &process; });
  after(word_after, [this, &process] { mark_claims(process); });
  after(close_after, [this, &process] { close_all(process); });
}

void Kernel::mark_claims(Process& process) {
  const HeapScope heap;
  const std::vector<Process::Claim> claims = std::move(process.claims);
  process.claims.clear();
  for (auto claim = claims.rbegin(); claim != claims.rend(); ++claim) {
    std::atomic<std::uint32_t>& word = claim->life->word;
    // The kernel knows the thread by the number that the thread itself has.
    if ((word.load() & FUTEX_TID_MASK) != static_cast<std::uint32_t>(process.number)) continue;
    word.store((word.load() & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
    trace("a word of process %d says that its owner died", process.pid);
    wake(&word, 1);
    director_.on_owner_marked(*claim->life);
  }
  notify();
}

void Kernel::enlist(Process& process, ha::LifeWord& life) {
  const HeapScope heap;
  for (const Process::Mapped& item : process.mapped) {
    if (item.memory->name == "tandem-group") process.claims.push_back({&life, item.memory});
  }
}

void Kernel::delist(Process& process, ha::LifeWord& life) {
  const HeapScope heap;
  std::erase_if(process.claims, [&life](const Process::Claim& claim) { return claim.life == &life; });
}

std::uint64_t Kernel::await_word(const void* word, bool changed_already) {
  const HeapScope heap;
  word_waits_.push_back({next_wait_++, word, current, changed_already});
  return word_waits_.back().id;
}

bool Kernel::is_woken(std::uint64_t wait) const {
  return std::any_of(word_waits_.begin(), word_waits_.end(),
                     [wait](const WordWait& item) { return item.id == wait && item.woken; });
}

void Kernel::forget_wait(std::uint64_t wait) {
  const HeapScope heap;
  std::erase_if(word_waits_, [wait](const WordWait& item) { return item.id == wait; });
}

void Kernel::wake(const void* word, std::size_t most) {
  for (WordWait& wait : word_waits_) {
    if (most == 0) return;
    if (wait.word != word || wait.woken) continue;
    wait.woken = true;
    --most;
  }
}

void Kernel::close_all(Process& process) {
  mark_claims(process);
  process.gone = true;
  trace("what process %d had open is closed", process.pid);
  for (auto& descriptor : process.descriptors) descriptor = {};
  process.descriptors.clear();
  process.mapped.clear();
  process.signals = {};
  notify();
}

void Kernel::kill(Process& process) {
  if (process.state == Process::State::dead || process.state == Process::State::ended) return;
  trace("process %d is killed (last step: %s)", process.pid, std::string(name_of(process.last_step)).c_str());
  {
    const HeapScope heap;
    director_.on_death(process);
  }
  process.state = Process::State::dead;
  if (speaker == &process) speaker = nullptr;
  if (current == &process) {
    process.fiber.leave();  // for the last time
    std::abort();
  }
  const HeapScope heap;
  bury(process);
}

void Kernel::pause(Process& process) {
  if (process.paused) return;
  process.paused = true;
  process.held_up_ns = now_ns;
  trace("process %d is paused", process.pid);
  if (current == &process) {
    process.state = Process::State::runnable;
    process.wake_missed = true;
    process.fiber.leave();
  }
}

void Kernel::resume(Process& process) {
  if (!process.paused || process.hung) return;
  process.paused = false;
  process.held_up_ns = now_ns;
  trace("process %d goes on", process.pid);
  if (process.state == Process::State::dead || process.state == Process::State::ended) return;
  if (process.wake_missed || (process.waiter != nullptr && process.waiter->is_ready())) {
    process.wake_missed = false;
    schedule_wake(process, now_ns);
  }
}

void Kernel::terminate(Process& process) {
  if (!process.signals || process.state == Process::State::dead || process.state == Process::State::ended) return;
  trace("process %d gets SIGTERM", process.pid);
  ++process.signals->pending;
  ++process.signals->events;
  notify();
}

void Kernel::schedule_wake(Process& process, std::uint64_t time_ns) {
  ++process.wake_generation;
  process.wake_scheduled = true;
  process.wake_at_ns = time_ns;
  at(time_ns, [this, &process, generation = process.wake_generation] {
    if (generation != process.wake_generation) return;
    process.wake_scheduled = false;
    process.descheduled = false;
    if (process.paused) {
      process.wake_missed = true;
      return;
    }
    process.waiter = nullptr;
    run(process);
  });
}

void Kernel::wait(std::uint64_t until_ns, Waiter* waiter) {
  Process& process = *current;
  process.state = Process::State::waiting;
  process.waiter = waiter;
  if (waiter != nullptr && waiter->is_ready()) until_ns = now_ns;
  // Timers are late, never early.
  const std::uint64_t due = until_ns > UINT64_MAX / 2 ? until_ns : until_ns + scheduling.skewed(wake_latency_ns);
  schedule_wake(process, std::max(due, now_ns + 500));
  process.fiber.leave();
}

void Kernel::yield(std::uint64_t delay_ns) {
  Process& process = *current;
  process.state = Process::State::runnable;
  process.waiter = nullptr;
  process.descheduled = true;
  schedule_wake(process, now_ns + delay_ns);
  process.fiber.leave();
}

void Kernel::notify() {
  for (const auto& process : processes_) {
    if (process->state != Process::State::waiting || process->waiter == nullptr || !process->waiter->is_ready())
      continue;
    const std::uint64_t soon = now_ns + 500 + scheduling.skewed(wake_latency_ns);
    if (process->wake_scheduled && process->wake_at_ns <= soon) continue;
    schedule_wake(*process, soon);
  }
}

int Kernel::install(Ref<Object> object) {
  const HeapScope heap;
  auto& table = current->descriptors;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i]) continue;
    table[i] = std::move(object);
    return static_cast<int>(i) + 3;
  }
  table.push_back(std::move(object));
  return static_cast<int>(table.size()) + 2;
}

void Kernel::close(int fd) {
  if (current == nullptr) return;
  const HeapScope heap;
  auto& table = current->descriptors;
  const auto place = static_cast<std::size_t>(fd) - 3;
  if (fd < 3 || place >= table.size() || !table[place]) {
    director_.violation("descriptor", "process " + std::to_string(current->pid) + " closes descriptor " +
                                          std::to_string(fd) + ", which is not open");
    return;
  }
  table[place] = {};
}

Ref<Object> Kernel::object(int fd) const { return Ref<Object>(current != nullptr ? current->object(fd) : nullptr); }

Ref<Socket> Kernel::connect(Listener* listener, std::int32_t pid) {
  constexpr std::size_t kBacklog = 16;
  if (listener == nullptr || listener->waiting.size() > kBacklog) return {};
  const HeapScope heap;
  Ref<Socket> ours(new Socket(*this, 0));
  Ref<Socket> theirs(new Socket(*this, pid));
  ours->peer = theirs.get();
  theirs->peer = ours.get();
  listener->waiting.push_back(std::move(theirs));
  ++listener->events;
  trace("process %d connects", pid);
  notify();
  return ours;
}

void Kernel::trace(const char* format, ...) {
  if (!tracing) return;
  const HeapScope heap;
  char text[512];
  int length = std::snprintf(text, sizeof text, "%12.6f ms  ", static_cast<double>(now_ns) / 1e6);
  va_list arguments;
  va_start(arguments, format);
  length += std::vsnprintf(text + length, sizeof text - static_cast<std::size_t>(length), format, arguments);
  va_end(arguments);
  trace_text.append(text, std::min<std::size_t>(static_cast<std::size_t>(length), sizeof text - 1));
  trace_text += '\n';
}

Lock::~Lock() {
  kernel.trace("the group's lock is free");
  kernel.group_lock = nullptr;
}

Holder::Holder(Kernel& owner, std::int32_t number) : Object(Kind::holder), kernel(owner), pid(number) {
  kernel.holders.push_back(this);
}

Holder::~Holder() { std::erase(kernel.holders, this); }

Socket::~Socket() {
  if (peer == nullptr) return;
  peer->peer = nullptr;
  ++peer->events;
  kernel.notify();
}

Listener::~Listener() {
  if (*place == this) *place = nullptr;
}

}  // namespace tandem::sim

namespace tandem {

void work(Work kind) {
  // The peer's speaker has code of its own.
  if (sim::the_kernel == nullptr || sim::the_kernel->current == nullptr) return;
  constexpr std::uint64_t kRoutesASet = 4;
  sim::the_kernel->charge(sim::the_kernel->route_cost_ns * (kind == Work::attributes ? kRoutesASet : 1));
}

}  // namespace tandem
