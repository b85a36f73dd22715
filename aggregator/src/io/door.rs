//! Who may come in: connections are bounded in all and by address, and strictest before the other side has shown who it
//! is. Pure counting; knows no QUIC.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{
    ADDRESS_CONNECTIONS_MAX, ADDRESS_HANDSHAKES_RETRY, ADDRESS_STRANGERS_MAX, CONNECTIONS_MAX,
    HANDSHAKES_RETRY, STRANGERS_MAX,
};

/// The count of all who are in.
#[derive(Debug, Clone, Default)]
pub struct Door(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    all: Count,
    /// Only addresses with a connection: bounded by these.
    addresses: BTreeMap<IpAddr, Count>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    open: usize,
    strangers: usize,
}

/// What is done with one who knocks.
#[derive(Debug)]
pub enum Answer {
    /// Come in.
    Enter(Visit),
    /// Show first that you can be reached there: anybody can write any address on a packet.
    Prove,
    /// No.
    Full(Full),
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Connections in all.
    Connections,
    /// Connections of one address.
    OfAddress,
    /// Handshakes and first words in all.
    Strangers,
    /// Handshakes and first words of one address.
    StrangersOfAddress,
}

impl Full {
    /// Name for the counter.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Connections => "too_many",
            Self::OfAddress => "too_many_of_address",
            Self::Strangers => "too_many_handshakes",
            Self::StrangersOfAddress => "too_many_handshakes_of_address",
        }
    }

    /// The limit.
    pub fn limit(self) -> usize {
        match self {
            Self::Connections => CONNECTIONS_MAX,
            Self::OfAddress => ADDRESS_CONNECTIONS_MAX,
            Self::Strangers => STRANGERS_MAX,
            Self::StrangersOfAddress => ADDRESS_STRANGERS_MAX,
        }
    }

    /// What it is, and what to do.
    pub fn words(self) -> &'static str {
        match self {
            Self::Connections => {
                "too many connections in all: is the fleet larger than one aggregator takes?"
            }
            Self::OfAddress => {
                "too many connections from this address: a broken agent, or a NAT with a whole fleet behind it"
            }
            Self::Strangers => {
                "too many handshakes under way: a flood, or all agents come at once; they try again by themselves"
            }
            Self::StrangersOfAddress => {
                "too many handshakes under way from this address: if it is none of your hosts, drop it in the firewall"
            }
        }
    }
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub struct Visit {
    door: Door,
    source: IpAddr,
    is_stranger: bool,
}

impl Door {
    /// Somebody knocks; `is_proven` when it can be reached at this address for sure.
    pub fn knock(&self, address: IpAddr, is_proven: bool) -> Answer {
        let source = network_of(address);
        let mut state = self.state();
        let all = state.all;
        let own = state.addresses.get(&source).copied().unwrap_or(Count {
            open: 0,
            strangers: 0,
        });
        let is_busy = all.strangers >= HANDSHAKES_RETRY || own.strangers >= ADDRESS_HANDSHAKES_RETRY;
        if is_busy && !is_proven {
            return Answer::Prove;
        }
        let limits = [
            (own.strangers, Full::StrangersOfAddress),
            (own.open, Full::OfAddress),
            (all.strangers, Full::Strangers),
            (all.open, Full::Connections),
        ];
        if let Some((_, full)) = limits.into_iter().find(|(count, full)| *count >= full.limit()) {
            return Answer::Full(full);
        }
        let own = state.addresses.entry(source).or_default();
        own.open += 1;
        own.strangers += 1;
        state.all.open += 1;
        state.all.strangers += 1;
        Answer::Enter(Visit {
            door: self.clone(),
            source,
            is_stranger: true,
        })
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.state().all.open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts are whole at every step: what a panicked thread left can be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// The other side has shown who it is.
    pub fn is_known(&mut self) {
        if std::mem::take(&mut self.is_stranger) {
            let mut state = self.door.state();
            state.all.strangers -= 1;
            if let Some(own) = state.addresses.get_mut(&self.source) {
                own.strangers -= 1;
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.is_known();
        let mut state = self.door.state();
        state.all.open -= 1;
        if let Some(own) = state.addresses.get_mut(&self.source) {
            own.open -= 1;
            if own.open == 0 {
                state.addresses.remove(&self.source);
            }
        }
    }
}

/// What one customer of a network has: an address of version 4, a /64 of version 6.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn enter(door: &Door, n: u8) -> Result<Visit, Full> {
        match door.knock(address(n), true) {
            Answer::Enter(visit) => Ok(visit),
            Answer::Full(full) => Err(full),
            Answer::Prove => panic!("it is proven"),
        }
    }

    #[test]
    fn one_address_can_not_keep_others_out() {
        let door = Door::default();
        let mut strangers = Vec::new();
        while let Ok(visit) = enter(&door, 1) {
            strangers.push(visit);
        }
        assert_eq!(strangers.len(), ADDRESS_STRANGERS_MAX);
        assert_eq!(enter(&door, 1).unwrap_err(), Full::StrangersOfAddress);
        assert!(
            matches!(door.knock(address(1), false), Answer::Prove),
            "others may be meant"
        );
        assert!(enter(&door, 2).is_ok());
        // Those that are known make room for others, up to a limit of their own.
        for _ in ADDRESS_STRANGERS_MAX..ADDRESS_CONNECTIONS_MAX {
            strangers.iter_mut().for_each(Visit::is_known);
            strangers.push(enter(&door, 1).unwrap());
        }
        strangers.iter_mut().for_each(Visit::is_known);
        assert_eq!(enter(&door, 1).unwrap_err(), Full::OfAddress);
        drop(strangers);
        assert!(door.state().addresses.is_empty() && door.state().all == Count::default());
    }

    #[test]
    fn many_addresses_are_bounded_together() {
        let door = Door::default();
        let mut visits = Vec::new();
        let full = loop {
            match enter(
                &door,
                u8::try_from(visits.len() / (ADDRESS_STRANGERS_MAX / 2)).unwrap(),
            ) {
                Ok(visit) => visits.push(visit),
                Err(full) => break full,
            }
        };
        assert_eq!((full, visits.len()), (Full::Strangers, STRANGERS_MAX));
        assert!(
            matches!(door.knock(address(200), false), Answer::Prove),
            "under load anybody proves"
        );
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        let [one, other, elsewhere] =
            ["2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        assert_eq!(network_of(one), network_of(other));
        assert_ne!(network_of(one), network_of(elsewhere));
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(network_of(mapped), address(1));
    }
}
