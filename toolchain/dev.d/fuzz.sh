# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: building the fuzzers and letting them run.
# shellcheck disable=SC2154

fuzz_build=build/fuzz
fuzz_home=tests/fuzz

fuzz_usage() {
  cat <<'HELP'
Usage: ./dev fuzz [list | all | NAME...] [--seconds N] [--jobs N] [--keep]
       ./dev fuzz coverage [all | NAME...]

Lets fuzzers run, each for N seconds (60), one behind the other or N at a time (1). What they need to reach further is kept
in build/fuzz/corpus/NAME between runs, and read from tests/fuzz/corpus/NAME and tests/fuzz/crashes/NAME. An input that fails
is put into build/fuzz/found/NAME: copy it to tests/fuzz/crashes/NAME when its cause is mended, so that it is replayed ever
after. --keep brings tests/fuzz/corpus/NAME up to date with the fewest inputs that reach as much.

coverage: the inputs in the repository are replayed and their lines counted. Of each fuzzer: how many executions, how many of the lines of
the rooms that it is for, and the files of which most lines are not reached.
HELP
}

# The fuzzers' names: tandem_add_fuzzer in tests/fuzz/CMakeLists.txt.
fuzz_names() {
  sed -n 's/^ *tandem_add_fuzzer(\([a-z0-9_-]*\) .*/\1/p' "$fuzz_home/CMakeLists.txt"
}

# fuzz_run NAME SECONDS: one fuzzer; what it says goes into build/fuzz/NAME.log.
fuzz_run() {
  local name=$1 seconds=$2 program=$fuzz_build/bin/fuzz_$1 log=$fuzz_build/$1.log status=0
  local -a inputs=("$fuzz_build/corpus/$name")
  mkdir -p "$fuzz_build/corpus/$name" "$fuzz_build/found/$name"
  for kind in corpus crashes; do
    [[ ! -d $fuzz_home/$kind/$name ]] || inputs+=("$fuzz_home/$kind/$name")
  done
  # A fuzzer runs until its time is over, then ends by itself; the bound is for one that does not.
  in_preset fuzz timeout --kill-after=10 $((seconds + 120)) "$program" -max_total_time="$seconds" -timeout=20 \
    -rss_limit_mb=2048 -max_len=4096 -len_control=10 -reload=0 -print_final_stats=1 -artifact_prefix="$fuzz_build/found/$name/" \
    "${inputs[@]}" >"$log" 2>&1 || status=$?
  return "$status"
}

# fuzz_report NAME STATUS: one line of figures from the log.
fuzz_report() {
  local name=$1 status=$2 log=$fuzz_build/$1.log executions rate edges all inputs
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  inputs=$(sed -n 's/.* corp: \([0-9]*\)[/ ].*/\1/p' "$log" | tail -n 1)
  all=$(sed -n 's/^INFO: Loaded [0-9]* modules *(\([0-9]*\) inline.*/\1/p' "$log")
  printf '  %-10s %12s executions  %8s/s  %7s of %s edges  %6s inputs  %s\n' "$name" "${executions:-?}" "${rate:-?}" \
    "${edges:-?}" "${all:-?}" "${inputs:-?}" "$([[ $status == 0 ]] && echo passed || echo FAILED)"
  [[ $status == 0 ]] || {
    grep -E -m 8 'does not hold|ERROR|runtime error|SUMMARY|Assertion|Test unit written' "$log" | sed 's/^/      /'
    printf '      all of it: %s\n' "$log"
  }
}

# fuzz_keep NAME: the fewest inputs that reach what all of them reach, into the repository.
fuzz_keep() {
  local name=$1 fresh=$fuzz_build/kept/$1
  rm -rf "$fresh"
  mkdir -p "$fresh" "$fuzz_home/corpus/$name"
  in_preset fuzz "$fuzz_build/bin/fuzz_$name" -set_cover_merge=1 -use_counters=0 -max_len=4096 -timeout=20 "$fresh" \
    "$fuzz_build/corpus/$name" "$fuzz_home/corpus/$name" >"$fuzz_build/$name-keep.log" 2>&1 ||
    die "choosing inputs of $name failed; what was said is in $fuzz_build/$name-keep.log"
  find "$fuzz_home/corpus/$name" -type f -delete
  find "$fresh" -type f -exec mv -t "$fuzz_home/corpus/$name" {} +
  printf '  %-10s %6d inputs kept, %d bytes\n' "$name" "$(find "$fuzz_home/corpus/$name" -type f | wc -l)" \
    "$(find "$fuzz_home/corpus/$name" -type f -printf '%s\n' | awk '{sum += $1} END {print sum + 0}')"
}

# fuzz_rooms NAME: the sources that a fuzzer is for, as an extended regular expression.
fuzz_rooms() {
  case $1 in
    attach) printf '%s' '^(ha/src/channel/attach_protocol|port/src/adoption_info)' ;;
    frames) printf '%s' '^(stack/(src|include|lwip/port)/|lwIP/(core|netif)/)' ;;
    log) printf '%s' '^(ha/src/log/|stack/src/(mirror|pcb_state|tcp_state|out_of_order|activate|kick))' ;;
    ring) printf '%s' '^port/(src|include/tandem)/(wire_rings|ring|frame_pool|give_back)' ;;
    bgp | speaker) printf '%s' '^apps/bgp/' ;;
    config) printf '%s' '^(apps/(common|bgp/src/configuration)|port/src/device_spec|stack/src/address)' ;;
    control) printf '%s' '^(ha/src/(say/control_server|gate/output_gate)|apps/tandemctl/tables)' ;;
    lwip-*) printf '%s' '^lwIP/(core|netif)/' ;;
    *) printf '%s' '^(stack|port|ha|apps)/' ;;
  esac
}

# fuzz_lines NAME: what one fuzzer's counters say, most lines that are not reached first.
fuzz_lines() {
  local name=$1 build=build/fuzz-coverage inputs
  local -a objects=("$build/bin/fuzz_$name")
  [[ $name != lwip-* ]] || objects+=(-object "$build/lib/liblwip_fuzz_programs.so")
  llvm-profdata merge -sparse -o "$build/$name.profdata" "$build/$name"-counted-*.profraw
  inputs=$(sed -n 's/^\([0-9]*\) inputs replayed.*/\1/p' "$build/$name.log" | tail -n 1)
  llvm-cov export -summary-only -format=lcov -instr-profile="$build/$name.profdata" "${objects[@]}" 2>/dev/null |
    awk -v root="$root/" -v rooms="$(fuzz_rooms "$name")" -v name="$name" -v inputs="${inputs:-?}" '
      /^SF:/ {
        path = substr($0, 4)
        if (index(path, root) == 1) path = substr(path, length(root) + 1)
        sub(/^build\/[^\/]*\/\.\.\/\.\.\//, "", path)
        sub(/^build\/[^\/]*\/lwip\/lwip-src\/src\//, "lwIP/", path)
      }
      /^LF:/ { lines = substr($0, 4) }
      /^LH:/ && path ~ rooms && lines > 0 {
        all += lines
        hit += substr($0, 4)
        missed[path] = lines - substr($0, 4)
        of[path] = lines
      }
      END {
        printf "  %-11s %5s executions  %6d of %6d lines  %3d %%\n", name, inputs, hit, all, (all > 0 ? 100 * hit / all : 0)
        for (k = 0; k < 5; ++k) {
          worst = ""
          for (path in missed) if (missed[path] > 0 && (worst == "" || missed[path] > missed[worst])) worst = path
          if (worst == "") break
          printf "      %5d of %5d not reached  %s\n", missed[worst], of[worst], worst
          delete missed[worst]
        }
      }'
}

# fuzz_coverage NAME...: replays what the repository keeps, with counters of lines.
fuzz_coverage() {
  local name kind build=build/fuzz-coverage
  local -a inputs=()
  build_preset fuzz-coverage "${@/#/fuzz_}" >"$build.log" 2>&1 || die "building the fuzzers failed; what was said is in $build.log"
  for name in "$@"; do
    inputs=()
    for kind in corpus crashes; do
      [[ ! -d $fuzz_home/$kind/$name ]] || inputs+=("$fuzz_home/$kind/$name")
    done
    rm -f "$build/$name"-counted-*.profraw
    # %m: a library that is instrumented counts into a file of its own.
    LLVM_PROFILE_FILE="$build/$name-counted-%m.profraw" timeout --kill-after=10 600 "$build/bin/fuzz_$name" "${inputs[@]}" \
      >"$build/$name.log" 2>&1 || die "replaying the inputs of $name failed; what was said is in $build/$name.log"
    fuzz_lines "$name"
  done
}

fuzz() {
  local seconds=60 at_a_time=1 keep=no coverage=no name passed=0 failed=0
  local -a names=() known=() running=()
  local -A started=()
  mapfile -t known < <(fuzz_names)
  while (($# > 0)); do
    case $1 in
      --seconds | --jobs)
        [[ ${2:-} =~ ^[1-9][0-9]{0,6}$ ]] || usage_error "$1 takes a whole number from 1, not '${2:-}'"
        [[ $1 == --seconds ]] && seconds=$2 || at_a_time=$2
        shift
        ;;
      --keep) keep=yes ;;
      --help) fuzz_usage && return ;;
      all) names+=("${known[@]}") ;;
      list) ;;
      coverage) coverage=yes ;;
      *)
        [[ " ${known[*]} " == *" $1 "* ]] || usage_error "there is no fuzzer '$1'; the fuzzers are: ${known[*]}"
        names+=("$1")
        ;;
    esac
    shift
  done
  if [[ $coverage == yes ]]; then
    ((${#names[@]} > 0)) || names=("${known[@]}")
    set_up build test fuzz
    fuzz_coverage "${names[@]}"
    return
  fi
  if ((${#names[@]} == 0)); then
    printf '%s\n' "${known[@]}"
    return
  fi
  set_up build test fuzz
  build_preset fuzz "${names[@]/#/fuzz_}"
  for name in "${names[@]}"; do
    while ((${#running[@]} >= at_a_time)); do fuzz_next; done
    fuzz_run "$name" "$seconds" &
    started[$!]=$name
    running+=($!)
  done
  while ((${#running[@]} > 0)); do fuzz_next; done
  [[ $keep == no ]] || for name in "${names[@]}"; do fuzz_keep "$name"; done
  printf '%d passed, %d failed\n' "$passed" "$failed"
  ((failed == 0))
}

# Waits for the oldest of those that run and says how it went. Works on the variables of fuzz().
fuzz_next() {
  local status=0 oldest=${running[0]}
  wait "$oldest" || status=$?
  running=("${running[@]:1}")
  fuzz_report "${started[$oldest]}" "$status"
  if ((status == 0)); then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
