// SPDX-License-Identifier: BSD-3-Clause
//
// How the processes of a group find each other: RUNTIME_DIR/GROUP/ holds a lock, a socket on which twins attach and one on which
// tandemctl asks. Lock and listening sockets are open file descriptions that the twin holds too, so they stay taken while it
// adopts, and a restarted process cannot make itself a second primary (design.md section 6, step 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shared_memory.hpp"

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
  /// Takes the group's lock and opens fresh listening sockets, or gives nothing when somebody holds the lock.
  [[nodiscard]] std::optional<PrimaryDescriptors> try_become_primary() const;
  /// Connects to the primary, or gives nothing when nobody listens.
  [[nodiscard]] std::optional<Descriptor> try_connect() const;

 private:
  std::string directory_;
};

/// The other end's process, as the kernel knows it, or nothing when it belongs to another user (root may always).
struct PeerCredentials {
  std::int32_t pid = 0;
  std::uint32_t uid = 0;
};
std::optional<PeerCredentials> trusted_peer(int socket);

}  // namespace tandem::ha
