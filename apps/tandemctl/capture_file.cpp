// SPDX-License-Identifier: BSD-3-Clause
#include "capture_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace tandem::ctl {

CaptureFile::CaptureFile(std::string path) : path_(std::move(path)) {
  constexpr mode_t kMode = 0600;  // packets may hold secrets
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
  if (fd_ >= 0) {
    is_new_ = true;
    return;
  }
  const int error = errno;
  struct stat status {};
  const bool is_there = error == EEXIST && ::stat(path_.c_str(), &status) == 0;
  const std::string tried = "capture: opening '" + path_ + "' failed: ";
  if (is_there && !S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
    throw std::runtime_error(tried + "it exists, and nothing is overwritten; choose another name or remove it");
  if (!is_there)
    throw std::runtime_error(tried + std::strerror(error) +
                             (error == EACCES || error == EROFS ? "; choose a place that you may write to" : ""));
  fd_ = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0)
    throw std::runtime_error(tried +
                             (errno == ENXIO ? "nobody reads the pipe; start its reader first" : std::strerror(errno)));
}

CaptureFile::~CaptureFile() {
  if (is_new_) ::unlink(path_.c_str());
  if (fd_ >= 0) ::close(fd_);
}

std::string absolute_name(const std::string& path) {
  std::error_code ignored;
  const auto absolute = std::filesystem::absolute(path, ignored);
  return absolute.empty() ? path : absolute.lexically_normal().string();
}

}  // namespace tandem::ctl
