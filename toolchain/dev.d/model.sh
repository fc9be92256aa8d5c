# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: the Promela models (docs/model.md).
# shellcheck disable=SC2154

# The compiler that turns spin's output into a program is the one of the `build` list.
model() {
  set_up build model
  exec tests/model/check --jobs "$jobs" "$@"
}

tier_model() {
  set_up build test model
  built release model_tests && run_ctest release model -L '^model$' --parallel "$jobs"
}
