#!/usr/bin/env bash
# From a kernel counter to a bill on this machine: an aggregator, an agent, two small workloads of two tenants, and,
# after the first minutes, a bill for each from what they really used. Everything lies in demo-data/, which is made
# anew each time. Ctrl-C ends it; DEMO_EXIT=1 ends after the first bill.
set -euo pipefail
cd "$(dirname "$0")/.."

BASE="$PWD/demo-data"
QUIC=127.0.0.1:${DEMO_QUIC_PORT:-17700}
HTTP=127.0.0.1:${DEMO_HTTP_PORT:-17780}
IMAGE=tallyman-demo-busybox
AGGREGATOR="target/release/tallyman-aggregator --config $BASE/aggregator.toml"
AGENT="target/release/tallyman-agent --config $BASE/agent.toml"
pids=() containers=() groups=() image_made=""

say() { printf '\n== %s\n' "$*"; }

finish() {
  local status=$?
  trap - EXIT INT TERM
  for c in "${containers[@]}"; do docker rm -f "$c" >/dev/null 2>&1 || true; done
  [ -z "$image_made" ] || docker rmi -f "$IMAGE" >/dev/null 2>&1 || true
  # The agent first, so that its last window still arrives.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  # A cgroup goes once the kernel has let go of the processes that were ended in it, a moment later.
  for g in "${groups[@]}"; do
    for _ in $(seq 50); do
      [ -d "$g" ] && ! rmdir "$g" 2>/dev/null || break
      sleep 0.1
    done
  done
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ "$(id -u)" != 0 ]; then
  echo "The demo reads every cgroup and makes workloads: run it as root (sudo make demo)." >&2
  exit 1
fi

say "building (the first time compiles RocksDB's C++, which takes some 12 minutes on two cores)"
cargo build --release --locked --bins -p tallyman-agent -p tallyman-aggregator

rm -rf "$BASE"
mkdir -p "$BASE"

say "starting an aggregator on $QUIC, its HTTP API on $HTTP"
target/release/tallyman-aggregator --config "$BASE/aggregator.toml" --data "$BASE/aggregator" \
  init --advertise 127.0.0.1 --listen "$QUIC" --http "$HTTP" >"$BASE/init.txt"
cat "$BASE/init.txt"
$AGGREGATOR run >"$BASE/aggregator.log" 2>&1 &
pids+=($!)
# Ready when its API says so; orders given before would open the store themselves and keep it from starting.
ready() {
  exec 3<>"/dev/tcp/${HTTP%:*}/${HTTP##*:}" || return 1
  printf 'GET /ready HTTP/1.0\r\nHost: demo\r\n\r\n' >&3
  local line
  read -r line <&3 && [[ $line == *" 200 "* ]]
}
for _ in $(seq 100); do
  (ready) 2>/dev/null && break
  kill -0 "${pids[0]}" 2>/dev/null || { cat "$BASE/aggregator.log" >&2; exit 1; }
  read -rt 0.2 <> <(:) || true
done
HOUR=$(date -u +%Y-%m-01T00:00:00Z)
$AGGREGATOR tenant set acme --name "Acme Ltd." --claim acme --currency USD --from "$HOUR"
$AGGREGATOR tenant set dongfang --name "东方存储" --claim dongfang --currency USD --language zh --from "$HOUR"
$AGGREGATOR price-book add deploy/price-books/sandbox-usd.toml --from "$HOUR"

say "enrolling this machine and starting the agent"
cat >"$BASE/agent.toml" <<EOF
server = "$QUIC"
state_dir = "$BASE/agent"

[[cgroup]]
path = "/tallyman-demo/*"
owner = "\$1"
EOF
$AGGREGATOR node token --json >"$BASE/token.json"
TOKEN=$(sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' "$BASE/token.json" | head -n 1)
CA=$(sed -n 's/.*"ca_fingerprint": *"\([^"]*\)".*/\1/p' "$BASE/token.json" | head -n 1)
printf '%s' "$TOKEN" | $AGENT enrol --server "$QUIC" --ca-fingerprint "$CA" --token-file -
$AGENT run >"$BASE/agent.log" 2>&1 &
pids+=($!)
agent_pid=$!
# Metering begins with the first sweep; what starts after it is billed from its first nanosecond.
for _ in $(seq 150); do
  [ ! -e "$BASE/agent/status.json" ] || break
  kill -0 "$agent_pid" 2>/dev/null || { cat "$BASE/agent.log" >&2; exit 1; }
  read -rt 0.2 <> <(:) || true
done

say "starting two workloads of two tenants"
BURN='while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.2; done'
if docker info >/dev/null 2>&1; then
  mkdir -p "$BASE/image"
  cp /bin/busybox "$BASE/image/busybox"
  printf 'FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/sleep\n' >"$BASE/image/Dockerfile"
  DOCKER_BUILDKIT=0 docker build -q -t "$IMAGE" "$BASE/image" >/dev/null
  image_made=1
  for tenant in acme dongfang; do
    containers+=("$(docker run -d --label tallyman.tenant=$tenant "$IMAGE" /bin/sh -c "$BURN")")
  done
  echo "two containers, labelled tallyman.tenant=acme and =dongfang"
else
  echo "no Docker Engine answers; two cgroups of our own instead: /tallyman-demo/{acme,dongfang}"
  roots=()
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    roots=(/sys/fs/cgroup)
  else
    for tree in cpuacct memory blkio unified; do [ -d "/sys/fs/cgroup/$tree" ] && roots+=("/sys/fs/cgroup/$tree"); done
  fi
  for tenant in acme dongfang; do
    for root in "${roots[@]}"; do
      mkdir -p "$root/tallyman-demo/$tenant"
      if [ "$root" = /sys/fs/cgroup ]; then
        # The counters of memory and block I/O exist only where their controllers are switched on.
        for c in cpu memory io; do
          echo "+$c" >"$root/cgroup.subtree_control" 2>/dev/null || true
          echo "+$c" >"$root/tallyman-demo/cgroup.subtree_control" 2>/dev/null || true
        done
      fi
      groups=("$root/tallyman-demo/$tenant" "${groups[@]}")
    done
  done
  for root in "${roots[@]}"; do groups+=("$root/tallyman-demo"); done
  for tenant in acme dongfang; do
    (
      for root in "${roots[@]}"; do echo "$BASHPID" >"$root/tallyman-demo/$tenant/cgroup.procs"; done
      exec sh -c "$BURN"
    ) &
    pids+=($!)
  done
fi

say "metering; the first bill comes when a whole minute is in (up to two minutes)"
started=$(date +%s)
# A bill with a line for both tenants, and a whole minute in it: the first window is only a part of one.
while :; do
  ready=1
  [ $(($(date +%s) - started)) -gt 65 ] || ready=""
  for tenant in acme dongfang; do
    $AGGREGATOR bill show "$tenant" --json 2>/dev/null | grep -q '"item"' || ready=""
  done
  [ -z "$ready" ] || break
  kill -0 "$agent_pid" 2>/dev/null || { echo "the agent ended:" >&2; cat "$BASE/agent.log" >&2; exit 1; }
  waited=$(($(date +%s) - started))
  if [ "$waited" -gt 300 ]; then
    echo "no bill after five minutes; the logs are in $BASE" >&2
    tail -n 20 "$BASE/agent.log" "$BASE/aggregator.log" >&2
    exit 1
  fi
  [ -t 1 ] && back='\r' || back='\n'
  printf "$back"'%3d s, next window closes in %2d s ' "$waited" $((60 - $(date +%-S)))
  read -rt 2 <> <(:) || true
done
echo

for tenant in acme dongfang; do
  say "bill of $tenant"
  $AGGREGATOR bill show "$tenant"
done

TOKEN=$(sed -n 's/.*\(tally_[0-9a-f]*\).*/\1/p' "$BASE/init.txt" | head -n 1)
say "the API: http://$HTTP/api/v1 (operator token: $TOKEN)"
echo "for example: curl -H 'Authorization: Bearer $TOKEN' 'http://$HTTP/api/v1/usage/current?tenant=acme'"

if [ -n "${DEMO_EXIT:-}" ]; then
  say "done (DEMO_EXIT is set)"
  exit 0
fi
say "runs on; Ctrl-C ends it and takes away what it made (the data stay in demo-data/)"
wait "$agent_pid"
