// SPDX-License-Identifier: BSD-3-Clause
//
// What a stack says to segments and packets that are of no use to it. Each kind of answer has a bucket, so that nobody can have a
// crowd answered in its name, and so that two hosts that misunderstand each other fall silent (RFC 5961 sections 7 and 10).
#include "lwip.hpp"
#include "stack_impl.hpp"

namespace tandem {

bool Stack::Impl::may_answer(AnswerBucket& bucket, const AnswerRate& rate, std::uint64_t& limited) {
  const bool may = bucket.take(now_ns(), rate);
  limited += may ? 0 : 1;
  return may;
}

}  // namespace tandem
