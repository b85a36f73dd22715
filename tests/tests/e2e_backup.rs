//! An aggregator that lost its disk comes back from an older backup, and the hosts give it what it lacks; also a host
//! that joined after the backup was made.

use anyhow::{Result, ensure};
use tallyman_tests::e2e::cgroup::Cgroup;
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
    ensure!(good && text.contains("secret key"), "{text}");

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
    refuses_a_changed_backup(&site, &backup)?;
    let (good, text) = order(&site, &["restore", &backup])?;
    ensure!(good && text.contains("--settle"), "{text}");
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

fn refuses_a_changed_backup(site: &Site, backup: &str) -> Result<()> {
    let current = std::path::Path::new(backup).join("store/CURRENT");
    let whole = std::fs::read(&current)?;
    std::fs::write(&current, b"MANIFEST-000000\n")?;
    let (good, text) = order(site, &["restore", backup])?;
    ensure!(!good && text.contains("not what was backed up"), "{text}");
    std::fs::write(&current, whole)?;
    Ok(())
}
