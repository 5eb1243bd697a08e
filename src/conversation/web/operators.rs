//! The pages for operators: metrics, health, and the herd as this server sees it.

use super::Outcome;
use super::response::{JSON, OK, Response, UNAVAILABLE};
use crate::conversation::Context;
use crate::conversation::operating::{herd_page, metrics_page, readiness};
use crate::metrics::Format;

/// `GET /metrics`.
pub(super) fn metrics(context: &Context<'_>, format: Format) -> Outcome {
    let page = metrics_page(context.shared, context.clocks(), format);
    Outcome::Response(Response::whole(OK, format.content_type(), page))
}

/// `GET /v1/herd`.
pub(super) fn herd(context: &Context<'_>) -> Outcome {
    Outcome::Response(Response::whole(OK, JSON, herd_page(context.shared, context.clocks())))
}

/// `GET /livez`: an answer shows that the loop turns.
pub(super) fn alive() -> Outcome {
    Outcome::Response(Response::whole(OK, TEXT, "alive\n".to_owned()))
}

/// `GET /readyz`.
pub(super) fn ready(context: &Context<'_>) -> Outcome {
    let readiness = readiness(context.shared, context.now);
    let status = if readiness.is_ready { OK } else { UNAVAILABLE };
    Outcome::Response(Response::whole(status, TEXT, readiness.body))
}

const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use crate::conversation::counts::Party;
    use crate::conversation::testing::Bench;
    use crate::conversation::{Conversation, Handle, NeighbourId};
    use serde_json::Value;
    use std::time::Duration;

    fn bench() -> Bench {
        Bench::new(Conversation::Web(Box::default()))
    }

    /// The head and the body of the response to a GET.
    fn get(bench: &mut Bench, target: &str, fields: &str) -> (String, String) {
        bench.receive(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
        let sent = bench.sent();
        let (head, body) = sent.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{sent}"));
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn health_is_plain_text_that_is_not_cached() {
        let mut bench = bench();
        for (target, status, expected) in [
            ("/livez", "200 OK", "alive\n"),
            ("/readyz", "503 Service Unavailable", "neighbour Jaquez: not reached yet\n"),
            ("/healthz", "503 Service Unavailable", "neighbour Jaquez: not reached yet\n"),
        ] {
            bench.server.course.started = bench.now;
            let (head, body) = get(&mut bench, target, "");
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
            assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
            assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{head}");
            assert_eq!(body, expected);
        }
        bench.now = bench.now + Duration::from_secs(5);
        assert_eq!(get(&mut bench, "/readyz", "").1, "ready\n");
        bench.server.is_ending = true;
        assert_eq!(get(&mut bench, "/readyz", "").1, "the server is shutting down\n");
    }

    #[test]
    fn metrics_have_the_format_that_is_asked_for() {
        let mut bench = bench();
        let (head, body) = get(&mut bench, "/metrics", "");
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(body.contains("\nherd_connections_open{kind=\"http\"} 1\n"), "{body}");
        let (head, body) = get(&mut bench, "/metrics", "Accept: application/openmetrics-text\r\n");
        let expected = "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
        assert!(head.contains(expected) && body.ends_with("\n# EOF\n"), "{head}");
        assert!(body.contains("\nherd_http_responses_total{status=\"2xx\"} 1\n"), "{body}");
        bench.lose();
        assert_eq!(bench.server.counts.open[Party::Http as usize], 0);
    }

    #[test]
    fn the_herd_has_each_neighbour_with_both_links() {
        let mut bench = bench();
        let own = Handle::<Conversation>::new(bench.id).id();
        bench.server.course.started = bench.now;
        bench.server.counts.open[Party::Client as usize] = 2;
        bench.now = bench.now + Duration::from_secs(9);
        let known = bench.server.neighbours.get_mut(NeighbourId(0));
        known.address = "192.0.2.7:1".into();
        (known.outbound, known.outbound_since) = (Some((own, crate::text::peer_line::Epoch(1))), bench.now);
        known.round_trip = Some(Duration::from_micros(1250));
        bench.report("a", 1, crate::store::Origin::CLIENT);
        let (_, body) = get(&mut bench, "/v1/herd", "");
        let page: Value = serde_json::from_str(&body).unwrap();
        assert!(body.starts_with(r#"{"herd":"bruins","name":"Riley","version":""#), "{body}");
        assert_eq!(page["epoch"], "00000000000000ee");
        let numbers =
            ["sequence", "clients", "connections", "uptime", "expire_s"].map(|key| page[key].as_u64());
        assert_eq!(numbers, [Some(1), Some(1), Some(3), Some(9), Some(0)]);
        let now = bench.wall as f64 / 1e9;
        let expected = serde_json::json!({
            "name": "Jaquez", "address": "192.0.2.7:1",
            "to": { "state": "up", "since": now, "round_trip_ms": 1.25 },
            "from": { "state": "down", "since": now - 9.0, "round_trip_ms": null },
            "unacknowledged": 1,
        });
        assert_eq!(page["neighbours"], Value::Array(vec![expected]));
    }
}
