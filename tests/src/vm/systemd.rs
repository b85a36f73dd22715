//! Adds Debian's systemd to a machine, so that shipped units run there under what they ask for.
//!
//! Must not know the units: they come as files.

use std::path::Path;

use anyhow::{Context, Result};

use super::Vm;

const FUNCTIONS: &str = include_str!("../../vm/systemd.sh");
const PROGRAMS: [&str; 3] = ["/usr/lib/systemd/systemd", "/usr/bin/systemctl", "/usr/bin/chown"];
const UNITS: &str = "/usr/lib/systemd/system";
const TARGETS: [&str; 16] = [
    "basic.target",
    "final.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network.target",
    "paths.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "swap.target",
    "sysinit.target",
    "system.slice",
    "time-sync.target",
    "timers.target",
    "umount.target",
];

impl Vm {
    /// A machine whose script can source `/systemd.sh` and start systemd with the given units.
    ///
    /// # Errors
    /// When this machine has no systemd to copy, or a unit cannot be read.
    pub fn with_systemd(mut self, units: &[&Path]) -> Result<Self> {
        for program in PROGRAMS {
            self = self.program(Path::new(program), program)?;
        }
        for target in TARGETS {
            let path = format!("{UNITS}/{target}");
            // Not every release of systemd ships each as a file; some are built in.
            if Path::new(&path).exists() {
                self = self.file(Path::new(&path), &path)?;
            }
        }
        for unit in units {
            let name = unit
                .file_name()
                .with_context(|| format!("{} names no unit", unit.display()))?;
            let guest = format!("{UNITS}/{}", name.to_string_lossy());
            self = self.file(unit, &guest)?;
        }
        Ok(self.text("/systemd.sh", FUNCTIONS))
    }
}
