//! Failures of connections in words that say what to do, with a short name for their counter.

use quinn::ConnectionError;

/// Numbers of TLS alerts in QUIC begin here (RFC 9001 §4.8).
const ALERTS: u64 = 0x100;

/// Alerts that a misconfigured agent or aggregator makes: number, name, words if the agent sent it, words if we did.
const ALERT_TABLE: &[(u64, &str, &str, &str)] = &[
    (
        42,
        "bad_certificate",
        "the agent does not accept our certificate: it was enrolled with another authority, or reaches us by a name \
         that is not in `advertise` under [quic]",
        "the agent's certificate is not valid here: it was made by another authority; enrol the node again",
    ),
    (
        45,
        "certificate_expired",
        "our certificate has expired for the agent: compare the two clocks",
        "the agent's certificate has expired: it renews by itself once it reaches us; compare the two clocks",
    ),
    (
        48,
        "unknown_ca",
        "the agent does not know our authority: it was enrolled with another aggregator; enrol it again",
        "the agent's certificate is of an authority that is not ours; enrol the node again",
    ),
    (
        116,
        "certificate_required",
        "the agent wants a certificate that we do not send",
        "the agent sent no certificate; enrol the node",
    ),
    (
        120,
        "protocol",
        "agent and aggregator have no protocol in common: upgrade the older one",
        "the client offers no protocol of ours: it is no agent, or agent and aggregator are too far apart in version",
    ),
];

/// Name for the counter, and words.
pub fn words(error: &ConnectionError) -> (&'static str, String) {
    match error {
        ConnectionError::TransportError(e) => of_code(u64::from(e.code), false, &e.reason),
        ConnectionError::ConnectionClosed(e) => {
            of_code(u64::from(e.error_code), true, &String::from_utf8_lossy(&e.reason))
        }
        ConnectionError::ApplicationClosed(e) => ("closed", format!("closed by the agent: {e}")),
        ConnectionError::TimedOut => ("timeout", "nothing more came from the agent".to_owned()),
        ConnectionError::VersionMismatch => {
            ("version", "the agent speaks another version of QUIC".to_owned())
        }
        ConnectionError::Reset => ("reset", "the agent has forgotten this connection".to_owned()),
        ConnectionError::LocallyClosed => ("closed", "closed here".to_owned()),
        ConnectionError::CidsExhausted => ("other", error.to_string()),
    }
}

fn of_code(code: u64, by_agent: bool, reason: &str) -> (&'static str, String) {
    let row = ALERT_TABLE.iter().find(|row| row.0 + ALERTS == code);
    match row {
        Some((_, name, theirs, _)) if by_agent => (name, format!("{theirs} ({reason})")),
        Some((_, name, _, ours)) => (name, format!("{ours} ({reason})")),
        None => ("other", format!("QUIC error {code:#x}: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_by_who_sent_them() {
        assert!(
            of_code(0x130, true, "x")
                .1
                .contains("enrolled with another aggregator")
        );
        assert!(of_code(0x130, false, "x").1.contains("not ours"));
        assert_eq!(of_code(1, false, "x").0, "other");
    }
}
