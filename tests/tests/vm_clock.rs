//! A wall clock that is stepped ahead and back under the real programs. No namespace has a wall clock of its own, and the
//! programs ask the kernel without the C library, so the test machine is the host whose clock is set.

use std::time::Duration;

use serde_json::Value;
use tallyman_tests::e2e::process::program;
use tallyman_tests::vm::Vm;

const BOOT_MAX: Duration = Duration::from_secs(240);

const AGENT_CONFIG: &str =
    "docker = { enabled = false }\n[[cgroup]]\npath = \"/tenants/*\"\nowner = \"$1\"\n";

/// Steps by less than what the aggregator takes as a window in the future, for both share the clock here and must not
/// depend on it.
const STEPS: &str = r#"
set -e
tenants=/sys/fs/cgroup/tenants
mkdir $tenants
for controller in cpu memory io; do echo "+$controller" >$tenants/cgroup.subtree_control; done
aggregator="/opt/tallyman-aggregator --config /etc/aggregator.toml"
agent="/opt/tallyman-agent --config /etc/agent.toml"
value() { sed -n 's/.*"'$1'": *"\([^"]*\)".*/\1/p' $2 | head -n 1; }
fail() { echo "$1"; cat /tmp/aggregator.log /tmp/agent.log; exit 1; }
burn() { sh -c 'echo $$ >/sys/fs/cgroup/tenants/acme/cgroup.procs; n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done'; }
# Writes of the status file, so that sweeps lie between the steps.
swept() {
  rm -f /var/lib/tallyman-agent/status.json
  until [ -e /var/lib/tallyman-agent/status.json ]; do kill -0 $metering || fail "the agent ended"; usleep 100000; done
}
step() { date -s @$(($(date +%s)+$1)) >/dev/null; }
$aggregator --data /var/lib/aggregator --json init --advertise 127.0.0.1 >/tmp/init
$aggregator run >/tmp/aggregator.log 2>&1 &
serving=$!
until wget -q -O /dev/null http://127.0.0.1:7780/ready 2>/dev/null; do kill -0 $serving || fail "the aggregator ended"; usleep 100000; done
$aggregator tenant set acme --claim acme --currency USD --from $(date -u +%Y-%m-01T00:00:00Z) >/dev/null
$aggregator --json node token >/tmp/token
value token /tmp/token >/tmp/secret
$agent enrol --server 127.0.0.1:7700 --ca-fingerprint $(value ca_fingerprint /tmp/token) --token-file /tmp/secret >/dev/null
$agent run >/tmp/agent.log 2>&1 &
metering=$!
until [ -e /var/lib/tallyman-agent/status.json ]; do kill -0 $metering || fail "the agent ended"; usleep 100000; done
mkdir $tenants/acme
burn
swept
step 100
burn
swept
burn
step -100
burn
swept
step -30
burn
kill -TERM $metering
wait $metering || fail "the agent did not end in order"
$agent run >>/tmp/agent.log 2>&1 &
metering=$!
step 30
burn
swept
kill -TERM $metering
wait $metering || fail "the agent did not end in order"
$agent run >>/tmp/agent.log 2>&1 &
echo "counter $(head -n 1 $tenants/acme/cpu.stat)"
$agent spool verify
ask() {
  wget -q -O /tmp/usage --header "Authorization: Bearer $(value token /tmp/init)" \
    "http://127.0.0.1:7780/api/v1/usage/summary/$(date -u +%Y-%m)?tenant=acme" || fail "the API did not answer"
}
counted=$(($(sed -n 's/usage_usec //p' $tenants/acme/cpu.stat)*1000))
left=120
until ask && grep -q "\"$counted\"" /tmp/usage; do
  left=$((left-1))
  [ $left -gt 0 ] || break
  usleep 250000
done
cat /tmp/agent.log /tmp/aggregator.log
$aggregator quarantine list
$aggregator recompute --check
echo @@usage@@
cat /tmp/usage
"#;

#[test]
fn steps_of_the_wall_clock_cost_and_double_nothing() {
    let Some(vm) = Vm::or_skip() else { return };
    let vm = vm
        .program(&program("tallyman-agent"), "/opt/tallyman-agent")
        .and_then(|vm| vm.program(&program("tallyman-aggregator"), "/opt/tallyman-aggregator"))
        .unwrap();
    let output = vm
        .text("/etc/agent.toml", AGENT_CONFIG)
        .script(STEPS)
        .run(BOOT_MAX)
        .unwrap();
    let (told, usage) = output.split_once("@@usage@@").unwrap();
    let usage: Value = serde_json::from_str(usage).unwrap();
    let rows = usage["usage"].as_array().unwrap();
    let billed: u64 = rows
        .iter()
        .filter(|row| row["meter"] == "cpu.time")
        .map(|row| row["value"].as_str().unwrap().parse::<u64>().unwrap())
        .sum();
    let counter = told
        .lines()
        .find_map(|line| line.strip_prefix("counter usage_usec "));
    let counted_ns = counter.unwrap().trim().parse::<u64>().unwrap() * 1_000;
    assert!(counted_ns > 0, "{output}");
    assert_eq!(billed, counted_ns, "{output}");
    assert!(told.contains(": sound"), "{output}");
}
