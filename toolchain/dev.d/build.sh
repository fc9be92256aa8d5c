# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: configuring, building, formatting.
# shellcheck disable=SC2154

# in_preset PRESET COMMAND...: programs that were built with a sanitizer cannot map their shadow memory on
# kernels with many bits of address randomisation, so they run without it where that is allowed.
in_preset() {
  local preset=$1
  shift
  if [[ $preset =~ ^(asan-ubsan|fuzz)$ ]] && setarch -R true 2>/dev/null; then
    setarch -R "$@"
  else
    "$@"
  fi
}

# build_preset PRESET [TARGET...]: configures if needed, and builds.
build_preset() {
  local preset=$1 log
  shift
  log=build/$preset/configure.log
  mkdir -p "build/$preset"
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log" >&2
    die "configuring the preset '$preset' failed; what CMake said stands above and in $log"
  fi
  in_preset "$preset" cmake --build --preset "$preset" --parallel "$jobs" ${1+--target "$@"}
}

# The C++ and C sources that are ours, as a list that ends each name with NUL.
our_sources() {
  find stack port ha apps examples tests -type f \( -name '*.cpp' -o -name '*.hpp' -o -name '*.c' -o -name '*.h' \) -print0
}

format_sources() {
  case ${1:-} in
    '') our_sources | xargs -0 -r -n 16 -P "$jobs" clang-format -i ;;
    --check)
      local different
      different=$(our_sources | xargs -0 -r -n 16 -P "$jobs" clang-format --dry-run -Werror 2>&1 |
        sed -n 's/^\([^ :]*\):[0-9]*:[0-9]*: error: .*/\1/p' | sort -u)
      [[ -z $different ]] || {
        printf 'These files differ from .clang-format; ./dev format mends them:\n%s\n' "$different"
        return 1
      }
      ;;
    *) usage_error "format takes no argument or --check, not '$1'" ;;
  esac
}
