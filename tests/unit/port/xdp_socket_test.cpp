// SPDX-License-Identifier: BSD-3-Clause
#include "xdp_socket.hpp"

#include <catch2/catch.hpp>

TEST_CASE("kernels before 6.4 map the rings of no bound AF_XDP socket") {
  for (const char* old : {"5.15.0", "6.1.0-56-amd64", "6.3.9", "4.19.0-6-amd64"})
    CHECK(tandem::maps_no_bound_rings(old));
  for (const char* recent : {"6.4.0", "6.18.44-x", "7.0.1", "10.1", "nonsense", ""})
    CHECK_FALSE(tandem::maps_no_bound_rings(recent));
}
