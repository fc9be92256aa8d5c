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

}  // namespace tandem
