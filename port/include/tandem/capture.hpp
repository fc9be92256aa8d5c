// SPDX-License-Identifier: BSD-3-Clause
//
// Capture to pcapng as a device wrapped round another. Received frames are written when they are shown, sent ones when
// their turn releases them, with CLOCK_REALTIME in nanoseconds and the direction in epb_flags.
//
// Which file: each process writes one of its own. The first owner of a device writes FILE, and starts it anew, unless another
// living process is writing it; an adopter (and an owner that finds FILE in use) appends a section to FILE.PID, PID being its
// process number. `mergecap` puts them together in the order of time. Each section's comment says which process it is and
// whether it opened or attached to the device. What was captured is written at the end of each turn (refill), or when 64 KiB have come
// together: a process that is killed loses at most the packets of its last turn from the file, and may leave its last block
// cut short. Nobody waits for the file: a pipe is written to as it takes something, and a file whose disk was slow once is written by
// a thread from then on (what that has not written yet is lost with the process). 4 MiB may wait; packets beyond are not captured, and
// the next one's comment says how many.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tandem/device.hpp"

namespace tandem {

struct CaptureOptions {
  std::string path;
  std::string interface;                  ///< if_name
  bool attached = false;                  ///< this process adopts the device: FILE.PID
  std::function<std::uint64_t()> now_ns;  ///< default: CLOCK_REALTIME
};

/// Takes a device and gives one that behaves the same and captures. Throws DeviceError when the file cannot be written. When
/// writing fails later (a full disk), capturing stops, warning() says so, and the device goes on.
std::unique_ptr<Device> capture_device(std::unique_ptr<Device> device, CaptureOptions options);

/// A capture that begins and ends while a device works, on primary or alone. What is shown and what leaves is written by a thread
/// from the start, so that no turn waits for the file; 4 MiB may wait for it, and packets beyond are counted. It ends with its
/// process: what the thread has not written then is lost.
class RunningCapture {
 public:
  /// `descriptor` is open for writing, and duplicated. Throws DeviceError when it is nothing that can be written to, or no thread
  /// can be had.
  RunningCapture(Device& device, int descriptor, const std::string& interface);
  /// Gives what is left a second at most, unless finish() was called: then it does not wait.
  ~RunningCapture();
  RunningCapture(const RunningCapture&) = delete;
  RunningCapture& operator=(const RunningCapture&) = delete;

  /// Gives what has come together to the thread. Never waits.
  void end_turn();
  /// Captures nothing any more. True once all that was captured is in the file, or the file has failed; never waits.
  bool finish();
  /// Why it has ended by itself; empty while it has not.
  [[nodiscard]] std::string failure() const;
  [[nodiscard]] std::uint64_t packets() const;
  [[nodiscard]] std::uint64_t not_captured() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem
