// SPDX-License-Identifier: BSD-3-Clause
//
// The smallest program on an installed Tandem. Node pulls in every room of the library, and a node on an interface that
// does not exist ends with a code of its own, so that neither a device nor a privilege is needed to see it link and run.
#include <tandem/node.hpp>

int main() {
  tandem::NodeOptions options;
  options.device.spec = tandem::DeviceSpec::parse("xdp:no-such-link");
  options.addresses.push_back(tandem::IpPrefix::parse("192.0.2.1/24").value());
  const int code = tandem::Node(options).run();
  return code == tandem::exit_code::kNoInterface || code == tandem::exit_code::kPrivilege ? 0 : 1;
}
