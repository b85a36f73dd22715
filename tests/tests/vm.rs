//! The test machine is what the end-to-end tests take it for: pure cgroup v2 with cpu, memory and io.
//!
//! Must not know the agent: a harness that is proved with the program under test proves neither.

use std::time::Duration;

use tallyman_tests::vm::Vm;

const BOOT_MAX: Duration = Duration::from_secs(120);

const SCRIPT: &str = r#"
set -e
echo "controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
echo "enabled $(cat /sys/fs/cgroup/cgroup.subtree_control)"
echo "type $(stat -f -c %t /sys/fs/cgroup)"
mkdir /sys/fs/cgroup/burner
sh -c '
  echo $$ >/sys/fs/cgroup/burner/cgroup.procs
  n=0
  while [ $n -lt 20000 ]; do n=$((n+1)); done
  dd if=/dev/zero of=/dev/vda bs=64k count=16 oflag=direct
'
echo "cpu $(head -n 1 /sys/fs/cgroup/burner/cpu.stat)"
echo "memory $(cat /sys/fs/cgroup/burner/memory.current)"
echo "io $(cat /sys/fs/cgroup/burner/io.stat)"
echo "uptime $(cut -d ' ' -f 1 /proc/uptime)"
"#;

fn line<'a>(output: &'a str, name: &str) -> &'a str {
    output
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("no line '{name}' in:\n{output}"))
        .trim()
}

#[test]
fn the_machine_has_pure_cgroup_v2_that_counts() {
    let Some(vm) = Vm::or_skip() else { return };
    let output = vm.script(SCRIPT).run(BOOT_MAX).unwrap();
    eprintln!("{output}");
    let enabled: Vec<&str> = line(&output, "enabled").split(' ').collect();
    for controller in ["cpu", "memory", "io"] {
        assert!(
            enabled.contains(&controller),
            "{controller} is not enabled: {enabled:?}"
        );
    }
    assert_eq!(line(&output, "type"), "63677270", "CGROUP2_SUPER_MAGIC");
    let usage_us: u64 = line(&output, "cpu usage_usec").parse().unwrap();
    assert!(usage_us > 0, "the burner used no processor time");
    let bytes: u64 = line(&output, "memory").parse().unwrap();
    assert!(bytes < 512 << 20, "more than the machine has: {bytes}");
    let io = line(&output, "io");
    assert!(
        io.contains("wbytes=1048576") && io.contains("wios=16"),
        "not 16 writes of 64 KiB: {io}"
    );
}

#[test]
fn a_program_comes_with_its_libraries_and_files() {
    let Some(vm) = Vm::or_skip() else { return };
    let output = vm
        .program(std::path::Path::new("/usr/bin/env"), "/opt/env")
        .unwrap()
        .text("/etc/tallyman/agent.toml", "interval_s = 2\n")
        .script("cat /etc/tallyman/agent.toml; /opt/env -i A=1 /opt/env")
        .run(BOOT_MAX)
        .unwrap();
    assert_eq!(output, "interval_s = 2\nA=1\n");
}

#[test]
fn a_script_that_fails_fails_the_run() {
    let Some(vm) = Vm::or_skip() else { return };
    let error = vm
        .script("echo half way; exit 7")
        .run(BOOT_MAX)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("status 7") && error.contains("half way"),
        "{error}"
    );
}
