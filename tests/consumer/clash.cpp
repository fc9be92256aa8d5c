// SPDX-License-Identifier: BSD-3-Clause
//
// A program of somebody else's that has names of its own which are also lwIP's, or those of Tandem's insides. A stack is made to
// work: none of them may be called from within.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <tandem/memory_wire.hpp>
#include <tandem/node.hpp>
#include <tandem/stack.hpp>

namespace {

int calls = 0;
int called(const char* name) {
  std::fprintf(stderr, "the library calls the program's own %s\n", name);
  ++calls;
  return 0;
}

}  // namespace

#define OWN_NAME(name) \
  extern "C" int name() { return called(#name); }
OWN_NAME(mem_malloc)
OWN_NAME(mem_free)
OWN_NAME(memp_malloc)
OWN_NAME(pbuf_alloc)
OWN_NAME(pbuf_free)
OWN_NAME(tcp_close)
OWN_NAME(tcp_new)
OWN_NAME(tcp_connect)
OWN_NAME(tcp_output)
OWN_NAME(tcp_input)
OWN_NAME(udp_new)
OWN_NAME(netif_add)
OWN_NAME(lwip_init)
OWN_NAME(sys_now)
OWN_NAME(etharp_output)
OWN_NAME(ip4_input)
OWN_NAME(ip6_input)

namespace tandem::ha {
struct LogWriter {
  static int publish() { return called("tandem::ha::LogWriter::publish"); }
};
}  // namespace tandem::ha

int main() {
  tandem::MemoryWire wire;
  const auto port = wire.add_port(tandem::MacAddress::parse("02:00:00:00:00:01").value());
  const std::unique_ptr<tandem::Device> device = wire.open(port);
  tandem::StackOptions options;
  options.addresses.push_back(tandem::IpPrefix::parse("192.0.2.1/24").value());
  options.now_ns = [] { return std::uint64_t{1'000'000'000'000}; };
  tandem::Stack stack(options, *device);
  stack.define_service(7, [](tandem::Connection&) { return std::make_unique<tandem::Handler>(); });
  stack.listen({tandem::IpAddress::any(4), 7}, tandem::unreplicated, 7);
  tandem::Connection* connection = stack.connect(
      {tandem::IpAddress::any(4), 0}, {tandem::IpAddress::parse("192.0.2.2").value(), 80}, tandem::unreplicated, 7);
  stack.run_timers();
  if (connection != nullptr) connection->abort();
  stack.run_handlers();
  stack.end_turn();
  if (connection == nullptr || calls != 0) return EXIT_FAILURE;
  // Its own names are its own.
  tcp_close();
  tandem::ha::LogWriter::publish();
  return calls == 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
