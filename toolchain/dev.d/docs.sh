# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: pages of the public headers.
# shellcheck disable=SC2154

docs() {
  set_up lint
  bash tests/lint/docs "$root" build/docs || die 'doxygen has something to say about the public headers; it stands above'
  printf 'The pages begin with %s\n' "$root/build/docs/html/index.html"
}
