// SPDX-License-Identifier: BSD-3-Clause
//
// What `--arbiter etcd:URL[,URL...][,key=KEY][,ca=FILE][,login=FILE][,timeout=MS]` says.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::ha {

/// Says what is wrong with an option, and what it takes.
class EtcdOptionError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct EtcdOptions {
  /// Of one cluster, asked one after the other: http or https, with a port if it is not 2379, and no path.
  std::vector<std::string> endpoints;
  std::string key;      ///< of the register; empty: tandem/GROUP
  std::string ca_file;  ///< of the certificates that https trusts; empty: the system's
  std::string user, password;
  long timeout_ms = 1000;  ///< for each endpoint
};

/// `text` is what follows `etcd:`. Reads the login file (NAME:PASSWORD on its first line), which nobody but its owner may read.
/// Throws EtcdOptionError.
EtcdOptions parse_etcd_options(std::string_view text, std::string_view group);

}  // namespace tandem::ha
