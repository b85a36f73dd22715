//! Containers of the test's own making: an image FROM scratch with a static busybox, nothing is pulled.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::run;

const IMAGE: &str = "tallyman-test-busybox";

/// True when a Docker Engine answers. On a machine of continuous integration a missing one is a failure.
pub fn engine_or_skip(what: &str) -> bool {
    let answers = Command::new("docker")
        .arg("info")
        .output()
        .is_ok_and(|o| o.status.success());
    if !answers {
        assert!(
            std::env::var_os("CI").is_none(),
            "{what}: no Docker Engine answers, and CI must have one"
        );
        eprintln!("SKIPPED {what}: no Docker Engine answers (start one, or `apt-get install docker.io`)");
    }
    answers
}

/// Makes the image if it is not there. Its label claims a tenant, which must not be believed.
pub fn image() -> Result<&'static str> {
    let busybox = Path::new("/bin/busybox");
    let folder = tempfile::tempdir()?;
    std::fs::copy(busybox, folder.path().join("busybox")).context("busybox-static is not installed")?;
    let text =
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nLABEL tallyman.tenant=image-says\n";
    std::fs::write(folder.path().join("Dockerfile"), text)?;
    run(Command::new("docker")
        .args(["build", "-q", "-t", IMAGE])
        .arg(folder.path())
        .env("DOCKER_BUILDKIT", "0"))?;
    Ok(IMAGE)
}

/// A container, removed when dropped.
pub struct Container {
    /// Its id, 64 digits.
    pub id: String,
}

impl Container {
    /// Starts one with more arguments for `docker run` and a shell script.
    pub fn start(arguments: &[&str], script: &str) -> Result<Self> {
        let mut command = Command::new("docker");
        command
            .args(["run", "-d", "--network", "none"])
            .args(arguments)
            .arg(IMAGE)
            .args(["/bin/sh", "-c", script]);
        Ok(Self {
            id: run(&mut command)?.trim().to_owned(),
        })
    }

    /// The kernel's CPU counter of its cgroup, in nanoseconds.
    pub fn cpu_ns(&self) -> Result<u128> {
        let v1 = format!("/sys/fs/cgroup/cpuacct/docker/{}/cpuacct.usage", self.id);
        if Path::new(&v1).exists() {
            return Ok(std::fs::read_to_string(v1)?.trim().parse()?);
        }
        let v2 = [
            format!("/docker/{}", self.id),
            format!("/system.slice/docker-{}.scope", self.id),
        ];
        let found = v2
            .iter()
            .map(|p| format!("/sys/fs/cgroup{p}/cpu.stat"))
            .find(|p| Path::new(p).exists());
        let text = std::fs::read_to_string(found.context("the container's cgroup")?)?;
        let usage = text
            .lines()
            .next()
            .and_then(|l| l.split(' ').nth(1))
            .context("usage_usec")?;
        Ok(usage.parse::<u128>()? * 1_000)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", &self.id]).output();
    }
}
