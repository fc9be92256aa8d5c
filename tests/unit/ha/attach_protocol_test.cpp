// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <unistd.h>
#include <random>

#include "channel/attach_protocol.hpp"

using namespace tandem::ha;

TEST_CASE("options that do not fit are named with both values") {
  const Fingerprint primary = {{"address", "192.0.2.1/24"}, {"mac", "02:00:00:00:00:01"}, {"as", "65000"}};
  CHECK(differences(primary, primary).empty());
  const Fingerprint twin = {{"address", "192.0.2.2/24"}, {"as", "65000"}, {"neighbor", "192.0.2.9 as=1"}};
  const std::string text = differences(primary, twin);
  CHECK(text.find("address is \"192.0.2.1/24\" on the primary and \"192.0.2.2/24\" on the twin") != std::string::npos);
  CHECK(text.find("mac is \"02:00:00:00:00:01\" on the primary and not given on the twin") != std::string::npos);
  CHECK(text.find("neighbor is not given on the primary and \"192.0.2.9 as=1\" on the twin") != std::string::npos);
  CHECK(text.find("65000") == std::string::npos);
}

TEST_CASE("attach messages and descriptors arrive as they were sent") {
  int sockets[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
  const Descriptor left(sockets[0]), right(sockets[1]);
  Welcome welcome;
  welcome.reader = 2;
  welcome.position = 0x123456789a;
  welcome.log_bytes = 1 << 26;
  welcome.adoption_info = {1, 2, 3};
  welcome.descriptor_names = {"log", "xsk"};
  int pipe_fds[2];
  REQUIRE(pipe(pipe_fds) == 0);
  const Descriptor read_end(pipe_fds[0]), write_end(pipe_fds[1]);
  REQUIRE(send_message(left.get(), welcome, {write_end.get(), read_end.get()}));

  AttachMessage message;
  std::vector<Descriptor> descriptors;
  REQUIRE(receive_message(right.get(), message, descriptors) == ReceiveResult::message);
  const auto* got = std::get_if<Welcome>(&message);
  REQUIRE(got != nullptr);
  CHECK(got->reader == 2);
  CHECK(got->position == welcome.position);
  CHECK(got->log_bytes == welcome.log_bytes);
  CHECK(got->adoption_info == welcome.adoption_info);
  CHECK(got->descriptor_names == welcome.descriptor_names);
  REQUIRE(descriptors.size() == 2);
  REQUIRE(write(descriptors[0].get(), "x", 1) == 1);
  char byte = 0;
  REQUIRE(read(read_end.get(), &byte, 1) == 1);
  CHECK(byte == 'x');
  CHECK(receive_message(right.get(), message, descriptors) == ReceiveResult::nothing_yet);
}

TEST_CASE("a hello has the same bytes in every version") {
  Hello hello;
  hello.log_format = {1, 2};
  hello.group_layout = {2, 2};
  hello.identity = 0x99;
  hello.number = 7;
  hello.options_digest = 0x1122334455667788;
  hello.descriptor_names = {"options"};
  std::string hex;
  for (const std::uint8_t byte : encode(hello)) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  CHECK(hex ==
        "7464543201000000"                          // magic, kind
        "01000000080000000100000002000000"          // log format, lowest and highest
        "02000000080000000200000002000000"          // group layout
        "0c000000080000009900000000000000"          // identity
        "0d0000000400000007000000"                  // number
        "03000000080000008877665544332211"          // digest of the options
        "040000000b000000070000006f7074696f6e73");  // names of the descriptors
}

TEST_CASE("a field that is not known is skipped when it is optional, and named with both sides' versions when not") {
  Hello hello;
  hello.log_format = {2, 7};
  std::vector<std::uint8_t> bytes = encode(hello);
  const bool optional = GENERATE(true, false);
  bytes.insert(bytes.end(), {0x4d, static_cast<std::uint8_t>(optional ? 0x80 : 0), 0, 0, 3, 0, 0, 0, 'n', 'e', 'w'});
  std::string why;
  const auto decoded = decode_attach(bytes, &why);
  CHECK(decoded.has_value() == optional);
  if (optional) {
    CHECK(std::get<Hello>(*decoded).log_format == Versions{2, 7});
  } else {
    CHECK(why.find("(77)") != std::string::npos);
    CHECK(why.find("log format 2 to 7") != std::string::npos);
    CHECK(why.find("log format " + to_string(kLogFormats)) != std::string::npos);
  }
}

TEST_CASE("the newest version that both sides know is spoken") {
  CHECK(common_version({1, 2}, {1, 2}) == 2U);
  CHECK(common_version({1, 2}, {1, 1}) == 1U);
  CHECK(common_version({1, 2}, {2, 9}) == 2U);
  CHECK_FALSE(common_version({1, 2}, {3, 9}));
  CHECK_FALSE(common_version({3, 4}, {1, 2}));
}

TEST_CASE("options of any number fit, and a difference among them is named") {
  std::string neighbors;
  for (int i = 0; i < 20'000; ++i)
    neighbors += (i == 0 ? "" : ", ") + std::string("10.0.") + std::to_string(i / 250) + "." + std::to_string(i % 250) +
                 " as=65001";
  const Fingerprint primary = {{"as", "65000"}, {"neighbor", neighbors}};
  Fingerprint twin = primary;
  CHECK(decode_fingerprint(encode_fingerprint(primary)) == primary);
  CHECK(digest_of(encode_fingerprint(primary)) == digest_of(encode_fingerprint(twin)));
  twin["neighbor"] += ", 192.0.2.77 as=7";
  CHECK(digest_of(encode_fingerprint(primary)) != digest_of(encode_fingerprint(twin)));
  const std::string text = differences(primary, twin);
  CHECK(text.find("neighbor: only the primary has nothing, only the twin \"192.0.2.77 as=7\"") != std::string::npos);
  // It goes into one message, whatever differs.
  Fingerprint other;
  for (int i = 0; i < 5000; ++i) other["option-" + std::to_string(i)] = std::string(300, 'x');
  CHECK(encode(Refusal{78, differences(primary, other)}).size() < kMaxAttachBytes);
}

TEST_CASE("a twin of the first version is told in its own words, and its primary is understood") {
  int sockets[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
  const Descriptor left(sockets[0]), right(sockets[1]);
  const auto bytes = encode_first_refusal({76, "no"});
  const std::vector<std::uint8_t> expected = {'t', 'd', 'T', '1', 2, 0, 0, 0, 76, 0, 0, 0, 2, 0, 0, 0, 'n', 'o'};
  CHECK(bytes == expected);
  REQUIRE(send(left.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  AttachMessage message;
  std::vector<Descriptor> descriptors;
  REQUIRE(receive_message(right.get(), message, descriptors) == ReceiveResult::message);
  CHECK(std::get<Refusal>(message).text == "no");
  // A hello of that version.
  const std::uint8_t hello[] = {'t', 'd', 'T', '1', 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
  REQUIRE(send(left.get(), hello, sizeof hello, 0) == sizeof hello);
  CHECK(receive_message(right.get(), message, descriptors) == ReceiveResult::first_version);
}

TEST_CASE("a refusal survives the round trip") {
  const auto refusal = decode_attach(encode(Refusal{78, "no"}));
  REQUIRE(refusal);
  CHECK(std::get<Refusal>(*refusal).exit_code == 78);
  CHECK(std::get<Refusal>(*refusal).text == "no");
}

TEST_CASE("garbage on the attach socket is told from messages") {
  Hello hello;
  hello.options_digest = 7;
  const std::vector<std::uint8_t> good = encode(hello);
  for (std::size_t length = 0; length < good.size(); ++length) {
    CHECK_FALSE(decode_attach(tandem::Bytes(good).first(length)));
  }
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::uint8_t> bytes = good;
    for (unsigned i = 0; i <= random() % 4; ++i) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    if (const auto message = decode_attach(bytes)) CHECK(encode(*message).size() <= bytes.size());
  }
}
