// SPDX-License-Identifier: BSD-3-Clause
//
// The arbiter against Debian's etcd, in a network namespace of the test's own, and against servers that are none.
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "etcd_arbiter.hpp"
#include "lab.hpp"

using namespace tandem;
using namespace tandem::ha;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

constexpr int kBound_ms = 20'000;

/// A folder that goes with it.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/tandem-etcd-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  std::string path;
};

ArbiterAnswer answer_of(EtcdArbiter& arbiter) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBound_ms);
  while (std::chrono::steady_clock::now() < until) {
    if (auto answer = arbiter.take()) return *answer;
    pollfd ready{arbiter.event_fd(), POLLIN, 0};
    ::poll(&ready, 1, kBound_ms);
  }
  FAIL("no answer within " << kBound_ms << " ms");
  return {};
}

ArbiterRegister read(EtcdArbiter& arbiter) {
  arbiter.read();
  const ArbiterAnswer answer = answer_of(arbiter);
  INFO(answer.error);
  REQUIRE(answer.value);
  return *answer.value;
}

std::string error_of_read(EtcdArbiter& arbiter) {
  arbiter.read();
  const ArbiterAnswer answer = answer_of(arbiter);
  return answer.value ? "it was believed" : answer.error;
}

ArbiterRegister written(MemberId by, std::uint64_t serial) { return {0, 1, by, {by}, by, SwapKind::fresh, serial}; }

/// Debian's etcd on a port of the loopback interface.
class Server {
 public:
  explicit Server(std::string more = {}, std::string scheme = "http")
      : scheme_(std::move(scheme)), more_(std::move(more)) {
    start();
  }
  ~Server() { end(SIGKILL); }

  [[nodiscard]] std::string url() const { return scheme_ + "://127.0.0.1:23790"; }
  void start() {
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const std::string command = "exec etcd --data-dir " + folder_.path + "/data --listen-client-urls " + url() +
                                  " --advertise-client-urls " + url() +
                                  " --listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls "
                                  "http://127.0.0.1:23800 --initial-cluster default=http://127.0.0.1:23800 " +
                                  more_ + " >" + folder_.path + "/log 2>&1";
      ::execlp("sh", "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
  }
  /// Every thread of it stands when this returns.
  void stand_still() const {
    REQUIRE(::kill(pid_, SIGSTOP) == 0);
    int status = 0;
    REQUIRE(::waitpid(pid_, &status, WUNTRACED) == pid_);
    REQUIRE(WIFSTOPPED(status));
  }
  void go_on() const { REQUIRE(::kill(pid_, SIGCONT) == 0); }
  void end(int number) {
    if (pid_ <= 0) return;
    ::kill(pid_, number);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  [[nodiscard]] const std::string& folder() const { return folder_.path; }

 private:
  Folder folder_;
  std::string scheme_, more_;
  pid_t pid_ = 0;
};

/// Asks until it is there.
ArbiterRegister wait_for(EtcdArbiter& arbiter) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBound_ms);
  std::string error;
  while (std::chrono::steady_clock::now() < until) {
    arbiter.read();
    const ArbiterAnswer answer = answer_of(arbiter);
    if (answer.value) return *answer.value;
    error = answer.error;
    ::poll(nullptr, 0, 20);
  }
  FAIL("not within " << kBound_ms << " ms: " << error);
  return {};
}

/// Takes connections and treats each as `serve` says.
class FalseServer {
 public:
  explicit FalseServer(std::function<void(int)> serve) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    socklen_t bytes = sizeof at;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &bytes);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this, serve = std::move(serve)] {
      for (int client = 0; (client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; ::close(client)) {
        char request[4096];
        static_cast<void>(::recv(client, request, sizeof request, 0));
        serve(client);
      }
    });
  }
  ~FalseServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  int listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

void say(int client, const std::string& body) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t sent = ::send(client, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) return;
    done += static_cast<std::size_t>(sent);
  }
}

}  // namespace

TEST_CASE("of two that swap at one revision one wins, and both learn what stands there") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  const Server server;
  EtcdArbiter left(parse_etcd_options(server.url(), "g")), right(parse_etcd_options(server.url(), "g"));
  CHECK(wait_for(left).revision == 0);
  left.swap({0, written(0xa, 1)});
  const ArbiterAnswer won = answer_of(left);
  REQUIRE(won.value);
  CHECK(won.value->by == 0xa);
  right.swap({0, written(0xb, 1)});
  const ArbiterAnswer lost = answer_of(right);
  REQUIRE(lost.value);
  CHECK(lost.value->by == 0xa);
  CHECK(lost.value->revision == won.value->revision);
  // The same request once more is no second swap.
  left.swap({0, written(0xa, 1)});
  CHECK(answer_of(left).value->revision == won.value->revision);
  right.swap({won.value->revision, written(0xb, 2)});
  CHECK(answer_of(right).value->by == 0xb);
  CHECK(read(left).by == 0xb);
  // A group of another name has a register of its own.
  EtcdArbiter other(parse_etcd_options(server.url(), "h"));
  CHECK(read(other).revision == 0);
}

TEST_CASE("what has won survives etcd's own death") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  Server server;
  EtcdArbiter arbiter(parse_etcd_options(server.url() + ",timeout=300", "g"));
  wait_for(arbiter);
  arbiter.swap({0, written(0xa, 1)});
  const auto won = answer_of(arbiter).value;
  REQUIRE(won);
  server.end(SIGKILL);
  CHECK_THAT(error_of_read(arbiter),
             Contains("the arbiter cannot be asked") && Contains(server.url()) && Contains("see that etcd runs"));
  server.start();
  const ArbiterRegister found = wait_for(arbiter);
  CHECK(found.revision == won->revision);
  CHECK(found.by == 0xa);
}

TEST_CASE("a swap that is not answered in time may have won or not, and asking again decides it") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  const Server server;
  EtcdArbiter arbiter(parse_etcd_options(server.url() + ",timeout=300", "g"));
  wait_for(arbiter);
  server.stand_still();
  arbiter.swap({0, written(0xa, 1)});
  const ArbiterAnswer open = answer_of(arbiter);
  CHECK_FALSE(open.value);
  CHECK_THAT(open.error, Contains("imed out"));
  server.go_on();
  // Won or not: asked for once more it is decided, and has won once.
  const ArbiterRegister found = wait_for(arbiter);
  arbiter.swap({0, written(0xa, 1)});
  const ArbiterAnswer decided = answer_of(arbiter);
  REQUIRE(decided.value);
  CHECK(decided.value->by == 0xa);
  CHECK(decided.value->serial == 1);
  if (found.revision != 0) CHECK(decided.value->revision == found.revision);
  CHECK(read(arbiter).revision == decided.value->revision);
}

TEST_CASE("of several endpoints one that answers is enough") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  const Server server;
  EtcdArbiter arbiter(
      parse_etcd_options("http://127.0.0.1:9,http://192.0.2.1:2379," + server.url() + ",timeout=300", "g"));
  wait_for(arbiter);
  arbiter.swap({0, written(0xa, 1)});
  CHECK(answer_of(arbiter).value->by == 0xa);
}

TEST_CASE("an etcd that asks for a login gets it, and refuses a wrong one without having changed anything") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  const Server server;
  {
    EtcdArbiter before(parse_etcd_options(server.url(), "g"));
    wait_for(before);
  }
  const std::string etcdctl = "ETCDCTL_API=3 etcdctl --endpoints " + server.url() + " ";
  REQUIRE(test::Lab::run(etcdctl + "user add root:right >/dev/null") == 0);
  REQUIRE(test::Lab::run(etcdctl + "user grant-role root root >/dev/null") == 0);
  REQUIRE(test::Lab::run(etcdctl + "auth enable >/dev/null") == 0);
  EtcdOptions options = parse_etcd_options(server.url(), "g");
  EtcdArbiter nobody(options);
  CHECK_THAT(error_of_read(nobody), Contains("user name is empty"));
  nobody.swap({0, written(0xb, 1)});
  CHECK_FALSE(answer_of(nobody).value);
  options.user = "root";
  options.password = "wrong";
  EtcdArbiter wrong(options);
  CHECK_THAT(error_of_read(wrong), Contains("the login as root was refused"));
  options.password = "right";
  EtcdArbiter right(options);
  CHECK(read(right).revision == 0);
  right.swap({0, written(0xa, 1)});
  CHECK(answer_of(right).value->by == 0xa);
  // A new password ends what was given out for the old one.
  REQUIRE(test::Lab::run("echo right | " + etcdctl +
                         "--user root:right user passwd root --interactive=false >/dev/null") == 0);
  CHECK(read(right).by == 0xa);
}

TEST_CASE("https trusts the certificates that it is told to, and nobody else") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  const Folder folder;
  const auto certificate = [&folder](const std::string& name) {
    return test::Lab::run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=etcd -addext "
        "subjectAltName=IP:127.0.0.1 -keyout " +
        folder.path + "/" + name + ".key -out " + folder.path + "/" + name + ".pem 2>/dev/null");
  };
  REQUIRE(certificate("right") == 0);
  REQUIRE(certificate("wrong") == 0);
  const Server server("--cert-file " + folder.path + "/right.pem --key-file " + folder.path + "/right.key", "https");
  EtcdArbiter right(parse_etcd_options(server.url() + ",ca=" + folder.path + "/right.pem", "g"));
  wait_for(right);
  right.swap({0, written(0xa, 1)});
  CHECK(answer_of(right).value->by == 0xa);
  EtcdArbiter wrong(parse_etcd_options(server.url() + ",ca=" + folder.path + "/wrong.pem", "g"));
  CHECK_THAT(error_of_read(wrong), Contains("certificate"));
  EtcdArbiter system(parse_etcd_options(server.url(), "g"));
  CHECK_THAT(error_of_read(system), Contains("certificate"));
  CHECK_THROWS_WITH(EtcdArbiter(parse_etcd_options(server.url() + ",ca=/nowhere.pem", "g")),
                    Contains("cannot be read"));
}

TEST_CASE("who is no etcd is not believed, and holds nobody up") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  const auto said = [](const std::function<void(int)>& serve) {
    const FalseServer server(serve);
    EtcdArbiter arbiter(parse_etcd_options(server.url() + ",timeout=300", "g"));
    return error_of_read(arbiter);
  };
  CHECK_THAT(said([](int client) { say(client, "<html>Welcome</html>"); }),
             Contains("not believed: it is no JSON object"));
  CHECK_THAT(said([](int client) { say(client, "{}"); }), Contains("not believed"));
  CHECK_THAT(said([](int client) { say(client, std::string(1'000'000, '{')); }), Contains("longer than 65536 bytes"));
  CHECK_THAT(said([](int client) {
               ::poll(nullptr, 0, 1000);
               static_cast<void>(client);
             }),
             Contains("imed out"));
  CHECK_THAT(said([](int) {}), Contains("mpty reply"));
  CHECK_THAT(said([](int client) { static_cast<void>(::send(client, "\x15\x03\x01", 3, MSG_NOSIGNAL)); }),
             Contains("HTTP/0.9"));
}

TEST_CASE("whoever ends waits for no answer") {
  if (!test::lab_possible()) return;
  const test::Lab lab(false);
  const Server server;
  auto arbiter = std::make_unique<EtcdArbiter>(parse_etcd_options(server.url() + ",timeout=60000", "g"));
  wait_for(*arbiter);
  server.stand_still();
  arbiter->swap({0, written(0xa, 1)});
  arbiter->read();
  arbiter.reset();  // the test's own bound is half a minute
  server.go_on();
}
