# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: brings in the packages that a command needs.
# shellcheck disable=SC2154

die() {
  printf 'dev: %s\n' "$*" >&2
  exit 3
}

usage_error() {
  printf 'dev: %s\n' "$*" >&2
  exit 2
}

# set_up LIST...: makes sure that what toolchain/packages/LIST.list names is installed.
set_up() {
  command -v apt-get >/dev/null ||
    die "packages are installed with apt-get, which this machine does not have; install by hand what toolchain/packages/{$*}.list name"
  local -a needed
  mapfile -t needed < <(toolchain/install-packages --missing "$@")
  ((${#needed[@]} > 0)) || return 0
  if ((EUID == 0)); then
    toolchain/install-packages "$@" || die 'packages are missing and could not be installed; the reason stands above'
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$root/toolchain/install-packages" "$@" ||
      die 'packages are missing and could not be installed; the reason stands above'
  else
    printf 'dev: these packages are missing: %s\n' "${needed[*]}" >&2
    printf 'dev: run this as root, then try again:\n  %s\n' "$root/toolchain/install-packages $*" >&2
    exit 3
  fi
}

require_script() {
  [[ -x $1 ]] || die "$1 is not there or not executable; is this a complete clone?"
}
