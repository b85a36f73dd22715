#!/usr/bin/env bash
# Installs the Debian packages that this project needs and that are not there yet.
#   scripts/setup.sh build   what compiles the workspace (default)
#   scripts/setup.sh test    that, and what the end-to-end tests start: Docker Engine, qemu, busybox, systemd's tools
#   scripts/setup.sh ci      that, and a cache for compiled C++
# Running it again changes nothing. Without root it goes through sudo.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# One line per package and what it is for.
build_packages=(
  build-essential # cc and c++ for RocksDB, zstd, lz4 and ring
  libclang-dev    # bindgen reads RocksDB's C header with it
  pkg-config      # finds system libraries for the -sys crates
  ca-certificates # the crate registry is reached over TLS
  git             # cargo and the benchmarks name the commit
)
test_packages=(
  busybox-static  # the only program in the images and in the virtual machine
  qemu-system-x86 # the virtual machine with pure cgroup v2
  systemd         # systemd-analyze scores the units
  dpkg-dev        # cargo-deb finds the shared libraries of the programs with it
  iproute2        # network namespaces of the end-to-end tests
  strace          # makes syncs of a running program fail in the end-to-end tests
  curl            # the demonstration and the tests ask the HTTP API
  prometheus      # promtool checks the alert rules; the daemon that comes with it is not used
  poppler-utils   # pdftotext and pdffonts read the invoices that were made
)

ci_packages=(
  ccache # RocksDB's C++ takes 12 minutes of two processors without it
)
# A real Docker Engine, for containers are metered end to end. One from elsewhere stays (docker.io would fight it), and
# NO_DOCKER=1 keeps it off the machine; without an engine its tests say that they were skipped.
if [ -z "${NO_DOCKER:-}" ] && ! command -v dockerd >/dev/null && ! docker info >/dev/null 2>&1; then
  # Where the kernel has AppArmor the engine starts no container without its parser.
  test_packages+=(docker.io apparmor)
fi

what=${1:-build}
case $what in
  build) wanted=("${build_packages[@]}") ;;
  test) wanted=("${build_packages[@]}" "${test_packages[@]}") ;;
  ci) wanted=("${build_packages[@]}" "${test_packages[@]}" "${ci_packages[@]}") ;;
  *) fail "unknown set '$what'; say build, test or ci" ;;
esac

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "this script knows Debian's apt-get only; install by hand: ${wanted[*]}"

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done

apt() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "needs root or sudo for apt-get $*"
    as_root=(sudo)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q "$@"
}

if [ ${#missing[@]} -eq 0 ]; then
  say "nothing to install for '$what' (${#wanted[@]} packages are there)"
else
  say "installing for '$what': ${missing[*]}"
  # A freshly started container image has no package lists, an old machine stale ones.
  apt update
  apt install -y --no-install-recommends "${missing[@]}"
  say "installed: ${missing[*]}"
fi

command -v cargo >/dev/null || fail "no cargo on the PATH; install Rust with rustup: https://rustup.rs"
say "cargo is $(cargo --version)"

if [ "$what" != build ]; then
  fetch_kernel=$(dirname "$0")/../tests/vm/fetch-kernel.sh
  "$fetch_kernel" || {
    say "reading the package lists again for the test machine's kernel"
    apt update && "$fetch_kernel"
  } || {
    [ -z "${CI:-}" ] || fail "no kernel for the test machine, and in CI nothing may be skipped"
    say "no kernel for the test machine: its tests will say that they were skipped"
  }
fi
