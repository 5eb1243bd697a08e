use super::*;
use proptest::prelude::*;

fn report(store: &mut Store, id: &str, time: u64, origin: u32) -> Outcome {
    let line = format!("AT Riley +0.000000000 {id} +1-1 {time}\n");
    store.report(&Statement::parse(line.trim_end().as_bytes()).unwrap(), line.as_bytes(), Origin(origin))
}

/// The next change as text, even if the cursor is still searching for its place.
fn next(store: &mut Store, cursor: Cursor) -> Option<String> {
    for _ in 0..=store.len() + store.cursors() {
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
    store.set_clients_max(2);
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
fn a_record_has_28_bytes_beside_its_line() {
    assert_eq!(size_of::<Record>(), 28);
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
fn a_removed_client_is_forgotten() {
    let mut store = Store::new(3);
    for id in ["a", "b", "c"] {
        report(&mut store, id, 1, 0);
    }
    let (behind, current) = (store.follow(1), store.follow(3));
    assert!(store.remove(b"b") && store.remove(b"c"));
    assert!(!store.remove(b"c") && !store.remove(b"d"));
    assert_eq!((store.len(), store.get(b"b"), store.get(b"c")), (1, None, None));
    assert_eq!(rest(&mut store, behind), [""; 0]);
    assert_eq!((store.seen(behind), store.seen(current)), (3, 3), "no reader waits for a removed change");
    assert_eq!(report(&mut store, "d", 1, 0), Outcome::Stored, "its place is free");
    assert_eq!(report(&mut store, "b", 0, 0), Outcome::Stored, "an older statement than the removed one");
    assert_eq!(report(&mut store, "c", 1, 0), Outcome::Full);
    assert_eq!(rest(&mut store, behind), ["d 1", "b 0"]);
    assert_eq!(rest(&mut store, current), ["d 1", "b 0"]);
}

#[test]
fn the_memory_of_removed_clients_is_used_again() {
    let mut store = Store::new(100);
    let padding = "0".repeat(200);
    for round in 0..20 {
        let ids: Vec<String> = (0..50).map(|client| format!("c{round}-{client}-{padding}")).collect();
        for id in &ids {
            report(&mut store, id, 1, 0);
            let index = store.find(store.hasher.hash(id.as_bytes()), id.as_bytes());
            assert!(index.is_some_and(|index| index < 50), "{index:?}");
        }
        ids.iter().for_each(|id| assert!(store.remove(id.as_bytes())));
    }
    assert!(store.lines.compacted_max > 0, "the lines of removed clients are free");
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
    Report { client: usize, time: u64, padding: usize },
    Remove { client: usize },
    Read { reader: usize, count: usize },
    Resume { reader: usize },
    Follow { reader: usize, since: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let client = || prop_oneof![0..4usize, 0..120usize];
    prop_oneof![
        8 => (client(), 0..40u64, prop_oneof![0..8usize, 0..300usize])
            .prop_map(|(client, time, padding)| Step::Report { client, time, padding }),
        4 => client().prop_map(|client| Step::Remove { client }),
        4 => (0..4usize, 0..6usize).prop_map(|(reader, count)| Step::Read { reader, count }),
        1 => (0..4usize).prop_map(|reader| Step::Resume { reader }),
        1 => (0..4usize, 0..400u64).prop_map(|(reader, since)| Step::Follow { reader, since }),
    ]
}

/// A naive store: the changes in their order.
#[derive(Default)]
struct Model {
    sequence: u64,
    /// ID, line and sequence number of each client's newest change.
    changes: Vec<(String, String, u64)>,
}

impl Model {
    /// The first change after this number.
    fn next(&self, seen: u64) -> Option<(&String, u64)> {
        self.changes.iter().find(|change| change.2 > seen).map(|change| (&change.1, change.2))
    }
}

proptest! {
    /// Against a model: whatever the order of reports, removals, reads and resumed cursors, while table,
    /// records and lines grow, shrink and are compacted, the store has the content of the model, and each
    /// reader gets exactly the changes after its cursor.
    #[test]
    fn a_reader_ends_with_the_content_of_the_store(steps in proptest::collection::vec(step(), 1..500)) {
        let mut store = Store::new(100);
        let mut model = Model::default();
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
            match step {
                Step::Report { client, time, padding } => {
                    let id = format!("c{client}");
                    let line = format!("AT Riley +0.000000000 {id} +1.0{}-1 {time}\n", "0".repeat(padding));
                    let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
                    let known = model.changes.iter().position(|change| change.0 == id);
                    let expected = match known {
                        Some(known) if statement.wins_over(&self::statement(model.changes[known].1.as_bytes()).unwrap()) => {
                            model.changes.remove(known);
                            Outcome::Stored
                        }
                        Some(_) => Outcome::Lost,
                        None if model.changes.len() == 100 => Outcome::Full,
                        None => Outcome::Stored,
                    };
                    prop_assert_eq!(store.report(&statement, line.as_bytes(), Origin::CLIENT), expected);
                    if expected == Outcome::Stored {
                        model.sequence += 1;
                        model.changes.push((id, line, model.sequence));
                    }
                }
                Step::Remove { client } => {
                    let id = format!("c{client}");
                    let known = model.changes.iter().position(|change| change.0 == id);
                    prop_assert_eq!(store.remove(id.as_bytes()), known.is_some());
                    known.map(|known| model.changes.remove(known));
                    prop_assert_eq!(store.get(id.as_bytes()), None);
                }
                Step::Read { reader, count } => read(&mut store, &model, &mut readers[reader], count),
                Step::Resume { reader } => {
                    let seen = store.seen(readers[reader].0);
                    store.unfollow(readers[reader].0);
                    readers[reader].0 = store.follow(seen);
                }
                Step::Follow { reader, since } => {
                    store.unfollow(readers[reader].0);
                    let seen = if since > model.sequence { 0 } else { since };
                    readers[reader] = (store.follow(since), seen);
                }
            }
            prop_assert_eq!((store.len(), store.sequence()), (model.changes.len(), model.sequence));
        }
        for (id, line, _) in &model.changes {
            prop_assert_eq!(store.get(id.as_bytes()), Some(line.as_bytes()));
        }
        for reader in &mut readers {
            read(&mut store, &model, reader, usize::MAX);
            prop_assert_eq!(store.seen(reader.0), store.sequence());
        }
        prop_assert!(store.lines.compacted_max <= arena::PORTION + 400);
        prop_assert!(store.list.passed_max <= list::SEARCH_STEP);
    }
}
