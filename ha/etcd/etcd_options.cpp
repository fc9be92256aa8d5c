// SPDX-License-Identifier: BSD-3-Clause
#include "etcd_options.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

namespace tandem::ha {
namespace {

constexpr std::string_view kUsage = "--arbiter takes etcd:URL[,URL...][,key=KEY][,ca=FILE][,login=FILE][,timeout=MS]";
constexpr std::string_view kPort = ":2379";

[[noreturn]] void fail(const std::string& text) { throw EtcdOptionError(text + ". " + std::string(kUsage)); }

/// "https://[2001:db8::1]" gets its port, and everything else is refused that is no origin.
std::string endpoint(std::string_view url) {
  const std::size_t scheme = url.starts_with("https://") ? 8 : url.starts_with("http://") ? 7 : 0;
  if (scheme == 0) fail("'" + std::string(url) + "' is no URL of http or https");
  std::string_view authority = url.substr(scheme);
  if (authority.ends_with('/')) authority.remove_suffix(1);
  const bool good = !authority.empty() && std::all_of(authority.begin(), authority.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::strchr(".-_:[]%", c) != nullptr;
  });
  if (!good) fail("'" + std::string(url) + "' must be a host and a port, without path, name or password");
  const std::size_t behind_address = authority.front() == '[' ? authority.find(']') : 0;
  if (behind_address == std::string_view::npos) fail("'" + std::string(url) + "' lacks a ']'");
  const bool has_port = authority.find(':', behind_address) != std::string_view::npos;
  return std::string(url.substr(0, scheme)).append(authority).append(has_port ? "" : kPort);
}

void read_login(EtcdOptions& options, const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    throw EtcdOptionError("--arbiter: the login file " + path + " cannot be read: " + std::strerror(errno));
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    throw EtcdOptionError("--arbiter: others may read the login file " + path + ". chmod 600 " + path);
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  const auto colon = line.find(':');
  if (!file || colon == std::string::npos || colon == 0)
    throw EtcdOptionError("--arbiter: the first line of the login file " + path + " must be NAME:PASSWORD");
  options.user = line.substr(0, colon);
  options.password = line.substr(colon + 1);
}

long milliseconds(std::string_view text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 10 || value > 60'000)
    fail("timeout=" + std::string(text) + " must be 10 to 60000 milliseconds");
  return value;
}

}  // namespace

EtcdOptions parse_etcd_options(std::string_view text, std::string_view group) {
  EtcdOptions options;
  bool urls = true;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const auto sign = item.find('=');
    if (sign == std::string_view::npos) {
      if (!urls) fail("'" + std::string(item) + "' must stand in front of the settings");
      options.endpoints.push_back(endpoint(item));
      continue;
    }
    urls = false;
    const std::string_view name = item.substr(0, sign), value = item.substr(sign + 1);
    if (value.empty()) fail(std::string(name) + "= says nothing");
    if (name == "key") {
      options.key = value;
    } else if (name == "ca") {
      options.ca_file = value;
    } else if (name == "login") {
      read_login(options, std::string(value));
    } else if (name == "timeout") {
      options.timeout_ms = milliseconds(value);
    } else {
      fail("there is no setting '" + std::string(name) + "'");
    }
  }
  if (options.endpoints.empty()) fail("no etcd is named");
  if (options.key.empty()) options.key = "tandem/" + std::string(group);
  return options;
}

}  // namespace tandem::ha
