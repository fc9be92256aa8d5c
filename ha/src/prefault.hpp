// SPDX-License-Identifier: BSD-3-Clause
//
// A twin's takeover is the first time that its process runs most of the code of a turn. Each page of it that is not mapped yet costs
// a fault there, from some microseconds to milliseconds where the predecessor's memory is torn down meanwhile.
#pragma once

namespace tandem::ha {

/// Maps the pages of program and libraries, and makes their writable data this process's own. Takes up to a millisecond; once a
/// process. What the kernel refuses is left to faults.
void prefault_program();

}  // namespace tandem::ha
