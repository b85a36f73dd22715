//! The shipped units, run by a real systemd on pure cgroup v2: the agent's can read what it meters and write its state
//! alone, and both programs say under theirs that they are ready, and feed the watchdog.
//!
//! Must not know the programs' code: a shell in the agent's place reads the files that it reads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tallyman_tests::e2e::process::program;
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
try enrolled cat /var/lib/tallyman-agent/identity/enrolment.json
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
mkdir -p /new/var/lib/tallyman-agent/identity /new/etc/systemd/system/tallyman-agent.service.d
cp /probe.conf /new/etc/systemd/system/tallyman-agent.service.d/
# As enrolling by root would leave it.
echo secret >/new/var/lib/tallyman-agent/identity/enrolment.json
chmod 600 /new/var/lib/tallyman-agent/identity/enrolment.json
echo 'interval_seconds = 2' >/new/etc/tallyman/agent.toml
cp /tenant.service /new/etc/systemd/system/
printf '[Unit]\nWants=tenant.service\nAfter=tenant.service\n' >/new/etc/systemd/system/tallyman-agent.service.d/tenant.conf
systemd_enable tallyman-agent.service
systemd_boot 60
cat /new/run/probe.out
echo "result $(inside /usr/bin/systemctl show -P Result tallyman-agent.service)"
"#;

/// Both programs as the packages install them, with their error output in files.
const PROGRAMS_SCRIPT: &str = r#"
set -e
. /systemd.sh
systemd_root
cp /tenant.service /new/etc/systemd/system/
for program in tallyman-agent tallyman-aggregator; do
  mkdir -p /new/etc/systemd/system/$program.service.d
  printf '[Service]\nStandardError=append:/run/%s.out\n' $program >/new/etc/systemd/system/$program.service.d/log.conf
  systemd_enable $program.service
done
ln -s /etc/systemd/system/tenant.service /new/etc/systemd/system/multi-user.target.wants/tenant.service
printf '[[cgroup]]\npath = "/system.slice/tenant.service"\nowner = "tenant"\n' >/new/etc/tallyman/agent.toml
printf '[docker]\nenabled = false\n' >>/new/etc/tallyman/agent.toml
show() { inside /usr/bin/systemctl show -P "$1" "$2.service"; }
value() { sed -n 's/.*"'$1'": *"\([^"]*\)".*/\1/p' /tmp/token | head -n 1; }
fail() { echo "$1"; cat /new/run/*.out; dmesg | grep tallyman; inside /usr/bin/systemctl status --no-pager 'tallyman-*' || true; exit 1; }
fed() {
  left=40
  until [ "$(show WatchdogTimestampMonotonic $1)" -gt "$(show ActiveEnterTimestampMonotonic $1)" ]; do
    left=$((left-1))
    [ $left -gt 0 ] || fail "nobody feeds the watchdog of $1"
    usleep 500000
  done
}
# By hand as root, as an operator would.
chroot /new /usr/bin/tallyman-aggregator init --advertise 127.0.0.1 >/tmp/init
systemd_boot 90 || fail "not up"
echo "before enrolment $(show ActiveState tallyman-agent) $(show ConditionResult tallyman-agent)"
inside /usr/bin/tallyman-aggregator --json node token >/tmp/token || fail "no token"
inside /usr/bin/tallyman-agent enrol --server 127.0.0.1:7700 --ca-fingerprint $(value ca_fingerprint) --token $(value token) \
  >/tmp/enrolled || fail "not enrolled"
inside /usr/bin/systemctl start tallyman-agent.service || fail "the agent does not start"
fed tallyman-aggregator
fed tallyman-agent
for program in tallyman-agent tallyman-aggregator; do
  echo "$program: $(show ActiveState $program), started again $(show NRestarts $program) times: $(show StatusText $program)"
  echo "$program: user $(inside /bin/stat -c %U /proc/$(show MainPID $program)), nice $(show Nice $program)"
done
inside /usr/bin/tallyman-agent status --json >/tmp/status || fail "status"
tr -d '\n ' </tmp/status
echo
inside /usr/bin/systemctl stop tallyman-agent.service
inside /usr/bin/systemctl stop tallyman-aggregator.service
for program in tallyman-agent tallyman-aggregator; do
  echo "$program: ended with $(show Result $program)"
done
cat /new/run/tallyman-aggregator.out
echo @@agent@@
cat /new/run/tallyman-agent.out
"#;

fn unit(program: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    folder.join(format!("{program}.service"))
}

#[test]
fn the_agents_unit_reads_what_it_meters_and_writes_its_state_alone() {
    let Some(vm) = Vm::or_skip() else { return };
    let output = vm
        .with_systemd(&[&unit("tallyman-agent")])
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
        16,
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

#[test]
fn both_programs_get_ready_and_feed_the_watchdog_under_their_units() {
    let Some(vm) = Vm::or_skip() else { return };
    let (agent, aggregator) = ("tallyman-agent", "tallyman-aggregator");
    let mut vm = vm.with_systemd(&[&unit(agent), &unit(aggregator)]).unwrap();
    for name in [agent, aggregator] {
        vm = vm.program(&program(name), &format!("/usr/bin/{name}")).unwrap();
    }
    let output = vm
        .text("/tenant.service", TENANT_UNIT)
        .script(PROGRAMS_SCRIPT)
        .run(BOOT_MAX)
        .unwrap();
    for told in [
        "before enrolment inactive no",
        "tallyman-agent: active, started again 0 times: 2 workloads",
        "tallyman-aggregator: active, started again 0 times: ",
        "tallyman-agent: user tallyman-agent, nice -10",
        "tallyman-aggregator: user tallyman-aggregator, nice 0",
        "tallyman-agent: ended with success",
        "tallyman-aggregator: ended with success",
        "\"running\":true",
        "\"read_faults\":0",
        "\"connected\":true",
    ] {
        assert!(output.contains(told), "not told: {told}\n{output}");
    }
    let (_, log) = output.split_once("@@agent@@").unwrap();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}
