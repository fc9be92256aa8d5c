// SPDX-License-Identifier: BSD-3-Clause
//
// The small services of inetd, replicated: echo (RFC 862), discard (RFC 863), daytime (RFC 867), chargen (RFC 864).
// Kill the primary and every connection goes on in the twin, to the byte.
#include <algorithm>
#include <array>
#include <ctime>
#include <memory>

#include "tandem_cli/command_line.hpp"
#include "tandem_cli/run_node.hpp"

namespace {

using tandem::Bytes;
using tandem::Connection;

/// What is not consumed is offered again, and what was consumed and written in one call reaches the twin together.
struct Echo : tandem::Handler {
  void on_receive(Connection& c, Bytes unread) override {
    const Bytes piece = unread.first(std::min(unread.size(), c.writable()));
    if (c.write(piece)) c.consume(piece.size());
  }
};

struct Discard : tandem::Handler {
  void on_receive(Connection& c, Bytes unread) override { c.consume(unread.size()); }
};

struct Daytime : Discard {
  void on_connected(Connection& c) override {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::array<char, 64> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%A, %B %d, %Y %H:%M:%S-UTC\r\n", &utc);
    c.write({reinterpret_cast<const std::uint8_t*>(text.data()), size});
    c.close();
  }
};

/// Lines of 72 of the 95 printing characters, each line beginning one character later. The next byte follows from how many
/// were written, so that the twin has nothing to remember.
struct Chargen : Discard {
  static constexpr std::size_t kLine = 74, kPeriod = kLine * 95, kPiece = 64 * 1024;

  void on_connected(Connection& c) override { fill(c); }
  void on_writable(Connection& c) override { fill(c); }

  static void fill(Connection& c) {
    static const std::array pattern = [] {
      std::array<std::uint8_t, kPeriod + kPiece> bytes{};
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::size_t line = i / kLine, column = i % kLine;
        bytes[i] = static_cast<std::uint8_t>(column < 72 ? ' ' + (line + column) % 95 : column == 72 ? '\r' : '\n');
      }
      return bytes;
    }();
    // Room is reported when it has grown, so all of it is used now.
    while (const std::size_t size = std::min(c.writable(), kPiece)) {
      if (!c.write(Bytes(pattern).subspan(c.bytes_written() % kPeriod, size))) return;
    }
  }
};

template <class Service>
std::unique_ptr<tandem::Handler> make(Connection&) {
  return std::make_unique<Service>();
}

}  // namespace

int main(int argc, char** argv) {
  tandem::cli::CommandLine command_line("tandem-inetd", "--device SPEC --address ADDR/LEN [OPTION...]",
                                        "Echo, discard, daytime and chargen over TCP, replicated.");
  command_line.add_options()("port-base", tandem::cli::text_option("N"), "add N to the ports 7, 9, 13 and 19 (0)");
  const tandem::NodeOptions options = command_line.parse_or_exit(argc, argv);
  const std::uint64_t base = command_line.number_or_exit("port-base", 0, 0, 60'000);

  return tandem::cli::run_node(options, [base](tandem::Node& node) {
    node.listen(base + 7, tandem::replicated, make<Echo>);
    node.listen(base + 9, tandem::replicated, make<Discard>);
    node.listen(base + 13, tandem::replicated, make<Daytime>);
    node.listen(base + 19, tandem::replicated, make<Chargen>);
  });
}
