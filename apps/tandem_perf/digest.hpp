// SPDX-License-Identifier: BSD-3-Clause
//
// SHA-256 of a stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tandem/address.hpp"

struct evp_md_ctx_st;

namespace tandem::perf {

class Digest {
 public:
  Digest();
  void add(Bytes bytes);
  /// Of everything added so far, as 64 hexadecimal digits; more may be added afterwards.
  [[nodiscard]] std::string hex() const;

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace tandem::perf
