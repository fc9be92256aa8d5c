// SPDX-License-Identifier: BSD-3-Clause
//
// A pcapng file that is written packet by packet, and never waited for. A pipe is written to as it takes something, a file at
// once as long as that is quick, and by a thread from the first time on that it was not; or by a thread from the start. 4 MiB may
// wait; packets beyond are not captured, and the next one's comment says how many.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pcapng.hpp"
#include "tandem/address.hpp"
#include "tandem/side_writer.hpp"
#include "unique_fd.hpp"

namespace tandem {

class CaptureFile {
 public:
  using Clock = std::function<std::uint64_t()>;

  /// `now_ns`: empty for CLOCK_REALTIME. `behind`: by a thread from the start; throws std::system_error when none can be had.
  CaptureFile(UniqueFd file, Clock now_ns, bool behind);
  ~CaptureFile();
  CaptureFile(const CaptureFile&) = delete;
  CaptureFile& operator=(const CaptureFile&) = delete;

  /// What a section begins with: who writes it, and of which interface.
  void begin_section(std::string_view comment, std::string_view interface, std::string_view description);
  void write(Bytes packet, pcapng::Direction direction, std::string_view comment);
  /// What has come together goes to the file, as far as it takes it.
  void flush();
  /// Nothing more comes. True once all of it is written, or given up; asked again until then.
  bool finish();

  /// What an operator should know, or nothing.
  [[nodiscard]] const std::string& warning() const { return warning_; }
  /// errno of the write that ended the capture; else 0.
  [[nodiscard]] int error() const { return error_; }
  [[nodiscard]] std::uint64_t packets() const { return packets_; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  void write_behind();
  void stop(int error);

  Clock now_ns_;
  bool is_regular_ = false;  ///< and not a pipe, which says itself that it takes nothing
  UniqueFd file_;            ///< none once `behind_` has it, or capturing has stopped
  std::unique_ptr<SideWriter> behind_;
  std::uint64_t packets_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_said_ = 0;
  int error_ = 0;
  std::vector<std::uint8_t> buffer_;
  std::string warning_;
};

}  // namespace tandem
