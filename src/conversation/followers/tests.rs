use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::area::{Area, Zone, kilometres};
use super::*;
use crate::protocol::{Transport, WaterMarks};
use crate::text::command::ClientCommand;
use crate::text::fields::fields;
use crate::text::follow::Whom;

const EPOCH: Epoch = Epoch(0xee);

/// A follower with its connection, and what its client has made of the stream.
struct Stream {
    id: FollowerId,
    operands: &'static str,
    transport: Transport,
    partial: Vec<u8>,
    /// The clients that it takes to match, with their lines.
    known: BTreeMap<String, String>,
    /// Clients of an area that it was told wrongly have left.
    wrong_lefts: Vec<String>,
    /// The AT lines that it has received.
    received: Vec<String>,
    /// The position of the last MARK, and what was known then.
    mark: Option<(u64, BTreeMap<String, String>)>,
    is_lost: bool,
}

/// A store, its followers, and a clock of client times.
struct World {
    store: Store,
    followers: Followers,
    streams: Vec<Stream>,
    time: u64,
    connections: u32,
    removed: usize,
}

impl World {
    fn new() -> World {
        World {
            store: Store::new(1000),
            followers: Followers::new(),
            streams: Vec::new(),
            time: 0,
            connections: 0,
            removed: 0,
        }
    }

    fn report(&mut self, id: &str, location: &str) {
        self.time += 1;
        let line = format!("AT Riley +0.000000000 {id} {location} {}\n", self.time);
        let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
        let outcome = self.followers.report(&mut self.store, &statement, line.as_bytes(), Origin::CLIENT);
        assert_eq!(outcome, Outcome::Stored);
    }

    fn forget(&mut self, id: &str) {
        self.time += 1;
        let line = format!("GONE Riley +0.000000000 {id} {}.000000000\n", self.time);
        let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
        self.followers.report(&mut self.store, &statement, line.as_bytes(), Origin::CLIENT);
    }

    fn remove(&mut self, id: &str) {
        if let Some(record) = self.store.record_of(id.as_bytes()) {
            let is_gone = self.store.get(id.as_bytes()).is_none();
            self.followers.removed(record, id.as_bytes(), is_gone);
            self.store.remove_client(id.as_bytes());
            self.removed += 1;
        }
    }

    fn follow(&mut self, operands: &'static str, from: &str) -> usize {
        self.connections += 1;
        let connection = ConnectionId { slot: self.connections, generation: 0 };
        let line = format!("FOLLOW {operands}{from}");
        let ClientCommand::Follow(follow) = ClientCommand::parse(line.as_bytes()) else { panic!("{line}") };
        let id = self.followers.add(connection, &follow);
        self.followers.begin(id, &mut self.store, EPOCH);
        self.streams.push(Stream {
            id,
            operands,
            transport: Transport::new(WaterMarks { high: 150, low: 40 }),
            partial: Vec::new(),
            known: BTreeMap::new(),
            wrong_lefts: Vec::new(),
            received: Vec::new(),
            mark: None,
            is_lost: false,
        });
        self.streams.len() - 1
    }

    /// Serves the followers of one turn.
    fn turn(&mut self) -> bool {
        while self.serve_next() {}
        self.followers.turn_ended(self.store.sequence())
    }

    /// Serves the next follower, if there is one.
    fn serve_next(&mut self) -> bool {
        if let Some(connection) = self.followers.next_due() {
            let index = self.stream_of(connection);
            let stream = &mut self.streams[index];
            let served =
                self.followers.serve(stream.id, &mut self.store, EPOCH, &mut stream.transport, &mut Lines);
            if served.is_lost {
                stream.is_lost = true;
                self.followers.end(stream.id, &mut self.store);
                return true;
            }
            if let Some(mark) = served.mark {
                stream.transport.write(format!("MARK {mark}\n").as_bytes());
            }
            stream.transport.must_pause_writing();
            return true;
        }
        false
    }

    fn stream_of(&self, connection: ConnectionId) -> usize {
        let is_its = |stream: &Stream| {
            !stream.is_lost && self.followers.members[stream.id.0 as usize].connection == connection
        };
        self.streams.iter().position(is_its).unwrap()
    }

    /// The client of a stream reads so many bytes.
    fn read(&mut self, index: usize, bytes: usize) {
        let stream = &mut self.streams[index];
        if stream.is_lost {
            return;
        }
        let bytes = bytes.min(stream.transport.pending());
        stream.partial.extend_from_slice(&stream.transport.unsent()[..bytes]);
        stream.transport.note_sent(bytes);
        while let Some(end) = stream.partial.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = stream.partial.drain(..=end).collect();
            stream.line(&String::from_utf8(line).unwrap());
        }
        if stream.transport.must_resume_writing() {
            self.followers.resume(stream.id);
        }
    }

    /// All clients read everything, until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let is_due = self.turn();
            (0..self.streams.len()).for_each(|index| self.read(index, usize::MAX));
            if !is_due && self.followers.due.is_empty() {
                assert_eq!(self.followers.behind, 0);
                return;
            }
        }
        panic!("followers are served for ever");
    }

    /// The clients that a stream may, and that it must know.
    fn expected(&self, operands: &str) -> (BTreeMap<String, String>, BTreeSet<String>) {
        let line = format!("FOLLOW {operands}");
        let ClientCommand::Follow(follow) = ClientCommand::parse(line.as_bytes()) else { panic!() };
        let (mut may, mut must) = (BTreeMap::new(), BTreeSet::new());
        for id in IDS {
            let Some(line) = self.store.get(id.as_bytes()) else { continue };
            let statement = Statement::parse(&line[..line.len() - 1]).unwrap();
            let zone = match follow.whom {
                Whom::Client(own) if own == id.as_bytes() => Zone::Inside,
                Whom::Prefix(prefix) if id.as_bytes().starts_with(prefix) => Zone::Inside,
                Whom::Area { centre, radius_km } => {
                    let location = statement.location.unwrap();
                    Area::new(Spot::of(&centre), kilometres(radius_km)).zone(&Spot::of(&location))
                }
                _ => Zone::Outside,
            };
            if zone != Zone::Outside {
                may.insert(id.to_owned(), String::from_utf8(line.to_vec()).unwrap());
            }
            if zone == Zone::Inside {
                must.insert(id.to_owned());
            }
        }
        (may, must)
    }

    fn check(&self, stream: &Stream) {
        let (may, must) = self.expected(stream.operands);
        for (id, line) in &stream.known {
            assert_eq!(may.get(id), Some(line), "FOLLOW {} knows {id}", stream.operands);
        }
        for id in must {
            assert!(stream.known.contains_key(&id), "FOLLOW {} lacks {id}", stream.operands);
        }
        assert_eq!(stream.wrong_lefts, [""; 0], "FOLLOW {}", stream.operands);
    }
}

impl Stream {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> =
            fields(line.as_bytes()).map(|word| std::str::from_utf8(word).unwrap()).collect();
        match words[..] {
            ["AT", _, _, id, _, _] => {
                self.received.push(line.to_owned());
                self.known.insert(id.to_owned(), line.to_owned());
            }
            ["LEFT", id] => {
                if self.known.remove(id).is_none() && self.operands.starts_with(['+', '-']) {
                    self.wrong_lefts.push(id.to_owned());
                }
            }
            ["MARK", number] => {
                let number = number.parse().unwrap();
                assert!(self.mark.as_ref().is_none_or(|mark| mark.0 <= number), "MARKs go back");
                self.mark = Some((number, self.known.clone()));
            }
            _ => panic!("{line}"),
        }
    }
}

const IDS: [&str; 9] = ["a", "aa", "aab", "ab", "b", "bb", "c", "ca", "cab"];
/// Within 10 km of +0+180, in the margin, and outside; at the pole.
const LOCATIONS: [&str; 7] =
    ["+0+180", "-0.05-179.95", "+0.095+180", "+0.15+180", "+1-179", "+89.99+10", "+89.9-170"];
const OPERANDS: [&str; 9] = ["*", "a*", "aa*", "aab", "b", "nobody", "+0+180 10", "+90+0 2", "+0-180 20100"];

#[derive(Clone, Debug)]
enum Act {
    Report(usize, usize),
    Remove(usize),
    Forget(usize),
    Turn,
    Read(usize, usize),
    Follow(usize),
    Resume(usize),
    End(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0..IDS.len(), 0..LOCATIONS.len()).prop_map(|(id, location)| Act::Report(id, location)),
        2 => (0..IDS.len()).prop_map(Act::Remove),
        2 => (0..IDS.len()).prop_map(Act::Forget),
        5 => Just(Act::Turn),
        4 => (any::<usize>(), 1..400_usize).prop_map(|(stream, bytes)| Act::Read(stream, bytes)),
        2 => (0..OPERANDS.len()).prop_map(Act::Follow),
        1 => any::<usize>().prop_map(Act::Resume),
        1 => any::<usize>().prop_map(Act::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever was coalesced, however slowly it was read: each follower ends with what the store has.
    #[test]
    fn a_follower_ends_with_what_the_store_has(acts in proptest::collection::vec(act(), 0..250)) {
        let mut world = World::new();
        for act in acts {
            let streams = world.streams.len().max(1);
            match act {
                Act::Report(id, location) => world.report(IDS[id], LOCATIONS[location]),
                Act::Remove(id) => world.remove(IDS[id]),
                Act::Forget(id) => world.forget(IDS[id]),
                Act::Turn => drop(world.turn()),
                Act::Read(stream, bytes) if !world.streams.is_empty() => world.read(stream % streams, bytes),
                Act::Follow(operands) => drop(world.follow(OPERANDS[operands], "")),
                Act::Resume(stream) if !world.streams.is_empty() => {
                    let old = &world.streams[stream % streams];
                    if let Some((number, known)) = &old.mark && !old.operands.contains(' ') {
                        let (operands, known) = (old.operands, known.clone());
                        let from = format!(" FROM {EPOCH} {number}");
                        let resumed = world.follow(operands, &from);
                        // It drops by itself what has expired meanwhile.
                        let known = known.into_iter().filter(|(id, _)| world.store.get(id.as_bytes()).is_some());
                        world.streams[resumed].known = known.collect();
                    }
                }
                Act::End(stream) if !world.streams.is_empty() => {
                    let stream = world.streams.swap_remove(stream % streams);
                    if !stream.is_lost {
                        world.followers.end(stream.id, &mut world.store);
                    }
                }
                Act::Read(..) | Act::Resume(_) | Act::End(_) => {}
            }
        }
        world.settle();
        for stream in &world.streams {
            if stream.is_lost {
                prop_assert!(world.removed > 40, "{} removals are remembered", world.removed);
            } else {
                world.check(stream);
            }
        }
        for stream in std::mem::take(&mut world.streams) {
            if !stream.is_lost {
                world.followers.end(stream.id, &mut world.store);
            }
        }
        prop_assert_eq!((world.followers.len(), world.followers.groups.len(), world.store.cursors()), (0, 0, 0));
        prop_assert!(world.followers.areas.is_empty() && world.followers.index.is_empty());
    }
}

#[test]
fn a_change_wakes_only_the_followers_that_it_concerns() {
    let mut world = World::new();
    for operands in OPERANDS {
        world.follow(operands, "");
    }
    world.settle();
    for (id, location, woken) in [
        ("aab", "+10+10", vec!["*", "+0-180 20100", "a*", "aa*", "aab"]),
        ("b", "+0.01+180", vec!["*", "+0+180 10", "+0-180 20100", "b"]),
        ("c", "+89.99+10", vec!["*", "+0-180 20100", "+90+0 2"]),
        ("c", "+0+10", vec!["*", "+0-180 20100", "+90+0 2"]),
        ("c", "+0+10", vec!["*", "+0-180 20100"]),
    ] {
        world.report(id, location);
        let due: BTreeSet<u32> = world.followers.due.iter().map(|(id, _)| id.0).collect();
        let names: BTreeSet<&str> = due.iter().map(|&key| world.streams[key as usize].operands).collect();
        assert_eq!(names, woken.into_iter().collect(), "{id} {location}");
        world.settle();
    }
}

#[test]
fn followers_of_the_same_share_a_group() {
    let mut world = World::new();
    for _ in 0..100 {
        world.follow("a*", "");
        world.follow("aab", "");
    }
    assert_eq!(world.followers.groups.len(), 2);
    world.settle();
    world.report("aab", "+1+1");
    world.report("aab", "+2+2");
    assert_eq!(world.followers.due.len(), 200, "each is woken once");
    world.settle();
    assert!(world.streams.iter().all(|stream| stream.received == ["AT Riley +0.000000000 aab +2+2 2\n"]));
}

#[test]
fn a_follower_that_keeps_up_has_no_cursor() {
    let mut world = World::new();
    let stream = world.follow("a*", "");
    world.settle();
    for _ in 0..3 {
        world.report("a", "+1+1");
        world.report("b", "+1+1");
        world.settle();
        assert_eq!(world.store.cursors(), 0);
    }
    assert_eq!(world.streams[stream].received.len(), 3);
    // More than its group has noted: it is read from the list of changes.
    IDS.iter().for_each(|_| IDS.iter().for_each(|id| world.report(id, "+1+1")));
    world.serve_next();
    assert_eq!(world.store.cursors(), 1);
    world.settle();
    world.report("a", "+1+1");
    world.settle();
    assert_eq!(world.store.cursors(), 0);
    world.check(&world.streams[stream]);
}

#[test]
fn a_client_at_the_border_of_an_area_does_not_come_and_go() {
    let mut world = World::new();
    let stream = world.follow("+0+0 10", "");
    world.settle();
    // 10 km are 0.0899 degrees, 11 km 0.0989.
    for latitude in ["+0.089", "+0.091", "+0.098", "+0.089", "+0.098"] {
        world.report("a", &format!("{latitude}+0"));
        world.settle();
        assert!(world.streams[stream].known.contains_key("a"), "{latitude}");
    }
    world.report("a", "+0.1+0");
    world.settle();
    assert!(world.streams[stream].known.is_empty());
    world.report("a", "+0.098+0");
    world.settle();
    assert!(world.streams[stream].known.is_empty(), "only within the radius it is back");
    // The margin of a small area is 20 m.
    let small = world.follow("+0+0 0", "");
    for (latitude, is_known) in [("+0", true), ("+0.00017", true), ("+0.00019", false), ("+0.00017", false)] {
        world.report("b", &format!("{latitude}+0"));
        world.settle();
        assert_eq!(world.streams[small].known.contains_key("b"), is_known, "{latitude}");
    }
}

#[test]
fn a_follower_that_does_not_read_costs_nothing() {
    let mut world = World::new();
    let slow = world.follow("*", "");
    for round in 0..100 {
        IDS.iter().for_each(|id| world.report(id, "+1+1"));
        for _ in 0..20 {
            world.turn();
        }
        let stream = &world.streams[slow];
        assert!(stream.transport.pending() < 300, "the output is bounded");
        assert!(round == 0 || world.followers.due.is_empty(), "it is not served");
    }
    world.settle();
    world.check(&world.streams[slow]);
    assert!(world.streams[slow].received.len() < 3 * IDS.len(), "changes are coalesced");
}

#[test]
fn a_turn_serves_a_bounded_number_of_followers() {
    let mut world = World::new();
    for _ in 0..1000 {
        world.follow("a", "");
    }
    world.settle();
    world.report("a", "+1+1");
    let most = TURN_WORK / SERVICE_WORK;
    let mut turns = 0;
    loop {
        let before = world.followers.due.len();
        let more = world.turn();
        assert!(before - world.followers.due.len() <= most);
        turns += 1;
        if !more {
            break;
        }
    }
    assert!(turns >= 1000 / most, "{turns}");
}

#[test]
fn removals_that_were_forgotten_cut_a_slow_follower_off() {
    let mut world = World::new();
    let slow = world.follow("*", "");
    let quick = world.follow("a*", "");
    world.settle();
    IDS.iter().for_each(|id| world.report(id, "+1+1"));
    world.turn();
    for round in 0..100 {
        world.report("a", "+1+1");
        world.turn();
        world.read(quick, usize::MAX);
        world.remove("a");
        world.turn();
        world.read(quick, usize::MAX);
        assert!(world.followers.departures.end() > round);
    }
    world.settle();
    assert!(world.streams[slow].is_lost && !world.streams[quick].is_lost);
    world.check(&world.streams[quick]);
}

#[test]
fn many_lengths_of_prefixes_are_found_by_few_searches() {
    let mut index = Index::default();
    let prefixes: Vec<Filter> = (0..100).map(|length| Filter::Prefix(vec![b'x'; length].into())).collect();
    let places: Vec<Place> =
        prefixes.iter().zip(0..).map(|(filter, group)| index.add(filter, GroupId(group))).collect();
    for length in 0..100 {
        let id = vec![b'x'; length];
        let found: Vec<u32> = index.of_id(&id).map(|group| group.0).collect();
        let distinct: BTreeSet<u32> = found.iter().copied().collect();
        assert_eq!(found.len(), distinct.len(), "each occurs once");
        assert!((0..=length as u32).all(|group| distinct.contains(&group)));
    }
    assert!(index.searches() <= 12);
    for ((filter, place), group) in prefixes.iter().zip(places).zip(0..) {
        index.remove(filter, place, GroupId(group));
    }
    assert!(index.is_empty());
}
