// SPDX-License-Identifier: BSD-3-Clause
//
// Owning handles for descriptors and mappings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tandem::ha {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

/// A shared mapping, left out of core dumps. `mirrored` maps the same bytes twice in a row, so that a ring's records are
/// contiguous wherever they start.
class Mapping {
 public:
  Mapping() = default;
  /// Throws std::system_error.
  Mapping(int fd, std::size_t bytes, bool mirrored);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();
  [[nodiscard]] std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return bytes_; }
  /// size(), or twice that when mirrored.
  [[nodiscard]] std::size_t mapped_size() const { return mapped_bytes_; }

 private:
  void unmap();
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t mapped_bytes_ = 0;
};

/// An anonymous file of `bytes` zero bytes, sealed against resizing so that no holder can make another one fault.
/// Throws std::system_error.
Descriptor make_shared_file(const char* name, std::size_t bytes);

/// Size of a received file when it is sealed against shrinking, else 0: a mapping of it cannot be cut short then.
std::size_t sealed_file_bytes(int fd);

}  // namespace tandem::ha
