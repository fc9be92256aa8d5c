// SPDX-License-Identifier: BSD-3-Clause
//
// A twin's takeover is the first time that its process runs most of the code of a turn. Each page of it that is not mapped yet costs
// a fault there, from some microseconds to milliseconds where the predecessor's memory is torn down meanwhile; and code that lies in
// no cache takes twice the time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tandem::ha {

/// Maps the pages of program and libraries, and makes their writable data this process's own. Takes up to a millisecond; once a
/// process. What the kernel refuses is left to faults.
void prefault_program();

/// The machine code of this library, or of the program that it is linked into. A twin that spins walks through it again and again:
/// code that lies in its processor's cache makes the way from a notice to the first packet a third shorter.
class ProgramText {
 public:
  ProgramText();
  /// Reads one cache line, and the next one when called again.
  void touch_next() {
    if (bytes_ == 0) return;
    static_cast<void>(begin_[offset_]);
    offset_ += kLine;
    if (offset_ >= bytes_) offset_ = 0;
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kLine = 64;
  const volatile std::uint8_t* begin_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t offset_ = 0;
};

}  // namespace tandem::ha
