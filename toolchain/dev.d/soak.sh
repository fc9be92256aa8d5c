# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: endurance under load (tests/soak).

soak() {
  set_up build test lab
  build_preset release tandem_programs
  exec python3 tests/soak/soak.py "$@"
}
