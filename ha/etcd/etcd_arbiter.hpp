// SPDX-License-Identifier: BSD-3-Clause
//
// An etcd cluster as the arbiter (design.md section 6, step 2): a register whose modification revision is compared. Requests run on a
// thread of their own, so that nobody waits for a name, a handshake or a disk.
//
// Each request goes to one endpoint after the other until one has answered. A swap that was sent and not answered may have won; it is
// then asked for again elsewhere, which is no second swap (it compares the same revision), and whose answer tells what became of the
// first. What no endpoint has answered stays open, and is the caller's to read.
#pragma once

#include <memory>

#include "etcd_options.hpp"
#include "members/arbiter.hpp"

namespace tandem::ha {

class EtcdArbiter final : public Arbiter {
 public:
  /// Throws std::system_error when no thread or descriptor can be had, EtcdOptionError when the certificates cannot be read.
  explicit EtcdArbiter(EtcdOptions options);
  /// Gives up what has not been answered.
  ~EtcdArbiter() override;

  void swap(const Swap& swap) override;
  void read() override;
  [[nodiscard]] int event_fd() const override;
  std::optional<ArbiterAnswer> take() override;

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace tandem::ha
