// SPDX-License-Identifier: BSD-3-Clause
//
// A small operating system: processes, descriptors, shared memory, Unix sockets, robust futexes, a clock, and one processor. The
// nodes' own code runs on it unchanged; system.cpp and its neighbours are its system calls.
//
//   events (time, order) --> run_until: the earliest one, again and again
//        |                        |
//        |  frame arrives         |  a process wakes: its fiber runs until it waits, is stopped at a step, or dies
//        v                        v
//       Nic                    Process
//
// Nothing here is allocated in a process's arena; what belongs to a process and dies with it lies there.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arena.hpp"
#include "fiber.hpp"
#include "members/shared_group.hpp"
#include "prng.hpp"
#include "steps.hpp"
#include "tandem/address.hpp"
#include "tandem/shown.hpp"

namespace tandem {
class Stack;
}

namespace tandem::sim {

class Kernel;
class Nic;
struct Process;

/// Processes that are none of the group's: one of the same user, one of another.
inline constexpr std::int32_t kStranger = 0x7fff'0001;
inline constexpr std::int32_t kForeigner = 0x7fff'0002;

/// What a descriptor refers to. Counted by descriptors, packets on their way and mappings.
struct Object {
  enum class Kind : std::uint8_t { memory, lock, listener, socket, signals, process, nic, holder };
  explicit Object(Kind what) : kind(what) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Kind kind;
  std::uint32_t references = 0;
  std::uint64_t events = 0;  ///< grows with everything that a poll would report
};

template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) {
    if (object_ != nullptr) ++object_->references;
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr && --object_->references == 0) {
      const HeapScope heap;
      delete object_;
    }
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

struct Memory final : Object {
  Memory(std::string_view name, std::size_t bytes, bool mirrored);
  ~Memory() override;
  std::string name;
  std::size_t bytes;
  std::uint8_t* data = nullptr;  ///< mapped twice in a row
};

/// The open file description that holds the group's lock.
struct Lock final : Object {
  explicit Lock(Kernel& owner) : Object(Kind::lock), kernel(owner) {}
  ~Lock() override;
  Kernel& kernel;
};

struct Socket final : Object {
  Socket(Kernel& owner, std::int32_t maker) : Object(Kind::socket), kernel(owner), peer_pid(maker) {}
  ~Socket() override;
  struct Packet {
    std::vector<std::uint8_t> bytes;
    std::vector<Ref<Object>> objects;
  };
  Kernel& kernel;
  std::int32_t peer_pid;   ///< of the process at the other end
  Socket* peer = nullptr;  ///< null once the other end is closed
  std::vector<Packet> received;
  bool shut = false;
};

struct Listener final : Object {
  Listener(Kernel& owner, Listener** bound_at) : Object(Kind::listener), kernel(owner), place(bound_at) {}
  ~Listener() override;
  Kernel& kernel;
  Listener** place;  ///< the path; another listener may have taken it since
  std::vector<Ref<Socket>> waiting;
};

struct Signals final : Object {
  Signals() : Object(Kind::signals) {}
  std::uint32_t pending = 0;
};

/// The socket on which somebody says that he may hold what belongs to the group.
struct Holder final : Object {
  Holder(Kernel& owner, std::int32_t number);
  ~Holder() override;
  Kernel& kernel;
  std::int32_t pid;
};

struct ProcessRef final : Object {
  explicit ProcessRef(std::int32_t number) : Object(Kind::process), pid(number) {}
  std::int32_t pid;
};

struct NicRef final : Object {
  explicit NicRef(Nic& which) : Object(Kind::nic), nic(which) {}
  Nic& nic;
};

/// What a waiting process waits for; its loop knows.
class Waiter {
 public:
  virtual ~Waiter() = default;
  /// Called by the kernel when something has happened: whether the process is to be woken.
  [[nodiscard]] virtual bool is_ready() const = 0;
};

struct Process {
  enum class State : std::uint8_t { runnable, running, waiting, dead, ended };
  std::int32_t pid = 0;
  std::int32_t number = 0;          ///< as the process sees itself; others may have the same in other pid namespaces
  std::uint32_t pid_namespace = 0;  ///< 0: the one that all others were made from
  State state = State::runnable;
  bool paused = false;       ///< as by SIGSTOP
  bool hung = false;         ///< paused, as far as the world goes: it runs in circles for good
  bool fenced = false;       ///< by its twin
  bool descheduled = false;  ///< ready to run and not run
  bool wake_missed = false;  ///< while it was paused
  Arena* arena = nullptr;
  Fiber fiber;
  std::function<int()> body;
  int exit_code = -1;
  std::vector<Ref<Object>> descriptors;
  struct Mapped {
    const void* at;
    Ref<Memory> memory;
  };
  std::vector<Mapped> mapped;
  Ref<Signals> signals;
  Waiter* waiter = nullptr;
  std::uint64_t wake_generation = 0;
  bool wake_scheduled = false;
  std::uint64_t wake_at_ns = 0;
  void* stack_scope = nullptr;
  /// Its robust list, the newest entry last.
  struct Claim {
    ha::LifeWord* life;
    Ref<Memory> memory;
  };
  std::vector<Claim> claims;
  bool gone = false;                    ///< what it had open is closed
  ha::OwnerSlot* crash_slot = nullptr;  ///< what a crash of its own is declared in
  std::uint64_t held_up_ns = 0;         ///< when it was last kept from running
  std::uint64_t steps = 0;
  std::uint64_t stop_at_step = UINT64_MAX;
  std::uint64_t preempt_at_step = UINT64_MAX;
  Step last_step = 0;
  std::uint64_t turn_began_ns = 0;
  std::uint64_t turn_cost_ns = 0;  ///< processor time since
  std::uint64_t slow_ns = 0;       ///< what a step costs it beyond the usual

  [[nodiscard]] Object* object(int fd) const {
    const auto place = static_cast<std::size_t>(fd) - 3;
    return fd >= 3 && place < descriptors.size() ? descriptors[place].get() : nullptr;
  }
};

/// Decides what becomes of a process at a step (World), and is told what happens.
class Director {
 public:
  virtual ~Director() = default;
  /// The process has come to the step that stop_at_step named. May kill, pause or delay it, and sets the next one.
  virtual void at_stop(Process& process, Step step) = 0;
  /// The process has come to the step that preempt_at_step named. Sets the next one.
  virtual void at_preemption(Process& process) = 0;
  /// At every step, before at_stop. For checks that belong to a place.
  virtual void at_step(Process& process, Step step) = 0;
  virtual void on_log_line(Process& process, std::string_view role, std::string_view text) = 0;
  virtual void on_end(Process& process) = 0;
  /// Another process is about to kill it.
  virtual void on_fence(Process& by, Process& process) = 0;
  /// The kernel has marked the word of an owner that is gone.
  virtual void on_owner_marked(const ha::LifeWord& life) = 0;
  /// The process is about to die.
  virtual void on_death(Process& process) = 0;
  /// The process is about to read this frame.
  virtual void on_frame(Process& process, Bytes frame) = 0;
  /// The process is going to drive the wire from now on.
  virtual void on_speaker(Process& process, bool adopts) = 0;
  virtual void violation(std::string_view rule, std::string text) = 0;
  /// A handler of the process was called, or did something that its twin's is called for (tandem/shown.hpp).
  virtual void on_shown(Process& process, Shown what, std::uint64_t connection, std::uint64_t value) = 0;
};

class Kernel {
 public:
  Kernel(Director& director, std::uint64_t seed);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // ---- Time and events ----
  std::uint64_t now_ns = 0;
  std::uint64_t killed = 0;  ///< processes that did not end by themselves
  using Action = std::function<void()>;
  /// Events of the same time happen in the order of their making. An action outlives the process that asks for it, so it is
  /// made in the program's own heap.
  template <class F>
  void at(std::uint64_t time_ns, F&& action) {
    const HeapScope heap;
    add_event(time_ns, Action(std::forward<F>(action)));
  }
  template <class F>
  void after(std::uint64_t delay_ns, F&& action) {
    at(now_ns + delay_ns, std::forward<F>(action));
  }
  /// Runs the earliest event; false when there is none before `until_ns` (then it is that time).
  bool run_next(std::uint64_t until_ns);
  [[nodiscard]] std::size_t pending_events() const { return events_.size(); }

  // ---- Processes ----
  Process& spawn(std::function<int()> body);
  [[nodiscard]] Process* find(std::int32_t pid);
  [[nodiscard]] const std::vector<std::unique_ptr<Process>>& processes() const { return processes_; }
  Process* current = nullptr;
  /// The current one does not come back from its own death.
  void kill(Process& process);
  void pause(Process& process);
  void resume(Process& process);
  void terminate(Process& process);  ///< SIGTERM
  /// The current process waits until `until_ns`, or until its waiter is ready.
  void wait(std::uint64_t until_ns, Waiter* waiter);
  /// The current process goes on, but not before others had the processor for `delay_ns`.
  void yield(std::uint64_t delay_ns);
  void passed(Step step) {
    Process* const process = current;
    if (process == nullptr) return;
    now_ns += process->slow_ns;
    charge(cost_of(step));
    process->last_step = step;
    ++process->steps;
    director_.at_step(*process, step);
    if (process->steps >= process->preempt_at_step) director_.at_preemption(*process);
    if (process->steps >= process->stop_at_step) director_.at_stop(*process, step);
  }
  /// Something has changed that somebody may wait for.
  void notify();

  // ---- Futexes: a wake-up reaches so many of those that wait, and a store nobody ----
  std::uint64_t await_word(const void* word, bool changed_already);
  [[nodiscard]] bool is_woken(std::uint64_t wait) const;
  void forget_wait(std::uint64_t wait);
  void wake(const void* word, std::size_t most);

  // ---- Robust lists ----
  void enlist(Process& process, ha::LifeWord& life);
  static void delist(Process& process, ha::LifeWord& life);
  /// Whether a signal of one reaches the other: into its own namespace and into those made from it.
  [[nodiscard]] static bool may_signal(const Process& from, const Process& to) {
    return from.pid_namespace == to.pid_namespace || from.pid_namespace == 0;
  }
  std::uint32_t pid_namespaces = 0;  ///< of Setup

  // ---- Descriptors of the current process ----
  int install(Ref<Object> object);
  void close(int fd);
  [[nodiscard]] Ref<Object> object(int fd) const;
  template <class T>
  [[nodiscard]] T* as(int fd, Object::Kind kind) const {
    Object* const found = current != nullptr ? current->object(fd) : nullptr;
    return found != nullptr && found->kind == kind ? static_cast<T*>(found) : nullptr;
  }

  // ---- The group's place in the file system ----
  Lock* group_lock = nullptr;
  Listener* attach_listener = nullptr;
  Listener* control_listener = nullptr;
  std::vector<Holder*> holders;
  Ref<Socket> connect(Listener* listener, std::int32_t pid);

  // ---- Ownership ----
  /// The process whose rings they are. Only it may touch them (invariant I5).
  Process* speaker = nullptr;

  Prng scheduling;
  Prng random_bytes;
  bool sequence_numbers_wrap = false;  ///< initial ones lie just below
  Director& director() { return director_; }
  Nic* nic = nullptr;
  /// Bounds of what a simulated system call or a wake-up takes.
  std::uint64_t wake_latency_ns = 20'000;

  /// Processor time of the current process.
  void charge(std::uint64_t cost_ns) {
    now_ns += cost_ns;
    current->turn_cost_ns += cost_ns;
  }
  /// What the work costs that lies before a step: a frame, a record, a call of a handler.
  static std::uint64_t cost_of(Step step);
  std::uint64_t route_cost_ns = 200;  ///< of Work::route

  // ---- Trace ----
  bool tracing = false;
  std::string trace_text;
  void trace(const char* format, ...) __attribute__((format(printf, 2, 3)));

 private:
  struct Event {
    std::uint64_t time_ns;
    std::uint64_t order;
    std::uint32_t action;
  };
  void add_event(std::uint64_t time_ns, Action action);
  void bury(Process& process);
  void close_all(Process& process);
  void mark_claims(Process& process);
  void run(Process& process);
  void schedule_wake(Process& process, std::uint64_t time_ns);
  static void entry(void* process);

  Director& director_;
  std::vector<Event> events_;
  std::vector<Action> actions_;
  std::vector<std::uint32_t> free_actions_;
  std::uint64_t next_order_ = 0;
  std::int32_t next_pid_ = 100;
  std::vector<std::unique_ptr<Process>> processes_;
  struct WordWait {
    std::uint64_t id;
    const void* word;
    Process* process;
    bool woken;
  };
  std::vector<WordWait> word_waits_;
  std::uint64_t next_wait_ = 1;
};

/// The kernel of the run that is under way; there is one at a time.
extern Kernel* the_kernel;

/// Memory files that no run uses; given out again zeroed where they were used.
std::size_t memory_in_use();
/// In a child of the program, which must not write into its parent's.
void forget_memory();

}  // namespace tandem::sim
