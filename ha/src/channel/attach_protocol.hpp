// SPDX-License-Identifier: BSD-3-Clause
//
// The messages by which a twin attaches on one chassis, over a SOCK_SEQPACKET Unix socket:
//
//   twin -> primary   hello    what it speaks, who it is, and a digest of the options that must fit; with it a descriptor of its
//                              process, and the options themselves in a memory file, so that there may be any number of them
//   primary -> twin   refusal  exit code and text, or
//                     welcome  reader slot, log position, the device's adoption blob; with it every descriptor (SCM_RIGHTS)
//   twin -> primary   ready    everything is mapped: the snapshot may begin
//
// Afterwards the socket only serves to notice that the other side is gone. A message, little-endian:
//
//   offset 0  u32 magic "tdT2"
//          4  u32 kind
//          8  fields, one behind the other:
//               0  u16 tag      kOptionalField set: whoever does not know it skips it; else the message is refused
//               2  u16 zero
//               4  u32 length   of the value
//               8  value
//
// Descriptors are named by a field, in their order, so that later versions can pass others too.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "channel/shared_memory.hpp"
#include "log/log_format.hpp"
#include "members/shared_group.hpp"
#include "node/system.hpp"
#include "tandem/device.hpp"

namespace tandem::ha {

/// Option names and values that primary and twin must have in common.
using Fingerprint = std::map<std::string, std::string>;

/// Every difference, named with both values; empty when they fit. Of long lists the first items that only one side has.
std::string differences(const Fingerprint& primary, const Fingerprint& twin);

std::vector<std::uint8_t> encode_fingerprint(const Fingerprint& fingerprint);
std::optional<Fingerprint> decode_fingerprint(Bytes bytes);
/// Tells two encoded fingerprints apart (FNV-1a, 64 bit); nobody is kept out by it.
std::uint64_t digest_of(Bytes bytes);

/// The versions of a thing that a process knows, both included.
struct Versions {
  std::uint32_t lowest = 0;
  std::uint32_t highest = 0;
  bool operator==(const Versions&) const = default;
};
inline constexpr Versions kLogFormats{kOldestLogFormat, kLogFormatVersion};
inline constexpr Versions kGroupLayouts{kGroupLayoutVersion, kGroupLayoutVersion};
/// What this process says that it speaks. In a simulation it may be of an older version.
#ifdef TANDEM_SIMULATION
inline Versions log_formats = kLogFormats;
#else
inline constexpr Versions log_formats = kLogFormats;
#endif
/// The newest that both know, or nothing.
std::optional<std::uint32_t> common_version(Versions ours, Versions theirs);
std::string to_string(Versions versions);

struct Hello {
  Versions log_format = log_formats;
  Versions group_layout = kGroupLayouts;
  std::uint64_t identity = 0;  ///< of the node (shared_group.hpp)
  std::uint32_t number = 0;    ///< of the process, as it sees itself
  std::uint64_t options_digest = 0;
  std::vector<std::string> descriptor_names;  ///< "process": a pidfd; "options": the encoded fingerprint
};

struct Refusal {
  std::int32_t exit_code = 0;
  std::string text;
};

struct Welcome {
  std::uint32_t reader = 0;
  std::uint64_t position = 0;
  std::uint64_t log_bytes = 0;
  std::uint32_t log_format = kLogFormatVersion;  ///< that is written from here on
  std::vector<std::uint8_t> adoption_info;
  std::vector<std::string> descriptor_names;
};

struct Ready {};

using AttachMessage = std::variant<Hello, Refusal, Welcome, Ready>;

inline constexpr std::uint16_t kOptionalField = 0x8000;

/// At most this many bytes and descriptors are sent or accepted in one message.
inline constexpr std::size_t kMaxAttachBytes = 32768;
inline constexpr std::size_t kMaxAttachDescriptors = system::kMaxPacketDescriptors;
/// Of a fingerprint in its memory file.
inline constexpr std::size_t kMaxFingerprintBytes = std::size_t{64} << 20;

std::vector<std::uint8_t> encode(const AttachMessage& message);
/// Nothing when the bytes are not a message of this protocol, or need more than this version knows; `why` (may be null) says which.
std::optional<AttachMessage> decode_attach(Bytes bytes, std::string* why = nullptr);
/// What a twin of the first version of this protocol understands. receive_message reads such a refusal too.
std::vector<std::uint8_t> encode_first_refusal(const Refusal& refusal);
bool is_first_version(Bytes bytes);

/// False with errno set.
bool send_message(int socket, const AttachMessage& message, const std::vector<int>& descriptors = {});

enum class ReceiveResult : std::uint8_t { message, nothing_yet, closed, garbage, first_version };
ReceiveResult receive_message(int socket, AttachMessage& message, std::vector<Descriptor>& descriptors,
                              std::string* why = nullptr);

}  // namespace tandem::ha
