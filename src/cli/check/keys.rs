//! The keys of a herd on this machine, as `herd check` reports them.

use super::super::Failure;
use super::drawing::{counted, tidy};
use crate::config::HerdFile;
use crate::keys::{AUTHORITIES, Examination, Expiry, KeysError, State, examine, folder_of};
use rustls::pki_types::UnixTime;
use std::fmt::Write;

/// The lines about the keys of a herd, empty without `peers.tls`, and the failure if a server that could run here
/// could not start. `option` is ` -c FILE` for commands to paste.
pub(super) fn report(herd: &HerdFile, option: &str, now: UnixTime) -> (String, Option<Failure>) {
    if !herd.peers.tls {
        return (String::new(), None);
    }
    let examination = examine(herd, now);
    let folder = tidy(&folder_of(herd)).display().to_string();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let mut text = format!("Keys    {folder}: {}\n", summary(&examination, herd.is_on_loopback()));
    for warning in expiries(&examination).filter_map(|expiry| expiry.warning(seconds)) {
        let _ = writeln!(text, "        {warning}");
    }
    if examination.authorities > 1 {
        let _ = writeln!(
            text,
            "        {AUTHORITIES} holds {}: a change of the authority is under way; it ends when every host \
             has the first one alone",
            counted(examination.authorities, "certificate")
        );
    }
    let mut wrong: Vec<&KeysError> = states(&examination).filter_map(wrong_of).collect();
    // Without the authority no server can start.
    wrong.dedup();
    for error in &wrong {
        let _ = writeln!(text, "        {error}");
    }
    let failure = match wrong.as_slice() {
        [] if no_keys(&examination) && !herd.is_on_loopback() => Some(format!(
            "{folder}: no server of this herd has keys here; run herd keys{option}, or copy the files of this host \
             from where that was run"
        )),
        [] => None,
        [one] => Some(one.to_string()),
        [first, ..] => Some(format!("{first} (and {} above)", counted(wrong.len() - 1, "other problem"))),
    };
    (text, failure.map(Failure::at_run_time))
}

fn summary(examination: &Examination, is_on_loopback: bool) -> String {
    let servers = examination.servers.len();
    let here = examination.servers.iter().filter(|(_, state)| *state != State::Missing).count();
    let missing: Vec<&str> = examination
        .servers
        .iter()
        .filter(|(_, state)| *state == State::Missing)
        .map(|(name, _)| &**name)
        .collect();
    let mut text = match (here, is_on_loopback) {
        (0, true) => return "none yet; each server makes its own when it starts".to_owned(),
        (0, false) => return "none".to_owned(),
        _ if here == servers => counted(servers, "server"),
        (_, true) => format!("{here} of {servers} servers; the others make theirs when they start"),
        (_, false) => format!("{here} of {servers} servers; on this host are none of {}", missing.join(", ")),
    };
    if let Some(first) = expiries(examination).min_by_key(|expiry| expiry.not_after) {
        let _ = write!(text, "; the first certificate that ends is {}, on {}", first.file, first.last_day);
    }
    text
}

fn states(examination: &Examination) -> impl Iterator<Item = &State> {
    std::iter::once(&examination.authority).chain(examination.servers.iter().map(|(_, state)| state))
}

fn expiries(examination: &Examination) -> impl Iterator<Item = &Expiry> {
    states(examination).filter_map(|state| match state {
        State::Good(expiry) => Some(expiry),
        _ => None,
    })
}

fn wrong_of(state: &State) -> Option<&KeysError> {
    match state {
        State::Wrong(error) => Some(error),
        _ => None,
    }
}

fn no_keys(examination: &Examination) -> bool {
    examination.servers.iter().all(|(_, state)| *state == State::Missing)
}
