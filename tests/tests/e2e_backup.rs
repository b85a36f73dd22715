//! An aggregator that lost its disk comes back from an older backup, and the hosts give it what it lacks; also a host
//! that joined after the backup was made.

use anyhow::{Result, ensure};
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::process::program;
use tallyman_tests::e2e::site::{Site, cgroup_rules};

const BURN: &str = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";

fn order(site: &Site, arguments: &[&str]) -> Result<(bool, String)> {
    let output = site.aggregator_command().args(arguments).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn an_aggregator_comes_back_from_an_older_backup_and_is_given_what_it_lacks() -> Result<()> {
    let folder = format!("/tallyman-e2e-{}", std::process::id());
    let rules = cgroup_rules(&folder);
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &rules)?;
    let backup = site.path("backup").display().to_string();
    let (good, text) = order(&site, &["backup", &backup])?;
    let warned = text.contains("not encrypted") && text.contains("keys/");
    ensure!(good && warned, "{text}");
    let sealed = encrypted_backup(&site)?;

    // What is not in the backup: a host, and what it metered.
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    cgroup.spawn(BURN)?.wait()?;
    site.stop_agent()?;
    let truth = cgroup.cpu_ns()?;
    site.billed_exactly("acme", || Ok(truth))?;

    // The disk is lost.
    site.kill_aggregator()?;
    let (good, text) = order(&site, &["restore", &backup])?;
    ensure!(!good && text.contains("never overwrites"), "{text}");
    for name in ["store", "keys"] {
        std::fs::remove_dir_all(site.path("aggregator").join(name))?;
    }
    never_overwrites_restored_settings(&site, &backup)?;
    refuses_a_changed_backup(&site, &backup)?;
    refuses_a_wrong_key_and_a_changed_file(&site, &sealed)?;
    let key = site.path("backup.key").display().to_string();
    // So are the settings: only the backup, its key, and where the data are to be, are left.
    let settings = site.path("aggregator.toml");
    let whole = std::fs::read(&settings)?;
    std::fs::remove_file(&settings)?;
    let (data, restored) = (site.path("aggregator"), site.path("aggregator/restored-etc"));
    let anew = std::process::Command::new(program("tallyman-aggregator"))
        .arg("--data")
        .arg(&data)
        .args(["restore", &sealed, "--identity-file", &key])
        .output()?;
    let text = String::from_utf8_lossy(&anew.stdout);
    ensure!(anew.status.success() && text.contains("--settle"), "{text}");
    ensure!(text.contains("restored-etc/aggregator.toml"), "{text}");
    assert_eq!(std::fs::read(restored.join("aggregator.toml"))?, whole);
    let public = std::fs::read(site.path("backup.key.pub"))?;
    assert_eq!(std::fs::read(restored.join("backup.key.pub"))?, public);
    std::fs::copy(restored.join("aggregator.toml"), &settings)?;
    site.start_aggregator()?;
    assert_eq!(site.usage("acme", "cpu.time")?, 0);
    site.start_agent()?;
    site.billed_exactly("acme", || Ok(truth))?;
    let (good, text) = order(&site, &["restore", "--settle", "--reason", "nothing was decided"])?;
    ensure!(good, "{text}");
    let (good, text) = order(&site, &["restore", "--settle", "--reason", "again"])?;
    ensure!(!good && text.contains("no restore is open"), "{text}");
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}

/// Settings that an earlier restore left stay as they are.
fn never_overwrites_restored_settings(site: &Site, backup: &str) -> Result<()> {
    let restored = site.path("aggregator/restored-etc");
    std::fs::create_dir(&restored)?;
    let (good, text) = order(site, &["restore", backup])?;
    ensure!(!good && text.contains("restored-etc exists"), "{text}");
    ensure!(!site.path("aggregator/store").exists(), "something was restored");
    Ok(std::fs::remove_dir(&restored)?)
}

fn refuses_a_changed_backup(site: &Site, backup: &str) -> Result<()> {
    let current = std::path::Path::new(backup).join("store/CURRENT");
    let whole = std::fs::read(&current)?;
    std::fs::write(&current, b"MANIFEST-000000\n")?;
    let (good, text) = order(site, &["restore", backup])?;
    ensure!(!good && text.contains("not what was backed up"), "{text}");
    std::fs::write(&current, whole)?;
    Ok(())
}

/// Makes a key and a backup for it, while the aggregator runs; its path.
fn encrypted_backup(site: &Site) -> Result<String> {
    let text = |name: &str| site.path(name).display().to_string();
    for name in ["backup.key", "stranger.key"] {
        let (good, told) = order(site, &["backup-key", &text(name)])?;
        ensure!(
            good && told.contains("age1") && !told.contains("AGE-SECRET"),
            "{told}"
        );
    }
    let sealed = text("backup.age");
    let (good, told) = order(
        site,
        &["backup", &sealed, "--recipient-file", &text("backup.key.pub")],
    )?;
    ensure!(good && told.contains("encrypted for 1 key"), "{told}");
    Ok(sealed)
}

fn refuses_a_wrong_key_and_a_changed_file(site: &Site, sealed: &str) -> Result<()> {
    let text = |name: &str| site.path(name).display().to_string();
    let refused = |file: &str, key: &str, words: &str| -> Result<()> {
        let (good, told) = order(site, &["restore", file, "--identity-file", &text(key)])?;
        ensure!(!good && told.contains(words), "{told}");
        for name in ["store", "keys", "restored-etc", "restore-unfinished"] {
            ensure!(
                !site.path("aggregator").join(name).exists(),
                "{name} was left: {told}"
            );
        }
        Ok(())
    };
    refused(sealed, "stranger.key", "none of the given keys")?;
    let (good, told) = order(site, &["restore", sealed])?;
    ensure!(!good && told.contains("--identity-file"), "{told}");
    let whole = std::fs::read(sealed)?;
    let changed = text("changed.age");
    std::fs::write(&changed, &whole[..whole.len() - 1])?;
    refused(&changed, "backup.key", "cut off or was changed")?;
    let mut flipped = whole;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&changed, &flipped)?;
    refused(&changed, "backup.key", "cut off or was changed")
}
