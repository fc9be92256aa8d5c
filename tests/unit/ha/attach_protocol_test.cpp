// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <unistd.h>
#include <random>

#include "attach_protocol.hpp"

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

TEST_CASE("hello and refusal survive the round trip") {
  Hello hello;
  hello.log_format_version = 9;
  hello.group_layout_version = 8;
  hello.fingerprint = {{"a", "1"}, {"b", ""}};
  const auto decoded = decode_attach(encode(hello));
  REQUIRE(decoded);
  CHECK(std::get<Hello>(*decoded).fingerprint == hello.fingerprint);
  CHECK(std::get<Hello>(*decoded).log_format_version == 9);
  const auto refusal = decode_attach(encode(Refusal{78, "no"}));
  REQUIRE(refusal);
  CHECK(std::get<Refusal>(*refusal).exit_code == 78);
  CHECK(std::get<Refusal>(*refusal).text == "no");
}

TEST_CASE("garbage on the attach socket is told from messages") {
  Hello hello;
  hello.fingerprint = {{"address", "192.0.2.1/24"}};
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
