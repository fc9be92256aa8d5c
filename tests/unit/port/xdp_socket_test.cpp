// SPDX-License-Identifier: BSD-3-Clause
#include "xdp_socket.hpp"

#include <catch2/catch.hpp>

#include <cerrno>

TEST_CASE("kernels before 6.4 map the rings of no bound AF_XDP socket") {
  for (const char* old : {"5.15.0", "6.1.0-56-amd64", "6.3.9", "4.19.0-6-amd64"})
    CHECK(tandem::maps_no_bound_rings(old));
  for (const char* recent : {"6.4.0", "6.18.44-x", "7.0.1", "10.1", "nonsense", ""})
    CHECK_FALSE(tandem::maps_no_bound_rings(recent));
}

TEST_CASE("a kernel that refuses packets in several frames is told of, with the one that can and what to do") {
  using Kind = tandem::DeviceError::Kind;
  struct Case {
    int error;
    bool multi_buffer;
    const char* release;
    bool names_kernel, is_too_old;
  };
  for (const Case& c : {Case{EINVAL, true, "6.1.0-56-amd64", true, true}, Case{EINVAL, true, "5.15.0", true, true},
                        Case{EINVAL, true, "6.5.13", true, true}, Case{EINVAL, true, "6.6.0", true, false},
                        Case{EINVAL, true, "", true, false}, Case{EOPNOTSUPP, true, "6.1.0", true, true},
                        Case{EOPNOTSUPP, true, "6.18.44", true, false}, Case{EINVAL, false, "6.1.0", false, false},
                        Case{EOPNOTSUPP, false, "6.1.0", false, false}}) {
    CAPTURE(c.error, c.multi_buffer, c.release);
    const tandem::Refusal refusal = tandem::why_refused(c.error, c.multi_buffer, c.release);
    CHECK(refusal.kind == Kind::unsupported);
    for (const char* part : {"Linux 6.6", "mtu 3400", "--device tap:"})
      CHECK((refusal.advice.find(part) != std::string::npos) == c.names_kernel);
    CHECK((refusal.advice.find(std::string("this kernel is ") + c.release) != std::string::npos) == c.is_too_old);
  }
  // On one that is too old nothing else is guessed at.
  CHECK(tandem::why_refused(EINVAL, true, "6.1.0").advice.find("queue") == std::string::npos);
}
