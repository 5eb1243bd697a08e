//! The herd alone: notices in, commands out, without a loop.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::places::service;
use super::*;
use crate::config::{Host, HostPort, Limits, PlacesSection, PlacesUrl};
use crate::conversation::{Identity, Waiter};
use crate::keys::Expiry;
use crate::log::{Level, Log, Sink};
use crate::places::dialect::Dialect;
use crate::places::question::Question;
use crate::protocol::{Admission, ConnectionId, Task, TlsKeys, TlsPeer, TlsSession, TlsSettings};
use crate::store::Origin;
use crate::text::record::Statement;

const JAQUEZ: NeighbourId = NeighbourId(0);
const LINK: ConnectionId = ConnectionId { slot: 1, generation: 1 };
const CLIENT: ConnectionId = ConnectionId { slot: 2, generation: 2 };
const PLACES: ConnectionId = ConnectionId { slot: 3, generation: 3 };

fn clocks(ms: u64) -> Clocks {
    Clocks {
        now: Moment::START + Duration::from_millis(ms),
        wall: 1_621_464_830_000_000_000 + ms * 1_000_000,
    }
}

fn address(text: &str) -> HostPort {
    text.parse().unwrap()
}

fn settings(neighbours: &[(&str, &str)]) -> Settings {
    let url =
        PlacesUrl { tls: false, host: Host::Name("places.example".into()), port: 80, path: String::new() };
    let section = PlacesSection {
        api: Dialect::GoogleLegacy,
        url,
        trust: None,
        key_env: None,
        bounds: PlacesSection::default().bounds,
    };
    Settings {
        limits: Limits::default(),
        connections_max: 10,
        silence: Duration::from_secs(3),
        neighbours: neighbours.iter().map(|(name, at)| ((*name).to_owned(), address(at))).collect(),
        links: LinkSettings::default(),
        web: WebSettings::default(),
        places: PlacesSettings { section, key: None },
        log_level: Level::Events,
    }
}

fn herd(neighbours: &[(&str, &str)]) -> Herd {
    let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(1) };
    let silence = Duration::from_secs(3);
    let server = Server::new(identity, Limits::default(), silence, Log::new("Riley", Level::Events));
    Herd::new(server, settings(neighbours), None, 1, clocks(0))
}

/// The pending commands, in words, and the tags of the lookups and timers among them.
fn commands_and_tags(herd: &mut Herd, ms: u64) -> (Vec<String>, Vec<Tag>) {
    let (mut commands, mut tags) = (Vec::new(), Vec::new());
    while let Some(command) = herd.next_command(clocks(ms)) {
        if let Command::Run { tag, .. } | Command::Timer { tag, .. } | Command::Connect { tag, .. } = command
        {
            tags.push(tag);
        }
        commands.push(match command {
            Command::Run { work: Work::Resolve { host, port, .. }, .. } => format!("resolve {host}:{port}"),
            Command::Run { work: Work::Run(task), .. } => format!("run {task:?}"),
            Command::Connect { addresses, .. } => format!("connect {}", addresses[0]),
            Command::Timer { at, tag } => format!("timer {tag:?} at {at:?}"),
            Command::Deliver { to, .. } => format!("deliver to {}", to.slot),
            Command::Abort(id) => format!("abort {}", id.slot),
            Command::SetQuota(_, quota) => format!("quota {}", quota.connections_max),
            Command::SetTls(_, tls) => format!("tls {tls:?}"),
            Command::Drain => "drain".to_owned(),
            Command::ShutDown => "shut down".to_owned(),
            Command::Exit => "exit".to_owned(),
        });
    }
    (commands, tags)
}

fn commands(herd: &mut Herd, ms: u64) -> Vec<String> {
    commands_and_tags(herd, ms).0
}

/// A herd whose link to Jaquez is [`LINK`].
fn linked() -> Herd {
    let mut herd = herd(&[("Jaquez", "127.0.0.1:1")]);
    assert_eq!(commands(&mut herd, 0), ["quota 10", "connect 127.0.0.1:1"]);
    herd.notice(clocks(0), Notice::Connecting { tag: Tag::Neighbour(JAQUEZ), connection: LINK });
    herd.server.neighbours.get_mut(JAQUEZ).outbound = Some((LINK, Epoch(7)));
    herd
}

fn log(herd: &Herd) -> String {
    String::from_utf8(herd.server.log.lines().to_vec()).unwrap()
}

/// A client asks what is near it. The commands after that for its time limit.
fn ask(herd: &mut Herd) -> (Vec<String>, Vec<Tag>) {
    ask_at(herd, 0)
}

fn ask_at(herd: &mut Herd, ms: u64) -> (Vec<String>, Vec<Tag>) {
    // It differs from the pending ones.
    let ticket = herd.server.desk.pending() as u32 + 1;
    let waiter = Waiter { conversation: Handle::new(CLIENT), ticket };
    let question = Question::new(b"+1", b"-1", ticket.to_string().as_bytes());
    herd.server.desk.ask(clocks(ms).now, question, waiter);
    let (mut commands, tags) = commands_and_tags(herd, ms);
    commands.retain(|command| !command.starts_with("timer Desk"));
    (commands, tags)
}

#[test]
fn records_are_swept_every_second_in_portions_while_some_can_be_over() {
    let mut herd = herd(&[]);
    herd.server.set_limits(Limits { expire_s: 2, ..Limits::default() });
    commands(&mut herd, 0);
    assert!(!herd.turn_ended(clocks(0), false), "there is no record");
    let count = 1000;
    for client in 0..count {
        let line = format!("AT Riley +0.000000000 c{client} +1-1 1621464830\n");
        let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
        herd.server.store.report(&statement, line.as_bytes(), Origin::CLIENT);
    }
    let (mut ms, mut portions) = (0, 0);
    let timer = |ms: u64| format!("timer Sweep at {:?}", clocks(ms).now);
    while herd.server.store.records() > 0 {
        herd.turn_ended(clocks(ms), false);
        let command = commands(&mut herd, ms);
        if command == [timer(ms + 1000)] {
            ms += 1000;
        } else {
            assert_eq!(command, [timer(ms)], "one timer at a time; the next portion is due in the next turn");
            portions += 1;
        }
        herd.notice(clocks(ms), Notice::Timer(Tag::Sweep));
    }
    assert_eq!(ms, 3000, "within a second after the end of the statements");
    assert!(portions > 3, "{portions}");
    while !commands(&mut herd, ms).is_empty() {
        herd.notice(clocks(ms), Notice::Timer(Tag::Sweep));
    }
    assert!(!herd.turn_ended(clocks(ms), false), "a server without records does nothing");
}

#[test]
fn a_lost_link_is_dialled_again_after_a_delay() {
    let mut herd = linked();
    herd.server.neighbours.get_mut(JAQUEZ).outbound = None;
    herd.server.signals.push_back(Signal::LinkLost(JAQUEZ));
    let timer = commands(&mut herd, 1000);
    assert!(timer.len() == 1 && timer[0].starts_with("timer Neighbour(NeighbourId(0)) at 1.0"), "{timer:?}");
    herd.notice(clocks(1010), Notice::Timer(Tag::Neighbour(JAQUEZ)));
    assert_eq!(commands(&mut herd, 1010).len(), 0, "too early");
    herd.notice(clocks(1050), Notice::Timer(Tag::Neighbour(JAQUEZ)));
    assert_eq!(commands(&mut herd, 1050), ["connect 127.0.0.1:1"]);
}

#[test]
fn a_neighbour_that_dials_is_dialled_back_at_once_and_not_ever_more_often() {
    let mut herd = linked();
    herd.server.neighbours.get_mut(JAQUEZ).outbound = None;
    let mut timers = 0;
    for round in 0..50 {
        herd.server.signals.extend([Signal::LinkLost(JAQUEZ), Signal::NeighbourAlive(JAQUEZ, Epoch(7))]);
        let commands = commands(&mut herd, round);
        assert_eq!(commands.last().map(String::as_str), Some("connect 127.0.0.1:1"));
        timers += commands.len() - 1;
        herd.notice(clocks(round), Notice::Connecting { tag: Tag::Neighbour(JAQUEZ), connection: LINK });
    }
    assert_eq!(timers, 50, "one for each lost link");
    herd.server.signals.push_back(Signal::LinkLost(JAQUEZ));
    commands(&mut herd, 100);
    for _ in 0..51 {
        herd.notice(clocks(5000), Notice::Timer(Tag::Neighbour(JAQUEZ)));
    }
    assert_eq!(commands(&mut herd, 5000), ["connect 127.0.0.1:1"], "superseded timers dial once");
}

#[test]
fn a_link_to_an_earlier_incarnation_is_ended() {
    let mut herd = linked();
    herd.server.signals.push_back(Signal::NeighbourAlive(JAQUEZ, Epoch(7)));
    assert_eq!(commands(&mut herd, 0).len(), 0, "the same incarnation");
    herd.server.signals.push_back(Signal::NeighbourAlive(JAQUEZ, Epoch(8)));
    assert_eq!(commands(&mut herd, 0), ["abort 1"]);
}

#[test]
fn a_stuck_attempt_is_replaced_when_the_neighbour_dials() {
    let mut herd = linked();
    herd.server.neighbours.get_mut(JAQUEZ).outbound = None;
    herd.server.signals.push_back(Signal::NeighbourAlive(JAQUEZ, Epoch(7)));
    assert_eq!(commands(&mut herd, 100).len(), 0, "it has just begun");
    herd.server.signals.push_back(Signal::NeighbourAlive(JAQUEZ, Epoch(7)));
    assert_eq!(commands(&mut herd, 2000), ["abort 1"]);
    herd.server.signals.push_back(Signal::LinkLost(JAQUEZ));
    assert_eq!(commands(&mut herd, 2000), ["connect 127.0.0.1:1"]);
}

#[test]
fn an_older_inbound_link_is_ended() {
    let mut herd = linked();
    herd.server.signals.push_back(Signal::LinkReplaced(CLIENT));
    assert_eq!(commands(&mut herd, 0), ["abort 2"]);
}

#[test]
fn a_failed_lookup_is_logged_once_and_retried() {
    let mut herd = herd(&[("Jaquez", "jaquez.example:1")]);
    assert_eq!(commands(&mut herd, 0), ["quota 10", "resolve jaquez.example:1"]);
    for ms in [1000, 3000] {
        let done = Done::Resolved(Err(std::io::ErrorKind::NotFound.into()));
        herd.notice(clocks(ms), Notice::Done { tag: Tag::Neighbour(JAQUEZ), done });
        assert_eq!(commands(&mut herd, ms).len(), 1);
        herd.notice(clocks(ms + 1000), Notice::Timer(Tag::Neighbour(JAQUEZ)));
        assert_eq!(commands(&mut herd, ms + 1000), ["resolve jaquez.example:1"]);
    }
    let expected = "Connection to server Jaquez at jaquez.example:1 could not be made";
    assert_eq!(log(&herd).matches(expected).count(), 1);
}

#[test]
fn a_neighbour_that_is_not_reached_but_dials_is_logged_once() {
    let mut herd = linked();
    let lost_at = |herd: &mut Herd, ms| {
        herd.notice(clocks(ms), Notice::Connecting { tag: Tag::Neighbour(JAQUEZ), connection: LINK });
        herd.server.signals.push_back(Signal::LinkLost(JAQUEZ));
        commands(herd, ms);
        log(herd).matches("Statements flow from server Jaquez to this one, but not back").count()
    };
    let known = herd.server.neighbours.get_mut(JAQUEZ);
    // So many other problems that no further one is logged.
    let logged = (0..100).filter(|number| known.is_new_trouble(&number.to_string())).count();
    assert!(logged < 100);
    (known.outbound, known.outbound_since) = (None, clocks(1000).now);
    assert_eq!(lost_at(&mut herd, 9000), 0, "it has not dialled");
    let known = herd.server.neighbours.get_mut(JAQUEZ);
    (known.inbound, known.inbound_since) = (Some(CLIENT), clocks(9000).now);
    assert_eq!(lost_at(&mut herd, 11_999), 0, "its own link may be about to end");
    assert_eq!((lost_at(&mut herd, 12_000), lost_at(&mut herd, 20_000)), (1, 1));
    assert!(log(&herd).contains("nothing answers as Jaquez at 127.0.0.1:1;"));
    let known = herd.server.neighbours.get_mut(JAQUEZ);
    known.forget_troubles();
    known.outbound_since = clocks(30_000).now;
    assert_eq!((lost_at(&mut herd, 32_000), lost_at(&mut herd, 33_000)), (1, 2), "the link was up again");
}

#[test]
fn other_settings_drop_and_dial_neighbours() {
    let mut herd = linked();
    herd.server.neighbours.get_mut(JAQUEZ).inbound = Some(CLIENT);
    herd.apply(settings(&[("Juzang", "127.0.0.1:2")]), clocks(0));
    assert_eq!(commands(&mut herd, 0), ["quota 10", "abort 2", "abort 1", "connect 127.0.0.1:2"]);
    assert_eq!(herd.server.neighbours.find(b"Jaquez"), None);
    // Jaquez is named again, before its link was lost.
    herd.server.signals.push_back(Signal::LinkLost(JAQUEZ));
    commands(&mut herd, 0);
    herd.apply(settings(&[("Juzang", "127.0.0.1:2"), ("Jaquez", "127.0.0.1:1")]), clocks(0));
    assert_eq!(commands(&mut herd, 0), ["quota 10", "connect 127.0.0.1:1"]);
}

#[test]
fn a_question_waits_for_the_lookup_of_places_and_later_ones_use_its_result() {
    let mut herd = herd(&[]);
    commands(&mut herd, 0);
    let (first, tags) = ask(&mut herd);
    assert_eq!(first, ["resolve places.example:80"]);
    assert_eq!(ask(&mut herd).0.len(), 0, "the same lookup serves both");
    let done = Done::Resolved(Ok(vec!["192.0.2.1:80".parse().unwrap()]));
    herd.notice(clocks(1), Notice::Done { tag: tags[1], done });
    assert_eq!(commands(&mut herd, 1), ["connect 192.0.2.1:80", "connect 192.0.2.1:80"]);
    assert_eq!(ask(&mut herd).0, ["connect 192.0.2.1:80"]);
}

#[test]
fn a_failed_lookup_of_places_answers_the_question() {
    let mut herd = herd(&[]);
    commands(&mut herd, 0);
    let (_, tags) = ask(&mut herd);
    for expected in [&["deliver to 2"][..], &[]] {
        let done = Done::Resolved(Err(std::io::ErrorKind::NotFound.into()));
        herd.notice(clocks(1), Notice::Done { tag: tags[1], done });
        assert_eq!(commands(&mut herd, 1), expected);
    }
}

#[test]
fn a_slow_or_failed_lookup_of_places_leaves_the_outdated_addresses() {
    let mut herd = herd(&[]);
    commands(&mut herd, 0);
    let found = |address: &str| Done::Resolved(Ok(vec![address.parse().unwrap()]));
    ask(&mut herd);
    let first = Tag::PlacesLookup(1);
    herd.notice(clocks(0), Notice::Done { tag: first, done: found("192.0.2.1:80") });
    assert_eq!(commands(&mut herd, 0), ["connect 192.0.2.1:80"]);
    let second = Tag::PlacesLookup(2);
    let (waits, _) = ask_at(&mut herd, 60_000);
    assert_eq!(waits, ["resolve places.example:80", "timer PlacesLookup(2) at 61.000000000 s"]);
    herd.notice(clocks(60_500), Notice::Timer(first));
    assert_eq!(commands(&mut herd, 60_500).len(), 0, "the timer of an earlier lookup");
    herd.notice(clocks(61_000), Notice::Timer(second));
    assert_eq!(commands(&mut herd, 61_000), ["connect 192.0.2.1:80"]);
    assert_eq!(ask_at(&mut herd, 61_000).0, ["connect 192.0.2.1:80"], "there is one lookup at a time");
    herd.notice(clocks(90_000), Notice::Done { tag: second, done: found("192.0.2.2:80") });
    assert_eq!(commands(&mut herd, 90_000).len(), 0);
    assert_eq!(ask_at(&mut herd, 90_000).0, ["connect 192.0.2.2:80"]);
    herd.notice(clocks(90_000), Notice::Timer(second));
    for lookup in 3..5 {
        assert_eq!(ask_at(&mut herd, 200_000).0.len(), 2, "each question looks it up again");
        let done = Done::Resolved(Err(std::io::ErrorKind::NotFound.into()));
        herd.notice(clocks(200_000), Notice::Done { tag: Tag::PlacesLookup(lookup), done });
        assert_eq!(commands(&mut herd, 200_000), ["connect 192.0.2.2:80"]);
    }
}

/// A resolver that does not answer for Places delays no lookup of a neighbour.
#[test]
fn places_and_neighbours_are_looked_up_in_lanes_of_their_own() {
    let mut herd = herd(&[("Jaquez", "jaquez.example:1")]);
    let waiter = Waiter { conversation: Handle::new(CLIENT), ticket: 1 };
    herd.server.desk.ask(clocks(0).now, Question::new(b"+1", b"-1", b"1"), waiter);
    let mut lanes = Vec::new();
    while let Some(command) = herd.next_command(clocks(0)) {
        if let Command::Run { work: Work::Resolve { lane, .. }, .. } = command {
            lanes.push(lane);
        }
    }
    assert!(lanes.len() == 2 && lanes[0] != lanes[1], "{lanes:?}");
}

#[test]
fn only_a_failure_of_the_local_places_server_asks_whether_it_runs() {
    for (trust, asks) in [(Some("run/places-ca-80.pem"), true), (Some("ca.pem"), false), (None, false)] {
        let mut local_places = settings(&[]).places;
        local_places.section.url.tls = true;
        local_places.section.url.host = Host::Name("localhost".into());
        local_places.section.trust = trust.map(Into::into);
        let text = service(&local_places).unreachable("it broke").text().to_owned();
        assert!(text.contains("Places at https://localhost:80: it broke"), "{text}");
        assert_eq!(text.contains("herd places, running?"), asks, "{text}");
    }
}

#[test]
fn a_question_that_expires_ends_its_connection() {
    let mut herd = herd(&[]);
    let mut numeric = settings(&[]);
    numeric.places.section.url.host = Host::Address([127, 0, 0, 1].into());
    herd.apply(numeric, clocks(0));
    commands(&mut herd, 0);
    let (asked, tags) = ask(&mut herd);
    assert_eq!(asked, ["connect 127.0.0.1:80"]);
    let [Tag::Desk, tag] = tags[..] else { panic!("{tags:?}") };
    herd.notice(clocks(0), Notice::Connecting { tag, connection: PLACES });
    herd.notice(clocks(5000), Notice::Timer(Tag::Desk));
    assert_eq!(commands(&mut herd, 5000), ["abort 3", "deliver to 2"]);
}

#[test]
fn a_missing_key_is_answered_without_asking() {
    let mut herd = herd(&[]);
    let mut with_key = settings(&[]);
    with_key.places.section.key_env = Some("PLACES_API_KEY".into());
    herd.apply(with_key, clocks(0));
    commands(&mut herd, 0);
    assert_eq!(ask(&mut herd).0, ["deliver to 2"]);
}

#[test]
fn an_end_in_order_drains_closes_and_exits() {
    let mut herd = linked();
    ask(&mut herd);
    commands(&mut herd, 0);
    herd.notice(clocks(1000), Notice::Stop);
    let first = commands(&mut herd, 1000);
    assert_eq!(first, ["drain", "timer DrainingOver at 1.120000000 s", "deliver to 2"]);
    assert!(log(&herd).contains("Riley ends"));
    // No new links and no new questions from now on.
    herd.server.signals.push_back(Signal::LinkLost(JAQUEZ));
    commands(&mut herd, 1000);
    herd.notice(clocks(2000), Notice::Timer(Tag::Neighbour(JAQUEZ)));
    assert_eq!(ask(&mut herd).0, ["deliver to 2"]);
    herd.notice(clocks(2000), Notice::Drained);
    assert_eq!(commands(&mut herd, 2000), ["timer ClosingOver at 2.100000000 s", "shut down"]);
    herd.notice(clocks(2000), Notice::Timer(Tag::DrainingOver));
    assert_eq!(commands(&mut herd, 2000).len(), 0, "once");
    herd.notice(clocks(2100), Notice::Timer(Tag::ClosingOver));
    assert_eq!(commands(&mut herd, 2100), ["exit"]);
}

#[test]
fn a_full_server_admits_neighbours_only() {
    let mut herd = herd(&[]);
    let mut accepted = |admission| {
        let address = "192.0.2.1:5".parse().unwrap();
        herd.accepted(clocks(0), &Arrival { listener: LISTENER, address, admission })
    };
    assert!(accepted(Admission::Admitted).is_some() && accepted(Admission::Spare).is_some());
    assert!(accepted(Admission::Full).is_none());
    assert!(log(&herd).contains("Connection from 192.0.2.1:5 is closed at once: the server is full"));
}

/// Keys of no use, which remember for whom they were asked.
#[derive(Debug, Default)]
struct FakeKeys(RefCell<Vec<String>>);

struct NoSession;

impl TlsSettings for NoSession {
    fn session(&self) -> std::io::Result<Box<dyn TlsSession>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

impl TlsKeys for FakeKeys {
    fn accepting(&self) -> Rc<dyn TlsSettings> {
        Rc::new(NoSession)
    }

    fn dialling(&self, name: &str) -> Rc<dyn TlsSettings> {
        self.0.borrow_mut().push(name.to_owned());
        Rc::new(NoSession)
    }

    fn verify(&self, _peer: &TlsPeer) -> std::io::Result<()> {
        Ok(())
    }
}

fn secured(keys: &Rc<FakeKeys>, have_own_port: bool) -> Settings {
    let links = LinkSettings { keys: Some(keys.clone()), certificate_end: None, have_own_port };
    Settings { links, ..settings(&[("Jaquez", "127.0.0.1:1")]) }
}

#[test]
fn with_keys_listeners_and_dialled_links_are_tls() {
    for (have_own_port, listeners) in [(false, 1), (true, 2)] {
        let keys = Rc::new(FakeKeys::default());
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(1) };
        let silence = Duration::from_secs(3);
        let log = Log::new("Riley", Level::Events);
        let server = Server::new(identity, Limits::default(), silence, log);
        let mut herd = Herd::new(server, secured(&keys, have_own_port), None, 1, clocks(0));
        let all = commands(&mut herd, 0);
        let tls = "tls Some(TLS within 2s, with plain text: true)";
        assert_eq!(all.iter().filter(|command| *command == tls).count(), listeners, "{all:?}");
        assert_eq!(*keys.0.borrow(), ["Jaquez"]);
        // SIGHUP: both links are looked at again.
        herd.notice(clocks(0), Notice::Connecting { tag: Tag::Neighbour(JAQUEZ), connection: LINK });
        herd.server.neighbours.get_mut(JAQUEZ).inbound = Some(CLIENT);
        herd.apply(secured(&keys, have_own_port), clocks(1));
        let all = commands(&mut herd, 1);
        for link in ["deliver to 1", "deliver to 2"] {
            assert!(all.iter().any(|command| command == link), "{all:?}");
        }
    }
}

#[test]
fn the_addresses_of_neighbours_are_preferred() {
    let mut herd = herd(&[("Jaquez", "jaquez.example:1"), ("Juzang", "192.0.2.7:1")]);
    commands(&mut herd, 0);
    let is_preferred = |herd: &Herd, ip: &str| herd.is_preferred(format!("{ip}:40000").parse().unwrap());
    assert!(is_preferred(&herd, "192.0.2.7") && !is_preferred(&herd, "192.0.2.8"));
    let found = vec!["192.0.2.8:1".parse().unwrap()];
    herd.notice(clocks(0), Notice::Done { tag: Tag::Neighbour(JAQUEZ), done: Done::Resolved(Ok(found)) });
    assert!(is_preferred(&herd, "192.0.2.8") && !is_preferred(&herd, "192.0.2.9"));
}

#[test]
fn a_port_of_their_own_keeps_neighbours_and_clients_apart() {
    let mut herd = herd(&[]);
    herd.have_own_port = true;
    let mut accept = |listener: ListenerTag| {
        let arrival = Arrival { listener, address: address_of_client(), admission: Admission::Admitted };
        match herd.accepted(clocks(0), &arrival) {
            Some(Conversation::Client(client)) => format!("{client:?}"),
            _ => panic!("not accepted"),
        }
    };
    assert!(accept(LISTENER).contains("port: Clients"));
    assert!(accept(NEIGHBOURS).contains("port: Neighbours"));
}

fn address_of_client() -> SocketAddr {
    ([127, 0, 0, 1], 40_000).into()
}

#[test]
fn the_end_of_the_certificate_is_logged_once_a_day() {
    const DAY_S: i64 = 86_400;
    let now_s = (clocks(0).wall / 1_000_000_000) as i64;
    let expiry = |days: i64| {
        let not_after = now_s + days * DAY_S;
        Some(Expiry { file: "Riley.pem".to_owned(), not_after, last_day: "2021-06-20".to_owned() })
    };
    let on_day = |day: u64| clocks(day * DAY_S as u64 * 1000);
    let mut herd = herd(&[]);
    herd.watch_certificate(expiry(31), on_day(0));
    assert_eq!(commands(&mut herd, 0), ["quota 10", "timer CertificateEnd at 86400.000000000 s"]);
    assert!(!log(&herd).contains("certificate"));
    for day in 1..=3 {
        herd.notice(on_day(day), Notice::Timer(Tag::CertificateEnd));
        assert_eq!(commands(&mut herd, day * DAY_S as u64 * 1000).len(), 1);
    }
    let warnings = log(&herd).matches("The certificate Riley.pem expires on 2021-06-20, in 2").count();
    assert_eq!(warnings, 2, "{}", log(&herd));
    // New keys need no second timer.
    herd.watch_certificate(expiry(3), on_day(3));
    assert!(commands(&mut herd, 0).is_empty());
    assert!(log(&herd).contains("expires on 2021-06-20, within a day; run herd keys --renew"));
}

#[test]
fn settings_that_were_read_again_are_logged() {
    let mut herd = herd(&[]);
    herd.reload(Ok(settings(&[])), clocks(0));
    assert!(log(&herd).ends_with("Riley has read its settings again\n"), "{}", log(&herd));
    let mut secured = settings(&[]);
    secured.links.certificate_end =
        Some(Expiry { file: "Riley.pem".to_owned(), not_after: i64::MAX, last_day: "2031-06-20".to_owned() });
    herd.reload(Ok(secured), clocks(0));
    let expected = "Riley has read its settings and keys again; its certificate is valid to 2031-06-20\n";
    assert!(log(&herd).ends_with(expected), "{}", log(&herd));
    herd.reload(Err("herd.json: no such file".to_owned()), clocks(0));
    assert!(log(&herd).ends_with("Riley keeps its settings: herd.json: no such file\n"), "{}", log(&herd));
}

/// A sink that takes everything.
struct Taking;

impl Sink for Taking {
    fn write(&mut self, _lost: u64, _lines: &[u8], _now: Moment) -> u64 {
        0
    }

    fn reopen(&mut self, _now: Moment) -> bool {
        true
    }
}

/// A server whose log is written to a sink.
fn logging() -> Herd {
    let mut herd = herd(&[]);
    herd.server.log = Log::writing_to("Riley", Level::Events, Arc::new(Mutex::new(Taking)));
    commands(&mut herd, 0);
    herd
}

/// The commands of the log at the end of a turn, in words.
fn end_turn(herd: &mut Herd, ms: u64, is_last: bool) -> Vec<String> {
    let has_commands = herd.turn_ended(clocks(ms), is_last);
    let commands = commands(herd, ms);
    assert_eq!(has_commands, !commands.is_empty());
    commands
}

#[test]
fn log_lines_wait_for_others_and_are_handed_over_with_the_last_turn() {
    let mut herd = logging();
    assert_eq!(end_turn(&mut herd, 1000, false).len(), 0);
    herd.server.log.event(format_args!("one"));
    assert_eq!(end_turn(&mut herd, 1000, false), ["timer Log at 1.010000000 s"]);
    herd.server.log.event(format_args!("two"));
    assert_eq!(end_turn(&mut herd, 1009, false).len(), 0, "one timer serves both");
    herd.notice(clocks(1010), Notice::Timer(Tag::Log));
    assert_eq!(end_turn(&mut herd, 1010, false), ["run Page(8 bytes)"]);
    herd.server.log.event(format_args!("three"));
    assert_eq!(end_turn(&mut herd, 1011, true), ["run Page(33 bytes)"]);
}

#[test]
fn a_log_is_reopened_without_lines_unless_it_is_off() {
    let mut herd = logging();
    herd.reopen_log(clocks(1000));
    assert_eq!(commands(&mut herd, 1000), ["timer Log at 1.010000000 s"]);
    assert_eq!(end_turn(&mut herd, 1010, false), ["run Page(0 bytes)"]);
    let mut herd = logging();
    herd.server.log.set_level(Level::Off);
    herd.reopen_log(clocks(1000));
    assert_eq!(commands(&mut herd, 1000).len(), 0);
}

/// Otherwise a slow disk would have all pages, with few lines in each.
#[test]
fn a_page_that_is_not_full_waits_for_those_before_it() {
    let mut herd = logging();
    herd.server.log.event(format_args!("one"));
    end_turn(&mut herd, 0, false);
    herd.turn_ended(clocks(10), false);
    let Some(Command::Run { tag, work: Work::Run(task) }) = herd.next_command(clocks(10)) else { panic!() };
    herd.server.log.event(format_args!("two"));
    assert_eq!(end_turn(&mut herd, 11, false), ["timer Log at 0.021000000 s"]);
    assert_eq!(end_turn(&mut herd, 1000, false).len(), 0);
    herd.notice(clocks(1001), Notice::Done { tag, done: Done::Ran(task) });
    assert_eq!(end_turn(&mut herd, 1001, false), ["run Page(4 bytes)"]);
}

/// Fills all pages of a log whose sink takes nothing. The warnings among the commands.
fn overflow(herd: &mut Herd, ms: u64) -> (Vec<Box<dyn Task>>, usize) {
    let (mut pages, mut warnings) = (Vec::new(), 0);
    let lost = herd.server.log.lines_lost();
    while herd.server.log.lines_lost() < lost + 2 {
        herd.server.log.event(format_args!("{}", "x".repeat(10_000)));
        herd.turn_ended(clocks(ms), false);
        while let Some(command) = herd.next_command(clocks(ms)) {
            match command {
                Command::Run { work: Work::Run(task), .. } if task.lane() == super::LOG => pages.push(task),
                Command::Run { work: Work::Run(_), .. } => warnings += 1,
                _ => {}
            }
        }
    }
    (pages, warnings)
}

#[test]
fn a_log_that_falls_behind_is_reported_once_per_trouble() {
    let mut herd = logging();
    for (ms, expected) in [(0, 1), (59_000, 0), (118_000, 0), (179_000, 1)] {
        let (pages, warnings) = overflow(&mut herd, ms);
        assert_eq!(warnings, expected, "at {ms}");
        for mut page in pages {
            page.run();
            herd.notice(clocks(ms), Notice::Done { tag: Tag::Log, done: Done::Ran(page) });
        }
        herd.turn_ended(clocks(ms + 10), false);
        while let Some(command) = herd.next_command(clocks(ms + 20)) {
            if let Command::Run { tag, work: Work::Run(task) } = command {
                herd.notice(clocks(ms + 20), Notice::Done { tag, done: Done::Ran(task) });
            }
        }
    }
    assert_eq!(herd.server.log.lines_lost(), 8);
}

#[test]
fn full_pages_end_a_turn_before_all_of_them_are_in_use() {
    let mut herd = logging();
    while !herd.must_end_turn() {
        assert!(herd.server.log.full_pages() < 8);
        herd.server.log.event(format_args!("{}", "x".repeat(10_000)));
    }
    assert_eq!(herd.server.log.lines_lost(), 0);
    assert_eq!(end_turn(&mut herd, 0, false).iter().filter(|command| command.starts_with("run")).count(), 8);
    assert!(!herd.must_end_turn());
}

#[test]
fn clients_that_waited_for_the_disk_are_served_some_in_each_turn() {
    let mut herd = herd(&[]);
    commands(&mut herd, 0);
    for slot in 0..6 {
        herd.server.durability.wait(1, Handle::new(ConnectionId { slot, generation: 1 }));
    }
    assert_eq!(commands(&mut herd, 0).len(), 0);
    herd.server.durability.reached(1);
    assert_eq!(commands(&mut herd, 0), ["deliver to 0", "deliver to 1", "deliver to 2", "deliver to 3"]);
    let next_turn = end_turn(&mut herd, 0, false);
    assert_eq!(next_turn, ["timer Synced at 0.000000000 s", "deliver to 4", "deliver to 5"]);
    assert_eq!(end_turn(&mut herd, 0, false).len(), 0);
}
