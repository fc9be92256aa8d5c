// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/capture.hpp"

#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <system_error>
#include <utility>

#include "pcapng.hpp"
#include "side_writer.hpp"
#include "tandem/loop.hpp"
#include "unique_fd.hpp"

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

UniqueFd open_file(const std::string& path, bool own_name_first) {
  // A pipe is not waited for, neither now nor when it is written to; to a regular file the flag means nothing.
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;
  constexpr mode_t kMode = 0600;  // packets may hold secrets
  if (own_name_first) {
    UniqueFd fd(::open(path.c_str(), kFlags, kMode));
    if (!fd.valid())
      throw DeviceError(DeviceError::Kind::system,
                        "opening capture file " + path + ": " + std::strerror(errno) +
                            (errno == ENXIO ? "; nobody reads the pipe: start its reader first"
                                            : "; choose a place that this user may write to"));
    struct flock lock {};
    lock.l_type = F_WRLCK;
    // Lock of the open file, not of the process: gone when the last descriptor is.
    if (::fcntl(fd.get(), F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES)) {
      // A pipe or a terminal can be written to as well, and has nothing to be emptied of.
      if (::ftruncate(fd.get(), 0) != 0 && errno != EINVAL)
        throw DeviceError(DeviceError::Kind::system, "emptying capture file " + path + ": " + std::strerror(errno));
      return fd;
    }
  }
  const std::string own = path + "." + std::to_string(::getpid());
  UniqueFd fd(::open(own.c_str(), kFlags, kMode));
  if (!fd.valid())
    throw DeviceError(DeviceError::Kind::system, "opening capture file " + own + ": " + std::strerror(errno) +
                                                     "; choose a place that this user may write to");
  return fd;
}

class CaptureDevice final : public Device {
 public:
  CaptureDevice(std::unique_ptr<Device> device, CaptureOptions options)
      : device_(std::move(device)),
        now_ns_(options.now_ns ? std::move(options.now_ns) : std::function<std::uint64_t()>(realtime_ns)),
        file_(open_file(options.path, !options.attached)) {
    struct stat status {};
    is_regular_ = ::fstat(file_.get(), &status) == 0 && S_ISREG(status.st_mode);
    buffer_.reserve(kFlushBytes + 8192);
    pcapng::section_header(buffer_, "tandem",
                           "pid " + std::to_string(::getpid()) + (options.attached ? ", attached" : ", opened"));
    pcapng::interface_description(buffer_, options.interface, device_->description());
    flush();
    device_->observe_adopted([this](Bytes packet) {
      if (adopted_observer_) adopted_observer_(packet);
      write(packet, pcapng::Direction::outbound, "handed over at adoption");
    });
  }
  ~CaptureDevice() override { flush(); }

  [[nodiscard]] MacAddress mac() const override { return device_->mac(); }
  [[nodiscard]] LinkCapabilities capabilities() const override { return device_->capabilities(); }
  std::span<std::uint8_t> tx_reserve(std::uint32_t bytes) override { return reserved_ = device_->tx_reserve(bytes); }
  void tx_stage() override {
    const std::uint32_t before = device_->mark().tx_index;
    device_->tx_stage();
    if (device_->mark().tx_index != before) staged_.push_back({before, reserved_});
    reserved_ = {};
  }
  void rx_done(std::uint32_t cookie) override { device_->rx_done(cookie); }

  [[nodiscard]] std::string description() const override { return device_->description(); }
  [[nodiscard]] std::string warning() const override { return device_->warning() + warning_; }
  std::size_t rx_peek(std::span<RxFrame> frames) override {
    const std::size_t count = device_->rx_peek(frames);
    for (const RxFrame& frame : frames.first(count)) write(frame.bytes, pcapng::Direction::inbound, {});
    return count;
  }
  [[nodiscard]] bool rx_ready() override { return device_->rx_ready(); }
  [[nodiscard]] WireMark mark() const override { return device_->mark(); }
  void tx_release(std::uint32_t tx_index) override {
    // Once released, a frame may be sent and used again at any moment.
    while (!staged_.empty() && static_cast<std::int32_t>(staged_.front().index - tx_index) < 0) {
      write(staged_.front().packet, pcapng::Direction::outbound, {});
      staged_.pop_front();
    }
    device_->tx_release(tx_index);
  }
  void rx_release() override { device_->rx_release(); }
  void refill() override {
    device_->refill();
    flush();
  }
  [[nodiscard]] bool tx_pending() const override { return device_->tx_pending(); }
  void tx_kick() override { device_->tx_kick(); }
  void take_back() override { device_->take_back(); }
  void give_back_memory() override { device_->give_back_memory(); }
  [[nodiscard]] int poll_fd() const override { return device_->poll_fd(); }
  [[nodiscard]] std::vector<NamedDescriptor> descriptors() const override { return device_->descriptors(); }
  [[nodiscard]] std::vector<std::uint8_t> adoption_info() const override { return device_->adoption_info(); }
  void adopt(const WireMark* committed) override {
    staged_.clear();
    device_->adopt(committed);
  }
  [[nodiscard]] std::uint64_t adopted_packets() const override { return device_->adopted_packets(); }
  void observe_adopted(std::function<void(Bytes)> observer) override { adopted_observer_ = std::move(observer); }
  [[nodiscard]] bool adoption_sent() const override { return device_->adoption_sent(); }
  [[nodiscard]] bool adoption_is_exact() const override { return device_->adoption_is_exact(); }
  [[nodiscard]] bool announce_after_adoption() const override { return device_->announce_after_adoption(); }
  [[nodiscard]] std::vector<int> event_fds() const override { return device_->event_fds(); }
  LinkChange look_at_link() override { return device_->look_at_link(); }
  [[nodiscard]] std::string link_reason() const override { return device_->link_reason(); }
  void reopen() override {
    staged_.clear();
    device_->reopen();
  }
  void give_away() override {
    device_->give_away();
    flush();
  }
  [[nodiscard]] DeviceStatistics statistics() override { return device_->statistics(); }
  [[nodiscard]] FrameCensus census() override { return device_->census(); }

 private:
  struct Staged {
    std::uint32_t index;
    Bytes packet;
  };

  void write(Bytes packet, pcapng::Direction direction, std::string_view comment) {
    if (!file_.valid() && !behind_) return;
    if (buffer_.size() >= kMostBytes) {
      if (dropped_++ == dropped_said_) tell("packets are not captured: the file is too slow");
      return;
    }
    if (dropped_ != dropped_said_) {
      const std::string missing = std::to_string(dropped_ - std::exchange(dropped_said_, dropped_)) +
                                  " packets before this one were not captured";
      pcapng::enhanced_packet(buffer_, now_ns_(), packet, direction, missing);
    } else {
      pcapng::enhanced_packet(buffer_, now_ns_(), packet, direction, comment);
    }
    if (buffer_.size() >= kFlushBytes) flush();
  }

  /// Never waits for a pipe; a file on a disk is written at once as long as that is quick, so that a process which is killed
  /// loses little, and by a thread from the first time on that it was not.
  void flush() {
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

  void write_behind() {
    try {
      behind_ = std::make_unique<SideWriter>(std::move(file_), kMostBytes);
    } catch (const std::system_error& error) {
      stop(error.code().value());
    }
  }

  void stop(int error) {
    tell("capturing stopped, writing the file failed: " + std::string(std::strerror(error)));
    file_.reset();
    behind_.reset();
    buffer_.clear();
  }

  void tell(const std::string& text) { warning_ = text + ". "; }

  std::unique_ptr<Device> device_;
  std::function<std::uint64_t()> now_ns_;
  bool is_regular_ = false;  ///< and not a pipe, which says itself that it takes nothing
  UniqueFd file_;            ///< none once `behind_` has it, or capturing has stopped
  std::unique_ptr<SideWriter> behind_;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_said_ = 0;
  std::vector<std::uint8_t> buffer_;
  std::span<std::uint8_t> reserved_;
  std::deque<Staged> staged_;
  std::function<void(Bytes)> adopted_observer_;
  std::string warning_;
};

}  // namespace

std::unique_ptr<Device> capture_device(std::unique_ptr<Device> device, CaptureOptions options) {
  return std::make_unique<CaptureDevice>(std::move(device), std::move(options));
}

}  // namespace tandem
