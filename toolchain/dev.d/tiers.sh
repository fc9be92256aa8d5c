# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: the tiers of tests, their minutes and the closing line.
# shellcheck disable=SC2154

all_tiers=(lint unit lwip model consumer sanitizers fuzz sim lab cross)
passed=0
failed=0
skipped=0
# JUnit files of the runs in which a test failed.
failed_runs=()

# Leaves out the lab programs that stand beside some rooms' unit tests and are built for the lab only.
not_lab=(-LE '^lab$' -E '^lab_.*_NOT_BUILT')

# tally FILE: adds what a JUnit file of ctest says. Fails if it ran no test or one failed.
tally() {
  local suite tests bad left_out
  suite=$(tr '\n\t' '  ' <"$1" | grep -o '<testsuite [^>]*>') || return 1
  attribute() { [[ $suite =~ [[:space:]]$1=\"([0-9]+)\" ]] && printf '%s' "${BASH_REMATCH[1]}" || printf 0; }
  tests=$(attribute tests)
  bad=$(attribute failures)
  left_out=$(($(attribute skipped) + $(attribute disabled)))
  passed=$((passed + tests - bad - left_out))
  failed=$((failed + bad))
  skipped=$((skipped + left_out))
  ((bad == 0 && tests - left_out > 0))
}

# run_ctest PRESET NAME ARGUMENT...: runs ctest in build/PRESET; NAME distinguishes its result file.
run_ctest() {
  local preset=$1 name=$2 result status=0 before=$failed
  shift 2
  result=$root/build/$preset/tests-$name.xml
  rm -f "$result"
  in_preset "$preset" ctest --preset "$preset" --output-junit "$result" "$@" || status=$?
  if [[ ! -s $result ]]; then
    printf 'dev: %s in build/%s: ctest left no result\n' "$name" "$preset" >&2
    failed=$((failed + 1))
    return 1
  fi
  if ! tally "$result"; then
    # Every failure counts as one, also one that no single test has, such as that none was run.
    ((failed > before)) || failed=$((failed + 1))
    failed_runs+=("$result")
    return 1
  fi
  if ((status != 0)); then
    failed=$((failed + 1))
    return 1
  fi
}

# built PRESET TARGET...: a build that fails is a failed test.
built() {
  (build_preset "$@") && return 0
  printf "dev: building the preset '%s' failed\n" "$1" >&2
  failed=$((failed + 1))
  return 1
}

# Everything of the release preset but the lab's programs, which run elsewhere.
built_release() {
  built release tandem_libraries tandem_programs unit_tests lwip_tests
}

tier_lint() {
  set_up build test lint
  built_release && run_ctest release lint -L '^lint$'
}

tier_unit() {
  set_up build test
  built_release && run_ctest release unit -L '^unit$' "${not_lab[@]}" --parallel "$jobs"
}

tier_lwip() {
  set_up build test
  built_release && run_ctest release lwip -L '^lwip$' --parallel "$jobs"
}

tier_consumer() {
  set_up build test
  built_release && run_ctest release consumer -L '^consumer$'
}

# Every seed that ever failed, that a seed is one run and no other, and new seeds for three minutes; TANDEM_SIM_SECONDS says how many
# seconds else, TANDEM_SIM_FROM with which seed they begin.
tier_sim() {
  set_up build test
  built lab sim_tests && run_ctest lab sim -L '^sim$' --parallel "$jobs"
}

tier_lab() {
  set_up build test lab
  built lab tandem_programs lab_tests && run_ctest lab lab -L '^lab$'
}

# One build under clang's address and undefined-behaviour sanitizers: unit tests, those lab tests that are marked for it, the
# simulator; and, of the same build, the tests that run primary and twin as two threads under the thread sanitizer.
tier_sanitizers() {
  set_up build test lab fuzz
  local status=0
  built asan-ubsan tandem_programs unit_tests lwip_tests lab_tests sim_tests || return 1
  run_ctest asan-ubsan unit -L '^(unit|threads)$' "${not_lab[@]}" --parallel "$jobs" || status=1
  run_ctest asan-ubsan lab -L '^sanitize$' || status=1
  run_ctest asan-ubsan sim -L '^sim$' --parallel "$jobs" || status=1
  return "$status"
}

# The fuzzers' kept inputs and some mutations of them, without a fuzzing engine.
tier_fuzz() {
  set_up build test fuzz
  built asan-ubsan fuzz_tests && run_ctest asan-ubsan fuzz -L '^fuzz$' --parallel "$jobs"
}

# What needs io_uring or AF_XDP is left out: qemu's user mode has neither.
tier_cross() {
  set_up build test cross
  built arm64 && run_ctest arm64 cross -L '^unit$' --parallel "$jobs"
}

run_tiers() {
  local tier known seconds status=0 verdict
  local -a tiers=("$@") table=()
  ((${#tiers[@]} > 0)) || tiers=("${all_tiers[@]}")
  for tier in "${tiers[@]}"; do
    known=" ${all_tiers[*]} "
    [[ $known == *" $tier "* ]] || usage_error "there is no tier '$tier'; the tiers are: ${all_tiers[*]}"
  done
  for tier in "${tiers[@]}"; do
    printf '\n==== %s\n' "$tier"
    seconds=$SECONDS
    verdict=passed
    "tier_$tier" || {
      verdict=FAILED
      status=1
    }
    seconds=$((SECONDS - seconds))
    table+=("$(printf '  %-12s %4d:%02d  %s' "$tier" $((seconds / 60)) $((seconds % 60)) "$verdict")")
  done
  # Once more at the end, which is what is left of a long output.
  ((${#failed_runs[@]} == 0)) || toolchain/failures "${failed_runs[@]}" || true
  printf '\nMinutes by tier (building included):\n'
  printf '%s\n' "${table[@]}"
  printf '  %-12s %4d:%02d\n\n' 'in all' $((SECONDS / 60)) $((SECONDS % 60))
  if ((skipped > 0)); then
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  else
    printf '%d passed, %d failed\n' "$passed" "$failed"
  fi
  return "$status"
}
