#!/usr/bin/env bash
# Makes a Docker Engine answer, for the end-to-end tests and the demonstration.
#   scripts/docker-up.sh         starts dockerd in the background where none answers, and waits for it
#   scripts/docker-up.sh stop    ends the dockerd that this script started, and no other
#   scripts/docker-up.sh run COMMAND…   runs the command beside an engine, and ends the engine if it was started for it;
#                                without an engine the command runs all the same, except in CI
# Data and log of a started engine lie in target/docker, its sockets in /run/tallyman-docker (their paths must stay
# short); an engine that answers already is left alone.
set -euo pipefail

say() { printf 'docker: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

root=$(cd "$(dirname "$0")/.." && pwd)
home=$root/target/docker
pid_file=$home/dockerd.pid
log=$home/dockerd.log
wait_s=60
ticks=$((wait_s * 5))

# The engine's own pid, when the process under that number is still the one started here.
own_pid() {
  local pid
  [ -f "$pid_file" ] || return 1
  pid=$(cat "$pid_file")
  [ "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -cF -- "--data-root=$home/data")" = 1 ] || return 1
  printf '%s' "$pid"
}

stop() {
  local pid
  if ! pid=$(own_pid); then
    say "no engine was started from here"
    return 0
  fi
  say "stopping the engine (pid $pid)"
  kill "$pid"
  for _ in $(seq "$ticks"); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$pid_file"; return 0; }
    sleep 0.2
  done
  fail "the engine (pid $pid) did not end within $wait_s s; see $log"
}

start() {
  if docker info >/dev/null 2>&1; then
    say "engine $(docker version --format '{{.Server.Version}}') answers"
    return 0
  fi
  command -v dockerd >/dev/null || fail "no dockerd; run scripts/setup.sh test"
  [ "$(id -u)" -eq 0 ] || fail "no engine answers, and starting one needs root"
  mkdir -p "$home"
  # Ours to clean up: an engine that was killed leaves its pid file and refuses to start beside it.
  own_pid >/dev/null || rm -f "$pid_file"
  say "no engine answers; starting one (log: target/docker/dockerd.log)"
  # The cgroupfs driver, for there is no systemd to ask on a machine like this; slow shutdown would hold a job up.
  setsid --fork dockerd \
    --data-root="$home/data" --exec-root=/run/tallyman-docker --pidfile="$pid_file" \
    --exec-opt native.cgroupdriver=cgroupfs --shutdown-timeout=5 "$@" >"$log" 2>&1 </dev/null
  for _ in $(seq "$ticks"); do
    if docker info >/dev/null 2>&1; then
      say "engine $(docker version --format '{{.Server.Version}}') answers (pid $(cat "$pid_file"))"
      return 0
    fi
    sleep 0.2
  done
  tail -n 20 "$log" >&2
  return 1
}

start_or_stop() {
  start || {
    stop
    fail "the engine did not answer within $wait_s s"
  }
}

run() {
  local status=0
  if docker info >/dev/null 2>&1; then
    exec "$@"
  fi
  if (start_or_stop); then
    trap stop EXIT
  elif [ -n "${CI:-}" ]; then
    fail "no Docker Engine, and in CI nothing may be skipped"
  else
    say "no Docker Engine: the tests that need one will say that they were skipped"
  fi
  "$@" || status=$?
  exit "$status"
}

case ${1:-start} in
  start) start_or_stop ;;
  stop) stop ;;
  run)
    shift
    run "$@"
    ;;
  *) fail "unknown command '$1'; say start, stop or run COMMAND" ;;
esac
