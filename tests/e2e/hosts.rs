//! Two hosts in network namespaces of the test's own with a cable between them, and a relay that loses, doubles and
//! reorders datagrams.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::run;
use crate::sim::rng::Rng;

/// Two namespaces and the cable, removed when dropped.
pub struct Hosts {
    here: String,
    there: String,
}

impl Hosts {
    /// Address of the host on which the aggregator runs.
    pub const ADDRESS: &str = "10.231.77.1";

    /// Makes them; needs root.
    pub fn make() -> Result<Self> {
        let id = std::process::id();
        let hosts = Self {
            here: format!("tmt-a-{id}"),
            there: format!("tmt-b-{id}"),
        };
        let (here, there) = (hosts.here.as_str(), hosts.there.as_str());
        for name in [here, there] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let cable = [
            "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", there,
        ];
        ip(&[&["-n", here], &cable[..]].concat())?;
        let other = "10.231.77.2/24";
        for (name, address) in [(here, format!("{}/24", Self::ADDRESS)), (there, other.to_owned())] {
            ip(&["-n", name, "address", "add", &address, "dev", "cable"])?;
            ip(&["-n", name, "link", "set", "cable", "up"])?;
        }
        Ok(hosts)
    }

    /// Puts this thread, and what it starts from now on, on the aggregator's host.
    pub fn enter(&self) -> Result<()> {
        let namespace = File::open(format!("/run/netns/{}", self.here))?;
        use std::os::fd::AsFd;
        Ok(move_into_link_name_space(
            namespace.as_fd(),
            Some(LinkNameSpaceType::Network),
        )?)
    }

    /// Name of the other host's namespace.
    pub fn there(&self) -> &str {
        &self.there
    }

    /// Cuts the cable, or mends it.
    pub fn set_cable(&self, is_up: bool) -> Result<()> {
        let state = if is_up { "up" } else { "down" };
        ip(&["-n", &self.here, "link", "set", "cable", state])
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in [&self.here, &self.there] {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}

/// A relay of datagrams between agents and an aggregator, with faults by chance from a seed.
pub struct Relay {
    /// Where agents send to.
    pub port: u16,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_bad: AtomicBool,
    stops: AtomicBool,
    lost: AtomicU64,
    passed: AtomicU64,
}

/// Of a hundred datagrams of a bad way.
const LOST: u64 = 15;
const DOUBLED: u64 = 5;
const LATE: u64 = 10;
/// How long a thread waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

impl Relay {
    /// Relays to a port of loopback; a good way at first.
    pub fn start(target: u16, seed: u64) -> Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        back.connect((Ipv4Addr::LOCALHOST, target))?;
        front.set_read_timeout(Some(LOOK))?;
        back.set_read_timeout(Some(LOOK))?;
        let (port, shared) = (front.local_addr()?.port(), Arc::new(Shared::default()));
        // One agent at a time: answers go to whoever spoke last.
        let peer = Arc::new(std::sync::Mutex::new(None::<SocketAddr>));
        let (up_front, up_back, up_peer) = (front.try_clone()?, back.try_clone()?, peer.clone());
        let up = shared.clone();
        let up = std::thread::spawn(move || {
            pass(
                &up,
                seed,
                || {
                    let mut bytes = vec![0; 65_536];
                    let (len, from) = up_front.recv_from(&mut bytes).ok()?;
                    *up_peer.lock().ok()? = Some(from);
                    bytes.truncate(len);
                    Some(bytes)
                },
                |bytes| drop(up_back.send(bytes)),
            );
        });
        let down = shared.clone();
        let down = std::thread::spawn(move || {
            pass(
                &down,
                seed + 1,
                || {
                    let mut bytes = vec![0; 65_536];
                    let len = back.recv(&mut bytes).ok()?;
                    bytes.truncate(len);
                    Some(bytes)
                },
                |bytes| {
                    if let Some(to) = peer.lock().ok().and_then(|peer| *peer) {
                        drop(front.send_to(bytes, to));
                    }
                },
            );
        });
        Ok(Self {
            port,
            shared,
            threads: vec![up, down],
        })
    }

    /// From now on the way is bad, or good.
    pub fn set_bad(&self, is_bad: bool) {
        self.shared.is_bad.store(is_bad, Ordering::SeqCst);
    }

    /// Datagrams lost and passed so far.
    pub fn counts(&self) -> (u64, u64) {
        let Shared { lost, passed, .. } = &*self.shared;
        (lost.load(Ordering::SeqCst), passed.load(Ordering::SeqCst))
    }
}

/// One direction. A late datagram goes behind the next one.
fn pass(shared: &Shared, seed: u64, take: impl Fn() -> Option<Vec<u8>>, give: impl Fn(&[u8])) {
    let (mut rng, mut late) = (Rng::new(seed), None::<Vec<u8>>);
    while !shared.stops.load(Ordering::SeqCst) {
        let Some(bytes) = take() else {
            late.take().iter().for_each(|bytes| give(bytes));
            continue;
        };
        let chance = if shared.is_bad.load(Ordering::SeqCst) {
            rng.below(100)
        } else {
            100
        };
        if chance < LOST {
            shared.lost.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        shared.passed.fetch_add(1, Ordering::SeqCst);
        if chance < LOST + LATE && late.is_none() {
            late = Some(bytes);
            continue;
        }
        give(&bytes);
        if (100 - DOUBLED..100).contains(&chance) {
            give(&bytes);
        }
        late.take().iter().for_each(|bytes| give(bytes));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
