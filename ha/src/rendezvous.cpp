// SPDX-License-Identifier: BSD-3-Clause
#include "rendezvous.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

#include "node_error.hpp"
#include "tandem/node.hpp"

namespace tandem::ha {
namespace {

std::string because(int error) { return std::string(": ") + std::strerror(error); }

void make_private_directory(const std::string& path, bool strict) {
  if (mkdir(path.c_str(), strict ? 0700 : 0755) != 0 && errno != EEXIST) {
    const int error = errno;
    throw NodeError(
        error == EACCES || error == EPERM ? exit_code::kPrivilege : exit_code::kSystem,
        "cannot make the runtime directory " + path + because(error) +
            ". Make it beforehand (systemd: RuntimeDirectory=), or name a writable one with --runtime-dir.");
  }
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    throw NodeError(exit_code::kSystem,
                    path + " is not a directory. Remove it or name another one with --runtime-dir.");
  }
  if (!strict) return;
  if (status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
    throw NodeError(exit_code::kPrivilege,
                    path +
                        " belongs to another user or others may write to it, so its sockets cannot be "
                        "trusted. Make it yours with mode 0700, or choose another --group.");
  }
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw NodeError(exit_code::kUsage, "the socket path " + path +
                                           " is longer than a Unix socket allows (107 bytes). Use a shorter "
                                           "--runtime-dir or --group.");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Descriptor listen_on(const std::string& path, int type) {
  const sockaddr_un address = address_of(path);
  unlink(path.c_str());
  Descriptor socket_(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = umask(0077);
  const bool bound = bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  umask(before);
  if (!bound || listen(socket_.get(), 16) != 0) {
    throw NodeError(exit_code::kSystem, "cannot listen on " + path + because(bound ? errno : error) + ".");
  }
  return socket_;
}

}  // namespace

Rendezvous::Rendezvous(const std::string& runtime_dir, const std::string& group) {
  if (group.empty() || group == "." || group == ".." || group.find('/') != std::string::npos) {
    throw NodeError(exit_code::kUsage,
                    "--group \"" + group + "\" is not a plain name. Use letters, digits, '-' and '_'.");
  }
  make_private_directory(runtime_dir, false);
  directory_ = runtime_dir + "/" + group;
  make_private_directory(directory_, true);
}

std::optional<Rendezvous::PrimaryDescriptors> Rendezvous::try_become_primary() const {
  const std::string path = directory_ + "/lock";
  PrimaryDescriptors result;
  result.lock = Descriptor(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!result.lock.valid())
    throw NodeError(exit_code::kSystem, "cannot open the group's lock " + path + because(errno) + ".");
  if (flock(result.lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    throw NodeError(exit_code::kSystem, "cannot lock " + path + because(errno) + ".");
  }
  result.attach = listen_on(attach_path(), SOCK_SEQPACKET);
  result.control = listen_on(control_path(), SOCK_STREAM);
  return result;
}

std::optional<Descriptor> Rendezvous::try_connect() const {
  const sockaddr_un address = address_of(attach_path());
  Descriptor socket_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return std::nullopt;
  return socket_;
}

std::optional<PeerCredentials> trusted_peer(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return std::nullopt;
  if (credentials.uid != geteuid() && credentials.uid != 0) return std::nullopt;
  return PeerCredentials{credentials.pid, credentials.uid};
}

}  // namespace tandem::ha
