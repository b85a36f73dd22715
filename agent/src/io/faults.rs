//! Failures of connections to the aggregator, in words that say what to do.

use quinn::ConnectionError;

/// Numbers of TLS alerts in QUIC begin here (RFC 9001 §4.8).
const ALERTS: u64 = 0x100;

/// Alerts that a mistake in setting up makes: number, words if we sent it, words if the aggregator did.
const ALERT_TABLE: &[(u64, &str, &str)] = &[
    (
        42,
        "the aggregator's certificate is not valid for this address: reach it by a name that it advertises \
         (`advertise` under [quic] there), or correct `server` here",
        "the aggregator does not take our certificate: enrol this node again",
    ),
    (
        45,
        "the aggregator's certificate is not valid now: compare the two clocks (`timedatectl`)",
        "the aggregator says that our certificate has expired: it is renewed by itself; compare the two clocks",
    ),
    (
        44,
        "the aggregator's certificate was revoked",
        "the aggregator says that our certificate was revoked: enrol this node again",
    ),
    (
        48,
        "wrong CA: this aggregator's certificate was made by another authority than the one that this node was \
         enrolled with; check `server`, or enrol this node again",
        "wrong CA: the aggregator does not know the authority of our certificate; enrol this node again",
    ),
    (
        49,
        "wrong CA: the aggregator's authority does not have the given fingerprint; compare it with what \
         `tallyman-aggregator init` printed",
        "the aggregator refuses our certificate",
    ),
    (
        116,
        "the aggregator wants a certificate of us",
        "the aggregator wants a certificate, and we have none: enrol this node",
    ),
    (
        120,
        "this is no Tallyman aggregator, or one of another release",
        "agent and aggregator have no protocol in common: upgrade the older one",
    ),
];

/// The words.
pub fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TransportError(e) => of_code(u64::from(e.code), false, &e.reason),
        ConnectionError::ConnectionClosed(e) => {
            of_code(u64::from(e.error_code), true, &String::from_utf8_lossy(&e.reason))
        }
        ConnectionError::ApplicationClosed(e) => {
            format!(
                "the aggregator closed the connection: {}",
                String::from_utf8_lossy(&e.reason)
            )
        }
        ConnectionError::TimedOut => "nothing more came from the aggregator".to_owned(),
        ConnectionError::VersionMismatch => "the other end speaks another version of QUIC".to_owned(),
        ConnectionError::Reset => {
            "the aggregator has forgotten this connection (it was started anew)".to_owned()
        }
        ConnectionError::LocallyClosed => "closed here".to_owned(),
        ConnectionError::CidsExhausted => error.to_string(),
    }
}

fn of_code(code: u64, by_them: bool, reason: &str) -> String {
    match ALERT_TABLE.iter().find(|row| row.0 + ALERTS == code) {
        Some((_, _, theirs)) if by_them => format!("{theirs} ({reason})"),
        Some((_, ours, _)) => format!("{ours} ({reason})"),
        None => format!("QUIC error {code:#x}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_by_who_sent_them() {
        assert!(of_code(0x130, false, "x").contains("another authority than"));
        assert!(of_code(0x130, true, "x").contains("authority of our certificate"));
        assert!(of_code(0x12d, false, "x").contains("clocks"));
        assert_eq!(of_code(1, false, "x"), "QUIC error 0x1: x");
    }
}
