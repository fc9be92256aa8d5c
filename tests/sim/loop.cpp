// SPDX-License-Identifier: BSD-3-Clause
//
// The event loop over the simulated kernel. A watch reports each event of its object once, as a multishot poll does, and what is
// there already when it is made.
#include "tandem/loop.hpp"

#include <poll.h>
#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "kernel.hpp"
#include "nic.hpp"

namespace tandem {

using sim::Object;
using sim::the_kernel;

namespace {

/// What poll(2) would say of the object now.
short events_of(const Object& object) {
  switch (object.kind) {
    case Object::Kind::listener:
      return static_cast<const sim::Listener&>(object).waiting.empty() ? 0 : POLLIN;
    case Object::Kind::socket: {
      const auto& socket = static_cast<const sim::Socket&>(object);
      return static_cast<short>((socket.received.empty() ? 0 : POLLIN) |
                                (socket.peer == nullptr ? POLLIN | POLLRDHUP | POLLHUP : POLLOUT));
    }
    case Object::Kind::signals:
      return static_cast<const sim::Signals&>(object).pending != 0 ? POLLIN : 0;
    case Object::Kind::nic:
      return static_cast<const sim::NicRef&>(object).nic.has_received() ? POLLIN : 0;
    default:
      return 0;
  }
}

/// What a turn costs before anybody else has the processor.
constexpr std::uint64_t kTurnCost_ns = 1'500;
constexpr std::uint64_t kSpin_ns = 4'000;

}  // namespace

std::uint64_t monotonic_ns() {
  the_kernel->now_ns += 40;
  return the_kernel->now_ns;
}

struct Loop::Impl final : sim::Waiter {
  enum class Kind : std::uint8_t { watch, wake, futex };
  struct Watch {
    WatchId id = 0;
    Kind kind = Kind::watch;
    int fd = -1;
    const Object* object = nullptr;
    short events = 0;
    std::uint64_t seen = UINT64_MAX;
    std::uint64_t wait = 0;  ///< the kernel's, for the word
    std::function<void(short)> on_ready;
    std::function<void()> on_futex;

    [[nodiscard]] bool is_due(const sim::Process& process) const {
      // A descriptor that was closed reports nothing.
      if (kind != Kind::futex && process.object(fd) != object) return false;
      switch (kind) {
        case Kind::watch:
          return object->events != seen && (events_of(*object) & (events | POLLHUP | POLLERR)) != 0;
        case Kind::wake:
          return (events_of(*object) & events) != 0;
        case Kind::futex:
          return the_kernel->is_woken(wait);
      }
      return false;
    }
  };

  explicit Impl(LoopOptions loop_options) : options(loop_options), process(*the_kernel->current) {}

  [[nodiscard]] bool is_ready() const override {
    for (const Watch& watch : watches) {
      if (watch.is_due(process)) return true;
    }
    return false;
  }

  bool dispatch() {
    bool ran = false;
    // Callbacks may add and remove watches.
    std::vector<WatchId> due;
    for (Watch& watch : watches) {
      if (watch.kind != Kind::wake && watch.is_due(process)) due.push_back(watch.id);
    }
    for (const WatchId id : due) {
      const auto at = std::find_if(watches.begin(), watches.end(), [id](const Watch& w) { return w.id == id; });
      if (at == watches.end()) continue;
      if (at->kind == Kind::futex) {
        const auto callback = std::move(at->on_futex);
        the_kernel->forget_wait(at->wait);
        watches.erase(at);
        callback();
      } else {
        at->seen = at->object->events;
        const short events = events_of(*at->object);
        const auto callback = at->on_ready;
        callback(events);
      }
      ran = true;
    }
    return ran;
  }

  WatchId add(Watch watch) {
    watch.id = ++last_id;
    watches.push_back(std::move(watch));
    return last_id;
  }

  LoopOptions options;
  const sim::Process& process;
  std::vector<Watch> watches;
  std::function<bool()> condition;
  WatchId last_id = 0;
};

Loop::Loop(LoopOptions options) : impl_(std::make_unique<Impl>(options)) {}
Loop::~Loop() {
  if (!impl_) return;
  for (const Impl::Watch& watch : impl_->watches) {
    if (watch.kind == Impl::Kind::futex) the_kernel->forget_wait(watch.wait);
  }
}

namespace {

const Object* watched(int fd) {
  const Object* const object = the_kernel->object(fd).get();
  if (object == nullptr) {
    the_kernel->director().violation("descriptor", "a descriptor that is not open is watched");
    std::abort();
  }
  return object;
}

}  // namespace

Loop::WatchId Loop::watch(int fd, short events, std::function<void(short)> callback) {
  Impl::Watch watch;
  watch.fd = fd;
  watch.object = watched(fd);
  watch.events = events;
  watch.on_ready = std::move(callback);
  return impl_->add(std::move(watch));
}

Loop::WatchId Loop::wake_on(int fd, short events) {
  Impl::Watch watch;
  watch.kind = Impl::Kind::wake;
  watch.fd = fd;
  watch.object = watched(fd);
  watch.events = events;
  return impl_->add(std::move(watch));
}

Loop::WatchId Loop::futex_wait(const std::uint32_t* word, std::uint32_t expected, std::function<void()> callback) {
  Impl::Watch watch;
  watch.kind = Impl::Kind::futex;
  const bool changed = std::atomic_ref<std::uint32_t>(*const_cast<std::uint32_t*>(word)).load() != expected;
  watch.wait = the_kernel->await_word(word, changed);
  watch.on_futex = std::move(callback);
  return impl_->add(std::move(watch));
}

bool Loop::futex_waits_in_thread() const { return false; }

void Loop::unwatch(WatchId id) {
  for (const Impl::Watch& watch : impl_->watches) {
    if (watch.id == id && watch.kind == Impl::Kind::futex) the_kernel->forget_wait(watch.wait);
  }
  std::erase_if(impl_->watches, [id](const Impl::Watch& watch) { return watch.id == id; });
}

void Loop::set_options(LoopOptions options) { impl_->options = options; }
void Loop::set_spin_condition(std::function<bool()> condition) { impl_->condition = std::move(condition); }

bool Loop::run_once(std::uint64_t deadline_ns) {
  Impl& loop = *impl_;
  if (loop.options.spin_always) {
    // It never sleeps; how often it looks is a matter of the simulation's own speed.
    do {
      the_kernel->yield(kSpin_ns);
      if (loop.dispatch() || (loop.condition && loop.condition())) return true;
    } while (the_kernel->now_ns < deadline_ns);
    return false;
  }
  if (loop.dispatch() || (loop.condition && loop.condition()) || the_kernel->now_ns >= deadline_ns) {
    the_kernel->yield(kTurnCost_ns);
  } else {
    the_kernel->wait(deadline_ns, &loop);
  }
  return loop.dispatch() || (loop.condition && loop.condition());
}

}  // namespace tandem
