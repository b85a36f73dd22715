//! The network of new containers: looked for until it is known. A container that is being started sits in the host's
//! namespace for a moment, so that one only counts once it has lasted.

use tallyman_agent_core::{Event, NetworkSeen, Slot};

use super::Meter;
use crate::io::discover::Found;
use crate::io::files::Files;
use crate::io::netns::Look;
use crate::limits::{NETWORK_LOOK_NS, NETWORK_SETTLED_NS};
use crate::table::Network;

/// What is still to be learnt of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing.
    Nothing,
    /// Something, soon.
    Soon,
    /// Something that can take long.
    Later,
}

impl Meter {
    /// Looks at all workloads of which something is still to be learnt.
    pub fn look_at_networks(&mut self) {
        self.look_at_ns = None;
        let unsettled: Vec<Slot> = self.unsettled.iter().copied().collect();
        for slot in unsettled {
            self.look_at(slot);
        }
    }

    /// Looks at one workload: its network, and whether its end can be watched.
    pub(super) fn look_at(&mut self, slot: Slot) {
        match self.look(slot) {
            Rest::Nothing => {
                self.unsettled.remove(&slot);
            }
            Rest::Soon => self.look_at_ns = Some(self.now_ns() + NETWORK_LOOK_NS),
            Rest::Later => {}
        }
    }

    /// What is known of a workload's network when it is found. Nothing is said of one that is still sought: its
    /// counters begin at 0, so nothing is missed until it is known.
    pub(super) fn first_look(&self, found: &Found, files: &mut Files) -> (NetworkSeen, Network) {
        if found.container.is_none() {
            return (NetworkSeen::None, Network::None);
        }
        let folder = self.parts.machine.trees.folder(&found.path);
        match folder.map(|folder| self.namespaces.look(&folder)) {
            Some(Look::Own { inode, file }) => {
                files.keep_net(Some(file));
                (NetworkSeen::Namespace(inode), Network::Told)
            }
            _ => (NetworkSeen::None, Network::Sought),
        }
    }

    /// A workload ends: what was not known until now never will be.
    pub(super) fn last_look(&mut self, slot: Slot) {
        let network = match self.table.get_mut(slot).map(|entry| entry.network) {
            Some(Network::Sought) => NetworkSeen::Unknown,
            Some(Network::InHosts) => NetworkSeen::Host,
            Some(Network::None | Network::Told) | None => return,
        };
        self.step(Event::NetworkFound { slot, network });
    }

    fn look(&mut self, slot: Slot) -> Rest {
        let now_ns = self.now_ns();
        let Some(entry) = self.table.get_mut(slot) else {
            return Rest::Nothing;
        };
        let is_settled = now_ns - entry.since_ns >= NETWORK_SETTLED_NS;
        let trees = &self.parts.machine.trees;
        if entry.events.is_none() {
            // Container runtimes make this folder of a hybrid machine a little later than the others.
            let file = trees.events_file(&entry.path);
            entry.events = file.and_then(|file| self.watch.events(&entry.path, &file));
        }
        if !matches!(entry.network, Network::Sought | Network::InHosts) {
            return if entry.events.is_some() || is_settled {
                Rest::Nothing
            } else {
                Rest::Soon
            };
        }
        let folder = trees.folder(&entry.path);
        let look = folder.map_or(Look::Empty, |folder| self.namespaces.look(&folder));
        let network = match look {
            Look::Own { inode, file } => {
                entry.files.keep_net(Some(file));
                NetworkSeen::Namespace(inode)
            }
            Look::Host if is_settled => NetworkSeen::Host,
            Look::Denied if is_settled => {
                if !std::mem::replace(&mut self.denied_told, true) {
                    tracing::error!(
                        path = %entry.path,
                        "network namespaces of other users' processes may not be looked at, so their traffic is not \
                         metered: run the agent as root or with CAP_SYS_PTRACE"
                    );
                }
                NetworkSeen::Unknown
            }
            Look::Host => {
                entry.network = Network::InHosts;
                return Rest::Soon;
            }
            Look::Denied | Look::Empty => {
                return if is_settled { Rest::Later } else { Rest::Soon };
            }
        };
        entry.network = Network::Told;
        self.step(Event::NetworkFound { slot, network });
        Rest::Nothing
    }
}
