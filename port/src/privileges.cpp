// SPDX-License-Identifier: BSD-3-Clause
#include "privileges.hpp"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <string>

namespace tandem {
namespace {

std::string name_of(Capability capability) {
  switch (capability) {
    case Capability::net_admin:
      return "CAP_NET_ADMIN";
    case Capability::net_raw:
      return "CAP_NET_RAW";
    case Capability::ipc_lock:
      return "CAP_IPC_LOCK";
    case Capability::perfmon:
      return "CAP_PERFMON";
    case Capability::bpf:
      return "CAP_BPF";
  }
  return "capability " + std::to_string(static_cast<int>(capability));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool has(const Privileges& privileges, Capability capability) {
  return (privileges.effective >> static_cast<unsigned>(capability) & 1) != 0;
}

bool in_first_user_namespace() {
  // The first one maps every number to itself.
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 0, outside = 0, count = 0;
  if (!(map >> inside >> outside >> count)) return true;
  return inside == 0 && outside == 0 && count == 0xffff'ffff;
}

bool is_filtered() {
  std::ifstream status("/proc/thread-self/status");
  std::string key, value;
  while (status >> key) {
    if (key == "Seccomp:") return static_cast<bool>(status >> value) && value == "2";
    std::getline(status, value);
  }
  return false;
}

}  // namespace

Privileges own_privileges() {
  Privileges privileges;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) == 0)
    privileges.effective = std::uint64_t{data[1].effective} << 32 | data[0].effective;
  privileges.first_user_namespace = in_first_user_namespace();
  privileges.system_calls_filtered = is_filtered();
  return privileges;
}

std::vector<Capability> missing(const Privileges& privileges, std::span<const Capability> needed) {
  std::vector<Capability> result;
  std::copy_if(needed.begin(), needed.end(), std::back_inserter(result),
               [&](Capability capability) { return !has(privileges, capability); });
  return result;
}

std::string privilege_advice(const Privileges& privileges, std::span<const Capability> needed) {
  const std::vector<Capability> lacking = missing(privileges, needed);
  if (lacking.empty()) {
    if (!privileges.first_user_namespace)
      return "this process runs in a user namespace of its own (a rootless container?), where its capabilities do not "
             "count for this: run it outside of that, or use a tap device that root has made";
    return std::string("no capability is missing, so something else forbids it: ") +
           (privileges.system_calls_filtered ? "the seccomp filter that this process runs under (systemd: "
                                               "SystemCallFilter=, RestrictAddressFamilies=)"
                                             : "SELinux or AppArmor, or the kernel's lockdown mode (`dmesg` may say)");
  }
  std::string names, bits;
  for (std::size_t i = 0; i < lacking.size(); ++i) {
    names += (i == 0 ? "" : i + 1 == lacking.size() ? " and " : ", ") + name_of(lacking[i]);
    bits += (i == 0 ? "" : ",") + lower(name_of(lacking[i]));
  }
  return "this process lacks " + names + ": run it as root, or grant that (systemd: AmbientCapabilities= and " +
         "CapabilityBoundingSet=; else `setcap " + bits + "+ep PROGRAM`)";
}

std::string locked_memory_advice(const std::string& fewer) {
  if (missing(own_privileges(), std::array{Capability::ipc_lock}).empty())
    return "the machine is short of memory; " + fewer;
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  return "this process lacks CAP_IPC_LOCK and may lock no more than " + std::to_string(limit.rlim_cur) +
         " bytes of memory: raise that (ulimit -l, LimitMEMLOCK=infinity), grant CAP_IPC_LOCK, or " + fewer;
}

}  // namespace tandem
