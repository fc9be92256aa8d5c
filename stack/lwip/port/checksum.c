/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The Internet checksum's one's complement sum (RFC 1071) of any bytes at any alignment.
 *
 * Sums of 32-bit halves in 64-bit accumulators cannot overflow for the lengths that lwIP passes, and the independent
 * lanes let the compiler use its vector unit. One's complement sums do not depend on byte order as long as data and
 * result use the same one, so words are read as they lie in memory.
 */
#include "arch/cc.h"

#include <stdint.h>
#include <string.h>

unsigned short tandem_checksum(const void* data, int bytes) {
  enum { kLanes = 8 };
  const unsigned char* at = (const unsigned char*)data;
  size_t left = bytes > 0 ? (size_t)bytes : 0;
  uint64_t lane[kLanes] = {0};
  uint64_t sum = 0;

  while (left >= kLanes * sizeof(uint32_t)) {
    uint32_t words[kLanes];
    memcpy(words, at, sizeof words);
    for (int i = 0; i < kLanes; ++i) {
      lane[i] += words[i];
    }
    at += sizeof words;
    left -= sizeof words;
  }
  for (int i = 0; i < kLanes; ++i) {
    sum += lane[i];
  }
  while (left >= sizeof(uint16_t)) {
    uint16_t half;
    memcpy(&half, at, sizeof half);
    sum += half;
    at += sizeof half;
    left -= sizeof half;
  }
  if (left != 0) {
    /* An odd last byte counts as if a zero byte followed it. */
    uint16_t half = 0;
    memcpy(&half, at, 1);
    sum += half;
  }
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return (unsigned short)sum;
}
