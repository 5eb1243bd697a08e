//! `GET /metrics`: all metrics of a server.

use super::families::*;
use super::herd_page::wall_time;
use super::readiness;
use crate::clock::Clocks;
use crate::conversation::Server;
use crate::conversation::counts::{Cause, Listener, OUTCOMES, Party, Rejection, Verb};
use crate::metrics::{Exposition, Family, Format, Seconds};
use crate::places::desk::{End, Reception};

/// The body of `GET /metrics`. Takes a fraction of a millisecond: no number is counted here.
pub fn metrics_page(server: &Server, clocks: Clocks, format: Format) -> String {
    let mut page = Page { server, clocks, text: Exposition::new(format) };
    page.server();
    page.commands();
    page.store();
    page.connections();
    page.links();
    page.followers();
    page.places();
    page.log();
    page.disk();
    page.process();
    page.text.finish()
}

struct Page<'a> {
    server: &'a Server,
    clocks: Clocks,
    text: Exposition,
}

impl Page<'_> {
    fn one(&mut self, family: &Family, value: impl std::fmt::Display) {
        self.text.family(family);
        self.text.sample(family, &[], value);
    }

    /// A family whose sample may be missing.
    fn optional(&mut self, family: &Family, value: Option<impl std::fmt::Display>) {
        self.text.family(family);
        if let Some(value) = value {
            self.text.sample(family, &[], value);
        }
    }

    /// A family with a sample for each value of a label.
    fn each<'a>(&mut self, family: &Family, label: &str, values: impl IntoIterator<Item = (&'a str, u64)>) {
        self.text.family(family);
        for (name, value) in values {
            self.text.sample(family, &[(label, name)], value);
        }
    }

    fn server(&mut self) {
        let identity = &self.server.identity;
        let labels =
            [("herd", &*identity.herd), ("name", &*identity.name), ("version", env!("CARGO_PKG_VERSION"))];
        self.text.family(&SERVER_INFO);
        self.text.sample(&SERVER_INFO, &labels, 1);
        self.one(&READY, u8::from(readiness(self.server, self.clocks.now).is_ready));
    }

    fn commands(&mut self) {
        let counts = &self.server.counts;
        self.text.family(&COMMANDS);
        for (verb, name) in Verb::ALL {
            let tally = counts.commands[verb as usize];
            // Those that no command of this verb can have are left out.
            let accepted = (verb != Verb::Invalid).then_some(("accepted", tally.accepted));
            let outdated = (verb == Verb::IamAt).then_some(("outdated", tally.outdated));
            for (outcome, count) in accepted.into_iter().chain(outdated).chain([("refused", tally.refused)]) {
                self.text.sample(&COMMANDS, &[("verb", name), ("outcome", outcome)], count);
            }
        }
        self.each(
            &REFUSALS,
            "reason",
            Cause::ALL.map(|(cause, name)| (name, counts.refusals[cause as usize])),
        );
        self.text.family(&REPLY_SECONDS);
        self.text.histogram(&REPLY_SECONDS, &[], &counts.replies);
        self.text.family(&TURN_SECONDS);
        self.text.histogram(&TURN_SECONDS, &[], &counts.turns);
    }

    fn store(&mut self) {
        let Server { store, counts, passed_over, .. } = self.server;
        self.one(&CLIENTS, store.len());
        self.one(&RECORDS, store.records());
        let [of_clients, of_neighbours] = counts.changes();
        self.each(&CHANGES, "source", [("client", of_clients), ("neighbour", of_neighbours)]);
        self.one(&SEQUENCE, store.sequence());
        self.each(
            &NEIGHBOUR_STATEMENTS,
            "outcome",
            OUTCOMES.into_iter().zip(counts.statements_of_neighbours),
        );
        self.one(&PASSED_OVER, passed_over.all());
        self.one(&EXPIRED, counts.clients_expired);
    }

    fn connections(&mut self) {
        let Server { counts, certificate_end, unread_answer_bytes, .. } = self.server;
        let by_party =
            |values: &[u64; Party::ALL.len()]| Party::ALL.map(|(party, name)| (name, values[party as usize]));
        self.each(
            &ACCEPTED,
            "listener",
            Listener::ALL.map(|(listener, name)| (name, counts.accepted[listener as usize])),
        );
        let rejected = Rejection::ALL.map(|(why, name)| (name, counts.rejected[why as usize]));
        self.each(&REJECTED, "reason", rejected);
        self.each(&OPEN, "kind", by_party(&counts.open));
        let classes =
            ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(counts.responses.into_iter().skip(1));
        self.each(&HTTP_RESPONSES, "status", classes);
        let phones = &self.server.web.phones;
        let outcomes = [
            ("stored", phones.stored),
            ("outdated", phones.older),
            ("other", phones.other_messages),
            ("heartbeat", phones.heartbeats),
            ("bad_location", phones.bad_locations),
            ("bad_time", phones.bad_times),
        ];
        self.each(&PHONE_MESSAGES, "outcome", outcomes);
        self.one(&ACCEPT_ERRORS, counts.accept_errors);
        self.each(
            &HANDSHAKES_FAILED,
            "side",
            ["accepted", "dialled"].into_iter().zip(counts.handshakes_failed),
        );
        self.optional(&CERTIFICATE_END, *certificate_end);
        self.each(&RECEIVED_BYTES, "kind", by_party(&counts.bytes_read));
        self.each(&SENT_BYTES, "kind", by_party(&counts.bytes_written));
        self.one(&UNREAD_ANSWER_BYTES, *unread_answer_bytes);
    }

    fn links(&mut self) {
        let Server { neighbours, store, .. } = self.server;
        let present: Vec<_> =
            neighbours.ids().map(|id| neighbours.get(id)).filter(|known| known.present).collect();
        self.text.family(&LINK_UP);
        for known in &present {
            let links = [("to", known.outbound.is_some()), ("from", known.inbound.is_some())];
            for (direction, is_up) in links {
                let labels = [("neighbour", &*known.name), ("direction", direction)];
                self.text.sample(&LINK_UP, &labels, u8::from(is_up));
            }
        }
        self.text.family(&UNACKNOWLEDGED);
        for known in &present {
            let backlog = known.unacknowledged(store.sequence(), store.records());
            self.text.sample(&UNACKNOWLEDGED, &[("neighbour", &known.name)], backlog);
        }
        self.text.family(&ROUND_TRIP_SECONDS);
        for known in &present {
            if let Some(time) = known.round_trip {
                let value = Seconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
                self.text.sample(&ROUND_TRIP_SECONDS, &[("neighbour", &known.name)], value);
            }
        }
    }

    fn followers(&mut self) {
        let Server { followers, searches, counts, .. } = self.server;
        self.one(&FOLLOWERS, followers.len());
        self.one(&FOLLOWER_LINES, counts.lines_to_followers);
        self.one(&SEARCHES, searches.len());
    }

    fn places(&mut self) {
        let desk = &self.server.desk;
        let known = desk.statistics();
        self.each(
            &PLACES_QUESTIONS,
            "outcome",
            Reception::ALL.map(|(value, name)| (name, known.received(value))),
        );
        self.each(&PLACES_ANSWERS, "outcome", End::ALL.map(|(value, name)| (name, known.ended(value))));
        self.text.family(&PLACES_SECONDS);
        self.text.histogram(&PLACES_SECONDS, &[], &known.latencies);
        self.one(&PLACES_PENDING, desk.pending());
        self.one(&PLACES_BREAKER, u8::from(desk.is_breaker_open()));
    }

    fn log(&mut self) {
        let log = &self.server.log;
        self.each(&LOG_LINES, "outcome", [("written", log.lines_written()), ("lost", log.lines_lost())]);
        self.one(&LOG_ERRORS, log.errors());
    }

    fn disk(&mut self) {
        let Server { durability, store, .. } = self.server;
        let written = durability.written();
        self.one(&STORE_BATCHES, written.batches);
        self.one(&STORE_BYTES, written.bytes);
        self.one(&STORE_ERRORS, written.errors);
        self.text.family(&STORE_SECONDS);
        self.text.histogram(&STORE_SECONDS, &[], &written.times);
        let unsynced = written.last.map(|_| store.sequence().saturating_sub(durability.on_disk()));
        self.optional(&STORE_UNSYNCED, unsynced);
        self.optional(&STORE_LAST, written.last.map(|last| wall_time(last, self.clocks)));
    }

    fn process(&mut self) {
        let figures = self.server.read_process.map(|read| read()).unwrap_or_default();
        self.optional(&PROCESS_CPU, figures.cpu_ns.map(Seconds));
        self.optional(&PROCESS_RESIDENT, figures.resident_bytes);
        self.optional(&PROCESS_VIRTUAL, figures.virtual_bytes);
        self.optional(&PROCESS_OPEN_FDS, figures.open_fds);
        self.optional(&PROCESS_MAX_FDS, figures.max_fds);
        self.one(&PROCESS_START, wall_time(self.server.course.started, self.clocks));
        self.optional(&PROCESS_THREADS, figures.threads);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::clock::Moment;
    use crate::config::Limits;
    use crate::conversation::Identity;
    use crate::log::{Level, Log};
    use crate::metrics::Kind;
    use crate::text::peer_line::Epoch;

    fn server() -> Server {
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(0xee) };
        let log = Log::new("Riley", Level::Traffic);
        let mut server = Server::new(identity, Limits::default(), Duration::from_secs(3), log);
        server.neighbours.add("Jaquez");
        server
    }

    fn page(server: &Server, format: Format) -> String {
        let now = Moment::START + Duration::from_secs(100);
        metrics_page(server, Clocks { now, wall: 1_621_464_830_000_000_000 }, format)
    }

    /// A server with a sample of every family.
    fn whole() -> String {
        let mut server = server();
        server.certificate_end = Some(1_900_000_000);
        server.durability.written_mut().last = Some(Moment::START);
        server.neighbours.get_mut(crate::conversation::NeighbourId(0)).round_trip =
            Some(Duration::from_micros(150));
        server.read_process = Some(|| crate::conversation::operating::ProcessFigures {
            cpu_ns: Some(1_500_000_000),
            resident_bytes: Some(1),
            virtual_bytes: Some(2),
            threads: Some(3),
            open_fds: Some(4),
            max_fds: Some(5),
        });
        page(&server, Format::Prometheus)
    }

    #[test]
    fn the_text_has_every_family_once_and_in_order() {
        let text = whole();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let expected: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_series_is_there_from_the_start() {
        let text = whole();
        for family in FAMILIES {
            let suffix = if family.kind == Kind::Histogram { "_count" } else { "" };
            let name = format!("{}{suffix}", family.name);
            let has_sample =
                |line: &str| line.strip_prefix(&*name).is_some_and(|rest| rest.starts_with(['{', ' ']));
            assert!(text.lines().any(has_sample), "{name}");
        }
        assert!(text.contains("\nherd_commands_total{verb=\"IAMAT\",outcome=\"accepted\"} 0\n"));
        assert!(text.contains("\nherd_link_up{neighbour=\"Jaquez\",direction=\"to\"} 0\n"));
        assert!(text.contains("\nprocess_cpu_seconds_total 1.5\n"), "{text}");
        assert!(text.contains("\nherd_link_round_trip_seconds{neighbour=\"Jaquez\"} 0.00015\n"), "{text}");
    }

    #[test]
    fn the_table_of_the_operating_page_has_the_same_metrics() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows: Vec<[&str; 2]> = page
            .lines()
            .filter(|line| line.starts_with("| `herd_") || line.starts_with("| `process_"))
            .map(|line| {
                let mut cells = line.trim_matches('|').split('|').map(str::trim);
                [cells.next().unwrap().trim_matches('`'), cells.next().unwrap()]
            })
            .collect();
        let expected: Vec<[&str; 2]> =
            FAMILIES.iter().map(|family| [family.name, family.kind.name()]).collect();
        assert_eq!(rows, expected);
    }

    /// `promtool` is in the Debian package prometheus.
    #[test]
    fn promtool_finds_nothing_wrong() {
        let mut promtool = Command::new("promtool");
        let spawned =
            promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut checker) = spawned else {
            return eprintln!("skipped: there is no promtool; it is in the Debian package prometheus");
        };
        checker.stdin.take().unwrap().write_all(whole().as_bytes()).unwrap();
        let checked = checker.wait_with_output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }

    #[test]
    fn open_metrics_has_the_same_samples() {
        let samples = |format| {
            let text = page(&server(), format);
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(samples(Format::OpenMetrics), samples(Format::Prometheus));
    }
}
