// SPDX-License-Identifier: BSD-3-Clause
//
// A key-value server whose clients and whose data outlive its process: a program with state of its own, on nothing but the
// installed headers. One request a line:
//
//   SET KEY VALUE   ->  OK
//   GET KEY         ->  VALUE VALUE, or NONE
//   DEL KEY         ->  OK, or NONE
//   COUNT           ->  COUNT NUMBER
//
// The store belongs to no connection, so it does not follow from the streams that the twin is shown. Each change goes to the
// twin as a note, in the turn in which its client's request is consumed and answered: the twin has all three or none. Who joins
// late gets the store in pieces (save, restore) while changes go on. Notes and pieces come in the order in which they were made,
// so nothing more is needed for keys that are set or deleted meanwhile: a piece holds what was true when it was made, and what
// happened since comes behind it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <tandem/node.hpp>
#include <tandem/options.hpp>

namespace {

using tandem::Bytes;
using tandem::Connection;

constexpr std::uint16_t kPort = 6380;
/// Far below the longest note (node.hpp), so that no request can be too long for the log.
constexpr std::size_t kMaxLineBytes = 8192;
/// The answers of one call, so that a client that sends much at once does not make one long turn.
constexpr std::size_t kLinesACall = 256;

std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
Bytes bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

std::string_view take_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

/// Keys and values. Each key has a number that grows with the time at which it was first set, so that a walk over all of them
/// can stop at any place and go on from a number, whatever is set or deleted in between.
class Store {
 public:
  void set(std::string_view key, std::string_view value) {
    const auto [found, is_new] = numbers_.try_emplace(std::string(key), next_);
    if (is_new) ++next_;
    entries_[found->second] = {std::string(key), std::string(value)};
  }
  bool remove(std::string_view key) {
    const auto found = numbers_.find(std::string(key));
    if (found == numbers_.end()) return false;
    entries_.erase(found->second);
    numbers_.erase(found);
    return true;
  }
  [[nodiscard]] std::optional<std::string_view> get(std::string_view key) const {
    const auto found = numbers_.find(std::string(key));
    if (found == numbers_.end()) return std::nullopt;
    return entries_.at(found->second).value;
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  struct Entry {
    std::string key, value;
  };
  /// By number, which begins with 1.
  [[nodiscard]] const std::map<std::uint64_t, Entry>& entries() const { return entries_; }

 private:
  std::map<std::uint64_t, Entry> entries_;
  std::unordered_map<std::string, std::uint64_t> numbers_;
  std::uint64_t next_ = 1;
};

class Server : public tandem::Application {
 public:
  void on_start(tandem::Node& node) override;

  /// What a request does to the store and answers. On the primary.
  std::string serve(std::string_view line);

  /// A change, in the words of the request that made it. On the twin.
  void on_note(tandem::Node&, Bytes note) override { apply(text_of(note)); }

  bool save(tandem::Node&, std::uint64_t& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece) override {
    // The cursor is the number of the last entry that was saved. Keys that come in behind it are saved too, and do no harm.
    const auto& entries = store_.entries();
    auto next = entries.upper_bound(cursor);
    while (next != entries.end() && piece.size() + kMaxLineBytes < max_bytes) {
      const std::string line = next->second.key + " " + next->second.value + "\n";
      piece.insert(piece.end(), line.begin(), line.end());
      cursor = next->first;
      ++next;
    }
    return next != entries.end();
  }
  bool restore(tandem::Node&, Bytes piece) override {
    std::string_view rest = text_of(piece);
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      if (end == std::string_view::npos) return false;
      std::string_view line = rest.substr(0, end);
      const std::string_view key = take_word(line);
      store_.set(key, line);
      rest.remove_prefix(end + 1);
    }
    return true;
  }

 private:
  bool apply(std::string_view change) {
    const std::string_view what = take_word(change);
    const std::string_view key = take_word(change);
    if (what == "DEL") return store_.remove(key);
    store_.set(key, change);
    return true;
  }

  tandem::Node* node_ = nullptr;
  Store store_;
};

std::string Server::serve(std::string_view line) {
  std::string_view rest = line;
  const std::string_view what = take_word(rest);
  if (what == "COUNT") return "COUNT " + std::to_string(store_.size()) + "\n";
  const std::string_view key = take_word(rest);
  if (key.empty()) return "ERROR SET KEY VALUE, GET KEY, DEL KEY or COUNT\n";
  if (what == "GET") {
    const auto value = store_.get(key);
    return value ? "VALUE " + std::string(*value) + "\n" : "NONE\n";
  }
  if (what != "SET" && what != "DEL") return "ERROR SET KEY VALUE, GET KEY, DEL KEY or COUNT\n";
  if (!apply(line)) return "NONE\n";
  node_->note(bytes_of(line));
  return "OK\n";
}

/// One client. It has no state of its own: what it has not answered is unread, on the twin too.
class Client : public tandem::Handler {
 public:
  explicit Client(Server& server) : server_(server) {}

  void on_receive(Connection& connection, Bytes) override {
    for (std::size_t served = 0; served < kLinesACall; ++served) {
      const std::string_view text = text_of(connection.unread());
      const std::size_t end = text.find('\n');
      if (end == std::string_view::npos) {
        if (text.size() > kMaxLineBytes) connection.abort();
        return;
      }
      // An answer is no longer than its request, or than the longest value.
      if (end > kMaxLineBytes) return connection.abort();
      if (connection.writable() < 2 * kMaxLineBytes) return;
      const std::string answer = server_.serve(text.substr(0, end));
      connection.write(bytes_of(answer));
      connection.consume(end + 1);
    }
  }

 private:
  Server& server_;
};

void Server::on_start(tandem::Node& node) {
  // Also when a twin joins anew: what it knew is void.
  node_ = &node;
  store_ = {};
  node.listen(kPort, tandem::replicated, [this](Connection&) { return std::make_unique<Client>(*this); });
}

}  // namespace

int main(int argc, char** argv) {
  const tandem::NodeOptions options = tandem::parse_options(argc, argv);
  while (true) {
    Server server;
    tandem::Node node(options);
    node.set_application(&server);
    const int code = node.run();
    // Who has handed over on request comes back as the twin.
    if (!node.wants_rejoin()) return code;
  }
}
