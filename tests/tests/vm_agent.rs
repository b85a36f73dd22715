//! Pure cgroup v2, which the machine that runs the tests may not have: the real programs inside the test machine read
//! and bill there exactly what its kernel counted.
//!
//! Must not know how the programs read: it compares with the kernel's own files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tallyman_tests::e2e::process::program;
use tallyman_tests::vm::Vm;

const BOOT_MAX: Duration = Duration::from_secs(240);

const AGENT_CONFIG: &str =
    "docker = { enabled = false }\n[[cgroup]]\npath = \"/tenants/*\"\nowner = \"$1\"\n";

/// Makes `/tenants`, and a burner that works in `/tenants/acme` and then says so through a pipe.
const WORKLOAD: &str = r#"
tenants=/sys/fs/cgroup/tenants
mkdir $tenants
for controller in cpu memory io; do echo "+$controller" >$tenants/cgroup.subtree_control; done
mkfifo /tmp/worked
cat >/tmp/burner <<'BURNER'
echo $$ >/sys/fs/cgroup/tenants/acme/cgroup.procs
n=0
while [ $n -lt 30000 ]; do n=$((n+1)); done
dd if=/dev/zero of=/dev/vda bs=64k count=16 oflag=direct 2>/dev/null
dd if=/dev/vda of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null
echo worked >/tmp/worked
exec sleep 600
BURNER
"#;

/// Prints the counters before the look, the look, and the counters after it, once these two are the same: the kernel
/// gathers some of them late.
const LOOK: &str = r#"
set -e
mkdir $tenants/acme
sh /tmp/burner &
read answer </tmp/worked
echo 1 >$tenants/acme/cgroup.freeze
until grep -q 'frozen 1' $tenants/acme/cgroup.events; do :; done
counters() {
  for file in cpu.stat memory.current memory.swap.current memory.stat io.stat; do
    while read -r line; do echo "$file $line"; done <$tenants/acme/$file
  done
}
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  counters >/tmp/before
  /opt/tallyman-agent --config /etc/agent.toml once --json >/tmp/once
  counters >/tmp/after
  if cmp -s /tmp/before /tmp/after; then break; fi
done
cmp /tmp/before /tmp/after
cat /tmp/before
grep MemTotal /proc/meminfo
echo @@once@@
cat /tmp/once
"#;

/// From a kernel counter to usage of the API, both programs inside.
const WAY: &str = r#"
set -e
aggregator="/opt/tallyman-aggregator --config /etc/aggregator.toml"
agent="/opt/tallyman-agent --config /etc/agent.toml"
value() { sed -n 's/.*"'$1'": *"\([^"]*\)".*/\1/p' $2 | head -n 1; }
fail() { echo "$1"; cat /tmp/aggregator.log /tmp/agent.log; exit 1; }
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
sh /tmp/burner &
burner=$!
read answer </tmp/worked
kill -9 $burner
wait $burner || true
kill -TERM $metering
wait $metering || fail "the agent did not end in order"
echo "counter $(head -n 1 $tenants/acme/cpu.stat)"
echo "io $(cat $tenants/acme/io.stat)"
$agent spool verify
# A sum is of whole minutes: this one has to end.
ask() {
  wget -q -O /tmp/usage --header "Authorization: Bearer $(value token /tmp/init)" \
    "http://127.0.0.1:7780/api/v1/usage/summary/$(date -u +%Y-%m)?tenant=acme" || fail "the API did not answer"
}
left=140
until ask && grep -q cpu.time /tmp/usage; do
  left=$((left-1))
  [ $left -gt 0 ] || fail "the API shows no usage: $(cat /tmp/usage)"
  usleep 500000
done
cat /tmp/agent.log /tmp/aggregator.log
$aggregator quarantine list
echo @@usage@@
cat /tmp/usage
"#;

fn machine(script: &str) -> Option<Vm> {
    let vm = Vm::or_skip()?
        .program(&program("tallyman-agent"), "/opt/tallyman-agent")
        .unwrap()
        .text("/etc/agent.toml", AGENT_CONFIG);
    Some(vm.script(&format!("{WORKLOAD}{script}")))
}

/// What stands after a prefix in the only line that has it.
fn line<'a>(output: &'a str, prefix: &str) -> &'a str {
    let found = output.lines().find_map(|line| line.strip_prefix(prefix));
    found
        .unwrap_or_else(|| panic!("no line '{prefix}' in:\n{output}"))
        .trim()
}

fn number(output: &str, prefix: &str) -> u64 {
    let text = line(output, prefix);
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{prefix}: {text} is no number"))
}

/// `key=value` in the only line of `io.stat`.
fn io_number(output: &str, prefix: &str, key: &str) -> u64 {
    let text = line(output, prefix);
    let value = text
        .split(' ')
        .find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
    value
        .and_then(|v| v.parse().ok())
        .unwrap_or_else(|| panic!("no {key} in: {text}"))
}

#[test]
fn the_agent_reads_to_the_unit_what_cgroup_v2_counted() {
    let Some(vm) = machine(LOOK) else { return };
    let output = vm.run(BOOT_MAX).unwrap();
    let (counters, once) = output.split_once("@@once@@").unwrap();
    let once: Value = serde_json::from_str(once).unwrap();
    assert_eq!(once["faults"], serde_json::json!([]), "{once:#}");
    let workloads = once["workloads"].as_array().unwrap();
    let of_path = |path: &str| {
        let found = workloads.iter().find(|seen| seen["path"] == path);
        found.unwrap_or_else(|| panic!("no {path} in {once:#}"))
    };
    let acme = of_path("/tenants/acme");
    assert_eq!(
        (&acme["kind"], &acme["owner"]),
        (&"cgroup".into(), &"acme".into())
    );
    let device = line(counters, "io.stat ").split(' ').next().unwrap();
    let io = |key| io_number(counters, "io.stat ", key);
    let mut expected = BTreeMap::from([
        ("usage".to_owned(), number(counters, "cpu.stat usage_usec ")),
        ("current".to_owned(), number(counters, "memory.current ")),
        (format!("read {device}"), io("rbytes")),
        (format!("written {device}"), io("wbytes")),
        (format!("reads {device}"), io("rios")),
        (format!("writes {device}"), io("wios")),
    ]);
    for part in ["anon", "file", "inactive_file", "shmem"] {
        expected.insert(part.to_owned(), number(counters, &format!("memory.stat {part} ")));
    }
    // A kernel without swap accounting has no such file.
    if counters.contains("memory.swap.current ") {
        expected.insert("swap".to_owned(), number(counters, "memory.swap.current "));
    }
    let read: BTreeMap<String, u64> = acme["figures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|figure| {
            let name = figure["name"].as_str().unwrap().to_owned();
            (name, figure["value"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(read, expected, "{output}");
    assert!(read["usage"] > 0 && read["current"] > 0, "{output}");
    assert_eq!(read[&format!("written {device}")], 1 << 20, "16 writes of 64 KiB");
    let host = of_path("/")["figures"].as_array().unwrap();
    let total = host.iter().find(|figure| figure["name"] == "total").unwrap();
    assert_eq!(
        total["value"].as_u64(),
        Some(number(counters, "MemTotal:        ") * 1_024)
    );
}

#[test]
fn usage_on_cgroup_v2_is_what_the_kernel_counted() {
    let Some(vm) = machine(WAY) else { return };
    let vm = vm
        .program(&program("tallyman-aggregator"), "/opt/tallyman-aggregator")
        .unwrap();
    let output = vm.run(BOOT_MAX).unwrap();
    let (told, usage) = output.split_once("@@usage@@").unwrap();
    let usage: Value = serde_json::from_str(usage).unwrap();
    let sum = |meter: &str| -> u64 {
        let rows = usage["usage"].as_array().unwrap();
        let values = rows
            .iter()
            .filter(|row| row["meter"] == meter)
            .map(|row| row["value"].as_str().unwrap().parse::<u64>().unwrap());
        values.sum()
    };
    let counted_ns = number(told, "counter usage_usec ") * 1_000;
    assert!(counted_ns > 0, "{output}");
    assert_eq!(sum("cpu.time"), counted_ns, "{output}");
    assert!(told.contains(": sound"), "{output}");
    let written = io_number(told, "io ", "wbytes");
    assert_eq!(written, 1 << 20, "16 writes of 64 KiB");
    assert_eq!(sum("disk.write.bytes"), written, "{output}");
}
