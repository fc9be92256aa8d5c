// SPDX-License-Identifier: BSD-3-Clause
#include "nic.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "packet.hpp"
#include "queue_set.hpp"
#include "ring_device.hpp"
#include "tandem/device.hpp"

namespace tandem::sim {
namespace {

/// Slots of the packet socket's ring.
constexpr std::size_t kGroupFrames = 256;

}  // namespace

/// Kept for the next run; only what tells whose a frame is must be fresh.
struct Nic::Buffers {
  WireGeometry geometry;
  WireControl control;
  std::vector<std::uint32_t> words;
  std::vector<std::uint64_t> fill, completion;
  std::vector<Descriptor> rx, tx;
  std::unique_ptr<std::uint8_t[]> umem;

  static std::vector<Buffers*>& pool() {
    static std::vector<Buffers*> free;
    return free;
  }
  static Buffers* take(const WireGeometry& geometry) {
    for (Buffers*& place : pool()) {
      if (place == nullptr || !(place->geometry == geometry)) continue;
      Buffers* const found = std::exchange(place, nullptr);
      std::erase(pool(), nullptr);
      return found;
    }
    auto* const made = new Buffers;
    made->geometry = geometry;
    made->words.assign(geometry.frames, 0);
    made->fill.assign(geometry.ring_entries, 0);
    made->completion.assign(geometry.ring_entries, 0);
    made->rx.assign(geometry.ring_entries, {});
    made->tx.assign(geometry.ring_entries, {});
    made->umem = std::make_unique<std::uint8_t[]>(geometry.umem_bytes());
    return made;
  }
};

Nic::Nic(Kernel& kernel, const Options& options, Transmit transmit)
    : kernel_(kernel),
      options_(options),
      transmit_(std::move(transmit)),
      geometry_{options.frames, frame_bytes_for(options.mtu), options.ring_entries},
      queues_(options.queues) {
  for (Queue& queue : queues_) queue.buffers = Buffers::take(geometry_);
  kernel.nic = this;
  open();
}

Nic::~Nic() {
  for (const Queue& queue : queues_) Buffers::pool().push_back(queue.buffers);
}

void Nic::open() {
  const HeapScope heap;
  ++generation_;
  completing_.clear();
  group_frames_.clear();
  group_frames_released_ = 0;
  if (moves != nullptr) moves->reopened();
  if (marks != nullptr) marks->reopened();
  for (Queue& queue : queues_) {
    queue = {queue.buffers};
    queue.buffers->control = {};
    std::fill(queue.buffers->words.begin(), queue.buffers->words.end(), 0);
  }
}

WireView Nic::view(std::uint32_t queue) const {
  Buffers& its = *queues_[queue].buffers;
  return {geometry_, &its.control, its.words.data(), its.umem.get()};
}

Rings Nic::rings(std::uint32_t queue) {
  const std::uint32_t size = options_.ring_entries;
  Queue& its = queues_[queue];
  Rings rings;
  rings.fill = {&its.fill_producer, &its.fill_consumer, nullptr, its.buffers->fill.data(), size};
  rings.completion = {&its.completion_producer, &its.completion_consumer, nullptr, its.buffers->completion.data(),
                      size};
  rings.rx = {&its.rx_producer, &its.rx_consumer, nullptr, its.buffers->rx.data(), size};
  rings.tx = {&its.tx_producer, &its.tx_consumer, nullptr, its.buffers->tx.data(), size};
  return rings;
}

bool Nic::has_received() const {
  return !group_frames_.empty() || std::any_of(queues_.begin(), queues_.end(), [](const Queue& queue) {
    return queue.rx_producer != queue.rx_consumer;
  });
}

void Nic::kick() {
  const HeapScope heap;
  Queue& queue = queues_.front();
  if (moves != nullptr) moves->handed_over(queue.tx_producer, group_frames_released_);
  // In copy mode one call takes at most 32 packets, and the device calls until nothing is left or the interface is busy.
  std::size_t most = 32;
  if (busy_permille != 0 && kernel_.scheduling.chance(busy_permille)) most = 1;
  const std::uint32_t mask = options_.ring_entries - 1;
  std::size_t count = 0;
  while (queue.tx_consumer != queue.tx_producer && (count < most || most == 32)) {
    if (completing_.size() + (queue.completion_producer - queue.completion_consumer) >= options_.ring_entries) break;
    const Descriptor descriptor = queue.buffers->tx[queue.tx_consumer & mask];
    if (moves != nullptr)
      moves->leaves(queue.tx_consumer, {queue.buffers->umem.get() + descriptor.address, descriptor.length});
    ++queue.tx_consumer;
    completing_.push_back(descriptor.address);
    ++count;
    transmit_({queue.buffers->umem.get() + descriptor.address, descriptor.length});
  }
  if (count == 0) return;
  if (kernel_.scheduling.one_in(2)) {
    complete(count);
  } else {
    kernel_.after(kernel_.scheduling.skewed(50'000), [this, count, socket = generation_] {
      if (socket == generation_) complete(count);
    });
  }
}

void Nic::adopts() {
  if (moves != nullptr) moves->adopts();
}

void Nic::adopted() {
  if (moves != nullptr) moves->adopted(queues_.front().tx_producer);
  if (marks == nullptr) return;
  for (std::uint32_t i = 0; i < options_.queues; ++i) marks->adopted(i, queues_[i].rx_consumer);
}

void Nic::complete(std::size_t count) {
  Queue& queue = queues_.front();
  const std::uint32_t mask = options_.ring_entries - 1;
  for (; count > 0 && !completing_.empty(); --count) {
    queue.buffers->completion[queue.completion_producer & mask] = completing_.front();
    completing_.pop_front();
    ++queue.completion_producer;
  }
}

void Nic::release_group_frames(std::size_t count) {
  const HeapScope heap;
  group_frames_.erase(group_frames_.begin(), group_frames_.begin() + static_cast<std::ptrdiff_t>(count));
  group_frames_released_ += static_cast<std::uint32_t>(count);
}

std::uint32_t Nic::queue_of(Bytes frame) const {
  if (options_.queues == 1) return 0;
  const Packet packet = parse_packet(frame);
  if (packet.kind != Packet::Kind::tcp) return 0;
  return (std::uint32_t{packet.source_port} + packet.destination_port) % options_.queues;
}

bool Nic::arrive(Bytes frame) {
  const HeapScope heap;
  if (moves != nullptr)
    moves->arrives(group_frames_released_ + static_cast<std::uint32_t>(group_frames_.size()), frame);
  if (!frame.empty() && (frame[0] & 1) != 0) {
    if (group_frames_.size() >= kGroupFrames) {
      ++dropped;
      return false;
    }
    group_frames_.emplace_back(frame.begin(), frame.end());
    kernel_.notify();
    return true;
  }
  const std::uint32_t number = queue_of(frame);
  if (kernel_.tracing && number != 0) kernel_.trace("  by queue %u", number);
  Queue& queue = queues_[number];
  const std::uint32_t mask = options_.ring_entries - 1;
  if (queue.rx_producer - queue.rx_consumer >= options_.ring_entries || queue.fill_consumer == queue.fill_producer ||
      frame.size() > geometry_.capacity()) {
    ++dropped;
    return false;
  }
  const std::uint64_t address = queue.buffers->fill[queue.fill_consumer & mask] + kFrameHeadroom;
  ++queue.fill_consumer;
  std::memcpy(queue.buffers->umem.get() + address, frame.data(), frame.size());
  queue.buffers->rx[queue.rx_producer & mask] = {address, static_cast<std::uint32_t>(frame.size()), 0};
  ++queue.rx_producer;
  kernel_.notify();
  return true;
}

namespace {

/// Every store into the wire's shared memory is a place to die at, and only the speaker may make one.
struct KernelProbe {
  static constexpr bool active = true;
  void operator()(WireStep step) const {
    Kernel& kernel = *the_kernel;
    if (kernel.current != nullptr && kernel.speaker != kernel.current)
      kernel.director().violation("one speaker (I5)", "process " + std::to_string(kernel.current->pid) +
                                                          " touches the rings, which are not its own");
    kernel.passed(step_of(step));
  }
};

/// A queue beside the first one.
struct NicQueue {
  NicQueue(Nic& nic, std::uint32_t number) : rings(nic.view(number), nic.rings(number)) {}
  void wake_receive() {}
  WireRings<KernelProbe> rings;
};

class NicDevice final : public RingDevice<KernelProbe> {
 public:
  NicDevice(Nic& nic, int fd)
      : RingDevice(nic.view(0), nic.rings(0), nic.options().mac, nic.options().mtu), nic_(nic), fd_(fd) {
    for (std::uint32_t number = 1; number < nic.options().queues; ++number)
      queues_.add(std::make_unique<NicQueue>(nic, number));
    capabilities_.queues = nic.options().queues;
  }
  ~NicDevice() override { the_kernel->close(fd_); }

  void start() {
    the_kernel->director().on_speaker(*the_kernel->current, false);
    rings_.start();
    queues_.start();
    refill();
  }
  [[nodiscard]] std::string description() const override { return "simulated wire"; }
  [[nodiscard]] std::vector<int> poll_fds() const override { return {fd_}; }
  [[nodiscard]] std::vector<NamedDescriptor> descriptors() const override { return {{"wire", fd_}}; }
  [[nodiscard]] std::vector<std::uint8_t> adoption_info() const override { return {1}; }
  std::size_t rx_peek(std::span<RxFrame> frames) override {
    std::size_t count = RingDevice::rx_peek(frames);
    if (rings_.active())
      count += queues_.peek(frames.subspan(count), [](std::span<RxFrame> shown) { return shown.size(); });
    if (nic_.marks != nullptr)
      for (const RxFrame& frame : frames.first(count)) nic_.marks->shown(frame.place);
    while (rings_.active() && count < frames.size() && shown_groups_ < kGroupFramesPerTurn) {
      const Bytes frame = nic_.group_frame(shown_groups_);
      if (frame.empty()) break;
      const auto index = static_cast<std::uint32_t>(nic_.group_frames_released() + shown_groups_++);
      const auto place = std::find_if(copies_.begin(), copies_.end(), [](const Copy& copy) { return !copy.in_use; });
      // The stack still has all of them: lost, as where the ring is full.
      if (place == copies_.end()) continue;
      place->in_use = true;
      place->bytes.assign(frame.begin(), frame.end());
      const auto cookie = kGroupCookie | static_cast<std::uint32_t>(place - copies_.begin());
      frames[count++] = {place->bytes, cookie, {index, kPacketSource}};
    }
    return count;
  }
  [[nodiscard]] bool rx_ready() override {
    return RingDevice::rx_ready() || (rings_.active() && queues_.ready()) ||
           (rings_.active() && shown_groups_ < kGroupFramesPerTurn && !nic_.group_frame(shown_groups_).empty());
  }
  [[nodiscard]] WireMark mark() const override {
    WireMark mark = RingDevice::mark();
    queues_.add_to(mark);
    return mark;
  }
  [[nodiscard]] FrameCensus census() override {
    FrameCensus census = RingDevice::census();
    queues_.add_census(census);
    return census;
  }
  void refill() override {
    RingDevice::refill();
    queues_.refill();
  }
  void give_away() override {
    RingDevice::give_away();
    queues_.stop();
  }
  void rx_done(std::uint32_t cookie) override {
    if ((cookie & kGroupCookie) == 0 && queues_.owns(cookie)) return queues_.done(cookie);
    if ((cookie & kGroupCookie) == 0) return RingDevice::rx_done(cookie);
    copies_[cookie & ~kGroupCookie].in_use = false;
  }
  void rx_release() override {
    RingDevice::rx_release();
    queues_.release();
    if (rings_.active()) nic_.release_group_frames(std::exchange(shown_groups_, 0));
  }
  void adopt(const WireMark* committed) override {
    shown_groups_ = 0;
    the_kernel->director().on_speaker(*the_kernel->current, true);
    nic_.adopts();
    RingDevice::adopt(committed);
    queues_.adopt(committed);
    nic_.adopted();
  }
  void take_back() override {
    the_kernel->director().on_speaker(*the_kernel->current, true);
    RingDevice::take_back();
    queues_.go_on();
  }

 protected:
  void transmit() override {
    if (the_kernel->speaker != the_kernel->current) {
      the_kernel->director().violation("one speaker (I5)", "a process that does not own the wire sends");
      return;
    }
    nic_.kick();
  }

 private:
  static constexpr std::size_t kGroupFramesPerTurn = 16;
  static constexpr std::uint32_t kGroupCookie = 0x8000'0000;
  struct Copy {
    bool in_use = false;
    std::vector<std::uint8_t> bytes;
  };

  Nic& nic_;
  int fd_;
  QueueSet<NicQueue> queues_;
  std::size_t shown_groups_ = 0;  ///< and not given back yet
  std::vector<Copy> copies_ = std::vector<Copy>(64);
};

}  // namespace
}  // namespace tandem::sim

namespace tandem {

std::unique_ptr<Device> open_device(const DeviceOptions&) {
  sim::Kernel& kernel = *sim::the_kernel;
  kernel.nic->open();
  int fd = -1;
  {
    const sim::HeapScope heap;
    fd = kernel.install(sim::Ref<sim::Object>(new sim::NicRef(*kernel.nic)));
  }
  auto device = std::make_unique<sim::NicDevice>(*kernel.nic, fd);
  device->start();
  return device;
}

std::unique_ptr<Device> attach_device(const DeviceOptions&, std::span<const std::uint8_t>,
                                      std::span<const NamedDescriptor> descriptors) {
  sim::Kernel& kernel = *sim::the_kernel;
  for (const NamedDescriptor& item : descriptors) {
    if (item.name != "wire") continue;
    if (kernel.as<sim::NicRef>(item.fd, sim::Object::Kind::nic) == nullptr) break;
    return std::make_unique<sim::NicDevice>(*kernel.nic, kernel.install(kernel.object(item.fd)));
  }
  throw DeviceError(DeviceError::Kind::bad_option, "the wire's descriptor was not passed");
}

}  // namespace tandem
