// SPDX-License-Identifier: BSD-3-Clause
#include "find_socket.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "control_client.hpp"
#include "tandem_cli/number.hpp"

namespace tandem::ctl {
namespace {

namespace fs = std::filesystem;

bool somebody_answers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool answers = fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (fd >= 0) ::close(fd);
  return answers;
}

struct Found {
  std::string option;  ///< that would choose it
  std::string path;
};

std::vector<Found> all_below(const std::string& runtime_dir) {
  std::vector<Found> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(runtime_dir, ignored)) {
    const std::string name = entry.path().filename();
    if (name == "alone") {
      for (const auto& socket : fs::directory_iterator(entry.path(), ignored))
        found.push_back({"--pid " + socket.path().stem().string(), socket.path()});
    } else {
      found.push_back({"--group " + name, entry.path() / "control.sock"});
    }
  }
  std::erase_if(found, [](const Found& item) { return !somebody_answers(item.path); });
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.option < b.option; });
  return found;
}

}  // namespace

std::string find_socket(const std::string& runtime_dir, const std::string& group, const std::string& pid) {
  if (!group.empty() && !pid.empty()) throw cli::UsageError("--group and --pid exclude each other");
  if (!group.empty()) return runtime_dir + "/" + group + "/control.sock";
  if (!pid.empty()) return runtime_dir + "/alone/" + pid + ".sock";
  const std::vector<Found> found = all_below(runtime_dir);
  if (found.empty())
    throw NoGroup("nothing that could be asked runs below " + runtime_dir + " (is --runtime-dir right?)");
  if (found.size() == 1) return found.front().path;
  std::string names;
  for (const Found& item : found) names += (names.empty() ? "" : ", ") + item.option;
  throw cli::UsageError("several could be meant; choose one: " + names);
}

}  // namespace tandem::ctl
