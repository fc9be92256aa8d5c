// SPDX-License-Identifier: BSD-3-Clause
//
// How the processes of a group find each other: RUNTIME_DIR/GROUP/ holds a lock, a socket on which twins attach and one on which
// tandemctl asks. The lock is the primary's alone and ends with it. Whoever may hold what belongs to the group beside it (a twin, or one that
// was removed and stands still) listens on a socket of its own from before it is given anything, and a newcomer is primary only if it
// has the lock and nobody listens (design.md section 6, step 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "channel/shared_memory.hpp"

namespace tandem::ha {

/// Directory of the group, made with mode 0700 when missing. Throws NodeError when it belongs to another user, is writable by
/// others, or the group's name is not a plain file name.
class Rendezvous {
 public:
  Rendezvous(const std::string& runtime_dir, const std::string& group);

  [[nodiscard]] std::string attach_path() const { return directory_ + "/attach.sock"; }
  [[nodiscard]] std::string control_path() const { return directory_ + "/control.sock"; }
  [[nodiscard]] const std::string& directory() const { return directory_; }

  struct PrimaryDescriptors {
    Descriptor lock, attach, control;
  };
  /// Takes the group's lock, or gives an invalid descriptor when somebody holds it.
  [[nodiscard]] Descriptor try_lock() const;
  /// For whoever has the lock: fresh listening sockets.
  [[nodiscard]] PrimaryDescriptors listen(Descriptor lock) const;

  /// Says that the node `identity` may hold what belongs to the group, until the descriptor is closed or its process ends.
  [[nodiscard]] Descriptor announce(std::uint64_t identity) const;
  void withdraw(std::uint64_t identity) const;
  /// Others that have announced themselves. The kernel answers for one that stands still, too.
  struct Holder {
    Descriptor process;  ///< invalid on a kernel without SO_PEERPIDFD (6.5)
  };
  [[nodiscard]] std::vector<Holder> holders(std::uint64_t identity) const;
  /// Connects to the primary, or gives nothing when nobody listens.
  [[nodiscard]] std::optional<Descriptor> try_connect() const;

 private:
  [[nodiscard]] std::string holder_path(std::uint64_t identity) const;
  std::string directory_;
};

/// Where operators ask a process that belongs to no group: RUNTIME_DIR/alone/PID.sock, gone with the object. Sockets there that
/// nobody listens on any more are taken away. Throws NodeError.
class LoneSocket {
 public:
  explicit LoneSocket(const std::string& runtime_dir);
  ~LoneSocket();
  LoneSocket(const LoneSocket&) = delete;
  LoneSocket& operator=(const LoneSocket&) = delete;
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  std::string path_;
  Descriptor socket_;
};

/// The other end's process, as the kernel knows it, or nothing when it belongs to another user (root may always).
struct PeerCredentials {
  std::int32_t pid = 0;
  std::uint32_t uid = 0;
};
std::optional<PeerCredentials> trusted_peer(int socket);

}  // namespace tandem::ha
