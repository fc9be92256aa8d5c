// SPDX-License-Identifier: BSD-3-Clause
//
// A view of one single-producer single-consumer ring in shared memory, as AF_XDP lays it out: two free-running 32-bit
// indices and a power of two of entries. Whose memory it is (the kernel's, the wire memfd, a test's) does not matter here.
#pragma once

#include <atomic>
#include <cstdint>

namespace tandem {

/// Same layout as the kernel's struct xdp_desc.
struct Descriptor {
  std::uint64_t address = 0;  ///< offset into the UMEM
  std::uint32_t length = 0;   ///< bytes
  std::uint32_t options = 0;  ///< kContinued
};
/// The packet goes on in the next descriptor (the kernel's XDP_PKT_CONTD, Linux 6.6).
constexpr std::uint32_t kContinued = 1;
static_assert(sizeof(Descriptor) == 16);

/// A store that another process may find after this one died: nothing before it may be seen after it.
template <class T>
inline void store_release(T* where, T value) {
  std::atomic_ref<T>(*where).store(value, std::memory_order_release);
}

template <class T>
[[nodiscard]] inline T load_acquire(const T* where) {
  return std::atomic_ref<T>(*const_cast<T*>(where)).load(std::memory_order_acquire);
}

[[nodiscard]] inline std::uint64_t read_once(std::uint64_t& entry) {
  return std::atomic_ref<std::uint64_t>(entry).load(std::memory_order_relaxed);
}
[[nodiscard]] inline Descriptor read_once(Descriptor& entry) {
  return {read_once(entry.address), std::atomic_ref<std::uint32_t>(entry.length).load(std::memory_order_relaxed),
          std::atomic_ref<std::uint32_t>(entry.options).load(std::memory_order_relaxed)};
}

template <class Entry>
struct Ring {
  std::uint32_t* producer = nullptr;
  std::uint32_t* consumer = nullptr;
  std::uint32_t* flags = nullptr;
  Entry* entries = nullptr;
  std::uint32_t size = 0;  ///< power of two

  [[nodiscard]] Entry& at(std::uint32_t index) const { return entries[index & (size - 1)]; }
  /// An entry as it is now, looked at once: whoever else has the memory could change it between two looks.
  [[nodiscard]] Entry read(std::uint32_t index) const { return read_once(at(index)); }
  /// How far `index` lies ahead of `from`, or 0 when it lies behind or further than the ring is long.
  [[nodiscard]] std::uint32_t ahead(std::uint32_t index, std::uint32_t from) const {
    const std::uint32_t distance = index - from;
    return distance <= size ? distance : 0;
  }
};

struct Rings {
  Ring<std::uint64_t> fill;
  Ring<std::uint64_t> completion;
  Ring<Descriptor> rx;
  Ring<Descriptor> tx;
};

}  // namespace tandem
