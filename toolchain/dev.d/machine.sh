# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by ./dev: what the machine has to be, looked at before anything is built for minutes.
# shellcheck disable=SC2154

# What programs need to run (docs/dependencies.md): Debian 12's own.
least_kernel=6.1
# Two processes on the rings of one AF_XDP socket.
least_xdp_kernel=6.4

# kernel_is_enough RELEASE [LEAST]: of `uname -r`.
kernel_is_enough() {
  local major minor least_kernel=${2:-$least_kernel}
  [[ $1 =~ ^([0-9]+)\.([0-9]+) ]] || return 1
  major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
  ((major > ${least_kernel%.*} || (major == ${least_kernel%.*} && minor >= ${least_kernel#*.})))
}

check_kernel() {
  kernel_is_enough "$(uname -r)" ||
    die "this kernel is $(uname -r), and programs on Tandem need Linux $least_kernel or later; \`./dev build\` works with any"
}

# demo_problem USER_ID TUN_DEVICE ARGUMENT...: why the demonstration cannot run here, or nothing.
demo_problem() {
  local user=$1 tun=$2
  shift 2
  if ((user == 0)); then
    [[ " $* " != *' --device tap '* && " $* " != *' --device=tap '* ]] || [[ -e $tun ]] ||
      printf '%s' "there is no $tun; as root: modprobe tun"
  elif [[ " $* " == *' --device xdp '* || " $* " == *' --device=xdp '* ]]; then
    printf '%s' 'AF_XDP takes root; run it as root, or with --device tap'
  elif [[ ! -e $tun ]]; then
    printf '%s' "there is no $tun, which the demonstration needs without root; as root: modprobe tun"
  elif [[ ! -r $tun || ! -w $tun ]]; then
    printf '%s' "$tun cannot be opened by this user; as root: chmod 666 $tun, or run ./dev demo as root"
  elif ! unshare --user --map-root-user --net true 2>/dev/null; then
    printf '%s' 'this kernel lets no unprivileged user make a user namespace; allow it as root (sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0), or run ./dev demo as root'
  fi
}

# xdp_problem RELEASE ARGUMENT...: why the demonstration cannot run on AF_XDP with a kernel of this release, when it is asked to.
xdp_problem() {
  local release=$1
  shift
  [[ " $* " == *' --device xdp '* || " $* " == *' --device=xdp '* ]] || return 0
  kernel_is_enough "$release" "$least_xdp_kernel" ||
    printf '%s' "this kernel is $release, and AF_XDP takes Linux $least_xdp_kernel or later: ./dev demo --device tap"
}

check_demo() {
  local problem
  problem=$(xdp_problem "$(uname -r)" "$@")
  # What the demonstration then falls back to.
  [[ " $* " == *' --device'* ]] || kernel_is_enough "$(uname -r)" "$least_xdp_kernel" || set -- "$@" --device tap
  [[ -n $problem ]] || problem=$(demo_problem "$EUID" /dev/net/tun "$@")
  [[ -z $problem ]] || die "$problem"
}
