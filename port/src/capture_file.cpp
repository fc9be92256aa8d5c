// SPDX-License-Identifier: BSD-3-Clause
#include "capture_file.hpp"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "tandem/loop.hpp"

namespace tandem {
namespace {

constexpr std::size_t kFlushBytes = 64 * 1024;
/// What waits for a file that takes nothing; further packets are not captured.
constexpr std::size_t kMostBytes = std::size_t{4} << 20;
/// A write that took longer is not to happen again within a turn.
constexpr std::uint64_t kSlow_ns = 5'000'000;

std::uint64_t realtime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

CaptureFile::CaptureFile(UniqueFd file, Clock now_ns, bool behind)
    : now_ns_(now_ns ? std::move(now_ns) : Clock(realtime_ns)), file_(std::move(file)) {
  struct stat status {};
  is_regular_ = ::fstat(file_.get(), &status) == 0 && S_ISREG(status.st_mode);
  buffer_.reserve(kFlushBytes + 8192);
  if (!behind) return;
  behind_ = std::make_unique<SideWriter>(file_.get(), kMostBytes);
  file_.reset();
}

CaptureFile::~CaptureFile() { flush(); }

void CaptureFile::begin_section(std::string_view comment, std::string_view interface, std::string_view description) {
  pcapng::section_header(buffer_, "tandem", comment);
  pcapng::interface_description(buffer_, interface, description);
  flush();
}

void CaptureFile::write(Bytes packet, pcapng::Direction direction, std::string_view comment) {
  if (!file_.valid() && !behind_) return;
  if (buffer_.size() >= kMostBytes) {
    if (dropped_++ == dropped_said_) warning_ = "packets are not captured: the file is too slow. ";
    return;
  }
  ++packets_;
  if (dropped_ != dropped_said_) {
    const std::string missing = std::to_string(dropped_ - std::exchange(dropped_said_, dropped_)) +
                                " packets before this one were not captured";
    pcapng::enhanced_packet(buffer_, now_ns_(), packet, direction, missing);
  } else {
    pcapng::enhanced_packet(buffer_, now_ns_(), packet, direction, comment);
  }
  if (buffer_.size() >= kFlushBytes) flush();
}

void CaptureFile::flush() {
  if (behind_) {
    if (behind_->error() != 0) return stop(behind_->error());
    if (!buffer_.empty() && behind_->put(buffer_)) buffer_.clear();
    return;
  }
  std::size_t done = 0;
  const std::uint64_t began_ns = buffer_.empty() ? 0 : monotonic_ns();
  while (file_.valid() && done < buffer_.size()) {
    const ssize_t bytes = ::write(file_.get(), buffer_.data() + done, buffer_.size() - done);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && errno == EAGAIN) break;
    if (bytes <= 0) return stop(bytes < 0 ? errno : EIO);
    done += static_cast<std::size_t>(bytes);
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(done));
  if (began_ns != 0 && is_regular_ && monotonic_ns() - began_ns > kSlow_ns) write_behind();
}

bool CaptureFile::finish() {
  flush();
  if (!buffer_.empty()) return false;
  if (!behind_) return true;
  behind_->end();
  if (behind_->is_done() && behind_->error() != 0) stop(behind_->error());
  return !behind_ || behind_->is_done();
}

void CaptureFile::write_behind() {
  try {
    behind_ = std::make_unique<SideWriter>(file_.get(), kMostBytes);
    file_.reset();
  } catch (const std::system_error& error) {
    stop(error.code().value());
  }
}

void CaptureFile::stop(int error) {
  error_ = error;
  warning_ = "capturing stopped, writing the file failed: " + std::string(std::strerror(error)) + ". ";
  file_.reset();
  behind_.reset();
  buffer_.clear();
}

}  // namespace tandem
