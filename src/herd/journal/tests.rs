use std::time::Duration;

use super::*;
use crate::config::Limits;
use crate::conversation::Identity;
use crate::log::{Level, Log};
use crate::store::Origin;
use crate::store::Outcome;
use crate::store::journal::testing::MemoryFolder;
use crate::text::record::Statement;

/// A server with a store on disk, whose batches are carried out when a test says so.
struct Machine {
    server: Server,
    driver: JournalDriver,
    now: Moment,
    /// The tasks that were handed over, in their order.
    tasks: VecDeque<Box<dyn Task>>,
    timer: Option<Moment>,
    messages: Vec<String>,
}

fn server(epoch: u64) -> Server {
    let identity = Identity { herd: "graders".into(), name: "Riley".into(), epoch: Epoch(epoch) };
    Server::new(identity, Limits::default(), Duration::from_secs(3), Log::new("Riley", Level::Events))
}

impl Machine {
    fn start(folder: &MemoryFolder, sync: Sync, epoch: u64) -> Machine {
        Machine::start_reading(folder, sync, epoch, Reads::default())
    }

    fn start_reading(folder: &MemoryFolder, sync: Sync, epoch: u64, reads: Reads) -> Machine {
        let mut server = server(epoch);
        let opened = JournalDriver::open(Box::new(folder.clone()), sync, &mut server, 1_700_000_000, reads);
        let (driver, messages) = opened.unwrap();
        server.neighbours.add("Jaquez");
        let tasks = VecDeque::new();
        Machine {
            server,
            driver,
            now: Moment::START + Duration::from_secs(100),
            tasks,
            timer: None,
            messages,
        }
    }

    fn report(&mut self, client: u64, time: u64) {
        let line = format!("AT Riley +0.200000000 client{client} +34-118 {time}\n");
        let statement = Statement::parse(&line.as_bytes()[..line.len() - 1]).unwrap();
        assert_eq!(self.server.store.report(&statement, line.as_bytes(), Origin::CLIENT), Outcome::Stored);
    }

    /// A turn of the loop, `ms` after the one before.
    fn turn(&mut self, ms: u64, is_last: bool) {
        self.now = self.now + Duration::from_millis(ms);
        if self.timer.is_some_and(|at| at <= self.now) {
            self.timer = None;
            self.driver.timer_fired();
        }
        let mut commands = VecDeque::new();
        self.driver.hand_over(&mut self.server, self.now, is_last, &mut commands);
        self.take(commands);
    }

    fn take(&mut self, commands: VecDeque<Command>) {
        for command in commands {
            match command {
                Command::Run { work: Work::Run(task), .. } => self.tasks.push_back(task),
                Command::Timer { at, tag: Tag::Store } => {
                    self.timer = Some(self.timer.map_or(at, |old| old.min(at)))
                }
                _ => panic!("no other command"),
            }
        }
    }

    /// Carries out what was handed over. Returns the number of tasks.
    fn carry_out(&mut self) -> usize {
        let count = self.tasks.len();
        for mut task in std::mem::take(&mut self.tasks) {
            // A warning would go to the standard error of the test.
            if task.lane() != super::super::log_pages::WARNINGS {
                task.run();
            }
            let mut commands = VecDeque::new();
            self.driver.ran(&mut self.server, task, self.now, &mut commands);
            self.take(commands);
        }
        count
    }

    /// Turns until nothing is due for `ms`.
    fn settle(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            self.turn(10, false);
            self.carry_out();
        }
    }

    fn end(mut self) {
        for _ in 0..100 {
            self.turn(1, true);
            if self.carry_out() == 0 {
                return;
            }
        }
        panic!("the server does not end");
    }

    fn reached(&self) -> u64 {
        self.server.durability.on_disk()
    }

    fn clients(&self) -> usize {
        self.server.store.len()
    }
}

#[test]
fn a_server_that_has_ended_in_order_goes_on_in_its_epoch() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    (1..=5).for_each(|client| machine.report(client, 10));
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    machine.server.neighbours.get_mut(id).note_received(Epoch(77), 1234);
    machine.end();
    let machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert_eq!((machine.server.identity.epoch, machine.server.store.sequence()), (Epoch(1), 5));
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    assert_eq!(machine.server.neighbours.get(id).received(Epoch(77)), 1234);
    assert_eq!((machine.clients(), machine.messages.len()), (5, 0));
    // It does not end in order now.
    drop(machine);
    let machine = Machine::start(&folder, Sync::EverySecond, 3);
    assert_eq!((machine.server.identity.epoch, machine.clients()), (Epoch(3), 5));
}

#[test]
fn what_an_earlier_process_wrote_is_synced_first() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    machine.report(1, 10);
    machine.settle(100);
    // It is killed right after it has begun another log.
    drop(machine);
    folder.put("00000002.log", Vec::new());
    folder.take_calls();
    let machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert_eq!((machine.clients(), machine.messages.len()), (1, 0));
    let calls = folder.take_calls();
    let written: Vec<&str> = calls
        .iter()
        .map(|call| &**call)
        .filter(|call| ["sync", "create", "remove"].iter().any(|what| call.starts_with(what)))
        .collect();
    let expected = [
        "sync 00000001.log",
        "sync 00000002.log",
        "remove 00000002.log",
        "remove 00000001.new",
        "create 00000002.log",
        "sync 00000002.log",
        "sync folder",
    ];
    assert!(written.starts_with(&expected), "{written:?}");
}

#[test]
fn what_cannot_be_synced_is_written_again() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    machine.report(1, 10);
    machine.settle(100);
    drop(machine);
    folder.fail(Some("sync 00000001.log"));
    let mut machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert_eq!((machine.clients(), machine.reached()), (1, 0));
    machine.settle(100);
    assert!(folder.names().contains(&"00000002.snapshot".to_owned()), "{:?}", folder.names());
    assert_eq!(machine.reached(), 1);
}

#[test]
fn changes_are_written_soon_and_synced_within_a_second() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    machine.report(1, 10);
    machine.turn(0, false);
    assert_eq!((machine.tasks.len(), machine.timer), (0, Some(machine.now + DELAY)), "others may come");
    machine.report(1, 11);
    machine.turn(20, false);
    assert_eq!(machine.carry_out(), 1);
    assert_eq!(machine.reached(), 0, "written is not synced");
    machine.turn(0, false);
    assert_eq!((machine.carry_out(), machine.timer), (0, Some(machine.now + SYNC_INTERVAL)));
    machine.turn(SYNC_INTERVAL.as_millis() as u64, false);
    machine.carry_out();
    assert_eq!(machine.reached(), 2);
    let machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert_eq!(machine.server.store.get(b"client1").unwrap(), b"AT Riley +0.200000000 client1 +34-118 11\n");
}

#[test]
fn a_slow_disk_gets_the_newest_statement_only() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::Always, 1);
    machine.report(1, 1);
    machine.turn(0, false);
    assert_eq!(machine.tasks.len(), 1);
    for time in 2..1000 {
        machine.report(1, time);
        machine.turn(1, false);
    }
    assert_eq!((machine.tasks.len(), machine.reached()), (1, 0), "one batch is on its way");
    machine.carry_out();
    assert_eq!(machine.reached(), 1, "no reply before its batch is synced");
    machine.turn(1, false);
    machine.carry_out();
    assert_eq!(machine.reached(), 999);
    assert!(folder.files()["00000001.log"].windows(7).filter(|bytes| bytes == b"client1").count() <= 2);
}

#[test]
fn a_snapshot_replaces_long_logs_and_loses_nothing() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    machine.server.neighbours.get_mut(id).note_received(Epoch(77), 5);
    let mut time = 0;
    // More than LOGS_EXTRA, each round longer than a batch.
    while !folder.names().iter().any(|name| name.ends_with(".snapshot")) {
        time += 1;
        assert!(time < 200, "no snapshot was written: {:?}", folder.names());
        (1..=2500).for_each(|client| machine.report(client, time));
        machine.settle(30);
    }
    machine.settle(1000);
    assert_eq!(folder.names().len(), 2, "{:?}", folder.names());
    let machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert_eq!(machine.clients(), 2500);
    let newest = format!("AT Riley +0.200000000 client9 +34-118 {time}\n");
    assert_eq!(machine.server.store.get(b"client9").unwrap(), newest.as_bytes());
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    assert_eq!(machine.server.neighbours.get(id).received(Epoch(77)), 5, "positions go on, too");
}

#[test]
fn many_starts_do_not_leave_many_logs() {
    let folder = MemoryFolder::default();
    for start in 1..40 {
        let mut machine = Machine::start(&folder, Sync::EverySecond, start);
        machine.report(start, 1);
        machine.settle(100);
        assert_eq!(machine.clients(), start as usize);
    }
    assert!(folder.names().len() <= LOGS_MAX + 3, "{:?}", folder.names());
}

#[test]
fn when_the_disk_works_again_everything_is_written() {
    for failing in ["append", "sync 0", "create", "reserve", "sync folder"] {
        let folder = MemoryFolder::default();
        let mut machine = Machine::start(&folder, Sync::Always, 1);
        (1..=3).for_each(|client| machine.report(client, 1));
        machine.settle(100);
        assert_eq!(machine.reached(), 3);
        // `create` and `sync folder` fail first when another generation begins.
        folder.fail(Some(if failing == "append" { "append" } else { "sync 00000001.log" }));
        (4..=6).for_each(|client| machine.report(client, 1));
        machine.settle(30);
        assert!(machine.server.durability.fails() && machine.reached() == 3, "{failing}");
        folder.fail(Some(failing));
        machine.settle(10_000);
        assert!(machine.server.durability.fails() && machine.reached() == 3, "{failing}");
        folder.fail(None);
        machine.settle(RETRY_MAX.as_millis() as u64 + 100);
        assert!(!machine.server.durability.fails(), "{failing}");
        assert_eq!(machine.reached(), 6);
        assert_eq!(Machine::start(&folder, Sync::Always, 2).clients(), 6, "{failing}");
    }
}

#[test]
fn a_damaged_file_is_kept_aside_and_replaced() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    (1..=9).for_each(|client| machine.report(client, 1));
    machine.end();
    let mut damaged = folder.files()["00000001.log"].clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    folder.put("00000001.log", damaged.clone());
    let mut machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert_eq!((machine.server.identity.epoch, machine.clients()), (Epoch(2), 8));
    assert!(machine.messages[0].starts_with("00000001.log is damaged: "), "{:?}", machine.messages);
    assert!(machine.messages[0].ends_with("the file is kept as 00000001.log.damaged-1700000000"));
    machine.settle(50);
    assert_eq!(folder.names(), ["00000001.log.damaged-1700000000", "00000002.log", "00000002.snapshot"]);
    assert_eq!(folder.files()["00000001.log.damaged-1700000000"], damaged);
    assert_eq!(Machine::start(&folder, Sync::EverySecond, 3).messages.len(), 0);
}

#[test]
fn a_record_that_changes_while_a_snapshot_is_written_is_never_lost() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    (1..=9).for_each(|client| machine.report(client, 1));
    machine.settle(50);
    drop(machine);
    let mut damaged = folder.files()["00000001.log"].clone();
    damaged[150] ^= 1;
    folder.put("00000001.log", damaged);
    let mut machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert_eq!((machine.clients(), machine.server.store.get(b"client1").is_some()), (8, true));
    // Its place is now after the end of the snapshot.
    machine.report(1, 2);
    machine.turn(1, false);
    folder.take_calls();
    machine.carry_out();
    drop(machine);
    let calls = folder.take_calls();
    let at = |wanted: &str| calls.iter().position(|call| call == wanted);
    let (synced, renamed) = (at("sync 00000002.log"), at("rename 00000002.new 00000002.snapshot"));
    assert!(synced.is_some() && synced < renamed, "{calls:?}");
    let machine = Machine::start(&folder, Sync::EverySecond, 3);
    assert_eq!(machine.clients(), 8);
}

#[test]
fn positions_that_cover_lost_changes_are_not_written() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    machine.report(1, 1);
    machine.settle(100);
    folder.fail(Some("append"));
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    (2..=3000).for_each(|client| machine.report(client, 1));
    machine.server.neighbours.get_mut(id).note_received(Epoch(77), 2999);
    machine.settle(100);
    folder.fail(None);
    // The first batches of the repair.
    while machine.tasks.is_empty() {
        machine.turn(100, false);
    }
    machine.carry_out();
    let machine = Machine::start(&folder, Sync::EverySecond, 2);
    assert!(machine.clients() < 3000, "the repair is not complete");
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    assert_eq!(machine.server.neighbours.get(id).received(Epoch(77)), 0);
}

#[test]
fn a_location_of_a_forgotten_client_leaves_the_disk_within_an_hour() {
    let folder = MemoryFolder::default();
    let holds_location = |folder: &MemoryFolder| {
        folder.files().values().any(|bytes| bytes.windows(16).any(|text| text == b"client7 +34-118 "))
    };
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    machine.report(7, 10);
    machine.settle(100);
    let line = "GONE Riley +0.200000000 client7 11.000000000\n";
    let statement = Statement::parse(&line.as_bytes()[..line.len() - 1]).unwrap();
    machine.server.store.report(&statement, line.as_bytes(), Origin::CLIENT);
    machine.settle(100);
    assert!(holds_location(&folder) && machine.timer.is_some());
    machine.turn(FORGET_MAX.as_millis() as u64, false);
    machine.carry_out();
    machine.settle(100);
    assert!(!holds_location(&folder), "{:?}", folder.names());
    // A later start finds the GONE in the snapshot, and no earlier line.
    assert!(!holds_location(&folder) && Machine::start(&folder, Sync::EverySecond, 2).clients() == 0);
}

#[test]
fn a_start_that_fails_changes_nothing() {
    for failing in ["create", "append", "reserve", "sync 0", "sync folder"] {
        let folder = MemoryFolder::default();
        let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
        (1..=3).for_each(|client| machine.report(client, 1));
        machine.end();
        let before = folder.files();
        folder.fail(Some(failing));
        let opened = JournalDriver::open(
            Box::new(folder.clone()),
            Sync::EverySecond,
            &mut server(2),
            5,
            Reads::default(),
        );
        assert!(opened.is_err(), "{failing}");
        assert_eq!(folder.files(), before, "{failing}");
        folder.fail(None);
        assert_eq!(
            Machine::start(&folder, Sync::EverySecond, 3).server.identity.epoch,
            Epoch(1),
            "{failing}"
        );
    }
}

/// Reads nearly nothing before the server runs.
const BESIDE: Reads = Reads { at_once: 1, portion: 1 };

/// A folder with these clients, whose server has ended in order or not.
fn folder_of(clients: u64, in_order: bool) -> MemoryFolder {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::EverySecond, 1);
    (1..=clients).for_each(|client| machine.report(client, 10));
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    machine.server.neighbours.get_mut(id).note_received(Epoch(77), 1234);
    if in_order {
        machine.end();
    } else {
        machine.settle(1500);
    }
    folder
}

#[test]
fn clients_are_served_while_the_store_is_read() {
    let folder = folder_of(50, true);
    let mut machine = Machine::start_reading(&folder, Sync::EverySecond, 2, BESIDE);
    assert!(machine.driver.is_reading() && machine.clients() < 5);
    assert!(machine.server.course.store_read.is_some_and(|percent| percent < 20));
    machine.report(100, 10);
    machine.report(7, 20);
    assert_eq!(machine.server.store.sequence(), 52, "after all changes that are still to be read");
    machine.settle(5000);
    assert!(!machine.driver.is_reading() && machine.server.course.store_read.is_none());
    assert_eq!((machine.clients(), machine.server.store.sequence()), (51, 52));
    assert_eq!(machine.server.identity.epoch, Epoch(1));
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    assert_eq!(machine.server.neighbours.get(id).received(Epoch(77)), 1234);
    machine.end();
    let machine = Machine::start(&folder, Sync::EverySecond, 3);
    assert_eq!((machine.server.identity.epoch, machine.clients()), (Epoch(1), 51));
    assert!(machine.server.store.get(b"client7").unwrap().ends_with(b" 20\n"));
}

#[test]
fn a_server_that_ends_before_its_store_was_read_has_not_ended_in_order() {
    let folder = folder_of(50, true);
    let mut machine = Machine::start_reading(&folder, Sync::EverySecond, 2, BESIDE);
    machine.report(100, 10);
    machine.end();
    let machine = Machine::start(&folder, Sync::EverySecond, 3);
    assert_eq!((machine.server.identity.epoch, machine.clients()), (Epoch(3), 51));
    let id = machine.server.neighbours.find(b"Jaquez").unwrap();
    assert_eq!(machine.server.neighbours.get(id).received(Epoch(77)), 1234);
}

#[test]
fn a_store_whose_server_was_killed_is_read_beside_clients_too() {
    let folder = folder_of(50, false);
    let mut machine = Machine::start_reading(&folder, Sync::Always, 2, BESIDE);
    assert!(machine.driver.is_reading());
    machine.report(100, 10);
    assert!(machine.server.durability.must_wait(51));
    machine.settle(100);
    assert!(machine.reached() >= 51, "replies do not wait until the store was read");
    machine.settle(5000);
    assert_eq!((machine.server.identity.epoch, machine.clients()), (Epoch(2), 51));
}

#[test]
fn damage_that_is_found_beside_clients_is_repaired() {
    let folder = folder_of(50, true);
    let mut log = folder.files()["00000001.log"].clone();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    folder.put("00000001.log", log);
    let mut machine = Machine::start_reading(&folder, Sync::EverySecond, 2, BESIDE);
    machine.report(100, 10);
    machine.settle(10_000);
    assert_eq!((machine.server.identity.epoch, machine.clients()), (Epoch(2), 50));
    let names = folder.names();
    assert!(names.iter().any(|name| name == "00000001.log.damaged-1700000000"), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with(".snapshot")), "{names:?}");
    machine.end();
    let machine = Machine::start(&folder, Sync::EverySecond, 3);
    assert_eq!((machine.clients(), machine.messages.len()), (50, 0));
}

#[test]
fn a_disk_that_fails_while_the_store_is_read_gets_a_snapshot_of_everything() {
    let folder = folder_of(50, true);
    let mut machine = Machine::start_reading(&folder, Sync::EverySecond, 2, BESIDE);
    folder.fail(Some("append"));
    machine.report(100, 10);
    machine.settle(3000);
    assert!(machine.server.durability.fails());
    folder.fail(None);
    machine.settle(20_000);
    assert!(!machine.server.durability.fails());
    machine.end();
    let machine = Machine::start(&folder, Sync::EverySecond, 3);
    assert_eq!((machine.clients(), machine.messages.len()), (51, 0));
}

#[test]
fn files_whose_ends_are_damaged_are_read_at_once() {
    let folder = folder_of(50, true);
    let mut log = folder.files()["00000001.log"].clone();
    log.fill(b'x');
    folder.put("00000001.log", log);
    let machine = Machine::start_reading(&folder, Sync::EverySecond, 2, BESIDE);
    assert!(!machine.driver.is_reading());
}

#[test]
fn a_full_batch_does_not_count_what_has_moved_out_of_its_way() {
    let folder = MemoryFolder::default();
    let mut machine = Machine::start(&folder, Sync::Always, 1);
    // More than one batch has.
    let many = BATCH_BYTES as u64 / 50;
    (1..=many).for_each(|client| machine.report(client, 10));
    machine.turn(1, false);
    assert_eq!(machine.tasks.len(), 1);
    // The last one moves after the changes of this batch were taken.
    machine.report(many, 20);
    machine.carry_out();
    assert_eq!(machine.reached(), 0, "the cursor is not at the end");
    machine.settle(100);
    assert_eq!(machine.reached(), many + 1);
}
