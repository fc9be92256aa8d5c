// SPDX-License-Identifier: BSD-3-Clause
//
// The file that a capture is written to, opened by who asks for it and passed on: with their rights and in their view of the file
// system, whatever the group's processes may see or do.
#pragma once

#include <string>

namespace tandem::ctl {

class CaptureFile {
 public:
  /// Makes a file for this user alone, or opens a pipe that has a reader. Throws std::runtime_error with what is wrong: it exists, or
  /// may not be made.
  explicit CaptureFile(std::string path);
  /// Takes a new file away again, unless it is kept.
  ~CaptureFile();
  CaptureFile(const CaptureFile&) = delete;
  CaptureFile& operator=(const CaptureFile&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  void keep() { is_new_ = false; }

 private:
  std::string path_;
  int fd_ = -1;
  bool is_new_ = false;
};

/// As it is to be shown by processes that have another working directory.
std::string absolute_name(const std::string& path);

}  // namespace tandem::ctl
