// SPDX-License-Identifier: BSD-3-Clause
//
//   wire_scripts FILE...            runs all scripts of the files, over IPv4 and IPv6
//   wire_scripts --only TEXT FILE   those with TEXT in their name
#include <cstdio>
#include <string>
#include <vector>

#include "script.hpp"

int main(int argc, char** argv) {
  std::string only;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else {
      files.push_back(argument);
    }
  }
  int runs = 0, failures = 0;
  for (const std::string& file : files) {
    try {
      for (const auto& script : tandem::wire::read_scripts(file)) {
        if (script.name.find(only) == std::string::npos) continue;
        for (const int family : script.families) {
          ++runs;
          try {
            tandem::wire::Run(family).play(script);
          } catch (const std::exception& error) {
            ++failures;
            std::printf("%s:%s\n  in \"%s\", IPv%d\n", file.c_str(), error.what(), script.name.c_str(), family);
          }
        }
      }
    } catch (const tandem::wire::ScriptError& error) {
      ++failures;
      std::printf("%s:%s\n", file.c_str(), error.what());
    }
  }
  std::printf("%d runs of scripts, %d failed\n", runs, failures);
  if (runs == 0)
    std::printf("wire_scripts: nothing was run; give a file, and --only TEXT that stands in a script's name\n");
  return failures == 0 && runs != 0 ? 0 : 1;
}
