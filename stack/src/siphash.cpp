// SPDX-License-Identifier: BSD-3-Clause
#include "siphash.hpp"

#include <bit>
#include <cstddef>

namespace tandem {

namespace {

struct SipState {
  std::uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
};

}  // namespace

std::uint64_t siphash(const SipKey& key, Bytes input) {
  SipState state{key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU, key[0] ^ 0x6c7967656e657261U,
                 key[1] ^ 0x7465646279746573U};
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < input.size(); ++i) {
    word |= std::uint64_t{input[i]} << (8 * (i % 8));
    if (i % 8 == 7) {
      state.v3 ^= word;
      state.round();
      state.round();
      state.v0 ^= word;
      word = 0;
    }
  }
  word |= std::uint64_t{input.size() & 0xff} << 56;
  state.v3 ^= word;
  state.round();
  state.round();
  state.v0 ^= word;
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) {
    state.round();
  }
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace tandem
