// SPDX-License-Identifier: BSD-3-Clause
//
// The messages by which a twin attaches on one chassis, over a SOCK_SEQPACKET Unix socket:
//
//   twin -> primary   hello    versions, pid, and the options that must fit, by name
//   primary -> twin   refusal  exit code and text, or
//                     welcome  reader slot, log position, the device's adoption blob; with it every descriptor (SCM_RIGHTS)
//   twin -> primary   ready    everything is mapped: the snapshot may begin
//
// Afterwards the socket only serves to notice that the other side is gone.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "shared_memory.hpp"
#include "tandem/device.hpp"

namespace tandem::ha {

/// Option names and values that primary and twin must have in common.
using Fingerprint = std::map<std::string, std::string>;

/// Every difference, named with both values; empty when they fit.
std::string differences(const Fingerprint& primary, const Fingerprint& twin);

struct Hello {
  std::uint32_t log_format_version = 0;
  std::uint32_t group_layout_version = 0;
  Fingerprint fingerprint;
};

struct Refusal {
  std::int32_t exit_code = 0;
  std::string text;
};

struct Welcome {
  std::uint32_t reader = 0;
  std::uint64_t position = 0;
  std::uint64_t log_bytes = 0;
  std::vector<std::uint8_t> adoption_info;
  std::vector<std::string> descriptor_names;
};

struct Ready {};

using AttachMessage = std::variant<Hello, Refusal, Welcome, Ready>;

/// At most this many bytes and descriptors are sent or accepted in one message.
inline constexpr std::size_t kMaxAttachBytes = 32768;
inline constexpr std::size_t kMaxAttachDescriptors = 32;

std::vector<std::uint8_t> encode(const AttachMessage& message);
/// Nothing when the bytes are not a message of this protocol.
std::optional<AttachMessage> decode_attach(Bytes bytes);

/// False with errno set.
bool send_message(int socket, const AttachMessage& message, const std::vector<int>& descriptors = {});

enum class ReceiveResult : std::uint8_t { message, nothing_yet, closed, garbage };
ReceiveResult receive_message(int socket, AttachMessage& message, std::vector<Descriptor>& descriptors);

}  // namespace tandem::ha
