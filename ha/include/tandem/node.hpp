// SPDX-License-Identifier: BSD-3-Clause
//
// A node puts a stack, a device and a replication group together: all that most programs need (design.md section 5).
// The same program serves every role. Started without a group it is alone; the first of a group becomes primary, the second
// its twin; when the primary dies, hangs or hands over, the twin goes on with every replicated connection.
//
// Threads. A node, its stack, connections, handlers and application belong to the thread that calls Node::run: all calls from
// them come on it, and none of theirs may come from another (request_stop included; a program with other threads writes to a
// descriptor that Node::loop() watches). Other threads may live beside it. Nothing that is called may block: a turn that takes
// longer than `detect_ms` is taken for a hang, and the twin ends the process.
// Roles. Calls that are marked "primary" decide; those that are marked "twin" only follow what the primary did, must not depend
// on anything but what they are shown, and may neither write nor connect. `alone` is a primary without a twin.
// Notes. Ordered with the streams and with one another, and each arrives whole. One may be as long as a quarter of
// NodeOptions::log_bytes, and all of a turn's share the log with what else the turn writes and with what the twin has not read yet;
// what a turn notes should stay far below, some tens of KiB, since whoever takes over may have to apply it first. A note that does
// not fit is refused: note() returns false. What the primary has done then cannot be told to its twin as it happened, so nothing of
// that turn is, and the twin is removed; it comes back by itself, with a snapshot, and until then nothing is protected. They reach a
// twin from the moment at which its snapshot begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tandem/device.hpp"
#include "tandem/loop.hpp"
#include "tandem/stack.hpp"

namespace tandem {

class Node;

enum class Role : std::uint8_t { alone, primary, twin };
[[nodiscard]] std::string_view to_string(Role role);

/// Exit codes of Node::run and of the programs. Distinct by kind of failure, so that a supervisor can tell them apart.
namespace exit_code {
inline constexpr int kOk = 0;
inline constexpr int kFailure = 1;        ///< anything without a code of its own
inline constexpr int kUsage = 64;         ///< malformed option or configuration
inline constexpr int kNoInterface = 66;   ///< no such interface, or it is down
inline constexpr int kUnsupported = 69;   ///< the kernel or driver lacks a feature or mode
inline constexpr int kInternal = 70;      ///< an invariant does not hold
inline constexpr int kSystem = 71;        ///< an operating system call failed
inline constexpr int kBusy = 75;          ///< queue, address or port in use; trying again may help
inline constexpr int kProtocol = 76;      ///< log of another version, or corrupt
inline constexpr int kPrivilege = 77;     ///< a privilege is missing
inline constexpr int kMismatch = 78;      ///< primary and twin were started with options that do not fit
inline constexpr int kTwinAttached = 79;  ///< the group has its twin already
/// Owner after owner died by its own fault, four of them, and no frame was dealt with in between: another takeover would not help, so
/// the process that would have been the next one ends with this. The connections end with it; a group that is started anew has none
/// of what was in the last one.
inline constexpr int kTakeoverLoop = 80;
inline constexpr int kShutDown =
    83;  ///< the whole group was shut down: not to be started again (81 and 82 are tandemctl's)
}  // namespace exit_code

/// Priorities of log lines, with the numbers of syslog (RFC 5424 section 6.2.1), which the journal knows too.
enum class LogLevel : std::uint8_t {
  error = 3,    ///< the process ends, or something is lost
  warning = 4,  ///< somebody should look, and nothing is lost yet
  notice = 5,   ///< an operator would want to know: a change of state
  info = 6,     ///< what was got, for the record
};
/// Takes a log line: without role, process number or line end, valid during the call only. Called on the node's thread, within
/// a turn: it must not block, and must not call the node.
using LogHook = std::function<void(LogLevel level, Role role, std::string_view text)>;

/// What a service manager wants to know.
struct NodeState {
  Role role = Role::alone;
  /// Alone or primary: the device is open and turns are made. Twin: it is a member, and would be promoted.
  bool ready = false;
  bool is_protected = false;  ///< a member twin holds every replicated connection
  bool stopping = false;      ///< told to end
  bool operator==(const NodeState&) const = default;
};
/// Called on the node's thread at each change, and at least once a second as long as the node makes turns: whoever hears
/// nothing for long may take it for hung. It must not block.
using StateHook = std::function<void(const NodeState& state)>;

struct NodeOptions {
  DeviceOptions device;
  std::vector<IpPrefix> addresses;
  std::vector<IpAddress> gateways;
  std::string group;  ///< empty = unreplicated
  std::string runtime_dir = "/run/tandem";
  /// The process's signals are the node's: SIGTERM and SIGINT as run() says, a second one closes at once; SIGHUP does nothing (there is
  /// nothing to read again); SIGUSR1 writes a line about the state to the log; SIGUSR2 is a planned switchover; SIGPIPE and
  /// SIGXFSZ are ignored. SIGQUIT keeps its meaning: an end with a core dump, and the twin takes over. Programs that have a
  /// life of their own leave it off, and call request_stop() and request_switchover().
  bool handle_signals = false;
  std::uint32_t detect_ms = 50;  ///< a primary that did not turn for this long is hung
  LoopOptions loop;              ///< of the primary
  bool twin_spins = false;       ///< the twin spins on the death word instead of sleeping in a futex wait
  std::size_t log_bytes = std::size_t{64} << 20;  ///< shared-memory ring, power of two, at least 8 MiB
  std::size_t send_queue_bytes = std::size_t{4} << 20;
  std::size_t receive_window_bytes = std::size_t{4} << 20;
  std::size_t max_neighbours = 4096;      ///< StackOptions::max_neighbours
  std::uint32_t batch_frames = 64;        ///< frames a turn
  std::uint32_t reprotect_delay_ms = 10;  ///< a promoted process accepts a new twin no sooner
  /// Off: takes no twin, so that nothing is written into the log (for measuring what mirroring costs).
  bool mirror = true;
};

/// Program-wide part of an application; what belongs to one connection is in its Handler. Calls come from the node's thread.
class Application {
 public:
  virtual ~Application() = default;

  /// Before the first turn, in every role: define services, listen. Called again when a twin has to join anew: what it knew is
  /// void then, and a snapshot will follow.
  virtual void on_start(Node&) {}
  /// The process is primary (or alone) from now on. `takeover`: it was a twin before; handlers had or get on_promote.
  virtual void on_primary(Node&, bool takeover) { (void)takeover; }
  /// The process ends without a twin to hand over to: what is to be said to the peers before their connections are closed.
  virtual void on_stop(Node&) {}
  /// Primary, once a turn behind the handlers, but not in the first turn behind a takeover, whose packets somebody waits for.
  /// Returns when it wants to be called at the latest (Loop's ns scale). Long work is cut in slices: do some, look at
  /// Node::out_of_time(), return `now_ns` (work is left: the next turn comes at once). There is always time for a slice of
  /// a quarter of a millisecond, whatever the handlers have taken.
  virtual std::uint64_t on_turn(Node&, std::uint64_t now_ns) {
    (void)now_ns;
    return UINT64_MAX;
  }
  /// Twin. A note that belongs to no connection (Node::note), in order with everything else.
  virtual void on_note(Node&, Bytes) {}

  /// Primary, for a late joiner: appends one piece of at most about `max_bytes` to `piece` and moves `cursor` (0 at first).
  /// Returns true when more is to come. Called over many turns while life goes on, so a state of any size goes over in the end:
  /// pieces are keyed and the later one wins. A longer piece than was asked for arrives whole too, but makes its turn as long as it takes,
  /// and one that is longer than a note may be (see the head of this file) ends the joining.
  virtual bool save(Node&, std::uint64_t& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece) {
    (void)cursor;
    (void)max_bytes;
    (void)piece;
    return false;
  }
  /// Twin. A piece that save made. False: it is of a version that this program does not know.
  virtual bool restore(Node&, Bytes) { return true; }

  /// Options that must be equal on primary and twin, as name and value; compared when a twin attaches.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> fingerprint() const { return {}; }
  /// A request of tandemctl's that the node does not know ("routes"). Appends JSON to `text`, one piece a call, and moves
  /// `cursor` (0 at first); returns true when more is to come: called again in a later turn. A piece takes some tens of microseconds,
  /// so that an answer about thousands of things delays no packet; what it shows may change between two pieces. Nothing
  /// appended and false: unknown command.
  virtual bool control(Node&, std::string_view command, std::uint64_t& cursor, std::string& text) {
    (void)command;
    (void)cursor;
    (void)text;
    return false;
  }
  /// Appends lines in the Prometheus text format, in pieces like control().
  virtual bool metrics(Node&, std::uint64_t& cursor, std::string& text) {
    (void)cursor;
    (void)text;
    return false;
  }
};

class Node {
 public:
  explicit Node(NodeOptions options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void set_application(Application* application);
  /// Before run(): log lines go to `hook` instead of standard error.
  void set_log_hook(LogHook hook);
  /// Before run().
  void set_state_hook(StateHook hook);

  // ---- Before run(), or in Application::on_start: the same on every role ----
  void define_service(std::uint16_t service, HandlerFactory factory);
  /// Listens on every address of the node; the service number is the port's.
  void listen(std::uint16_t port, Replication replication, HandlerFactory factory);

  /// Opens the device or attaches to the group, and works until SIGTERM / SIGINT or request_stop. SIGTERM to a primary with
  /// a member twin is a planned switchover, else an orderly close. One whose other process has gone a moment before waits up to 5
  /// seconds for a successor first: whatever ends both is not to end the connections. Never throws: prints one clear message and returns
  /// an exit_code.
  int run();
  void request_stop();
  /// After run(): the node handed over on request (not because it is to end), and the process may join its group again as the
  /// twin, with a new Node.
  [[nodiscard]] bool wants_rejoin() const;
  /// Planned switchover at the end of this turn; false with `why` when there is no member twin.
  bool request_switchover(std::string* why = nullptr);

  [[nodiscard]] Role role() const;
  [[nodiscard]] const NodeOptions& options() const;
  /// Time of this turn; on the twin that of the transaction that is being applied. Loop's ns scale.
  [[nodiscard]] std::uint64_t now_ns() const;
  [[nodiscard]] Stack& stack();
  [[nodiscard]] Loop& loop();

  // ---- Long work (design.md section 3). A turn is to take a millisecond at most: the heartbeat moves once a turn, what
  // arrives waits for its end, and a twin that takes over has to apply the last one whole. ----

  /// Until when this turn's handlers and Application may work; Loop's ns scale. Primary (or alone).
  [[nodiscard]] std::uint64_t turn_deadline_ns() const;
  /// Whether that time has come: return, and go on in the next turn, which comes at once when on_turn, or a handler by leaving
  /// bytes unread, says that work is left. One reading of the clock. On a twin false.
  [[nodiscard]] bool out_of_time() const;
  /// For legal work that cannot be cut: says to the twin that this process lives. Only the thread that runs the node is
  /// believed, and for kLongestWork_ms of one turn at most: what takes longer is taken for a hang, and so is an endless loop.
  void still_working();
  static constexpr std::uint32_t kLongestWork_ms = 1000;
  /// The first of our addresses of this version (any, if there is none).
  [[nodiscard]] IpAddress local_address(std::uint8_t version) const;
  /// The one to speak to `remote` from: the link-local one to a link-local one (RFC 4007 section 6), else the one in whose network
  /// it is (the longest prefix, the first of several), else the first of its version.
  [[nodiscard]] IpAddress local_address(const IpAddress& remote) const;
  /// Stack::connect from local_address(remote). Null with `why` set when it cannot begin. Primary.
  Connection* connect(const Endpoint& remote, Replication replication, std::uint16_t service, EndReason* why = nullptr);
  /// Primary: a note to Application::on_note on the twin. Nothing without a twin. False: it does not fit, and the twin is removed
  /// (see the head of this file).
  bool note(Bytes bytes);
  /// One line in the log: on standard error, with process number and role in front (and the priority as the journal wants it,
  /// when that is where standard error goes), or through the log hook. Lines below `error` that come faster than people read
  /// are left out and counted.
  void log(std::string_view text, LogLevel level = LogLevel::notice) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem
