use std::sync::{Arc, Mutex};

use super::disk::Folder;
use super::testing::MemoryFolder;
use super::*;
use crate::text::peer_line::Epoch;

fn line(number: u64) -> String {
    format!("AT Riley +0.200000000 client{number} +34-118 {number}\n")
}

fn add(batch: &mut Vec<u8>, number: u64) {
    Frame { number, content: line(number).as_bytes() }.write(batch);
}

fn note(batch: &mut Vec<u8>, is_end: bool, sequence: u64) {
    let positions = vec![Position { name: "Jaquez".into(), epoch: Epoch(7), received: 10 * sequence }];
    let mut content = Vec::new();
    State { is_end, epoch: Epoch(5), sequence, positions }.write(&mut content);
    Frame { number: 0, content: &content }.write(batch);
}

/// A writer, and a batch of it.
fn writer(folder: &MemoryFolder) -> Batch {
    let writer = Writer::new(Box::new(folder.clone()), "graders", "Riley", 0);
    Batch::new(Arc::new(Mutex::new(writer)))
}

/// Has the batch carried out.
fn carry_out(batch: &mut Batch) -> Result<(), String> {
    batch.write();
    batch.take_outcome().map_err(|failure| failure.to_string())
}

fn begin(batch: &mut Batch, generation: u64, with_snapshot: bool) {
    (batch.begins, batch.begins_snapshot) = (Some(generation), with_snapshot);
}

/// What is read: the numbers of the changes, and the rest.
fn read_all(folder: &MemoryFolder) -> (Vec<u64>, Reading) {
    let mut numbers = Vec::new();
    let reading = read(folder, "graders", "Riley", |frame| {
        assert_eq!(frame.content, line(frame.number).as_bytes(), "each record is one that was written");
        numbers.push(frame.number);
    });
    (numbers, reading.unwrap())
}

/// A store with a snapshot and two logs, that has ended in order.
fn complete() -> MemoryFolder {
    let folder = MemoryFolder::default();
    let mut batch = writer(&folder);
    begin(&mut batch, 1, false);
    (1..=3).for_each(|number| add(&mut batch.log, number));
    carry_out(&mut batch).unwrap();
    begin(&mut batch, 2, true);
    (1..=3).for_each(|number| add(&mut batch.snapshot, number));
    (4..=5).for_each(|number| add(&mut batch.log, number));
    note(&mut batch.log, false, 5);
    batch.completes = true;
    carry_out(&mut batch).unwrap();
    begin(&mut batch, 3, true);
    (6..=9).for_each(|number| add(&mut batch.log, number));
    note(&mut batch.log, true, 9);
    batch.ends = true;
    carry_out(&mut batch).unwrap();
    folder
}

#[test]
fn what_was_written_is_read_in_order() {
    let folder = complete();
    assert_eq!(folder.names(), ["00000002.log", "00000002.snapshot", "00000003.log", "00000003.new"]);
    let (numbers, reading) = read_all(&folder);
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!((reading.generation, reading.logs), (3, 2));
    let end = reading.end().unwrap();
    assert_eq!((end.epoch, end.sequence, end.positions[0].received), (Epoch(5), 9, 90));
}

#[test]
fn a_server_that_was_started_again_has_not_ended_in_order() {
    let folder = complete();
    let writer = Writer::new(Box::new(folder.clone()), "graders", "Riley", 3);
    let mut batch = Batch::new(Arc::new(Mutex::new(writer)));
    begin(&mut batch, 4, false);
    carry_out(&mut batch).unwrap();
    let (_, reading) = read_all(&folder);
    assert_eq!((reading.end(), reading.damage.len()), (None, 0));
    assert_eq!(reading.state.unwrap().positions[0].received, 90, "the records are there all the same");
}

#[test]
fn a_log_that_is_cut_anywhere_has_what_stands_before() {
    let folder = complete();
    let whole = folder.files()["00000003.log"].clone();
    for length in 0..whole.len() {
        folder.put("00000003.log", whole[..length].to_vec());
        let (numbers, reading) = read_all(&folder);
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert!(numbers.len() >= 5 && reading.end().is_none(), "cut at {length}");
        assert!(reading.state.is_some(), "the positions of the log before are good");
        assert!(
            reading
                .damage
                .iter()
                .all(|damage| matches!(damage.problem, Problem::Torn { bytes } if bytes > 0)),
            "cut at {length}: {:?}",
            reading.damage
        );
    }
}

#[test]
fn zeros_after_the_last_record_are_no_damage() {
    let folder = complete();
    let mut longer = folder.files()["00000003.log"].clone();
    longer.extend_from_slice(&[0; 5000]);
    folder.put("00000003.log", longer);
    let (numbers, reading) = read_all(&folder);
    assert_eq!((numbers.len(), reading.damage.len()), (9, 0));
}

#[test]
fn a_flipped_bit_anywhere_costs_one_record_and_is_noticed() {
    let folder = complete();
    for (name, whole) in folder.files() {
        if name.ends_with(".new") {
            continue;
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            folder.put(&name, bytes);
            let (numbers, reading) = read_all(&folder);
            assert!(numbers.len() >= 8, "{name} at {at}: {numbers:?}");
            assert_eq!(reading.damage.len(), 1, "{name} at {at}");
            assert_eq!((&reading.damage[0].file, reading.end()), (&name, None));
        }
        folder.put(&name, whole);
    }
}

#[test]
fn sectors_of_zeros_are_noticed() {
    let folder = complete();
    let whole = folder.files()["00000002.log"].clone();
    for at in 0..whole.len() - 64 {
        let mut bytes = whole.clone();
        bytes[at..at + 64].fill(0);
        folder.put("00000002.log", bytes);
        let (_, reading) = read_all(&folder);
        assert_eq!(reading.damage.len(), 1, "at {at}");
    }
}

#[test]
fn notes_after_damage_are_not_trusted() {
    let folder = complete();
    let mut bytes = folder.files()["00000002.snapshot"].clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    folder.put("00000002.snapshot", bytes);
    let (numbers, reading) = read_all(&folder);
    assert_eq!((numbers.len(), reading.state), (8, None));
}

#[test]
fn missing_files_are_noticed() {
    for name in ["00000002.snapshot", "00000002.log"] {
        let folder = complete();
        folder.remove(name).unwrap();
        let (_, reading) = read_all(&folder);
        let missing = Damage { file: name.into(), problem: Problem::Missing };
        assert_eq!((reading.damage, reading.state), (vec![missing], None));
    }
}

#[test]
fn a_file_that_is_cut_between_two_records_is_noticed() {
    for name in ["00000002.snapshot", "00000002.log"] {
        let folder = complete();
        let whole = folder.files()[name].clone();
        let mut length = 0;
        while let Front::Frame(_, frame) = Frame::read(&whole[length..]) {
            folder.put(name, whole[..length].to_vec());
            let (_, reading) = read_all(&folder);
            let files: Vec<&str> = reading.damage.iter().map(|damage| &*damage.file).collect();
            assert_eq!((files, reading.state), (vec![name], None), "{name} is cut to {length} bytes");
            length += frame;
        }
        assert!(length == whole.len() && length > 100);
    }
}

#[test]
fn a_log_that_was_only_begun_is_not_the_last_one() {
    let folder = complete();
    folder.put("00000004.log", vec![0; 100]);
    folder.put("00000004.new", vec![0; 100]);
    let (numbers, reading) = read_all(&folder);
    assert_eq!((numbers.len(), reading.damage.len(), reading.generation), (9, 0, 3));
    assert_eq!(reading.end().unwrap().sequence, 9);
    assert_eq!(reading.files, ["00000002.snapshot", "00000002.log", "00000003.log"]);
    assert_eq!(reading.leftovers, ["00000003.new", "00000004.new", "00000004.log"]);
}

#[test]
fn other_folders_are_refused() {
    let folder = complete();
    let refused =
        |herd, server| read(&folder, herd, server, |_| panic!("nothing is read")).unwrap_err().to_string();
    assert!(
        refused("graders", "Bernard").starts_with("00000002.snapshot is of server Riley of the herd graders")
    );
    assert!(
        refused("bruins", "Riley").starts_with("00000002.snapshot is of server Riley of the herd graders")
    );
    let mut frame = Vec::new();
    Frame { number: 0, content: b"HERD 2 graders Riley 4 0 0 more\n" }.write(&mut frame);
    seal(&mut frame);
    folder.put("00000004.log", frame);
    assert!(refused("graders", "Riley").starts_with("00000004.log has version 2"));
}

#[test]
fn a_line_that_is_no_statement_is_damage() {
    let folder = complete();
    let mut log = folder.files()["00000003.log"].clone();
    let mut other = Vec::new();
    Frame { number: 10, content: b"AT Riley kiwi\n" }.write(&mut other);
    seal(&mut other);
    log.extend_from_slice(&other);
    folder.put("00000003.log", log);
    let (numbers, reading) = read_all(&folder);
    assert_eq!(numbers.len(), 9);
    assert!(matches!(reading.damage[..], [Damage { problem: Problem::Unreadable { .. }, .. }]));
}

#[test]
fn a_failure_ends_the_generation() {
    for failing in ["append 00000001.log", "sync 00000001.log", "reserve 00000001.log"] {
        let folder = MemoryFolder::default();
        let mut batch = writer(&folder);
        begin(&mut batch, 1, false);
        carry_out(&mut batch).unwrap();
        folder.fail(Some(failing));
        add(&mut batch.log, 1);
        batch.syncs = true;
        let failure = carry_out(&mut batch).unwrap_err();
        assert!(failure.starts_with("00000001.log cannot be written"), "{failure}");
        folder.fail(None);
        folder.take_calls();
        add(&mut batch.log, 2);
        batch.syncs = true;
        assert!(carry_out(&mut batch).is_err(), "the same file is not written again");
        assert_eq!(folder.take_calls(), [""; 0]);
        begin(&mut batch, 2, true);
        (1..=2).for_each(|number| add(&mut batch.snapshot, number));
        batch.completes = true;
        carry_out(&mut batch).unwrap();
        assert_eq!(folder.names(), ["00000002.log", "00000002.snapshot"]);
        assert_eq!(read_all(&folder).0, [1, 2]);
    }
}

#[test]
fn generations_that_fail_one_after_the_other_take_no_room() {
    let folder = MemoryFolder::default();
    let mut batch = writer(&folder);
    begin(&mut batch, 1, false);
    add(&mut batch.log, 1);
    carry_out(&mut batch).unwrap();
    folder.fail(Some("append 00000001.log"));
    add(&mut batch.log, 2);
    carry_out(&mut batch).unwrap_err();
    for generation in 2..6 {
        folder.fail(Some("sync folder"));
        begin(&mut batch, generation, true);
        carry_out(&mut batch).unwrap_err();
        assert!(folder.names().len() <= 3, "{:?}", folder.names());
        assert_eq!(read_all(&folder).0, [1], "what was written before is not removed");
    }
}

#[test]
fn a_snapshot_replaces_others_only_when_it_is_on_the_disk() {
    let folder = MemoryFolder::default();
    let mut batch = writer(&folder);
    begin(&mut batch, 1, false);
    carry_out(&mut batch).unwrap();
    begin(&mut batch, 2, true);
    add(&mut batch.snapshot, 1);
    batch.completes = true;
    folder.take_calls();
    carry_out(&mut batch).unwrap();
    let calls = folder.take_calls();
    let at = |call: &str| {
        calls.iter().position(|known| known == call).unwrap_or_else(|| panic!("{call}: {calls:?}"))
    };
    let renamed = at("rename 00000002.new 00000002.snapshot");
    assert!(at("sync 00000001.log") < at("create 00000002.log"));
    assert!(at("append 00000002.new") < at("sync 00000002.new"));
    assert!(at("sync 00000002.new") < renamed);
    let last_sync = calls.iter().rposition(|call| call == "sync folder").unwrap();
    assert!(renamed < last_sync && last_sync < at("remove 00000001.log"));
}
