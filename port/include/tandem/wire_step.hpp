// SPDX-License-Identifier: BSD-3-Clause
//
// The stores into shared memory at which a process may die while it drives a wire. Tests stop there and let another process
// adopt. The kinds say what has just been stored.
#pragma once

#include <cstdint>

namespace tandem {

enum class WireStep : std::uint8_t {
  rx_saved,            ///< rx_peek: a frame's first bytes were saved
  rx_word,             ///< rx_peek: a frame's word says receiving
  tx_staged,           ///< tx_reserve, tx_stage: a word, then a descriptor beyond the producer
  tx_intent,           ///< tx_release: where the producer will go
  tx_word,             ///< tx_release: a frame's word says transmitting
  tx_producer,         ///< tx_release: packets handed over
  rx_released,         ///< rx_release: a frame's word says free or held
  rx_consumer,         ///< rx_release: ring entries given back
  completion_word,     ///< refill: a sent frame's word says free
  completion_consumer, ///< refill: completions taken
  fill_intent,         ///< refill: where the producer will go
  fill_word,           ///< refill: a frame's word says fill
  fill_producer,       ///< refill: frames handed over
  adopt,               ///< adopt: any of its stores
};

/// Called after each of these stores when the library was built with TANDEM_STOP_POINTS; else never. On the owner's thread.
/// AF_XDP and TAP; the in-memory wire has a hook of its own.
using WireStepHook = void (*)(WireStep step);
void set_wire_step_hook(WireStepHook hook);

}  // namespace tandem
