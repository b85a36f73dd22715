//! Which cgroups are metered: containers by the id in their path, and what the configured patterns name.
//!
//! A container is metered at its top-most cgroup; what lies inside it is not looked at. Must not know labels or owners.

use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;

use tallyman_agent_core::SourceKind;
use tallyman_agent_core::sources::identity::{ContainerId, container_of};
use tallyman_agent_core::sources::pattern::Pattern;

use super::cgroup::CgroupTrees;
use crate::limits::{DEPTH_MAX, FOLDERS_MAX};

/// Name of the source of containers.
pub const SOURCE_DOCKER: &str = "docker";
/// Name of the source of the whole machine.
pub const SOURCE_HOST: &str = "host";

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Containers.
    pub containers: bool,
    /// cgroups by path.
    pub patterns: Vec<Pattern>,
}

/// One cgroup to be metered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path from the root of the tree, with a leading slash.
    pub path: String,
    /// Inode of its folder.
    pub life: u64,
    /// What found it.
    pub kind: SourceKind,
    /// Name of the source.
    pub source: String,
    /// The container, if it is one.
    pub container: Option<ContainerId>,
}

/// Name of the source of a pattern.
pub fn source_of(pattern: &Pattern) -> String {
    format!("cgroup:{pattern}")
}

impl Selection {
    /// Names of all sources that are looked for here.
    pub fn sources(&self) -> Vec<String> {
        let docker = self.containers.then(|| SOURCE_DOCKER.to_owned());
        docker
            .into_iter()
            .chain(self.patterns.iter().map(source_of))
            .collect()
    }

    /// Whether a cgroup is metered, and as what.
    pub fn judge(&self, path: &str, life: u64) -> Option<Found> {
        let found = |kind, source, container| Found {
            path: path.to_owned(),
            life,
            kind,
            source,
            container,
        };
        if let Some(container) = container_of(path.as_bytes()) {
            let is_top = self.containers && container.path.len() == path.len();
            return is_top.then(|| found(SourceKind::Docker, SOURCE_DOCKER.to_owned(), Some(container.id)));
        }
        let pattern = self.patterns.iter().find(|p| p.matches(path.as_bytes()))?;
        Some(found(SourceKind::Cgroup, source_of(pattern), None))
    }
}

/// Looks through the tree from `from` on (a cgroup path; `/` for all of it). `watch` is told of each folder in which
/// something may appear, before that folder is read, so that nothing comes unseen in between. Parents come first.
pub fn scan(
    trees: &CgroupTrees,
    selection: &Selection,
    from: &str,
    watch: &mut dyn FnMut(&str),
) -> Vec<Found> {
    let mut found = Vec::new();
    let Some(life) = trees.life(from) else {
        return found;
    };
    let mut waiting = vec![(from.to_owned(), life, 0_usize)];
    let mut folders = 0;
    while let Some((path, life, depth)) = waiting.pop() {
        folders += 1;
        if folders > FOLDERS_MAX {
            tracing::warn!(
                limit = FOLDERS_MAX,
                "not all cgroups were looked at: there are too many"
            );
            break;
        }
        let judged = if path == "/" {
            None
        } else {
            selection.judge(&path, life)
        };
        let is_container = judged.as_ref().is_some_and(|f| f.container.is_some());
        found.extend(judged);
        if is_container {
            continue;
        }
        watch(&path);
        if depth < DEPTH_MAX {
            waiting.extend(children(trees, &path).map(|(path, life)| (path, life, depth + 1)));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Folders right below a cgroup. A folder that is gone, or whose name is no text, has none.
fn children(trees: &CgroupTrees, path: &str) -> impl Iterator<Item = (String, u64)> {
    /// `.`, and the entry in the parent: a folder without folders.
    const LINKS_OF_A_LEAF: u64 = 2;
    let folder = trees.folder(path);
    // Not every file system counts folders in links; those say 1.
    let is_leaf = folder
        .as_ref()
        .and_then(|f| fs::metadata(f).ok())
        .is_none_or(|m| m.nlink() == LINKS_OF_A_LEAF);
    let entries = folder.filter(|_| !is_leaf).and_then(|f| fs::read_dir(f).ok());
    let parent = path.trim_end_matches('/').to_owned();
    entries.into_iter().flatten().filter_map(move |entry| {
        let entry = entry.ok().filter(is_folder)?;
        let name = entry.file_name().into_string().ok()?;
        let life = entry.metadata().ok()?.ino();
        Some((format!("{parent}/{name}"), life))
    })
}

fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use tallyman_agent_core::sources::cgroup::Controllers;
    use tallyman_agent_core::sources::hierarchy::CgroupMounts;

    const A: &str = "4f5b1c0a9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f1e2d3";
    const B: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

    fn tree(root: &Path, folders: &[&str]) -> CgroupTrees {
        for folder in folders {
            let folder = folder.replace('A', A).replace('B', B);
            fs::create_dir_all(root.join(&folder[1..])).unwrap();
        }
        let mounts = CgroupMounts {
            unified: Some(root.as_os_str().as_bytes().to_vec()),
            ..CgroupMounts::default()
        };
        CgroupTrees::of(mounts.hierarchy(Controllers::default()))
    }

    fn selection(containers: bool, patterns: &[&str]) -> Selection {
        let patterns = patterns.iter().map(|p| Pattern::parse(p).unwrap()).collect();
        Selection { containers, patterns }
    }

    /// Paths with their sources, ids shortened again, and the watched folders.
    fn shown(trees: &CgroupTrees, selection: &Selection, from: &str) -> (Vec<String>, Vec<String>) {
        let mut watched = Vec::new();
        let found = scan(trees, selection, from, &mut |path| watched.push(path.to_owned()));
        let short = |text: &str| text.replace(A, "A").replace(B, "B");
        watched.sort();
        let found = found.iter().map(|f| format!("{} {}", short(&f.path), f.source));
        (found.collect(), watched)
    }

    #[test]
    fn containers_of_both_drivers_at_any_depth_and_no_deeper() {
        let root = tempfile::tempdir().unwrap();
        let trees = tree(
            root.path(),
            &[
                "/docker/A/init.scope",
                "/system.slice/docker-B.scope/nested/A",
                "/system.slice/ssh.service",
                "/tenant-x/deep/A",
                "/machine.slice/libpod-conmon-A.scope",
            ],
        );
        let (found, watched) = shown(&trees, &selection(true, &[]), "/");
        assert_eq!(
            found,
            [
                "/docker/A docker",
                "/system.slice/docker-B.scope docker",
                "/tenant-x/deep/A docker"
            ]
        );
        let folders = [
            "/",
            "/docker",
            "/machine.slice",
            "/system.slice",
            "/system.slice/ssh.service",
            "/tenant-x",
            "/tenant-x/deep",
        ];
        let watched: Vec<_> = watched.into_iter().filter(|w| !w.contains("conmon")).collect();
        assert_eq!(watched, folders);
        assert_eq!(shown(&trees, &selection(false, &[]), "/").0, Vec::<String>::new());
    }

    #[test]
    fn patterns_name_cgroups_and_a_parent_comes_before_its_container() {
        let root = tempfile::tempdir().unwrap();
        let trees = tree(
            root.path(),
            &["/tenant-a.slice/A", "/tenant-b.slice", "/other", "/tenant"],
        );
        let wanted = selection(true, &["/tenant-*.slice", "/**/other"]);
        let (found, _) = shown(&trees, &wanted, "/");
        assert_eq!(
            found,
            [
                "/other cgroup:/**/other",
                "/tenant-a.slice cgroup:/tenant-*.slice",
                "/tenant-a.slice/A docker",
                "/tenant-b.slice cgroup:/tenant-*.slice"
            ]
        );
        assert_eq!(shown(&trees, &wanted, "/tenant-a.slice").0.len(), 2);
        assert_eq!(shown(&trees, &wanted, "/nowhere").0, Vec::<String>::new());
        assert_eq!(
            wanted.sources(),
            ["docker", "cgroup:/tenant-*.slice", "cgroup:/**/other"]
        );
    }

    #[test]
    fn another_life_of_a_path_has_another_inode() {
        let root = tempfile::tempdir().unwrap();
        let trees = tree(root.path(), &["/docker/A"]);
        let wanted = selection(true, &[]);
        let first = scan(&trees, &wanted, "/", &mut |_| {});
        fs::rename(root.path().join("docker"), root.path().join("old")).unwrap();
        tree(root.path(), &["/docker/A"]);
        let second = scan(&trees, &wanted, "/docker", &mut |_| {});
        assert_eq!(first[0].path, second[0].path);
        assert_ne!(first[0].life, second[0].life);
    }
}
