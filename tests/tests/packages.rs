//! Each Debian package is built from the release programs, installed into a root of its own, removed and purged:
//! files, user and unit come, and go without the state.
//!
//! Must not know the programs: what they do is tested elsewhere, here they are files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PURGE_STATE: &str = "TALLYMAN_PURGE_STATE";

/// The reason why no package can be built and installed here, in words for an operator.
fn unavailable() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("dpkg installs as root only");
    }
    if Command::new("dpkg").arg("--version").output().is_err() {
        return Some("this is no Debian machine");
    }
    let cargo_deb = Command::new("cargo").args(["deb", "--version"]).output();
    if !cargo_deb.is_ok_and(|output| output.status.success()) {
        return Some("no cargo-deb; run cargo install --locked cargo-deb");
    }
    None
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&text)
    );
    output
}

/// Builds the package of `program` from the program that stands in the target folder.
fn build(program: &str, into: &Path) -> PathBuf {
    let package = into.join(format!("{program}.deb"));
    run(Command::new("cargo")
        .args([
            "deb",
            "--offline",
            "--locked",
            "--no-build",
            "--fast",
            "--quiet",
            "-p",
            program,
            "-o",
        ])
        .arg(&package)
        .current_dir(workspace()));
    package
}

/// An empty Debian root: dpkg's own folders and the two files that hold users and groups.
fn empty_root(root: &Path) {
    for folder in [
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/dpkg/triggers",
        "var/log",
        "etc",
        "usr",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
        fs::write(root.join(file), "").unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
}

/// Maintainer scripts run with this machine's tools on the given root; its dependencies are not installed there.
fn dpkg(root: &Path) -> Command {
    let mut command = Command::new("dpkg");
    command
        .arg(format!("--root={}", root.display()))
        .args(["--force-depends", "--force-script-chrootless", "--no-triggers"])
        .env_remove(PURGE_STATE)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn assert_file(path: &Path, mode: u32) {
    let meta = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        meta.permissions().mode() & 0o7777,
        mode,
        "mode of {}",
        path.display()
    );
    assert_eq!((meta.uid(), meta.gid()), (0, 0), "owner of {}", path.display());
}

fn assert_installed(root: &Path, program: &str) {
    assert_file(&root.join("usr/bin").join(program), 0o755);
    assert_file(
        &root.join(format!("usr/lib/systemd/system/{program}.service")),
        0o644,
    );
    assert_file(&root.join(format!("usr/lib/sysusers.d/{program}.conf")), 0o644);
    for page in ["README.md", "OPERATING.md"] {
        assert_file(&root.join("usr/share/doc").join(program).join(page), 0o644);
    }
    // `init` writes the aggregator's: with a file there it would leave the operator's names out.
    let settings = root.join("etc/tallyman");
    if program == "tallyman-agent" {
        assert_file(&settings.join("agent.toml"), 0o644);
    } else {
        for page in ["API.md", "PRICES.md", "OFL.txt"] {
            assert_file(&root.join("usr/share/doc").join(program).join(page), 0o644);
        }
        let example = format!("usr/share/doc/{program}/examples/aggregator.toml");
        assert_file(&root.join(example), 0o644);
        assert!(!settings.join("aggregator.toml").exists());
    }
    let wanted = root.join(format!(
        "etc/systemd/system/multi-user.target.wants/{program}.service"
    ));
    assert!(
        fs::symlink_metadata(&wanted).is_ok(),
        "the unit is not enabled: {}",
        wanted.display()
    );
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(
        users.lines().any(|line| line.starts_with(&format!("{program}:"))),
        "no user: {users}"
    );
    let state = root.join("var/lib").join(program);
    assert!(!state.exists(), "state before enrolment would start the unit");
}

fn assert_removed(root: &Path, program: &str) {
    let left = [
        format!("usr/bin/{program}"),
        format!("usr/lib/systemd/system/{program}.service"),
        format!("usr/lib/sysusers.d/{program}.conf"),
        format!("etc/systemd/system/multi-user.target.wants/{program}.service"),
    ];
    for path in left {
        assert!(fs::symlink_metadata(root.join(&path)).is_err(), "{path} is left");
    }
}

/// True, with the reason on standard error, where no package can be made; in CI that is a failure.
fn skipped() -> bool {
    let Some(reason) = unavailable() else {
        return false;
    };
    assert!(
        std::env::var_os("CI").is_none(),
        "no package test in CI: {reason}"
    );
    eprintln!("SKIPPED: no package is built and installed: {reason}");
    true
}

fn install_and_remove(program: &str) {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = build(program, dir.path());
    let root = dir.path().join("root");
    empty_root(&root);

    run(dpkg(&root).arg("--install").arg(&package));
    assert_installed(&root, program);

    let state = root.join("var/lib").join(program);
    fs::create_dir_all(state.join("spool")).unwrap();
    fs::write(state.join("spool/frame"), "usage that nobody has yet").unwrap();
    run(dpkg(&root).args(["--remove", program]));
    run(dpkg(&root).args(["--purge", program]));
    assert_removed(&root, program);
    assert!(state.join("spool/frame").exists(), "a purge took the state");

    run(dpkg(&root).arg("--install").arg(&package));
    let purged = run(dpkg(&root).args(["--purge", program]));
    let said = String::from_utf8_lossy(&purged.stderr).into_owned();
    assert!(
        said.contains(&format!("kept /var/lib/{program}")),
        "a purge did not say what it kept: {said}"
    );

    run(dpkg(&root).arg("--install").arg(&package));
    run(dpkg(&root).args(["--purge", program]).env(PURGE_STATE, "1"));
    assert!(!state.exists(), "{PURGE_STATE}=1 did not take the state");
}

#[test]
fn an_upgrade_keeps_the_settings_of_the_operator() {
    if skipped() {
        return;
    }
    let program = "tallyman-agent";
    let dir = tempfile::tempdir().unwrap();
    let package = build(program, dir.path());
    let root = dir.path().join("root");
    empty_root(&root);
    run(dpkg(&root).arg("--install").arg(&package));
    let settings = root.join("etc/tallyman/agent.toml");
    fs::write(&settings, "host = false\n").unwrap();
    run(dpkg(&root).arg("--install").arg(&package));
    assert_eq!(fs::read_to_string(&settings).unwrap(), "host = false\n");
    run(dpkg(&root).args(["--purge", program]));
    assert!(!settings.exists(), "a purge left {}", settings.display());
}

#[test]
fn the_agent_package_installs_and_goes_without_its_state() {
    install_and_remove("tallyman-agent");
}

#[test]
fn the_aggregator_package_installs_and_goes_without_its_state() {
    install_and_remove("tallyman-aggregator");
}
