// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch.hpp>

#include "streams.hpp"
#include "world.hpp"

namespace tandem::test {

TEST_CASE("bytes go to an echo service and come back", "[connection]") {
  Clock clock;
  Wire wire;
  Host server(wire, clock, mac(1), options(clock, {"10.0.0.1/24"}));
  Host client(wire, clock, mac(2), options(clock, {"10.0.0.2/24"}));
  server.stack().define_service(7, [](Connection&) { return std::make_unique<Echo>(); });
  server.stack().listen(endpoint("10.0.0.1", 7), unreplicated, 7);
  auto flow = std::make_shared<Flow>(1, 100'000);
  client.stack().define_service(1, [&](Connection&) { return std::make_unique<Talker>(flow); });
  REQUIRE(client.stack().connect(endpoint("0.0.0.0", 0), endpoint("10.0.0.1", 7), unreplicated, 1));
  CHECK(run(clock, {&client, &server}, [&] { return flow->closed; }));
  CHECK(flow->received == 100'000);
  CHECK(flow->exact);
  CHECK(wire.resets == 0);
}

}  // namespace tandem::test
