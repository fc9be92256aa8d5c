// SPDX-License-Identifier: BSD-3-Clause
//
// The attach protocol: messages of a twin, or of somebody who says that he is one, and what a primary says about its wire.
#include <sys/socket.h>
#include <unistd.h>

#include "adoption_info.hpp"
#include "channel/attach_protocol.hpp"
#include "input.hpp"
#include "require.hpp"
#include "tandem/device.hpp"

namespace tandem::fuzz {
namespace {

void decoded_messages_survive_the_round_trip(Bytes bytes) {
  const auto message = ha::decode_attach(bytes);
  if (!message) return;
  const auto again = ha::encode(*message);
  FUZZ_REQUIRE(again.size() <= bytes.size());
  const auto second = ha::decode_attach(again);
  FUZZ_REQUIRE(second.has_value());
  FUZZ_REQUIRE(second->index() == message->index());
  FUZZ_REQUIRE(ha::encode(*second) == again);
}

void decoded_options_survive_the_round_trip(Bytes bytes) {
  const auto options = ha::decode_fingerprint(bytes);
  if (!options) return;
  FUZZ_REQUIRE(ha::decode_fingerprint(ha::encode_fingerprint(*options)) == options);
  FUZZ_REQUIRE(ha::differences(*options, *options).empty());
  const bool differ = !ha::differences({{"mac", "02:00:00:00:00:01"}}, *options).empty();
  FUZZ_REQUIRE(differ == (*options != ha::Fingerprint{{"mac", "02:00:00:00:00:01"}}));
}

void adoption_info_is_refused_or_sound(Bytes bytes) {
  try {
    const AdoptionInfo info = AdoptionInfo::decode(bytes);
    FUZZ_REQUIRE(info.geometry.error().empty());
    FUZZ_REQUIRE(AdoptionInfo::decode(info.encode()) == info);
  } catch (const DeviceError& error) {
    FUZZ_REQUIRE(error.what()[0] != '\0');
  }
}

/// Bytes and descriptors over a real socket. Whatever comes, no descriptor is left behind.
void received_descriptors_are_owned(Input& input) {
  int sockets[2];
  FUZZ_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
  const ha::Descriptor left(sockets[0]), right(sockets[1]);
  const int probe = dup(0);
  close(probe);
  while (!input.empty()) {
    const std::size_t count = input.below(6);
    const bool several = input.below(4) == 0;
    std::vector<std::uint8_t> bytes;
    const auto chosen = input.bytes(2 * ha::kMaxAttachBytes);
    bytes.assign(chosen.begin(), chosen.end());
    if (input.below(8) == 0) bytes.resize(ha::kMaxAttachBytes + input.below(4));
    if (bytes.empty()) bytes.push_back(0);
    iovec part{bytes.data(), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (ha::kMaxAttachDescriptors + 6))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    const std::size_t passed = several ? ha::kMaxAttachDescriptors - 2 + count : count;
    if (passed != 0) {
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(sizeof(int) * passed);
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int) * passed);
      const std::vector<int> fds(passed, left.get());
      std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * passed);
    }
    FUZZ_REQUIRE(sendmsg(left.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(bytes.size()));
    ha::AttachMessage message;
    std::vector<ha::Descriptor> descriptors;
    const auto result = ha::receive_message(right.get(), message, descriptors);
    if (ha::is_first_version(bytes)) continue;
    FUZZ_REQUIRE(result == ha::ReceiveResult::message || result == ha::ReceiveResult::garbage);
    FUZZ_REQUIRE(descriptors.size() <= ha::kMaxAttachDescriptors);
    const bool decodable = bytes.size() <= ha::kMaxAttachBytes && passed <= ha::kMaxAttachDescriptors &&
                           ha::decode_attach(bytes).has_value();
    FUZZ_REQUIRE((result == ha::ReceiveResult::message) == decodable);
  }
  // The lowest free number is what it was: nothing stayed open.
  const int after = dup(0);
  close(after);
  FUZZ_REQUIRE(after == probe);
}

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::fuzz;
  Input input(data, size);
  switch (input.u8() % 4) {
    case 0:
      decoded_messages_survive_the_round_trip(input.rest());
      break;
    case 1:
      adoption_info_is_refused_or_sound(input.rest());
      break;
    case 3:
      decoded_options_survive_the_round_trip(input.rest());
      break;
    default:
      received_descriptors_are_owned(input);
  }
  return 0;
}
