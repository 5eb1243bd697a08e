//! Common exchanges with servers.

use std::time::{SystemTime, UNIX_EPOCH};

use herd::text::record::Statement;

use crate::lab::{Lab, until};

pub const UCLA: &str = "+34.068930-118.445127";
pub const TIME: &str = "1621464827.959498503";
const TIME_NS: i128 = 1_621_464_827_959_498_503;

/// Sends an IAMAT to a server and checks the reply. Returns it, an AT line without LF.
pub fn iamat(lab: &Lab, server: &str, id: &str) -> String {
    let sent = now();
    let line = lab.connect(server).ask(&format!("IAMAT {id} {UCLA} {TIME}"));
    let received = now();
    let statement = Statement::parse(line.as_bytes()).unwrap_or_else(|| panic!("no AT line: {line}"));
    assert_eq!(statement.server, server.as_bytes(), "{line}");
    assert_eq!(statement.id, id.as_bytes(), "{line}");
    assert_eq!(statement.location.map(|location| location.text), Some(UCLA.as_bytes()), "{line}");
    assert_eq!(statement.time_text, TIME.as_bytes(), "{line}");
    let skew = statement.skew.nanoseconds();
    assert!((sent - TIME_NS..=received - TIME_NS).contains(&skew), "{line}");
    line
}

/// The AT line (without LF) that a server has stored for a client; `None`: the client is unknown.
pub fn stored_line(lab: &Lab, server: &str, id: &str) -> Option<String> {
    let question = format!("WHATSAT {id} 1 1");
    let line = lab.connect(server).ask(&question);
    if line == format!("? {question}") {
        return None;
    }
    assert!(Statement::parse(line.as_bytes()).is_some(), "{line}");
    Some(line)
}

/// Waits until all these servers have stored this AT line for a client.
pub fn await_everywhere(lab: &Lab, servers: &[&str], id: &str, line: &str) {
    for server in servers {
        until(&format!("{server} has the line of {id}"), || {
            stored_line(lab, server, id).as_deref() == Some(line)
        });
    }
}

fn now() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i128::try_from(now.as_nanos()).unwrap()
}
