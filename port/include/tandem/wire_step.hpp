// SPDX-License-Identifier: BSD-3-Clause
//
// The places at which a process may die while it drives a wire, for tests that stop there and let another one adopt.
#pragma once

#include <cstdint>

namespace tandem {

enum class WireStep : std::uint8_t {
  rx_saved,             ///< rx_peek: a frame's first bytes were saved
  rx_word,              ///< rx_peek: a frame's word says receiving
  rx_released_word,     ///< rx_release: a frame's word says free or held
  rx_words_half,        ///< rx_release: half of the words are stored
  rx_words,             ///< rx_release: all words are stored, the consumer is old
  rx_consumer,          ///< rx_release: ring entries given back
  tx_staged,            ///< tx_reserve, tx_stage: a word, then a descriptor beyond the producer
  tx_intent,            ///< tx_release: where the producer will go
  tx_word,              ///< tx_release: a frame's word says transmitting
  tx_words,             ///< tx_release: all words are stored, the producer is old
  tx_half,              ///< tx_release: half of the packets are handed over (only where a probe is at work)
  tx_producer,          ///< tx_release: packets handed over, the kernel not kicked
  completion_word,      ///< refill: a sent frame's word says free, the consumer is old
  completion_consumer,  ///< refill: completions taken
  fill_intent,          ///< refill: where the producer will go
  fill_word,            ///< refill: a frame's word says fill, the producer is old
  fill_producer,        ///< refill: frames handed over
  adopt_store,          ///< adopt: any of its stores
  adopt_fill,           ///< adopt: the fill ring is rolled forward
  adopt_tx,             ///< adopt: the TX ring is rolled forward
  adopt_rx,             ///< adopt: the RX ring and the words are done
};

}  // namespace tandem
