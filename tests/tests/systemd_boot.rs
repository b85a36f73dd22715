//! The shipped agent unit, run by a real systemd on pure cgroup v2, can read what it meters and write its state alone.
//!
//! Must not know the agent's code: a shell in its place reads the files that it reads.

use std::path::Path;
use std::time::Duration;

use tallyman_tests::vm::Vm;

const BOOT_MAX: Duration = Duration::from_secs(180);

/// Another user's service with its own network, as a container would be; systemd enables the io controller on demand only.
const TENANT_UNIT: &str = "[Service]
User=tenant
PrivateNetwork=yes
IOAccounting=yes
ExecStart=/bin/busybox sleep 600
";

/// Replaces the program and keeps every restriction; a shell cannot notify from itself alone.
const PROBE: &str = "[Service]
Type=oneshot
WatchdogSec=0
Restart=no
ExecStart=
ExecStart=/bin/busybox sh /etc/probe
StandardOutput=append:/run/probe.out
StandardError=append:/run/probe.out
";

const PROBE_SCRIPT: &str = r#"
export PATH=/bin
group=/sys/fs/cgroup/system.slice/tenant.service
pid=$(cat $group/cgroup.procs)
try() { name=$1; shift; if "$@" >/tmp/answer 2>&1; then echo "ok $name"; else echo "FAILED $name: $(cat /tmp/answer)"; fi; }
refuse() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "ALLOWED $name"; else echo "refused $name"; fi; }
echo "user $(id -un) $(id -Gn)"
try cpu.stat grep -q usage_usec $group/cpu.stat
try memory.stat grep -q inactive_file $group/memory.stat
try memory.current cat $group/memory.current
try io.stat cat $group/io.stat
try cgroup.events grep -q 'populated 1' $group/cgroup.events
try netns stat -L -c %i /proc/$pid/ns/net
try net.dev grep -q lo: /proc/$pid/net/dev
try pid.cgroup cat /proc/$pid/cgroup
try host.stat grep -q '^cpu ' /proc/stat
try host.meminfo grep -q MemTotal /proc/meminfo
try host.diskstats grep -q vda /proc/diskstats
try host.net.dev cat /proc/net/dev
try boot_id cat /proc/sys/kernel/random/boot_id
try config grep -q interval /etc/tallyman/agent.toml
try state sh -c 'echo 1 >/var/lib/tallyman-agent/probe'
try enrolled cat /var/lib/tallyman-agent/key
try runtime sh -c 'echo 1 >/run/tallyman-agent/probe'
refuse etc sh -c 'echo 1 >/etc/tallyman/probe'
refuse usr sh -c 'echo 1 >/usr/probe'
refuse cgroup sh -c 'echo 1 >/sys/fs/cgroup/system.slice/tenant.service/cgroup.freeze'
refuse signal kill $pid
refuse mount mount -t tmpfs none /tmp
refuse chown chown 0 /var/lib/tallyman-agent/probe
"#;

const SCRIPT: &str = r#"
set -e
. /systemd.sh
systemd_root
mkdir -p /new/var/lib/tallyman-agent /new/etc/systemd/system/tallyman-agent.service.d
cp /probe.conf /new/etc/systemd/system/tallyman-agent.service.d/
# As enrolling by root would leave it.
echo secret >/new/var/lib/tallyman-agent/key
chmod 600 /new/var/lib/tallyman-agent/key
echo 'interval_s = 2' >/new/etc/tallyman/agent.toml
cp /tenant.service /new/etc/systemd/system/
mkdir -p /new/etc/systemd/system/tallyman-agent.service.wants
printf '[Unit]\nWants=tenant.service\nAfter=tenant.service\n' >/new/etc/systemd/system/tallyman-agent.service.d/tenant.conf
systemd_enable tallyman-agent.service
systemd_boot 60
cat /new/run/probe.out
echo "result $(inside /usr/bin/systemctl show -P Result tallyman-agent.service)"
"#;

#[test]
fn the_agents_unit_reads_what_it_meters_and_writes_its_state_alone() {
    let Some(vm) = Vm::or_skip() else { return };
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/tallyman-agent.service");
    let output = vm
        .with_systemd(&[&unit])
        .unwrap()
        .text("/probe.conf", PROBE)
        .text("/etc/probe", PROBE_SCRIPT)
        .text("/tenant.service", TENANT_UNIT)
        .script(SCRIPT)
        .run(BOOT_MAX)
        .unwrap();
    let wrong: Vec<&str> = output
        .lines()
        .filter(|line| line.starts_with("FAILED") || line.starts_with("ALLOWED"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{output}");
    assert_eq!(
        output.lines().filter(|line| line.starts_with("ok ")).count(),
        17,
        "{output}"
    );
    assert_eq!(
        output.lines().filter(|line| line.starts_with("refused ")).count(),
        6,
        "{output}"
    );
    assert!(
        output.contains("user tallyman-agent tallyman-agent docker"),
        "{output}"
    );
    assert!(output.contains("result success"), "{output}");
}
