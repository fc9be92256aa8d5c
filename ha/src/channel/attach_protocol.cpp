// SPDX-License-Identifier: BSD-3-Clause
#include "channel/attach_protocol.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "node/system.hpp"

namespace tandem::ha {
namespace {

constexpr std::uint32_t kAttachMagic = 0x32546474;  // "tdT2"
constexpr std::uint32_t kFirstMagic = 0x31546474;   // "tdT1"
enum class Kind : std::uint32_t { hello = 1, refusal = 2, welcome = 3, ready = 4 };

/// The numbers are the format.
enum class Tag : std::uint16_t {
  log_format = 1,        ///< hello: u32 lowest | u32 highest
  group_layout = 2,      ///< hello: likewise
  options_digest = 3,    ///< hello: u64
  descriptor_names = 4,  ///< hello, welcome: each a u32 length and its bytes
  exit_code = 5,         ///< refusal: i32
  text = 6,              ///< refusal: bytes
  reader = 7,            ///< welcome: u32
  position = 8,          ///< welcome: u64
  log_bytes = 9,         ///< welcome: u64
  written_format = 10,   ///< welcome: u32
  adoption_info = 11,    ///< welcome: bytes
  identity = 12,         ///< hello: u64
  number = 13,           ///< hello: u32
};
constexpr std::uint16_t kTags = 14;

struct Writer {
  std::vector<std::uint8_t> out;

  template <typename T>
  void number(T value) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(&value);
    out.insert(out.end(), from, from + sizeof value);
  }
  void raw(Bytes value) { out.insert(out.end(), value.begin(), value.end()); }
  void bytes(Bytes value) {
    number(static_cast<std::uint32_t>(value.size()));
    raw(value);
  }
  void text(const std::string& value) { bytes({reinterpret_cast<const std::uint8_t*>(value.data()), value.size()}); }

  void field(Tag tag, Bytes value) {
    number(tag);
    number(std::uint16_t{0});
    bytes(value);
  }
  template <typename T>
  void field(Tag tag, T value) {
    field(tag, Bytes(reinterpret_cast<const std::uint8_t*>(&value), sizeof value));
  }
  void names(const std::vector<std::string>& list) {
    if (list.empty()) return;
    Writer value;
    for (const std::string& name : list) value.text(name);
    field(Tag::descriptor_names, Bytes(value.out));
  }
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

/// A message's fields by their tags. A value of fixed length may have grown at its end.
struct Fields {
  Bytes values[kTags];
  bool present[kTags] = {};
  bool good = true;

  Bytes bytes(Tag tag) {
    good = good && present[static_cast<std::uint16_t>(tag)];
    return values[static_cast<std::uint16_t>(tag)];
  }
  template <typename T>
  T number(Tag tag) {
    Reader reader{bytes(tag)};
    const T value = reader.number<T>();
    good = good && reader.good;
    return value;
  }
  Versions versions(Tag tag) {
    Reader reader{bytes(tag)};
    Versions result;
    result.lowest = reader.number<std::uint32_t>();
    result.highest = reader.number<std::uint32_t>();
    good = good && reader.good;
    return result;
  }
  std::vector<std::string> names() {
    std::vector<std::string> result;
    Reader reader{values[static_cast<std::uint16_t>(Tag::descriptor_names)]};
    while (!reader.in.empty() && reader.good) result.push_back(reader.text());
    good = good && reader.good && result.size() <= kMaxAttachDescriptors;
    return result;
  }
};

/// False when a field runs over the end, or `unknown` says which one would have to be understood.
bool read_fields(Reader& reader, Fields& fields, std::optional<std::uint16_t>& unknown) {
  while (!reader.in.empty()) {
    const auto tag = reader.number<std::uint16_t>();
    reader.number<std::uint16_t>();
    const Bytes value = reader.bytes();
    if (!reader.good) return false;
    const std::uint16_t number = tag & static_cast<std::uint16_t>(~kOptionalField);
    if (number != 0 && number < kTags) {
      fields.values[number] = value;
      fields.present[number] = true;
    } else if ((tag & kOptionalField) == 0) {
      unknown = unknown.value_or(tag);
    }
  }
  return true;
}

/// What a message would have needed, with what either side speaks.
std::string not_understood(std::uint16_t tag, Kind kind, Fields& fields) {
  std::string text =
      "it holds a field (" + std::to_string(tag) + ") that has to be understood and that this version does not know; ";
  if (kind == Kind::hello && fields.present[static_cast<std::uint16_t>(Tag::log_format)] &&
      fields.present[static_cast<std::uint16_t>(Tag::group_layout)])
    text += "the other side speaks log format " + to_string(fields.versions(Tag::log_format)) + " and group layout " +
            to_string(fields.versions(Tag::group_layout)) + ", ";
  return text + "this side log format " + to_string(log_formats) + " and group layout " + to_string(kGroupLayouts);
}

std::optional<Refusal> decode_first_refusal(Bytes bytes) {
  Reader reader{bytes};
  if (reader.number<std::uint32_t>() != kFirstMagic || reader.number<Kind>() != Kind::refusal) return std::nullopt;
  Refusal refusal;
  refusal.exit_code = reader.number<std::int32_t>();
  refusal.text = reader.text();
  if (!reader.good || !reader.in.empty()) return std::nullopt;
  return refusal;
}

/// Longer values are lists: what only one side has is named, not the whole.
constexpr std::size_t kLongestShown = 200;
constexpr std::size_t kItemsShown = 3;
/// Of all differences together.
constexpr std::size_t kLongestText = 8192;

std::set<std::string> items_of(const std::string& list) {
  std::set<std::string> items;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(", ", at), list.size());
    items.insert(list.substr(at, end - at));
    at = end + 2;
  }
  return items;
}

std::string only_in(const std::set<std::string>& here, const std::set<std::string>& there) {
  std::string text;
  std::size_t count = 0;
  for (const std::string& item : here) {
    if (there.contains(item)) continue;
    if (++count <= kItemsShown) text += (count == 1 ? "\"" : ", \"") + item.substr(0, kLongestShown) + "\"";
  }
  if (count > kItemsShown) text += " and " + std::to_string(count - kItemsShown) + " more";
  return count == 0 ? "nothing" : text;
}

}  // namespace

std::string differences(const Fingerprint& primary, const Fingerprint& twin) {
  std::string text;
  const auto note = [&text](const std::string& name, const std::string* ours, const std::string* theirs) {
    if (!text.empty()) text += "; ";
    if (ours != nullptr && theirs != nullptr && std::max(ours->size(), theirs->size()) > kLongestShown) {
      const auto here = items_of(*ours), there = items_of(*theirs);
      text += name + ": only the primary has " + only_in(here, there) + ", only the twin " + only_in(there, here);
      if (here == there) text += " (their order or number differs)";
      return;
    }
    const auto shown = [](const std::string* value) {
      if (value == nullptr) return std::string("not given");
      return "\"" + value->substr(0, kLongestShown) + (value->size() > kLongestShown ? "\"..." : "\"");
    };
    text += name + " is " + shown(ours) + " on the primary and " + shown(theirs) + " on the twin";
  };
  for (const auto& [name, value] : primary) {
    const auto other = twin.find(name);
    if (other == twin.end()) {
      note(name, &value, nullptr);
    } else if (other->second != value) {
      note(name, &value, &other->second);
    }
  }
  for (const auto& [name, value] : twin) {
    if (!primary.contains(name)) note(name, nullptr, &value);
  }
  if (text.size() > kLongestText) text = text.substr(0, kLongestText) + "...";
  return text;
}

std::vector<std::uint8_t> encode_fingerprint(const Fingerprint& fingerprint) {
  Writer writer;
  for (const auto& [name, value] : fingerprint) {
    writer.text(name);
    writer.text(value);
  }
  return std::move(writer.out);
}

std::optional<Fingerprint> decode_fingerprint(Bytes bytes) {
  Reader reader{bytes};
  Fingerprint result;
  while (!reader.in.empty() && reader.good) {
    std::string name = reader.text();
    result[std::move(name)] = reader.text();
  }
  if (!reader.good) return std::nullopt;
  return result;
}

std::uint64_t digest_of(Bytes bytes) {
  std::uint64_t digest = 0xcbf29ce484222325;
  for (const std::uint8_t byte : bytes) digest = (digest ^ byte) * 0x100000001b3;
  return digest;
}

std::optional<std::uint32_t> common_version(Versions ours, Versions theirs) {
  const std::uint32_t highest = std::min(ours.highest, theirs.highest);
  if (highest < std::max(ours.lowest, theirs.lowest)) return std::nullopt;
  return highest;
}

std::string to_string(Versions versions) {
  if (versions.lowest == versions.highest) return std::to_string(versions.highest);
  return std::to_string(versions.lowest) + " to " + std::to_string(versions.highest);
}

std::vector<std::uint8_t> encode(const AttachMessage& message) {
  Writer writer;
  writer.number(kAttachMagic);
  if (const auto* hello = std::get_if<Hello>(&message)) {
    writer.number(Kind::hello);
    writer.field(Tag::log_format, hello->log_format);
    writer.field(Tag::group_layout, hello->group_layout);
    writer.field(Tag::identity, hello->identity);
    writer.field(Tag::number, hello->number);
    writer.field(Tag::options_digest, hello->options_digest);
    writer.names(hello->descriptor_names);
  } else if (const auto* refusal = std::get_if<Refusal>(&message)) {
    writer.number(Kind::refusal);
    writer.field(Tag::exit_code, refusal->exit_code);
    writer.field(Tag::text, Bytes(reinterpret_cast<const std::uint8_t*>(refusal->text.data()), refusal->text.size()));
  } else if (const auto* welcome = std::get_if<Welcome>(&message)) {
    writer.number(Kind::welcome);
    writer.field(Tag::reader, welcome->reader);
    writer.field(Tag::position, welcome->position);
    writer.field(Tag::log_bytes, welcome->log_bytes);
    writer.field(Tag::written_format, welcome->log_format);
    writer.field(Tag::adoption_info, Bytes(welcome->adoption_info));
    writer.names(welcome->descriptor_names);
  } else {
    writer.number(Kind::ready);
  }
  return std::move(writer.out);
}

std::vector<std::uint8_t> encode_first_refusal(const Refusal& refusal) {
  Writer writer;
  writer.number(kFirstMagic);
  writer.number(Kind::refusal);
  writer.number(refusal.exit_code);
  writer.text(refusal.text);
  return std::move(writer.out);
}

bool is_first_version(Bytes bytes) {
  Reader reader{bytes};
  return reader.number<std::uint32_t>() == kFirstMagic;
}

std::optional<AttachMessage> decode_attach(Bytes bytes, std::string* why) {
  Reader reader{bytes};
  if (reader.number<std::uint32_t>() != kAttachMagic) return std::nullopt;
  const Kind kind = reader.number<Kind>();
  Fields fields;
  std::optional<std::uint16_t> unknown;
  if (!reader.good || !read_fields(reader, fields, unknown)) return std::nullopt;
  if (unknown) {
    if (why != nullptr) *why = not_understood(*unknown, kind, fields);
    return std::nullopt;
  }
  AttachMessage message;
  switch (kind) {
    case Kind::hello: {
      Hello hello;
      hello.log_format = fields.versions(Tag::log_format);
      hello.group_layout = fields.versions(Tag::group_layout);
      hello.identity = fields.number<std::uint64_t>(Tag::identity);
      hello.number = fields.number<std::uint32_t>(Tag::number);
      hello.options_digest = fields.number<std::uint64_t>(Tag::options_digest);
      hello.descriptor_names = fields.names();
      message = std::move(hello);
      break;
    }
    case Kind::refusal: {
      Refusal refusal;
      refusal.exit_code = fields.number<std::int32_t>(Tag::exit_code);
      const Bytes text = fields.bytes(Tag::text);
      refusal.text.assign(text.begin(), text.end());
      message = std::move(refusal);
      break;
    }
    case Kind::welcome: {
      Welcome welcome;
      welcome.reader = fields.number<std::uint32_t>(Tag::reader);
      welcome.position = fields.number<std::uint64_t>(Tag::position);
      welcome.log_bytes = fields.number<std::uint64_t>(Tag::log_bytes);
      welcome.log_format = fields.number<std::uint32_t>(Tag::written_format);
      const Bytes info = fields.bytes(Tag::adoption_info);
      welcome.adoption_info.assign(info.begin(), info.end());
      welcome.descriptor_names = fields.names();
      message = std::move(welcome);
      break;
    }
    case Kind::ready:
      message = Ready{};
      break;
    default:
      return std::nullopt;
  }
  if (!fields.good) return std::nullopt;
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

ReceiveResult receive_message(int socket, AttachMessage& message, std::vector<Descriptor>& descriptors,
                              std::string* why) {
  std::vector<std::uint8_t> buffer(kMaxAttachBytes);
  const system::Packet got = system::receive_packet(socket, buffer, descriptors);
  if (got.bytes < 0) return errno == EAGAIN || errno == EINTR ? ReceiveResult::nothing_yet : ReceiveResult::closed;
  if (got.bytes == 0) return ReceiveResult::closed;
  const Bytes bytes = Bytes(buffer).first(static_cast<std::size_t>(got.bytes));
  if (got.truncated) return is_first_version(bytes) ? ReceiveResult::first_version : ReceiveResult::garbage;
  if (auto refusal = decode_first_refusal(bytes)) {
    message = std::move(*refusal);
    return ReceiveResult::message;
  }
  auto decoded = decode_attach(bytes, why);
  if (!decoded) return is_first_version(bytes) ? ReceiveResult::first_version : ReceiveResult::garbage;
  message = std::move(*decoded);
  return ReceiveResult::message;
}

}  // namespace tandem::ha
