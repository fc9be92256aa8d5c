// SPDX-License-Identifier: BSD-3-Clause
//
// Reads pcap and pcapng files (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng) of Ethernet frames, in either byte order.
// A file is not trusted: whatever stands in it, the outcome is frames or an error.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace tandem::oracle {

class CaptureError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct CapturedFrame {
  std::uint64_t time_ns = 0;
  std::size_t interface = 0;            ///< counted through the file
  std::span<const std::uint8_t> bytes;  ///< until the next frame is read
  std::size_t wire_length = 0;
};

class CaptureFile {
 public:
  /// Throws CaptureError when the file cannot be read or is of another kind.
  explicit CaptureFile(const std::string& path);
  /// False at the end. A file that ends within a record, as one does whose writer was killed, ends before that record.
  bool next(CapturedFrame& frame);
  bool ended_early() const { return ended_early_; }

 private:
  struct Interface {
    bool is_ethernet = false;
    std::uint64_t units_per_second = 1'000'000;
    std::int64_t offset_s = 0;
  };

  std::uint16_t u16(const std::uint8_t* at) const;
  std::uint32_t u32(const std::uint8_t* at) const;
  bool read(std::size_t bytes);
  [[noreturn]] void fail(const std::string& what) const;
  bool next_pcap(CapturedFrame& frame);
  bool next_pcapng(CapturedFrame& frame);
  bool section_header();
  void interface_description();
  void interface_option(std::uint16_t code, std::span<const std::uint8_t> value, Interface& described) const;
  bool packet(bool simple, CapturedFrame& frame) const;

  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::vector<std::uint8_t> buffer_;
  bool big_endian_ = false;
  bool is_pcapng_ = false;
  bool ended_early_ = false;
  std::uint64_t pcap_units_per_second_ = 1'000'000;
  std::vector<Interface> interfaces_;
  std::size_t section_begins_at_ = 0;  ///< the first interface of the section that is being read
};

}  // namespace tandem::oracle
