// SPDX-License-Identifier: BSD-3-Clause
//
// A group's shared memory in one process: what primary and twin map, without the processes.
#pragma once

#include "channel/shared_memory.hpp"
#include "log/log_ring.hpp"

struct GroupFixture {
  explicit GroupFixture(std::size_t log_bytes = std::size_t{1} << 20)
      : group_file(tandem::ha::make_shared_file("test-group", sizeof(tandem::ha::SharedGroup))),
        log_file(tandem::ha::make_shared_file("test-log", log_bytes)),
        group_mapping(group_file.get(), sizeof(tandem::ha::SharedGroup), false),
        log(log_file.get(), log_bytes, true),
        group(*new (group_mapping.data()) tandem::ha::SharedGroup{}) {}

  tandem::ha::ReaderSlot& attach(std::size_t index = 0) {
    group.readers[index].position.store(group.published.load());
    group.readers[index].state.store(tandem::ha::ReaderState::member);
    return group.readers[index];
  }

  tandem::ha::LogWriter writer() { return {group, log.data(), log.size()}; }
  tandem::ha::LogReader reader() { return {log.data(), log.size(), group.published.load()}; }

  tandem::ha::Descriptor group_file, log_file;
  tandem::ha::Mapping group_mapping, log;
  tandem::ha::SharedGroup& group;
};

inline tandem::Bytes text_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
