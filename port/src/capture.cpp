// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/capture.hpp"

#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

#include "capture_file.hpp"

namespace tandem {
namespace {

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
        file_(open_file(options.path, !options.attached), std::move(options.now_ns), false) {
    file_.begin_section("pid " + std::to_string(::getpid()) + (options.attached ? ", attached" : ", opened"),
                        options.interface, device_->description());
    device_->observe_adopted([this](Bytes packet) {
      if (adopted_observer_) adopted_observer_(packet);
      file_.write(packet, pcapng::Direction::outbound, "handed over at adoption");
    });
  }

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
  [[nodiscard]] std::string warning() const override { return device_->warning() + file_.warning(); }
  std::size_t rx_peek(std::span<RxFrame> frames) override {
    const std::size_t count = device_->rx_peek(frames);
    for (const RxFrame& frame : frames.first(count)) file_.write(frame.bytes, pcapng::Direction::inbound, {});
    return count;
  }
  [[nodiscard]] bool rx_ready() override { return device_->rx_ready(); }
  [[nodiscard]] WireMark mark() const override { return device_->mark(); }
  void tx_release(std::uint32_t tx_index) override {
    // Once released, a frame may be sent and used again at any moment.
    while (!staged_.empty() && static_cast<std::int32_t>(staged_.front().index - tx_index) < 0) {
      file_.write(staged_.front().packet, pcapng::Direction::outbound, {});
      staged_.pop_front();
    }
    device_->tx_release(tx_index);
  }
  void rx_release() override { device_->rx_release(); }
  void refill() override {
    device_->refill();
    file_.flush();
  }
  [[nodiscard]] bool tx_pending() const override { return device_->tx_pending(); }
  void tx_kick() override { device_->tx_kick(); }
  void take_back() override { device_->take_back(); }
  void give_back_memory() override { device_->give_back_memory(); }
  [[nodiscard]] std::vector<int> poll_fds() const override { return device_->poll_fds(); }
  [[nodiscard]] std::vector<NamedDescriptor> descriptors() const override { return device_->descriptors(); }
  [[nodiscard]] std::vector<std::uint8_t> adoption_info() const override { return device_->adoption_info(); }
  void adopt(const WireMark* committed) override {
    staged_.clear();
    device_->adopt(committed);
  }
  [[nodiscard]] std::uint64_t adopted_packets() const override { return device_->adopted_packets(); }
  void observe_adopted(std::function<void(Bytes)> observer) override { adopted_observer_ = std::move(observer); }
  void observe_frames(FrameObserver observer) override { device_->observe_frames(std::move(observer)); }
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
    file_.flush();
  }
  [[nodiscard]] DeviceStatistics statistics() override { return device_->statistics(); }
  [[nodiscard]] FrameCensus census() override { return device_->census(); }

 private:
  struct Staged {
    std::uint32_t index;
    Bytes packet;
  };

  std::unique_ptr<Device> device_;
  CaptureFile file_;
  std::span<std::uint8_t> reserved_;
  std::deque<Staged> staged_;
  std::function<void(Bytes)> adopted_observer_;
};

}  // namespace

std::unique_ptr<Device> capture_device(std::unique_ptr<Device> device, CaptureOptions options) {
  return std::make_unique<CaptureDevice>(std::move(device), std::move(options));
}

}  // namespace tandem
