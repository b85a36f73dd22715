//! Which container a cgroup path belongs to, and where that container's own cgroup ends.
//!
//! A process can sit in a cgroup deep below its container's (a `container/` child, an init system of its own, nested
//! containers); metering that leaf bills one process, and metering every level bills one container several times. So
//! paths are cut at the *top-most* component that carries a container id.

use std::fmt;

use super::proc::hex_digit;

/// A container's id: 32 bytes, 64 lower-case hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId([u8; 32]);

impl ContainerId {
    /// Reads exactly 64 lower-case hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<ContainerId> {
        if text.len() != 64 {
            return None;
        }
        let mut id = [0; 32];
        for (slot, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            *slot = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(ContainerId(id))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ContainerId({self})")
    }
}

/// Who named the cgroup, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The id alone: Docker's and Kubernetes' cgroupfs drivers.
    Plain,
    /// Docker's systemd driver.
    Docker,
    /// Podman.
    Podman,
    /// containerd without Docker: Kubernetes, nerdctl.
    Containerd,
    /// CRI-O.
    Crio,
}

/// The cgroup of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerCgroup<'a> {
    /// The container.
    pub id: ContainerId,
    /// Who named the cgroup.
    pub naming: Naming,
    /// From the root of the tree up to and with the component that carries the id.
    pub path: &'a [u8],
}

/// The top-most container on a cgroup path; `None` when the path leads through none.
pub fn container_of(path: &[u8]) -> Option<ContainerCgroup<'_>> {
    prefixes(path).find_map(|(prefix, component)| {
        let (id, naming) = container_component(component)?;
        Some(ContainerCgroup {
            id,
            naming,
            path: prefix,
        })
    })
}

/// The cgroup of this very container on a path, also when it lies inside another container.
pub fn cut_at<'a>(path: &'a [u8], id: &ContainerId) -> Option<&'a [u8]> {
    prefixes(path).find_map(|(prefix, component)| match container_component(component) {
        Some((found, _)) if found == *id => Some(prefix),
        _ => None,
    })
}

/// The cgroups above a path, the nearest to the root first, without the root and without the path itself.
pub fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut prefixes = prefixes(path).map(|(prefix, _)| prefix).peekable();
    std::iter::from_fn(move || {
        let prefix = prefixes.next()?;
        prefixes.peek().map(|_| prefix)
    })
}

/// Every prefix of a path that ends with a component, and that component.
fn prefixes(path: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let from = end + path.get(end..)?.iter().position(|byte| *byte != b'/')?;
        let len = path[from..]
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(path.len() - from);
        end = from + len;
        Some((&path[..end], &path[from..end]))
    })
}

/// Reads one component. The processes that watch a container (`libpod-conmon-<id>.scope`, `crio-conmon-<id>.scope`)
/// and the slices of pods carry ids too, and are no containers.
fn container_component(component: &[u8]) -> Option<(ContainerId, Naming)> {
    const PREFIXES: [(&[u8], Naming); 5] = [
        (b"docker-", Naming::Docker),
        (b"libpod-", Naming::Podman),
        (b"cri-containerd-", Naming::Containerd),
        (b"nerdctl-", Naming::Containerd),
        (b"crio-", Naming::Crio),
    ];
    if let Some(id) = ContainerId::parse(component) {
        return Some((id, Naming::Plain));
    }
    let name = component.strip_suffix(b".scope").unwrap_or(component);
    let prefixed = PREFIXES.iter().find_map(|(prefix, naming)| {
        let id = ContainerId::parse(name.strip_prefix(*prefix)?)?;
        Some((id, *naming))
    });
    prefixed.or_else(|| unexpanded_component(component))
}

/// `<slice>:cri-containerd:<id>`: what containerd makes of a systemd path when it runs without the systemd driver.
fn unexpanded_component(component: &[u8]) -> Option<(ContainerId, Naming)> {
    let mut parts = component.rsplitn(3, |byte| *byte == b':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(b"cri-containerd"), Some(_)) => Some((ContainerId::parse(id)?, Naming::Containerd)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f5b1c0a9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f1e2d3";
    const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

    fn id(text: &str) -> ContainerId {
        ContainerId::parse(text.as_bytes()).unwrap()
    }

    /// Checks a path in which `ID` stands for the id and `|` for the end of the container's own cgroup.
    fn check(path: &str, naming: Naming) {
        let path = path.replace("ID", ID).replace("OTHER", OTHER);
        let cut = path.find('|').unwrap();
        let path = path.replace('|', "");
        let expected = ContainerCgroup {
            id: id(ID),
            naming,
            path: &path.as_bytes()[..cut],
        };
        assert_eq!(container_of(path.as_bytes()), Some(expected), "{path}");
        assert_eq!(cut_at(path.as_bytes(), &id(ID)), Some(expected.path), "{path}");
    }

    #[test]
    fn containers_of_every_runtime() {
        check("/docker/ID|", Naming::Plain);
        check("/tenant-a/ID|", Naming::Plain);
        check("/docker/ID|/init.scope/a", Naming::Plain);
        check("/system.slice/docker-ID.scope|", Naming::Docker);
        check("/acme.slice/docker-ID.scope|/container", Naming::Docker);
        check(
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope|",
            Naming::Docker,
        );
        check("/machine.slice/libpod-ID.scope|/container", Naming::Podman);
        check("/libpod_parent/libpod-ID|", Naming::Podman);
        check(
            "/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope|/container",
            Naming::Podman,
        );
        check(
            "/kubepods/burstable/pod3d1c8b9e-1111-2222-3333-444455556666/ID|",
            Naming::Plain,
        );
        check(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3d1c_8b.slice/cri-containerd-ID.scope|",
            Naming::Containerd,
        );
        check(
            "/kubepods.slice/kubepods-pod3d1c_8b.slice/crio-ID.scope|",
            Naming::Crio,
        );
        check(
            "/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:ID|",
            Naming::Containerd,
        );
    }

    #[test]
    fn no_containers() {
        let paths = [
            "/",
            "",
            "/docker",
            "/system.slice/ssh.service",
            "/machine.slice/libpod-conmon-ID.scope",
            "/machine.slice/machine-libpod_pod_ID.slice",
            "/kubepods.slice/crio-conmon-ID.scope",
            "/docker/IDa",
            "/docker/buildkit/x",
            "/system.slice/docker.service",
            "/lxc.payload.web/init.scope",
        ];
        for path in paths {
            let path = path.replace("ID", ID);
            assert_eq!(container_of(path.as_bytes()), None, "{path}");
        }
        assert_eq!(
            container_of(format!("/docker/{}", ID.to_uppercase()).as_bytes()),
            None
        );
    }

    #[test]
    fn the_outer_of_two_nested_containers_counts_unless_asked_otherwise() {
        let path = format!("/docker/{OTHER}/docker/{ID}/x");
        let outer = format!("/docker/{OTHER}");
        assert_eq!(
            container_of(path.as_bytes()).map(|found| found.path),
            Some(outer.as_bytes())
        );
        let inner = format!("/docker/{OTHER}/docker/{ID}");
        assert_eq!(cut_at(path.as_bytes(), &id(ID)), Some(inner.as_bytes()));
        assert_eq!(cut_at(outer.as_bytes(), &id(ID)), None);
    }

    #[test]
    fn ancestors_leave_out_the_root_and_the_path() {
        let of = |path: &'static str| ancestors(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(
            of("/a.slice/a-b.slice/c"),
            [&b"/a.slice"[..], b"/a.slice/a-b.slice"]
        );
        assert_eq!(of("/a.slice/c/"), [&b"/a.slice"[..]]);
        assert!(of("/a").is_empty() && of("/").is_empty() && of("").is_empty());
    }

    #[test]
    fn an_id_reads_and_prints_the_same() {
        assert_eq!(id(ID).to_string(), ID);
        assert_eq!(id(OTHER).as_bytes()[31], 0xff);
        assert_eq!(ContainerId::parse(b"4f5b"), None);
    }
}
