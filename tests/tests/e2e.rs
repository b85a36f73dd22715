//! Usage of real processes, billed to the unit: from the kernel's own counter through both programs, also when they
//! are killed in the middle.

use std::time::Duration;

use anyhow::{Context, Result};
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::docker::{Container, engine_or_skip, image};
use tallyman_tests::e2e::process::until;
use tallyman_tests::e2e::site::{MINUTE, Site, cgroup_rules, month_name};

const BURN: &str = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

#[test]
fn a_cgroup_is_billed_what_its_counter_says_also_over_kills() -> Result<()> {
    let folder = format!("/tallyman-e2e-{}", std::process::id());
    let rules = cgroup_rules(&folder);
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &rules)?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    cgroup.spawn(BURN)?.wait()?;
    site.kill_agent()?;
    cgroup.spawn(BURN)?.wait()?;
    site.kill_aggregator()?;
    site.start_agent()?;
    cgroup.spawn(BURN)?.wait()?;
    site.start_aggregator()?;
    let truth = cgroup.cpu_ns()?;
    anyhow::ensure!(truth > 0, "the workload burned nothing");
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    // It idles on; nothing more is billed, and the agent ends in order.
    site.agent
        .take()
        .context("it runs")?
        .stop(Duration::from_secs(20))?;
    assert_eq!(site.usage("acme", "cpu.time")?, cgroup.cpu_ns()?);
    let check = site.admin(&["recompute", "--check"])?;
    anyhow::ensure!(!check.contains("differ"), "{check}");
    Ok(())
}

#[test]
fn containers_are_billed_by_label_and_short_ones_too() -> Result<()> {
    if !engine_or_skip("containers_are_billed_by_label_and_short_ones_too") {
        return Ok(());
    }
    image()?;
    let mut site = Site::new(&["acme", "brief"], "")?;
    site.enrol()?;
    site.start_metering()?;
    let idle = "; while :; do /bin/busybox sleep 1000; done";
    let container = Container::start(&["--label", "tallyman.tenant=acme"], &format!("{BURN}{idle}"))?;
    let unlabelled = Container::start(&[], &format!("{BURN}{idle}"))?;
    let brief = Container::start(&["--label", "tallyman.tenant=brief"], BURN)?;
    site.billed_exactly("acme", || container.cpu_ns())?;
    let truth = container.cpu_ns()?;
    // The same work as the long one did: more than a tenth of it, whatever the machine's noise. Its first window may
    // have ended in the middle of it.
    // On a starved machine its last counters can be missed; then that must stand on the bill.
    until(
        "the short container is billed, or its end is a hole",
        MINUTE,
        || {
            let bill = site
                .ask(&format!("/api/v1/bills/monthly/{}?tenant=brief", month_name()))?
                .to_string();
            let is_hole = bill.contains("ended before its last counters were read");
            Ok((is_hole || site.usage("brief", "cpu.time")? > truth / 10).then_some(()))
        },
    )
    .with_context(|| site.logs())?;
    let tenants = site.ask("/api/v1/tenants")?.to_string();
    anyhow::ensure!(
        tenants.contains("unattributed"),
        "the container without a label is shown: {tenants}"
    );
    anyhow::ensure!(
        !tenants.contains("image-says"),
        "a label of the image is not believed: {tenants}"
    );
    drop((unlabelled, brief));
    Ok(())
}
