// SPDX-License-Identifier: BSD-3-Clause
#include "channel/rendezvous.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "node/node_error.hpp"
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

constexpr const char* kHolderPrefix = "holder-";
constexpr int kBacklog = 16;
/// A process that stands still takes none of them off its queue.
constexpr int kProbes = 4096;
/// SO_PEERPIDFD of Linux 6.5, which Debian 12's headers lack.
constexpr int kPeerPidfd = 77;

Descriptor listen_on(const std::string& path, int type, int backlog) {
  const sockaddr_un address = address_of(path);
  unlink(path.c_str());
  Descriptor socket_(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = umask(0077);
  const bool bound = bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  umask(before);
  if (!bound || ::listen(socket_.get(), backlog) != 0) {
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

Descriptor Rendezvous::try_lock() const {
  const std::string path = directory_ + "/lock";
  Descriptor lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) throw NodeError(exit_code::kSystem, "cannot open the group's lock " + path + because(errno) + ".");
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return {};
    throw NodeError(exit_code::kSystem, "cannot lock " + path + because(errno) + ".");
  }
  return lock;
}

Rendezvous::PrimaryDescriptors Rendezvous::listen(Descriptor lock) const {
  PrimaryDescriptors result;
  result.lock = std::move(lock);
  result.attach = listen_on(attach_path(), SOCK_SEQPACKET, kBacklog);
  result.control = listen_on(control_path(), SOCK_STREAM, kBacklog);
  return result;
}

std::string Rendezvous::holder_path(std::uint64_t identity) const {
  char name[32];
  std::snprintf(name, sizeof name, "%s%016llx", kHolderPrefix, static_cast<unsigned long long>(identity));
  return directory_ + "/" + name;
}

Descriptor Rendezvous::announce(std::uint64_t identity) const {
  return listen_on(holder_path(identity), SOCK_STREAM, kProbes);
}

void Rendezvous::withdraw(std::uint64_t identity) const { unlink(holder_path(identity).c_str()); }

std::vector<Rendezvous::Holder> Rendezvous::holders(std::uint64_t identity) const {
  std::vector<Holder> found;
  const std::string own = holder_path(identity);
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(directory_.c_str()), closedir);
  while (const dirent* const entry = directory ? readdir(directory.get()) : nullptr) {
    if (std::strncmp(entry->d_name, kHolderPrefix, std::strlen(kHolderPrefix)) != 0) continue;
    const std::string path = directory_ + "/" + entry->d_name;
    if (path == own) continue;
    const sockaddr_un address = address_of(path);
    const Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      // Its process has ended without taking the name with it. A queue of probes that is full is somebody's, too.
      if (errno == ECONNREFUSED) unlink(path.c_str());
      if (errno == EAGAIN) found.emplace_back();
      continue;
    }
    // Whoever listens is named by the kernel, by a descriptor and not by a number.
    int process = -1;
    socklen_t length = sizeof process;
    if (getsockopt(probe.get(), SOL_SOCKET, kPeerPidfd, &process, &length) != 0) process = -1;
    found.push_back({Descriptor(process)});
  }
  return found;
}

std::optional<Descriptor> Rendezvous::try_connect() const {
  const sockaddr_un address = address_of(attach_path());
  Descriptor socket_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return std::nullopt;
  return socket_;
}

namespace {

bool somebody_listens(const std::string& path) {
  const sockaddr_un address = address_of(path);
  const Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
}

}  // namespace

LoneSocket::LoneSocket(const std::string& runtime_dir) {
  make_private_directory(runtime_dir, false);
  const std::string directory = runtime_dir + "/alone";
  make_private_directory(directory, true);
  if (DIR* const listing = opendir(directory.c_str())) {
    while (const dirent* const entry = readdir(listing)) {
      const std::string path = directory + "/" + entry->d_name;
      if (path.ends_with(".sock") && !somebody_listens(path)) unlink(path.c_str());
    }
    closedir(listing);
  }
  // Another process may have the same number in another pid namespace, and listen.
  path_ = directory + "/" + std::to_string(getpid()) + ".sock";
  for (int next = 2; somebody_listens(path_); ++next)
    path_ = directory + "/" + std::to_string(getpid()) + "." + std::to_string(next) + ".sock";
  socket_ = listen_on(path_, SOCK_STREAM, kBacklog);
}

LoneSocket::~LoneSocket() { unlink(path_.c_str()); }

std::optional<PeerCredentials> trusted_peer(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return std::nullopt;
  if (credentials.uid != geteuid() && credentials.uid != 0) return std::nullopt;
  return PeerCredentials{credentials.pid, credentials.uid};
}

}  // namespace tandem::ha
