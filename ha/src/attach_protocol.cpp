// SPDX-License-Identifier: BSD-3-Clause
#include "attach_protocol.hpp"

#include <cerrno>
#include <cstring>

#include "system.hpp"

namespace tandem::ha {
namespace {

constexpr std::uint32_t kAttachMagic = 0x31546474;  // "tdT1"
enum class Kind : std::uint32_t { hello = 1, refusal = 2, welcome = 3, ready = 4 };

struct Writer {
  std::vector<std::uint8_t> out;

  template <typename T>
  void number(T value) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(&value);
    out.insert(out.end(), from, from + sizeof value);
  }
  void bytes(Bytes value) {
    number(static_cast<std::uint32_t>(value.size()));
    out.insert(out.end(), value.begin(), value.end());
  }
  void text(const std::string& value) { bytes({reinterpret_cast<const std::uint8_t*>(value.data()), value.size()}); }
};

struct Reader {
  Bytes in;
  bool good = true;

  template <typename T>
  T number() {
    T value{};
    if (in.size() < sizeof value) {
      good = false;
      return value;
    }
    std::memcpy(&value, in.data(), sizeof value);
    in = in.subspan(sizeof value);
    return value;
  }
  Bytes bytes() {
    const auto size = number<std::uint32_t>();
    if (!good || size > in.size()) {
      good = false;
      return {};
    }
    const Bytes value = in.first(size);
    in = in.subspan(size);
    return value;
  }
  std::string text() {
    const Bytes value = bytes();
    return {value.begin(), value.end()};
  }
};

}  // namespace

std::string differences(const Fingerprint& primary, const Fingerprint& twin) {
  std::string text;
  const auto note = [&text](const std::string& name, const std::string& ours, const std::string& theirs) {
    if (!text.empty()) text += "; ";
    text += name + " is " + ours + " on the primary and " + theirs + " on the twin";
  };
  for (const auto& [name, value] : primary) {
    const auto other = twin.find(name);
    if (other == twin.end()) {
      note(name, "\"" + value + "\"", "not given");
    } else if (other->second != value) {
      note(name, "\"" + value + "\"", "\"" + other->second + "\"");
    }
  }
  for (const auto& [name, value] : twin) {
    if (!primary.contains(name)) note(name, "not given", "\"" + value + "\"");
  }
  return text;
}

std::vector<std::uint8_t> encode(const AttachMessage& message) {
  Writer writer;
  writer.number(kAttachMagic);
  if (const auto* hello = std::get_if<Hello>(&message)) {
    writer.number(Kind::hello);
    writer.number(hello->log_format_version);
    writer.number(hello->group_layout_version);
    writer.number(static_cast<std::uint32_t>(hello->fingerprint.size()));
    for (const auto& [name, value] : hello->fingerprint) {
      writer.text(name);
      writer.text(value);
    }
  } else if (const auto* refusal = std::get_if<Refusal>(&message)) {
    writer.number(Kind::refusal);
    writer.number(refusal->exit_code);
    writer.text(refusal->text);
  } else if (const auto* welcome = std::get_if<Welcome>(&message)) {
    writer.number(Kind::welcome);
    writer.number(welcome->reader);
    writer.number(welcome->position);
    writer.number(welcome->log_bytes);
    writer.bytes(welcome->adoption_info);
    writer.number(static_cast<std::uint32_t>(welcome->descriptor_names.size()));
    for (const std::string& name : welcome->descriptor_names) writer.text(name);
  } else {
    writer.number(Kind::ready);
  }
  return std::move(writer.out);
}

std::optional<AttachMessage> decode_attach(Bytes bytes) {
  Reader reader{bytes};
  if (reader.number<std::uint32_t>() != kAttachMagic) return std::nullopt;
  AttachMessage message;
  switch (reader.number<Kind>()) {
    case Kind::hello: {
      Hello hello;
      hello.log_format_version = reader.number<std::uint32_t>();
      hello.group_layout_version = reader.number<std::uint32_t>();
      for (auto left = reader.number<std::uint32_t>(); left > 0 && reader.good; --left) {
        std::string name = reader.text();
        hello.fingerprint[std::move(name)] = reader.text();
      }
      message = std::move(hello);
      break;
    }
    case Kind::refusal: {
      Refusal refusal;
      refusal.exit_code = reader.number<std::int32_t>();
      refusal.text = reader.text();
      message = std::move(refusal);
      break;
    }
    case Kind::welcome: {
      Welcome welcome;
      welcome.reader = reader.number<std::uint32_t>();
      welcome.position = reader.number<std::uint64_t>();
      welcome.log_bytes = reader.number<std::uint64_t>();
      const Bytes info = reader.bytes();
      welcome.adoption_info.assign(info.begin(), info.end());
      for (auto left = reader.number<std::uint32_t>(); left > 0 && reader.good; --left) {
        welcome.descriptor_names.push_back(reader.text());
      }
      message = std::move(welcome);
      break;
    }
    case Kind::ready:
      message = Ready{};
      break;
    default:
      return std::nullopt;
  }
  if (!reader.good || !reader.in.empty()) return std::nullopt;
  return message;
}

bool send_message(int socket, const AttachMessage& message, const std::vector<int>& descriptors) {
  const std::vector<std::uint8_t> bytes = encode(message);
  if (bytes.size() > kMaxAttachBytes || descriptors.size() > kMaxAttachDescriptors) {
    errno = EMSGSIZE;
    return false;
  }
  return system::send_packet(socket, bytes, descriptors);
}

ReceiveResult receive_message(int socket, AttachMessage& message, std::vector<Descriptor>& descriptors) {
  std::vector<std::uint8_t> bytes(kMaxAttachBytes);
  const system::Packet got = system::receive_packet(socket, bytes, descriptors);
  if (got.bytes < 0) return errno == EAGAIN || errno == EINTR ? ReceiveResult::nothing_yet : ReceiveResult::closed;
  if (got.bytes == 0) return ReceiveResult::closed;
  if (got.truncated) return ReceiveResult::garbage;
  auto decoded = decode_attach(Bytes(bytes).first(static_cast<std::size_t>(got.bytes)));
  if (!decoded) return ReceiveResult::garbage;
  message = std::move(*decoded);
  return ReceiveResult::message;
}

}  // namespace tandem::ha
