//! `GET /v1/herd`: this server, and its links, as JSON (docs/protocol.md, section 6).

use serde_json::{Value, json};

use crate::clock::{Clocks, Moment};
use crate::conversation::{Neighbour, Server};

/// The body of `GET /v1/herd`, one line. Times are POSIX seconds to the millisecond.
pub fn herd_page(server: &Server, clocks: Clocks) -> String {
    let neighbours: Vec<Value> = server
        .neighbours
        .ids()
        .map(|id| server.neighbours.get(id))
        .filter(|known| known.present)
        .map(|known| neighbour(server, known, clocks))
        .collect();
    let page = json!({
        "herd": &*server.identity.herd,
        "name": &*server.identity.name,
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": server.identity.epoch.to_string(),
        "sequence": server.store.sequence(),
        "clients": server.store.len(),
        "connections": server.counts.open.iter().sum::<u64>(),
        "uptime": (clocks.now - server.course.started).as_secs(),
        // A follower ends by itself what is over (docs/protocol.md, section 1).
        "expire_s": server.limits.expire_s,
        "neighbours": neighbours,
    });
    format!("{page}\n")
}

fn neighbour(server: &Server, known: &Neighbour, clocks: Clocks) -> Value {
    let link = |is_up: bool, since: Moment, round_trip: Option<f64>| {
        // A link that was never up is down since the start.
        let since = since.max(server.course.started);
        let state = if is_up { "up" } else { "down" };
        json!({ "state": state, "since": wall_time(since, clocks), "round_trip_ms": round_trip })
    };
    let to_is_up = known.outbound.is_some();
    // To the microsecond.
    let round_trip = known.round_trip.filter(|_| to_is_up).map(|time| time.as_micros() as f64 / 1000.0);
    json!({
        "name": &*known.name,
        "address": &*known.address,
        "to": link(to_is_up, known.outbound_since, round_trip),
        "from": link(known.inbound.is_some(), known.inbound_since, None),
        "unacknowledged": known.unacknowledged(server.store.sequence(), server.store.records()),
    })
}

/// A moment in POSIX seconds to the millisecond.
pub(super) fn wall_time(moment: Moment, clocks: Clocks) -> f64 {
    let nanoseconds = clocks.wall.saturating_sub(clocks.now.nanoseconds_since(moment));
    (nanoseconds / 1_000_000) as f64 / 1000.0
}
