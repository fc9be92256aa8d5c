// SPDX-License-Identifier: BSD-3-Clause
#include "wire_memory.hpp"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <bit>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tandem {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

UniqueFd make_memory_file(const char* name, std::size_t bytes) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) fail(std::string("memfd_create ") + name);
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    fail("making the memory file " + std::string(name) + " " + std::to_string(bytes) + " bytes long");
  // Nobody can shorten it under the other process, which would then die of SIGBUS.
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) fail(std::string("sealing ") + name);
  return fd;
}

void require_size(int fd, std::size_t bytes, const char* name) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail(std::string("looking at the passed memory file ") + name);
  if (static_cast<std::uint64_t>(status.st_size) < bytes)
    throw std::invalid_argument("the passed memory file " + std::string(name) + " has " +
                                std::to_string(status.st_size) + " bytes, needed are " + std::to_string(bytes));
}

}  // namespace

std::uint32_t frame_bytes_for(std::uint32_t mtu) {
  constexpr std::uint32_t kEthernetWithTag = 18;
  for (const std::uint32_t bytes : {2048u, 4096u, 16384u})
    if (mtu + kEthernetWithTag <= bytes - kFrameHeadroom) return bytes;
  return 0;
}

std::size_t WireGeometry::wire_bytes() const {
  const std::size_t rings = std::size_t{ring_entries} * (2 * sizeof(std::uint64_t) + 2 * sizeof(Descriptor));
  return (emulated_rings_offset() + rings + 4095) / 4096 * 4096;
}

std::string WireGeometry::error() const {
  if (!std::has_single_bit(frames) || frames < 16 || frames > (1u << 20))
    return "frames must be a power of two from 16 to 1048576, not " + std::to_string(frames);
  if (!std::has_single_bit(ring_entries) || ring_entries < 4 || ring_entries > (1u << 16))
    return "ring entries must be a power of two from 4 to 65536, not " + std::to_string(ring_entries);
  if (frame_bytes != 2048 && frame_bytes != 4096 && frame_bytes != 16384)
    return "frames must have 2048, 4096 or 16384 bytes, not " + std::to_string(frame_bytes);
  return {};
}

Mapping::Mapping(int fd, std::size_t bytes, std::uint64_t offset) : bytes_(bytes) {
  void* data =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, static_cast<off_t>(offset));
  if (data == MAP_FAILED) fail("mapping " + std::to_string(bytes) + " bytes");
  data_ = static_cast<std::uint8_t*>(data);
  ::madvise(data, bytes, MADV_DONTDUMP);
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

WireMemory::WireMemory(UniqueFd umem, UniqueFd wire, const WireGeometry& geometry)
    : geometry_(geometry),
      umem_fd_(std::move(umem)),
      wire_fd_(std::move(wire)),
      umem_(umem_fd_.get(), geometry.umem_bytes()),
      wire_(wire_fd_.get(), geometry.wire_bytes()) {}

WireMemory WireMemory::create(const WireGeometry& geometry) {
  if (const auto error = geometry.error(); !error.empty()) throw std::invalid_argument(error);
  WireMemory memory(make_memory_file("tandem-umem", geometry.umem_bytes()),
                    make_memory_file("tandem-wire", geometry.wire_bytes()), geometry);
  WireControl& control = *memory.view().control;
  control.version = kWireVersion;
  control.frames = geometry.frames;
  control.frame_bytes = geometry.frame_bytes;
  control.ring_entries = geometry.ring_entries;
  if (::getrandom(control.poison.data(), control.poison.size(), 0) != static_cast<ssize_t>(control.poison.size()))
    fail("drawing random bytes");
  store_release(&control.magic, kWireMagic);
  return memory;
}

WireMemory WireMemory::map(UniqueFd umem, UniqueFd wire, const WireGeometry& geometry) {
  if (const auto error = geometry.error(); !error.empty()) throw std::invalid_argument(error);
  require_size(umem.get(), geometry.umem_bytes(), "umem");
  require_size(wire.get(), geometry.wire_bytes(), "wire");
  WireMemory memory(std::move(umem), std::move(wire), geometry);
  const WireControl& control = *memory.view().control;
  if (load_acquire(&control.magic) != kWireMagic) throw std::invalid_argument("the passed wire memory is not a wire's");
  if (control.version != kWireVersion)
    throw std::invalid_argument("the passed wire memory has version " + std::to_string(control.version) +
                                ", this program reads version " + std::to_string(kWireVersion));
  if (WireGeometry{control.frames, control.frame_bytes, control.ring_entries} != geometry)
    throw std::invalid_argument(
        "the passed wire memory has another number or size of frames or ring entries than announced");
  return memory;
}

WireView WireMemory::view() const {
  return {geometry_, reinterpret_cast<WireControl*>(wire_.data()),
          reinterpret_cast<std::uint32_t*>(wire_.data() + kFrameWordsOffset), umem_.data()};
}

Rings WireMemory::emulated_rings() const {
  WireControl& control = *reinterpret_cast<WireControl*>(wire_.data());
  const std::uint32_t size = geometry_.ring_entries;
  std::uint8_t* at = wire_.data() + geometry_.emulated_rings_offset();
  const auto place = [&at, size]<class Entry>(Ring<Entry>& ring, SharedIndex& producer, SharedIndex& consumer) {
    ring = {&producer.value, &consumer.value, nullptr, reinterpret_cast<Entry*>(at), size};
    at += std::size_t{size} * sizeof(Entry);
  };
  Rings rings;
  place(rings.fill, control.fill_producer, control.received);
  place(rings.completion, control.transmitted, control.completion_consumer);
  place(rings.rx, control.received, control.rx_consumer);
  place(rings.tx, control.tx_producer, control.transmitted);
  return rings;
}

}  // namespace tandem
