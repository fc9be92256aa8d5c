// SPDX-License-Identifier: BSD-3-Clause
#include "checks/call_order.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "kernel.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

std::string text_of(const std::vector<CallOrder::Call>& calls, std::size_t at) {
  static constexpr std::array<const char*, 4> kTold = {"?", "connected", "eof", "closed"};
  if (at >= calls.size()) return "nothing more";
  const CallOrder::Call& call = calls[at];
  const std::string value = std::to_string(call.value);
  std::string words;
  switch (call.what) {
    case Shown::told:
      words = kTold[call.value < kTold.size() ? call.value : 0];
      break;
    case Shown::ended:
      words = "closed and gone";
      break;
    case Shown::reset:
      words = "reset";
      break;
    case Shown::consumed:
      words = "consumed " + value;
      break;
    case Shown::written:
      words = "written " + value;
      break;
    case Shown::note:
      words = "note of " + value;
      break;
    case Shown::application_note:
      return "the application's note of " + value;
    case Shown::transaction:
      return "the end";
  }
  return "connection " + std::to_string(call.connection) + " " + words;
}

}  // namespace

void CallOrder::shown(std::int32_t pid, bool is_twin, const Call& call) {
  if (member_ == 0 || (call.connection == 0 && call.what < Shown::application_note)) return;
  if (!is_twin) {
    ours_.push_back(call);
    return;
  }
  if (pid != member_) return;
  if (call.what != Shown::transaction) {
    theirs_.push_back(call);
    return;
  }
  const std::vector<Call> heard = std::exchange(theirs_, {});
  if (call.value <= from_) return;
  const auto at = published_.find(call.value);
  compare(at == published_.end() ? std::vector<Call>{} : at->second, heard, call.value);
  published_.erase(published_.begin(), published_.upper_bound(call.value));
}

void CallOrder::published(const ha::SharedGroup& group) {
  if (member_ == 0 || ours_.empty()) return;
  const HeapScope heap;
  published_[group.published.load()] = std::exchange(ours_, {});
}

void CallOrder::joined(const ha::SharedGroup& group) {
  forget();
  const auto reader = std::find_if(group.readers.begin(), group.readers.end(), [](const ha::ReaderSlot& slot) {
    return slot.state.load() == ha::ReaderState::member;
  });
  if (reader == group.readers.end()) return;
  member_ = static_cast<std::int32_t>(reader->identity.load());
  from_ = group.published.load();
}

void CallOrder::forget() {
  member_ = 0;
  ours_.clear();
  theirs_.clear();
  published_.clear();
}

void CallOrder::compare(const std::vector<Call>& primary, const std::vector<Call>& twin, std::uint64_t position) {
  const auto [ours, theirs] = std::mismatch(primary.begin(), primary.end(), twin.begin(), twin.end());
  if (ours == primary.end() && theirs == twin.end()) return;
  const auto at = static_cast<std::size_t>(ours - primary.begin());
  world_.violation("the order of calls (I3)", "in the transaction before log position " + std::to_string(position) +
                                                  ", call " + std::to_string(at + 1) + ": the primary's " +
                                                  text_of(primary, at) + ", the twin's " + text_of(twin, at));
}

}  // namespace tandem::sim

namespace tandem {

void shown(Shown what, std::uint64_t connection, std::uint64_t value) {
  // The peer's handlers are called by nobody's process.
  if (sim::the_kernel == nullptr || sim::the_kernel->current == nullptr) return;
  sim::the_kernel->director().on_shown(*sim::the_kernel->current, what, connection, value);
}

}  // namespace tandem
