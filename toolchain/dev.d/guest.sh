# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: another kernel in a software-emulated machine (tests/guest).

guest() {
  local argument
  for argument in "$@"; do
    [[ $argument != -h && $argument != --help ]] || exec python3 tests/guest/guest.py --help
  done
  set_up build test lab guest
  # What cannot run is said before anything is built for minutes.
  python3 tests/guest/guest.py --prepare "$@" || exit
  build_preset release tandem_programs
  exec python3 tests/guest/guest.py "$@"
}
