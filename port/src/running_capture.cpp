// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "capture_file.hpp"
#include "tandem/capture.hpp"

namespace tandem {

struct RunningCapture::Impl {
  Impl(Device& d, UniqueFd f) : device(d), file(std::move(f), {}, true) {}
  Device& device;
  CaptureFile file;
};

RunningCapture::RunningCapture(Device& device, int descriptor, const std::string& interface) {
  UniqueFd file = UniqueFd::duplicate(descriptor);
  struct stat status {};
  const int flags = ::fcntl(file.get(), F_GETFL);
  if (flags < 0 || ::fstat(file.get(), &status) != 0 || (flags & O_ACCMODE) == O_RDONLY)
    throw DeviceError(DeviceError::Kind::bad_option, "what was passed to capture to is no file that can be written to");
  if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode) && !S_ISSOCK(status.st_mode))
    throw DeviceError(DeviceError::Kind::bad_option,
                      "packets can be captured to a file, a pipe or a socket, and this is none");
  // The thread waits for a pipe, and nobody for the thread.
  static_cast<void>(::fcntl(file.get(), F_SETFL, flags & ~O_NONBLOCK));
  try {
    impl_ = std::make_unique<Impl>(device, std::move(file));
  } catch (const std::system_error& error) {
    throw DeviceError(DeviceError::Kind::system, std::string("no thread that writes can be had: ") + error.what());
  }
  impl_->file.begin_section("pid " + std::to_string(::getpid()) + ", begun while it ran", interface,
                            device.description());
  device.observe_frames([file = &impl_->file](Bytes frame, bool outbound) {
    file->write(frame, outbound ? pcapng::Direction::outbound : pcapng::Direction::inbound, {});
  });
}

RunningCapture::~RunningCapture() { impl_->device.observe_frames({}); }

void RunningCapture::end_turn() { impl_->file.flush(); }

bool RunningCapture::finish() {
  impl_->device.observe_frames({});
  return impl_->file.finish();
}

std::string RunningCapture::failure() const {
  return impl_->file.error() == 0 ? std::string() : std::strerror(impl_->file.error());
}
std::uint64_t RunningCapture::packets() const { return impl_->file.packets(); }
std::uint64_t RunningCapture::not_captured() const { return impl_->file.dropped(); }

}  // namespace tandem
