use super::sweep::{GROUP, LOOKED_AT_MAX, Oldest, REMOVED_MAX};
use super::*;
use proptest::prelude::*;

fn report(store: &mut Store, id: &str, time: u64, origin: u32) -> Outcome {
    let line = format!("AT Riley +0.000000000 {id} +1-1 {time}\n");
    store.report(&Statement::parse(line.trim_end().as_bytes()).unwrap(), line.as_bytes(), Origin(origin))
}

/// Reports a GONE whose server time is its time.
fn forget(store: &mut Store, id: &str, time: u64) -> Outcome {
    let line = format!("GONE Riley +0.000000000 {id} {time}.000000000\n");
    store.report(&Statement::parse(line.trim_end().as_bytes()).unwrap(), line.as_bytes(), Origin::CLIENT)
}

/// Sets the clock to this second.
fn at(store: &mut Store, second: u64) {
    store.set_time(second * 1_000_000_000);
}

/// The rest of a pass that has begun, and a whole one. Returns the removed clients.
fn sweep(store: &mut Store) -> Vec<String> {
    let mut removed = Vec::new();
    for _ in 0..2 {
        while store.sweep(|gone| removed.push(String::from_utf8(gone.id.to_vec()).unwrap())) {}
    }
    removed
}

/// The next change as text, even if the cursor is still searching for its place.
fn next(store: &mut Store, cursor: Cursor) -> Option<String> {
    for _ in 0..=store.records() + store.cursors() {
        if let Some(change) = store.next_change(cursor) {
            return Some(String::from_utf8(change.line.to_vec()).unwrap());
        }
        if store.seen(cursor) == store.sequence() {
            return None;
        }
    }
    panic!("the cursor does not find its place");
}

fn rest(store: &mut Store, cursor: Cursor) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = next(store, cursor) {
        let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
        lines.push(format!("{} {}", statement.id.escape_ascii(), statement.time_text.escape_ascii()));
    }
    lines
}

#[test]
fn only_a_newer_statement_is_stored() {
    let mut store = Store::new(10);
    assert_eq!(store.get(b"kiwi"), None);
    assert_eq!(report(&mut store, "kiwi", 5, 0), Outcome::Stored);
    assert_eq!(report(&mut store, "kiwi", 4, 0), Outcome::Lost);
    assert_eq!(report(&mut store, "kiwi", 5, 0), Outcome::Lost);
    assert_eq!(store.get(b"kiwi").unwrap(), b"AT Riley +0.000000000 kiwi +1-1 5\n");
    assert_eq!(report(&mut store, "kiwi", 1_000_000, 0), Outcome::Stored);
    assert_eq!(store.get(b"kiwi").unwrap(), b"AT Riley +0.000000000 kiwi +1-1 1000000\n");
    assert_eq!((store.len(), store.sequence()), (1, 2));
}

#[test]
fn a_full_store_rejects_new_clients_and_updates_known_ones() {
    let mut store = Store::new(1);
    report(&mut store, "a", 1, 0);
    assert_eq!(report(&mut store, "b", 1, 0), Outcome::Full);
    assert_eq!(report(&mut store, "a", 2, 0), Outcome::Stored);
    store.set_records_max(2);
    assert_eq!(report(&mut store, "b", 1, 0), Outcome::Stored);
}

#[test]
fn a_cursor_returns_each_client_once_in_the_order_of_changes() {
    let mut store = Store::new(10);
    for (id, time) in [("a", 1), ("b", 1), ("c", 1), ("a", 2)] {
        report(&mut store, id, time, 0);
    }
    let cursor = store.follow(0);
    assert_eq!(rest(&mut store, cursor), ["b 1", "c 1", "a 2"]);
    assert_eq!(store.seen(cursor), 4);
    report(&mut store, "a", 3, 7);
    assert_eq!(store.next_change(cursor).unwrap().origin, Origin(7));
    assert_eq!(store.next_change(cursor), None);
    let resumed = store.follow(3);
    assert_eq!(rest(&mut store, resumed), ["a 3"]);
    let impossible = store.follow(6);
    assert_eq!(rest(&mut store, impossible).len(), 3, "a number above the newest change counts as 0");
}

#[test]
fn a_cursor_survives_moves_of_the_record_before_it() {
    let mut store = Store::new(10);
    for id in ["a", "b", "c"] {
        report(&mut store, id, 1, 0);
    }
    let cursor = store.follow(0);
    store.next_change(cursor);
    store.next_change(cursor);
    report(&mut store, "b", 2, 0);
    report(&mut store, "a", 2, 0);
    assert_eq!(store.seen(cursor), 2);
    assert_eq!(rest(&mut store, cursor), ["c 1", "b 2", "a 2"]);
}

#[test]
fn a_record_has_32_bytes_beside_its_line() {
    assert_eq!(size_of::<Record>(), 32);
    assert!(size_of::<Oldest>() <= 8, "for each group of records");
}

#[test]
fn lines_are_compacted_while_they_change() {
    let mut store = Store::new(1000);
    let cursor = store.follow(0);
    for round in 1..200_u64 {
        // In the last rounds the lines stay as long as they are, and compaction catches up.
        let zeros = "0".repeat((round.min(150) * 37 % 1000) as usize);
        for client in 0..100 {
            let id = format!("client-{client}");
            let line = format!("AT Riley +0.000000000 {id} +1.0{zeros}-1 {round}\n");
            let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
            assert_eq!(store.report(&statement, line.as_bytes(), Origin::CLIENT), Outcome::Stored);
        }
    }
    assert!(!store.lines.is_sparse());
    assert!(store.lines.compacted_max > 0 && store.lines.compacted_max < arena::PORTION + 1100);
    assert_eq!(rest(&mut store, cursor).len(), 100);
    assert!(store.get(b"client-99").unwrap().ends_with(b"-1 199\n"));
}

#[test]
fn a_removed_cursor_leaves_nothing() {
    let mut store = Store::new(10);
    let cursors: Vec<Cursor> = (0..3).map(|_| store.follow(0)).collect();
    cursors.into_iter().for_each(|cursor| store.unfollow(cursor));
    assert!(store.cursors() == 0);
}

#[test]
fn a_forgotten_client_is_unknown_until_a_greater_time() {
    let mut store = Store::new(10);
    report(&mut store, "kiwi", 5, 0);
    let cursor = store.follow(1);
    assert_eq!(forget(&mut store, "kiwi", 5), Outcome::Stored, "at equal times a GONE wins");
    assert_eq!((store.get(b"kiwi"), store.statement(b"kiwi")), (None, None));
    assert_eq!(store.newest(b"kiwi").unwrap(), b"GONE Riley +0.000000000 kiwi 5.000000000\n");
    assert_eq!((store.len(), store.records(), store.sequence()), (0, 1, 2));
    assert!(store.next_change(cursor).unwrap().is_gone, "a cursor returns it like any other change");
    assert_eq!(report(&mut store, "kiwi", 5, 0), Outcome::Lost);
    assert_eq!(report(&mut store, "kiwi", 6, 0), Outcome::Stored);
    assert!(store.get(b"kiwi").is_some() && !store.next_change(cursor).unwrap().is_gone);
    assert_eq!((store.len(), store.records()), (1, 1));
    assert_eq!(forget(&mut store, "kiwi", 5), Outcome::Lost);
    assert_eq!(forget(&mut store, "plum", 5), Outcome::Stored, "its AT may arrive later");
    assert_eq!((store.len(), store.records()), (1, 2));
}

#[test]
fn tombstones_count_towards_the_limit_of_records() {
    let mut store = Store::new(2);
    report(&mut store, "a", 1, 0);
    forget(&mut store, "a", 1);
    forget(&mut store, "b", 1);
    assert_eq!((store.len(), store.has_room_for(b"a"), store.has_room_for(b"c")), (0, true, false));
    assert_eq!(report(&mut store, "c", 1, 0), Outcome::Full);
    assert_eq!(forget(&mut store, "c", 1), Outcome::Full);
    assert_eq!(report(&mut store, "a", 2, 0), Outcome::Stored);
}

#[test]
fn a_statement_that_is_over_counts_as_unknown_before_it_is_swept() {
    let mut store = Store::new(10);
    store.set_retention(Retention { at_s: 10, gone_s: 20 });
    at(&mut store, 100);
    report(&mut store, "a", 100, 0);
    forget(&mut store, "b", 100);
    let cursor = store.follow(0);
    at(&mut store, 110);
    assert!(store.get(b"a").is_some(), "no further in the past than that");
    store.set_time(110_000_000_001);
    assert_eq!((store.get(b"a"), store.statement(b"a"), store.newest(b"a")), (None, None, None));
    assert!(store.newest(b"b").is_some(), "the retention of an AT does not apply to a GONE");
    assert_eq!(rest(&mut store, cursor), ["b 100.000000000"], "a cursor skips it");
    assert_eq!(report(&mut store, "a", 100, 0), Outcome::Over, "it is not stored when it is received");
    let older = "AT Riley +100.000000000 a +1-1 5\n";
    let statement = Statement::parse(older.trim_end().as_bytes()).unwrap();
    at(&mut store, 112);
    assert_eq!(
        store.report(&statement, older.as_bytes(), Origin::CLIENT),
        Outcome::Stored,
        "it wins no more"
    );
    assert_eq!(report(&mut store, "b", 99, 0), Outcome::Over);
    at(&mut store, 121);
    assert_eq!(store.newest(b"b"), None);
    assert_eq!(forget(&mut store, "b", 100), Outcome::Over);
    assert_eq!(store.records(), 2, "nothing was swept");
    store.set_retention(Retention::default());
    assert!(store.newest(b"b").is_some(), "without a retention statements count for ever");
}

#[test]
fn a_sweep_removes_what_is_over_and_names_it_before() {
    let mut store = Store::new(100);
    store.set_retention(Retention { at_s: 10, gone_s: 20 });
    at(&mut store, 100);
    assert!(!store.must_sweep());
    for client in 0..40 {
        report(&mut store, &format!("c{client}"), 100 + client % 4, 0);
    }
    forget(&mut store, "c1", 200);
    assert!(store.must_sweep());
    let (behind, current) = (store.follow(1), store.follow(41));
    at(&mut store, 112);
    let mut removed = Vec::new();
    let mut calls = 0;
    while store.sweep(|gone| {
        assert!(gone.line.starts_with(b"AT ") && gone.line.windows(gone.id.len()).any(|id| id == gone.id));
        removed.push((String::from_utf8(gone.id.to_vec()).unwrap(), gone.is_gone));
    }) {
        assert!(removed.len() <= (calls + 1) * (REMOVED_MAX + GROUP as usize - 1));
        calls += 1;
    }
    assert!(calls >= 40 / LOOKED_AT_MAX, "{calls}");
    let expected: Vec<(String, bool)> = (0..40)
        .filter(|client| client % 4 < 2 && *client != 1)
        .map(|client| (format!("c{client}"), false))
        .collect();
    assert_eq!(removed, expected);
    assert_eq!((store.len(), store.records(), store.get(b"c0")), (20, 21, None));
    assert_eq!(rest(&mut store, behind).len(), 21);
    assert_eq!(rest(&mut store, current), [""; 0], "no reader waits for a removed change");
    assert_eq!(store.seen(current), 41);
    assert_eq!(sweep(&mut store), [""; 0]);
    at(&mut store, 221);
    assert_eq!(sweep(&mut store).len(), 21);
    assert_eq!((store.records(), store.must_sweep()), (0, false));
}

#[test]
fn the_exact_server_time_decides_in_the_last_second() {
    let mut store = Store::new(100);
    store.set_retention(Retention { at_s: 10, gone_s: 10 });
    store.set_time(100_500_000_000);
    for (id, skew) in [
        ("a", "+0.000000000"),
        ("b", "+0.000000001"),
        ("c", "-200.000000000"),
        ("d", "+9999999999.000000000"),
    ] {
        let line = format!("AT Riley {skew} {id} +1-1 90.500000000\n");
        let outcome = store.report(&statement(line.as_bytes()).unwrap(), line.as_bytes(), Origin::CLIENT);
        assert_eq!(outcome, if id == "c" { Outcome::Over } else { Outcome::Stored });
    }
    store.set_time(100_500_000_001);
    assert_eq!((store.get(b"a"), store.get(b"b").is_some()), (None, true));
    assert_eq!(sweep(&mut store), ["a"]);
    store.set_time(100_500_000_002);
    assert_eq!(sweep(&mut store), ["b"]);
    // 584 years after 1970, and the last second that a record can have.
    store.set_time(u64::MAX);
    assert_eq!(store.get(b"d").is_some(), i64::MAX / 1_000_000_000 - 10 < 9_999_999_999 + 90);
}

#[test]
fn the_memory_of_removed_clients_is_used_again() {
    let mut store = Store::new(100);
    store.set_retention(Retention { at_s: 10, gone_s: 10 });
    let padding = "0".repeat(200);
    for round in 0..20 {
        at(&mut store, 100 * round);
        let ids: Vec<String> = (0..50).map(|client| format!("c{round}-{client}-{padding}")).collect();
        for id in &ids {
            report(&mut store, id, 100 * round, 0);
            let index = store.find(store.hasher.hash(id.as_bytes()), id.as_bytes());
            assert!(index.is_some_and(|index| index < 50), "{index:?}");
        }
        at(&mut store, 100 * round + 50);
        assert_eq!(sweep(&mut store).len(), 50);
    }
    assert!(store.lines.compacted_max > 0, "the lines of removed clients are free");
}

#[test]
fn a_cursor_passes_changes_that_are_over_in_bounded_steps() {
    let mut store = Store::new(100);
    store.set_retention(Retention { at_s: 10, gone_s: 10 });
    at(&mut store, 100);
    for client in 0..20 {
        report(&mut store, &format!("c{client}"), 100 + client / 19, 0);
    }
    let cursor = store.follow(0);
    store.set_time(110_500_000_000);
    let mut calls = 0;
    while store.next_change(cursor).is_none() {
        calls += 1;
        assert_eq!(store.seen(cursor), calls * PASSED_MAX as u64);
    }
    assert_eq!((calls, store.seen(cursor)), (19 / PASSED_MAX as u64, 20));
}

#[test]
fn a_cursor_searches_its_place_in_bounded_steps() {
    let mut store = Store::new(100);
    for client in 0..100 {
        report(&mut store, &format!("c{client}"), 1, 0);
    }
    let cursor = store.follow(10);
    let mut calls = 0;
    while store.next_change(cursor).is_none() {
        assert_eq!(store.seen(cursor), 10, "until the place is found, the reader has what it had");
        // Records that move meanwhile are after the cursor, wherever they were.
        report(&mut store, &format!("c{}", calls % 100), 2 + calls, 0);
        calls += 1;
    }
    assert!(calls >= 90 / 2 / list::SEARCH_STEP as u64, "{calls}");
    assert_eq!(store.list.passed_max, list::SEARCH_STEP);
    let at_end = store.follow(store.sequence());
    assert_eq!(store.next_change(at_end), None);
    assert_eq!(store.seen(at_end), store.sequence());
}

#[test]
fn a_record_that_moves_costs_nothing_for_cursors_elsewhere() {
    let mut store = Store::new(1000);
    for client in 0..1000 {
        report(&mut store, &format!("c{client}"), 1, 0);
    }
    let cursors: Vec<Cursor> = (0..100).map(|_| store.follow(0)).collect();
    for (steps, &cursor) in cursors.iter().enumerate() {
        (0..steps).for_each(|_| drop(next(&mut store, cursor)));
    }
    report(&mut store, "c50", 2, 0);
    for (steps, &cursor) in cursors.iter().enumerate() {
        assert_eq!(store.seen(cursor), steps as u64);
        let first = if steps == 50 { 51 } else { steps };
        assert!(next(&mut store, cursor).unwrap().contains(&format!(" c{first} ")));
    }
}

/// A step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Report { client: usize, time: u64, padding: usize, late: u64 },
    Forget { client: usize, time: u64, late: u64 },
    Wait { ms: u64 },
    SetBack { ms: u64 },
    Sweep,
    Read { reader: usize, count: usize },
    Resume { reader: usize },
    Follow { reader: usize, since: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let client = || prop_oneof![0..4usize, 0..120usize];
    prop_oneof![
        16 => (client(), 0..40u64, prop_oneof![0..8usize, 0..300usize], 0..12_000u64)
            .prop_map(|(client, time, padding, late)| Step::Report { client, time, padding, late }),
        4 => (client(), 0..40u64, 0..22_000u64).prop_map(|(client, time, late)| Step::Forget { client, time, late }),
        3 => (0..3000u64).prop_map(|ms| Step::Wait { ms }),
        1 => (0..3000u64).prop_map(|ms| Step::SetBack { ms }),
        4 => Just(Step::Sweep),
        8 => (0..4usize, 0..6usize).prop_map(|(reader, count)| Step::Read { reader, count }),
        2 => (0..4usize).prop_map(|reader| Step::Resume { reader }),
        2 => (0..4usize, 0..400u64).prop_map(|(reader, since)| Step::Follow { reader, since }),
    ]
}

/// The retention of the model, in milliseconds: of an AT, of a GONE.
const MODEL_RETENTION_MS: (u64, u64) = (10_000, 20_000);

/// A change of the naive store.
#[derive(Clone, Debug)]
struct ModelChange {
    id: String,
    line: String,
    sequence: u64,
    received_ms: u64,
}

/// A naive store: the changes in their order.
#[derive(Default)]
struct Model {
    now_ms: u64,
    sequence: u64,
    /// Each client's newest change.
    changes: Vec<ModelChange>,
}

impl Model {
    fn is_over(&self, line: &str, received_ms: u64) -> bool {
        let retention = if line.starts_with("GONE ") { MODEL_RETENTION_MS.1 } else { MODEL_RETENTION_MS.0 };
        received_ms + retention < self.now_ms
    }

    /// The first change after this number that is not over.
    fn next(&self, seen: u64) -> Option<(&String, u64)> {
        let mut changes =
            self.changes.iter().filter(|change| !self.is_over(&change.line, change.received_ms));
        changes.find(|change| change.sequence > seen).map(|change| (&change.line, change.sequence))
    }

    fn report(&mut self, id: String, line: String, received_ms: u64) -> Outcome {
        if self.is_over(&line, received_ms) {
            return Outcome::Over;
        }
        let statement = |line: &'static str| Statement::parse(line.trim_end().as_bytes()).unwrap();
        let wins = |known: &ModelChange| {
            self.is_over(&known.line, known.received_ms)
                || statement(line.clone().leak()).wins_over(&statement(known.line.clone().leak()))
        };
        match self.changes.iter().position(|change| change.id == id) {
            Some(known) if !wins(&self.changes[known]) => return Outcome::Lost,
            Some(known) => drop(self.changes.remove(known)),
            None if self.changes.len() == 100 => return Outcome::Full,
            None => {}
        }
        self.sequence += 1;
        self.changes.push(ModelChange { id, line, sequence: self.sequence, received_ms });
        Outcome::Stored
    }
}

/// The skew of a statement that was received then, in milliseconds.
fn skew(received_ms: u64, time_ms: u64) -> String {
    let size = received_ms.abs_diff(time_ms);
    let sign = if received_ms < time_ms { '-' } else { '+' };
    format!("{sign}{}.{:03}000000", size / 1000, size % 1000)
}

proptest! {
    /// Against a model: whatever the order of reports, removals, reads and resumed cursors, while table,
    /// records and lines grow, shrink and are compacted and the clock moves in both directions, the store has the
    /// content of the model, and each reader gets exactly the changes after its cursor.
    #[test]
    fn a_reader_ends_with_the_content_of_the_store(steps in proptest::collection::vec(step(), 1..500)) {
        let mut store = Store::new(100);
        store.set_retention(Retention { at_s: 10, gone_s: 20 });
        let mut model = Model { now_ms: 100_000, ..Model::default() };
        let mut readers: Vec<(Cursor, u64)> = (0..4).map(|_| (store.follow(0), 0)).collect();
        let read = |store: &mut Store, model: &Model, reader: &mut (Cursor, u64), at_most: usize| {
            for _ in 0..at_most {
                let line = next(store, reader.0);
                let expected = model.next(reader.1);
                assert_eq!(line.as_ref(), expected.map(|(line, _)| line));
                reader.1 = expected.map_or(model.sequence, |(_, sequence)| sequence);
                assert_eq!(store.seen(reader.0), reader.1);
                if line.is_none() {
                    break;
                }
            }
        };
        for step in steps {
            store.set_time(model.now_ms * 1_000_000);
            let (id, line, received) = match step {
                Step::Report { client, time, padding, late } => {
                    let (id, zeros) = (format!("c{client}"), "0".repeat(padding));
                    let received = model.now_ms - late;
                    let skew = skew(received, time * 1000);
                    let line = format!("AT Riley {skew} {id} +1.0{zeros}-1 {time}\n");
                    (id, line, received)
                }
                Step::Forget { client, time, late } => {
                    let (id, received) = (format!("c{client}"), model.now_ms - late);
                    let line = format!("GONE Riley {} {id} {time}.000000000\n", skew(received, time * 1000));
                    (id, line, received)
                }
                Step::Wait { ms } => {
                    model.now_ms += ms;
                    continue;
                }
                Step::SetBack { ms } => {
                    model.now_ms = model.now_ms.saturating_sub(ms).max(100_000);
                    continue;
                }
                Step::Sweep => {
                    let mut removed = Vec::new();
                    store.sweep(|gone| {
                        removed.push((gone.id.to_vec(), gone.line.to_vec(), gone.is_gone));
                    });
                    for (id, line, is_gone) in removed {
                        let known = model.changes.iter().position(|change| change.id.as_bytes() == id);
                        let known = model.changes.remove(known.expect("a record of the model"));
                        prop_assert!(model.is_over(&known.line, known.received_ms));
                        prop_assert_eq!((known.line.as_bytes(), known.line.starts_with('G')), (&line[..], is_gone));
                        prop_assert_eq!(store.newest(&id), None);
                    }
                    continue;
                }
                Step::Read { reader, count } => {
                    read(&mut store, &model, &mut readers[reader], count);
                    continue;
                }
                Step::Resume { reader } => {
                    let seen = store.seen(readers[reader].0);
                    store.unfollow(readers[reader].0);
                    readers[reader].0 = store.follow(seen);
                    continue;
                }
                Step::Follow { reader, since } => {
                    store.unfollow(readers[reader].0);
                    let seen = if since > model.sequence { 0 } else { since };
                    readers[reader] = (store.follow(since), seen);
                    continue;
                }
            };
            let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
            let outcome = store.report(&statement, line.as_bytes(), Origin::CLIENT);
            prop_assert_eq!(outcome, model.report(id, line.clone(), received));
            let tombstones = model.changes.iter().filter(|change| change.line.starts_with('G')).count();
            prop_assert_eq!((store.records(), store.sequence()), (model.changes.len(), model.sequence));
            prop_assert_eq!(store.len(), model.changes.len() - tombstones);
        }
        store.set_time(model.now_ms * 1_000_000);
        for change in &model.changes {
            let shown = (!model.is_over(&change.line, change.received_ms)).then_some(change.line.as_bytes());
            prop_assert_eq!(store.newest(change.id.as_bytes()), shown);
            prop_assert_eq!(store.get(change.id.as_bytes()), shown.filter(|line| line.starts_with(b"AT ")));
        }
        for reader in &mut readers {
            read(&mut store, &model, reader, usize::MAX);
            prop_assert_eq!(store.seen(reader.0), store.sequence());
        }
        sweep(&mut store);
        let left = model.changes.iter().filter(|change| !model.is_over(&change.line, change.received_ms));
        prop_assert_eq!(store.records(), left.count(), "a whole pass leaves nothing that is over");
        prop_assert!(store.lines.compacted_max <= arena::PORTION + 400);
        prop_assert!(store.list.passed_max <= list::SEARCH_STEP);
    }
}

/// Loads a statement. Returns whether it found room.
fn load(loading: &mut Loading, store: &mut Store, id: &str, time: u64, number: u64) -> bool {
    let line = format!("AT Riley +0.200000000 {id} +1-1 {time}\n");
    let statement = Statement::parse(&line.as_bytes()[..line.len() - 1]).unwrap();
    let change = Loaded { statement, line: line.as_bytes(), number };
    loading.load(store, [change].into_iter()) == 0
}

/// The changes after `since`: their numbers and clients.
fn changes_after(store: &mut Store, since: u64) -> Vec<(u64, String)> {
    let cursor = store.follow(since);
    let mut found = Vec::new();
    while store.seen(cursor) < store.sequence() {
        let Some(change) = store.next_change(cursor) else { continue };
        let id = change.line.split(|&byte| byte == b' ').nth(3).unwrap();
        found.push((change.sequence, String::from_utf8(id.to_vec()).unwrap()));
    }
    store.unfollow(cursor);
    found
}

#[test]
fn loaded_statements_keep_their_numbers_and_their_order() {
    let mut store = Store::new(3);
    let mut loading = Loading::begin(&mut store, 2);
    assert!(load(&mut loading, &mut store, "a", 5, 10));
    assert!(load(&mut loading, &mut store, "b", 5, 20));
    assert!(load(&mut loading, &mut store, "a", 5, 10), "it stands in two files");
    assert!(load(&mut loading, &mut store, "a", 4, 30));
    assert_eq!(store.sequence(), 30, "no number of the files is used again");
    assert!(load(&mut loading, &mut store, "a", 6, 40));
    assert!(load(&mut loading, &mut store, "c", 6, 15));
    assert_eq!(store.sequence(), 41, "a number out of order is replaced by a later one");
    assert!(!load(&mut loading, &mut store, "d", 6, 50), "the store is full");
    loading.finish(&mut store, 0);
    assert_eq!(store.sequence(), 50);
    let found = changes_after(&mut store, 20);
    assert_eq!(found, [(40, "a".into()), (41, "c".into())], "a reader that has the changes up to 20");
}

#[test]
fn what_is_loaded_beside_clients_stands_before_what_they_report() {
    let mut store = Store::new(100);
    let mut loading = Loading::begin(&mut store, 10);
    load(&mut loading, &mut store, "a", 5, 10);
    loading.serve_beside(&mut store, 50);
    let report = |store: &mut Store, id: &str, time: u64| {
        let line = format!("AT Riley +0.200000000 {id} +1-1 {time}\n");
        let statement = Statement::parse(&line.as_bytes()[..line.len() - 1]).unwrap();
        store.report(&statement, line.as_bytes(), Origin::CLIENT)
    };
    let reader = store.follow(50);
    for id in ["b", "c", "d"] {
        assert_eq!(report(&mut store, id, 7), Outcome::Stored);
    }
    assert_eq!(store.next_change(reader).unwrap().sequence, 51);
    for (id, time, number) in [("e", 5, 20), ("b", 9, 30), ("c", 6, 40), ("f", 5, 45), ("g", 5, 50)] {
        assert!(load(&mut loading, &mut store, id, time, number));
    }
    assert_eq!(store.sequence(), 53);
    assert_eq!(report(&mut store, "e", 8), Outcome::Stored);
    loading.finish(&mut store, 50);
    let all: Vec<_> = [(10, "a"), (30, "b"), (45, "f"), (50, "g"), (52, "c"), (53, "d"), (54, "e")]
        .map(|(number, id)| (number, id.to_owned()))
        .into();
    assert_eq!(changes_after(&mut store, 0), all);
    assert_eq!(changes_after(&mut store, 30), all[2..]);
    let mut rest = Vec::new();
    while let Some(change) = store.next_change(reader) {
        rest.push(change.sequence);
    }
    assert_eq!(rest, [52, 53, 54], "a reader of what clients report gets nothing that is loaded");
    assert_eq!(store.cursors(), 1);
}
