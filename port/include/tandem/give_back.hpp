// SPDX-License-Identifier: BSD-3-Clause
//
// For a process that has given its role away: its shared memory, given back without holding a processor for long.
#pragma once

#include <sys/mman.h>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace tandem {

/// Drops the pages of a shared mapping from this process, `piece_bytes` (a multiple of the page size) at a time, and sleeps after
/// each; the memory itself stays with whoever else has it. Unmapping the 16 MiB of a UMEM at once was seen to take 0.8 ms, for which
/// a kernel without preemption lets nobody else onto the processor: the process that serves now, or its peer, would wait for that.
inline void give_back_in_pieces(std::uint8_t* data, std::size_t bytes, std::size_t piece_bytes) {
  const timespec pause{0, 50'000};
  for (std::size_t done = 0; done < bytes; done += piece_bytes) {
    madvise(data + done, std::min(piece_bytes, bytes - done), MADV_DONTNEED);
    nanosleep(&pause, nullptr);
  }
}

}  // namespace tandem
