// SPDX-License-Identifier: BSD-3-Clause
//
// A device as the turn of design.md section 3 drives it: AF_XDP, TAP, an in-memory wire, and capture wrapped round another.
//
//   rx_peek  ->  (stack: tx_reserve, tx_stage, rx_done)  ->  mark  ->  [publish]  ->  tx_release, rx_release  ->  refill
//
// The receive consumer index moves only in rx_release and the transmit producer index only in tx_release, so that a process
// that dies anywhere in between leaves a wire which another process can adopt without loss (invariant I4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/address.hpp"
#include "tandem/link_device.hpp"

namespace tandem {

/// Receive queues that one device reads at most.
inline constexpr std::uint32_t kMostQueues = 16;
/// FramePlace::source: the receive queues, as they are counted in a WireMark, and beside them a packet socket.
inline constexpr std::uint32_t kPacketSource = kMostQueues;
inline constexpr std::uint32_t kFrameSources = kMostQueues + 1;

/// What a commit record says about a device's rings. Free-running 32-bit indices as in the rings.
struct WireMark {
  std::uint32_t rx_index = 0;                                    ///< frames before it have been dealt with
  std::uint32_t tx_index = 0;                                    ///< packets before it are to leave
  std::uint32_t more_queues = 0;                                 ///< receive queues beside the first one
  std::array<std::uint32_t, kMostQueues - 1> more_rx_indices{};  ///< of each of these
  bool operator==(const WireMark&) const = default;
};

/// A file descriptor with the role it plays in the adopting process ("xsk", "umem", "wire", "link", "map", "tap", ...).
struct NamedDescriptor {
  std::string name;
  int fd = -1;  ///< borrowed
};

struct DeviceStatistics {
  std::uint64_t rx_frames = 0, rx_bytes = 0, tx_frames = 0, tx_bytes = 0;
  std::uint64_t tx_no_frame = 0, tx_ring_full = 0;  ///< packets lost because memory or the ring was short
  std::uint64_t tx_calls = 0, tx_largest_call = 0;  ///< into the kernel to send, by this process; packets; AF_XDP
  std::uint64_t rx_dropped = 0, rx_ring_full = 0, rx_fill_empty = 0, rx_invalid = 0, tx_invalid = 0;  ///< kernel's
  std::uint64_t frames_held = 0;    ///< received frames that the stack still refers to
  std::uint64_t rx_no_socket = 0;   ///< frames for us that met no socket (wrong queue, or no owner), AF_XDP
  std::uint64_t rx_too_large = 0;   ///< frames for us that were larger than ours hold, dropped
  std::uint64_t rx_other_vlan = 0;  ///< frames that would be for us, with another VLAN's tag or without ours; not taken
};

/// Where every frame is; free to missing add up to the total. A test's and the leak check's view, of a wire at rest.
struct FrameCensus {
  std::size_t total = 0;
  std::size_t free = 0;
  std::size_t fill = 0;          ///< in the fill ring
  std::size_t receiving = 0;     ///< in the RX ring, shown or not
  std::size_t held = 0;          ///< the stack refers to it
  std::size_t staged = 0;        ///< beyond the TX producer
  std::size_t transmitting = 0;  ///< in the TX or completion ring
  std::size_t missing = 0;       ///< in the kernel's hands, between rings
  std::size_t duplicated = 0;    ///< ring entries that contradict a frame's word or another entry: always 0
  [[nodiscard]] std::size_t sum() const { return free + fill + receiving + held + staged + transmitting + missing; }
};

/// Sees frames as they are on the wire, `outbound` when they are ours. What it is shown is its only during the call.
using FrameObserver = std::function<void(Bytes frame, bool outbound)>;

/// What look_at_link() has found. The owner then asks capabilities(), mac() and link_reason().
enum class LinkChange : std::uint8_t {
  none,
  changed,   ///< up, down, another MTU or another MAC address
  gone,      ///< the interface was removed; the device waits for one of the same name
  returned,  ///< it is there again, and up: reopen()
};

/// Every function is pure, so that a device that wraps another one cannot forget to pass a call on; ring_device.hpp has what is
/// the same for most.
class Device : public LinkDevice {
 public:
  /// What was got: "xdp eth0 queue 0, native zero copy, need_wakeup" or "tap tap0".
  [[nodiscard]] virtual std::string description() const = 0;
  /// What an operator should know although the device works ("eth0 has 8 queues, ..."); empty when there is nothing.
  [[nodiscard]] virtual std::string warning() const = 0;

  /// Shows up to frames.size() frames that arrived and were not shown yet in this turn; the receive ring stays as it is.
  virtual std::size_t rx_peek(std::span<RxFrame> frames) = 0;
  /// Whether rx_peek would show something. Reads memory only where it can (AF_XDP, wire); cheap enough to spin on.
  [[nodiscard]] virtual bool rx_ready() = 0;
  /// For the commit record: everything shown so far counts as dealt with, everything staged so far is to leave.
  [[nodiscard]] virtual WireMark mark() const = 0;
  /// Hands the staged packets before `tx_index` to the kernel. Call when their transaction is committed; in order.
  virtual void tx_release(std::uint32_t tx_index) = 0;
  /// Gives the shown ring entries back. Call right after publish. Frames that the stack is done with become free.
  virtual void rx_release() = 0;
  /// Reaps completions and refills. Once a turn, after tx_release.
  virtual void refill() = 0;
  /// True while packets that were released have not been taken by the kernel (it wants another kick: tx_kick).
  [[nodiscard]] virtual bool tx_pending() const = 0;
  virtual void tx_kick() = 0;
  /// To poll for POLLIN before sleeping: frames wait while one of them is ready. Empty when there is none (wire).
  [[nodiscard]] virtual std::vector<int> poll_fds() const = 0;

  /// From now on `observer` sees each frame that is shown and each packet that leaves, before it does; an empty one: nobody. While
  /// there is none it costs a comparison a batch. Packets of a dead owner are observe_adopted()'s.
  virtual void observe_frames(FrameObserver observer) = 0;

  // ---- The interface's life (primary and twin) ----

  /// Descriptors to watch for POLLIN beside poll_fds, awake or asleep: when one of them is ready, look_at_link() before the next
  /// rx_peek. They stay the same until reopen().
  [[nodiscard]] virtual std::vector<int> event_fds() const = 0;
  /// Takes what the kernel has told about the interface since the last call, and never waits. While the link is not up nothing is
  /// handed to the kernel, and tx_pending() is false: what was released waits.
  virtual LinkChange look_at_link() = 0;
  /// Why the link is not up, for people ("lab0 is down (`ip link set dev lab0 up`)"); empty while it is.
  [[nodiscard]] virtual std::string link_reason() const = 0;
  /// Primary, between two turns, after LinkChange::returned: rings of a new socket over the frames that there are. What was in the
  /// old rings is lost, and mark(), poll_fds(), event_fds(), descriptors() and adoption_info() are others. Throws DeviceError, and
  /// is as before then; trying again later may help (kinds busy and no_interface).
  virtual void reopen() = 0;

  // ---- Takeover on the same chassis (design.md section 6, step 5) ----

  /// Descriptors that the twin needs, and a small versioned blob that says how to map them.
  [[nodiscard]] virtual std::vector<NamedDescriptor> descriptors() const = 0;
  [[nodiscard]] virtual std::vector<std::uint8_t> adoption_info() const = 0;
  /// Twin, after the fence and once the log is drained. `committed` is the last published commit record's mark (null: none
  /// was published): packets before it that were not handed over go now; frames not dealt with are shown by rx_peek again,
  /// restored to what arrived; every frame that the dead owner held is reclaimed exactly once. Idempotent when it is
  /// interrupted and done again by another process.
  virtual void adopt(const WireMark* committed) = 0;
  /// Packets of the dead owner that adopt() handed over, for the timeline.
  [[nodiscard]] virtual std::uint64_t adopted_packets() const = 0;
  /// Sees each packet that adopt() hands over, before it goes. Set it before adopt().
  virtual void observe_adopted(std::function<void(Bytes packet)> observer) = 0;
  /// Whether adopt() put packets on the wire: adopted ones, or such that the dead owner had handed over and the kernel had not
  /// taken yet.
  [[nodiscard]] virtual bool adoption_sent() const = 0;
  /// Whether adoption is exact (nothing can be missing). False only for devices that may lose what was in flight.
  [[nodiscard]] virtual bool adoption_is_exact() const = 0;
  /// Whether others have to be told where our addresses are after an adoption, exact or not: a switch between us and them may have
  /// learnt something else. False where the very rings of the card were taken over.
  [[nodiscard]] virtual bool announce_after_adoption() const = 0;
  /// Planned switchover: stop touching the rings for good (cancel reads, flush). The other side then adopts.
  virtual void give_away() = 0;
  /// Undoes give_away, where it is certain that nobody has adopted and nobody will: everything is where it was.
  virtual void take_back() = 0;
  /// Behind give_away, when the other side has adopted: the frames' memory is dropped in pieces, with sleeps in between.
  virtual void give_back_memory() = 0;

  [[nodiscard]] virtual DeviceStatistics statistics() = 0;
  [[nodiscard]] virtual FrameCensus census() = 0;
};

/// Which TCP and UDP ports and addresses are ours; all else belongs to the kernel. Steering of the AF_XDP program.
struct Steering {
  std::vector<IpAddress> addresses;      ///< owned addresses, and their ARP / ND
  std::vector<std::uint16_t> tcp_ports;  ///< empty = every TCP port of the owned addresses
  std::vector<std::uint16_t> udp_ports;  ///< empty = every UDP port of the owned addresses
};

/// "xdp:IFNAME[,queue=N|all][,vlan=N][,mode=auto|zerocopy|native|generic]" or "tap:IFNAME[,vlan=N]".
struct DeviceSpec {
  enum class Kind : std::uint8_t { xdp, tap } kind = Kind::tap;
  enum class Mode : std::uint8_t { automatic, zerocopy, native, generic } mode = Mode::automatic;
  std::string interface;
  std::uint32_t queue = 0;
  bool all_queues = false;  ///< every receive queue is read; what is sent goes through queue 0
  std::uint16_t vlan = 0;   ///< IEEE 802.1Q: frames are sent and taken with this tag; 0: without one
  /// Throws std::invalid_argument with what was wrong and the accepted form.
  static DeviceSpec parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
};

struct DeviceOptions {
  DeviceSpec spec;
  std::optional<MacAddress> mac;  ///< default: the interface's own for xdp, a stable locally administered one for tap
  std::string group;              ///< makes the tap's default address stable and the same on primary and twin
  Steering steering;
  std::uint32_t frames = 8192;  ///< power of two
  std::uint32_t ring_entries = 2048;
  std::string capture_path;  ///< empty = none
};

/// Why a device could not be opened, and what to do. `kind` selects the exit code.
class DeviceError : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t { privilege, no_interface, busy, unsupported, bad_option, system };
  DeviceError(Kind kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
  [[nodiscard]] Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

/// Opens the device as its first owner. Throws DeviceError.
std::unique_ptr<Device> open_device(const DeviceOptions& options);
/// Maps what a primary passed, touching no ring until adopt(). Descriptors are duplicated or taken over: the result owns
/// them. Throws DeviceError when something is missing or does not fit.
std::unique_ptr<Device> attach_device(const DeviceOptions& options, std::span<const std::uint8_t> adoption_info,
                                      std::span<const NamedDescriptor> descriptors);

}  // namespace tandem
