// SPDX-License-Identifier: BSD-3-Clause
#include "etcd_options.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

using namespace tandem::ha;
using Catch::Matchers::Contains;

namespace {

/// A file of its own that goes with it.
class LoginFile {
 public:
  LoginFile(const std::string& text, mode_t mode) {
    char name[] = "/tmp/tandem-login-XXXXXX";
    ::close(::mkstemp(name));
    path = name;
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
  }
  ~LoginFile() { ::unlink(path.c_str()); }
  std::string path;
};

std::string refusal(const std::string& text) {
  try {
    static_cast<void>(parse_etcd_options(text, "main"));
  } catch (const EtcdOptionError& error) {
    return error.what();
  }
  return "it was taken";
}

}  // namespace

TEST_CASE("endpoints get their port, and the key names the group") {
  const EtcdOptions options =
      parse_etcd_options("http://192.0.2.1,https://example.com:4001/,http://[2001:db8::1]", "edge");
  CHECK(options.endpoints ==
        std::vector<std::string>{"http://192.0.2.1:2379", "https://example.com:4001", "http://[2001:db8::1]:2379"});
  CHECK(options.key == "tandem/edge");
  CHECK(options.timeout_ms == 1000);
  CHECK(options.user.empty());
}

TEST_CASE("settings follow the endpoints") {
  const LoginFile login("operator:se:cret\n", 0600);
  const EtcdOptions options =
      parse_etcd_options("https://example.com,key=routers/one,ca=/etc/ca.pem,timeout=250,login=" + login.path, "edge");
  CHECK(options.key == "routers/one");
  CHECK(options.ca_file == "/etc/ca.pem");
  CHECK(options.timeout_ms == 250);
  CHECK(options.user == "operator");
  CHECK(options.password == "se:cret");
}

TEST_CASE("what can never work is refused with what it takes") {
  CHECK_THAT(refusal(""), Contains("no etcd is named") && Contains("etcd:URL[,URL...]"));
  CHECK_THAT(refusal("key=a"), Contains("no etcd is named"));
  CHECK_THAT(refusal("192.0.2.1:2379"), Contains("'192.0.2.1:2379' is no URL of http or https"));
  CHECK_THAT(refusal("ftp://192.0.2.1"), Contains("is no URL of http or https"));
  CHECK_THAT(refusal("http://"), Contains("must be a host and a port"));
  CHECK_THAT(refusal("http://0:pw@192.0.2.1"), Contains("without path, name or password"));
  CHECK_THAT(refusal("http://192.0.2.1/v3"), Contains("without path"));
  CHECK_THAT(refusal("http://[::1"), Contains("lacks a ']'"));
  CHECK_THAT(refusal("http://192.0.2.1,colour=red"), Contains("there is no setting 'colour'"));
  CHECK_THAT(refusal("http://192.0.2.1,key="), Contains("key= says nothing"));
  CHECK_THAT(refusal("http://192.0.2.1,key=k,http://192.0.2.2"), Contains("must stand in front of the settings"));
  for (const char* timeout : {"9", "60001", "1s", "-5", "99999999999999999999"})
    CHECK_THAT(refusal(std::string("http://192.0.2.1,timeout=") + timeout), Contains("10 to 60000"));
}

TEST_CASE("a login is read from a file that nobody else can read") {
  CHECK_THAT(refusal("http://192.0.2.1,login=/nowhere/at/all"), Contains("cannot be read: No such file"));
  const LoginFile open("a:b\n", 0644), nameless(":b\n", 0600), empty("", 0600), word("secret\n", 0600);
  CHECK_THAT(refusal("http://192.0.2.1,login=" + open.path), Contains("others may read") && Contains("chmod 600"));
  for (const LoginFile* file : {&nameless, &empty, &word})
    CHECK_THAT(refusal("http://192.0.2.1,login=" + file->path), Contains("must be NAME:PASSWORD"));
}
