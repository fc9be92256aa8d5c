// SPDX-License-Identifier: BSD-3-Clause
//
// Dormant connections in the order of their last activity, the most recent first. Intrusive: touching one costs a few stores.
#pragma once

#include <cstddef>

#include "connection_impl.hpp"

namespace tandem {

class DormantList {
 public:
  [[nodiscard]] Connection::Impl* newest() const { return newest_; }
  [[nodiscard]] std::size_t size() const { return size_; }

  void push_newest(Connection::Impl& connection) {
    connection.older = newest_;
    connection.newer = nullptr;
    if (newest_ != nullptr) {
      newest_->newer = &connection;
    }
    newest_ = &connection;
    ++size_;
  }
  void remove(Connection::Impl& connection) {
    if (connection.newer != nullptr) {
      connection.newer->older = connection.older;
    } else {
      newest_ = connection.older;
    }
    if (connection.older != nullptr) {
      connection.older->newer = connection.newer;
    }
    connection.older = connection.newer = nullptr;
    --size_;
  }

 private:
  Connection::Impl* newest_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tandem
