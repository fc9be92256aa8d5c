// SPDX-License-Identifier: BSD-3-Clause
//
// Captures that operators begin and end while a node runs. The file is opened by whoever asks and passed over the control socket:
// so it is theirs, in their own directory and with their own rights, and this process neither waits for opening it nor needs to see
// it. A capture is its process's; who takes over says that there was one.
#include <nlohmann/json.hpp>
#include <utility>

#include "node/group.hpp"

namespace tandem::ha {

using nlohmann::json;

namespace {

/// How long the answer to `capture stop` is held back for the file to be complete.
constexpr std::uint64_t kFinishWithin_ns = 500'000'000;
/// Of a file's name, which is only to be shown.
constexpr std::size_t kMostNameBytes = 256;

std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

nlohmann::json Operators::capture_json() const {
  if (!capture_) return nullptr;
  return {{"file", capture_name_}, {"packets", capture_->packets()}, {"not_captured", capture_->not_captured()}};
}

ControlServer::Reply Operators::capture_reply(const std::string& command) {
  constexpr std::string_view kStart = "capture start ";
  if (command == "capture") return {text_of({{"capture", capture_json()}}), {}};
  if (command == "capture stop") return stop_capture();
  if (!command.starts_with(kStart) || command.size() == kStart.size())
    return {error_answer("it is `capture start FILE`, `capture stop` or `capture`", exit_code::kUsage), {}};
  Descriptor file = control_->take_descriptor();
  if (!file.valid())
    return {error_answer("no open file came with the request; let tandemctl ask, which opens it", exit_code::kUsage),
            {}};
  if (capture_)
    return {
        error_answer("packets are being captured to " + capture_name_ + " already; `tandemctl capture stop` ends that",
                     exit_code::kBusy),
        {}};
  try {
    capture_ = std::make_unique<RunningCapture>(*group_.device, file.get(), group_.options.device.spec.interface);
  } catch (const DeviceError& error) {
    return {error_answer(error.what(), exit_code::kSystem), {}};
  }
  capture_name_ = command.substr(kStart.size(), kMostNameBytes);
  if (group_.shared != nullptr) group_.shared->capturing.store(1);
  group_.log("capturing to " + capture_name_);
  return {text_of({{"capture", capture_json()}}), {}};
}

ControlServer::Reply Operators::stop_capture() {
  if (!capture_)
    return {error_answer("nothing is being captured; `tandemctl capture start FILE` begins it", exit_code::kFailure),
            {}};
  if (group_.shared != nullptr) group_.shared->capturing.store(0);
  std::shared_ptr<RunningCapture> ending = std::move(capture_);
  // What else comes in this turn is not captured any more, or it would be in the file and not in the count.
  static_cast<void>(ending->finish());
  json said = {{"file", std::exchange(capture_name_, {})},
               {"packets", ending->packets()},
               {"not_captured", ending->not_captured()}};
  group_.log("captured " + std::to_string(ending->packets()) + " packets to " + said["file"].get<std::string>() +
             (ending->not_captured() == 0
                  ? std::string()
                  : ", and " + std::to_string(ending->not_captured()) + " were not: the file was too slow"));
  return {std::string(), [said, ending, until_ns = monotonic_ns() + kFinishWithin_ns](std::string& text) mutable {
            const bool complete = ending->finish();
            if (!complete && monotonic_ns() < until_ns) return true;
            said["complete"] = complete && ending->failure().empty();
            if (!ending->failure().empty()) said["failure"] = ending->failure();
            text += text_of({{"captured", said}});
            return false;
          }};
}

void Operators::run_capture() {
  capture_->end_turn();
  const std::string failure = capture_->failure();
  if (failure.empty()) return;
  group_.log("capturing to " + capture_name_ + " has ended: writing it failed: " + failure, LogLevel::warning);
  if (group_.shared != nullptr) group_.shared->capturing.store(0);
  capture_.reset();
  capture_name_.clear();
}

void Operators::say_capture_ended() {
  if (group_.shared->capturing.exchange(0) == 0) return;
  group_.log(
      "the capture that an operator had begun ended with that process; `tandemctl capture start FILE` begins another "
      "one",
      LogLevel::warning);
}

}  // namespace tandem::ha
