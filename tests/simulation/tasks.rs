//! The tasks of the simulated processes, which write to their disks: each lane carries out one after the other.

use herd::event_loop::system::Event;
use herd::herd::{STORE, STORE_READER};
use herd::protocol::{Done, Task};

use crate::chance::Chance;
use crate::world::{Happening, MICROSECOND, MILLISECOND, SCHEDULING_MAX, Time, World};

/// A task that runs.
#[derive(Debug)]
pub struct Running {
    ends_at: Time,
    host: usize,
    incarnation: u32,
    ticket: usize,
    task: Box<dyn Task>,
}

impl World {
    /// Starts a task of the process of a host. Its disk takes some time for it, and one task of a lane after the other.
    pub fn run_task(&mut self, host: usize, ticket: usize, task: Box<dyn Task>) {
        // One is awaited before the next one of its lane.
        let mut reading_until = 0;
        let (chance, time_max, busy_until) = match task.lane() {
            STORE_READER => (&mut self.store_chance, READ_MAX, &mut reading_until),
            STORE => {
                (&mut self.store_chance, self.conditions.store_max, &mut self.hosts[host].store_busy_until)
            }
            _ => (&mut self.disk_chance, self.conditions.disk_max, &mut self.hosts[host].disk_busy_until),
        };
        let ends_at = self.now.max(*busy_until) + chance.magnitude(MICROSECOND, time_max);
        *busy_until = ends_at;
        let incarnation = self.hosts[host].incarnation;
        self.last_task += 1;
        self.tasks.insert(self.last_task, Running { ends_at, host, incarnation, ticket, task });
        self.schedule(ends_at, Happening::TaskEnds { task: self.last_task });
    }

    /// A task has run, unless its process has ended.
    pub fn task_ends(&mut self, number: u64) {
        let Some(Running { host, incarnation, ticket, mut task, .. }) = self.tasks.remove(&number) else {
            return;
        };
        if self.hosts[host].incarnation != incarnation || !self.hosts[host].is_up {
            return;
        }
        // A warning for the operator would appear among the lines of the simulation.
        if task.lane().0 != WARNINGS {
            task.run();
        }
        let written = std::mem::take(&mut *self.hosts[host].log.lock().unwrap());
        self.trace.add_bytes(&written.lines);
        self.hosts[host].unread_log.extend_from_slice(&written.lines);
        for line in written.lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            self.print(|| format!("[{host}] {}", line.escape_ascii()));
        }
        if written.lost > 0 || !matches!(written.lines.last(), None | Some(b'\n')) {
            self.violate(|| format!("server {host} has lost log lines, and there was room for all of them"));
        }
        self.hosts[host].events.push(Event::Done { ticket, done: Done::Ran(task) });
        let delay = self.disk_chance.below(SCHEDULING_MAX);
        self.wake(host, self.now + delay);
    }

    /// Whether the store of a host is being written.
    pub fn writes_store(&self, host: usize) -> bool {
        self.tasks.values().any(|running| running.host == host && running.task.lane() == STORE)
    }

    /// A process that has nothing else to do awaits its next task. Returns the time then; `None`: it is later than `until`.
    pub fn await_task(&mut self, host: usize, until: Time) -> Option<Time> {
        let own = self.tasks.iter().filter(|(_, running)| running.host == host);
        let (ends_at, number) = own.map(|(&number, running)| (running.ends_at, number)).min()?;
        if ends_at > until {
            return None;
        }
        self.task_ends(number);
        Some(ends_at)
    }

    /// The process of a host has died. A task that ran has had its effect, or a part of it, or none. If the machine has
    /// lost its power, what was not synced is lost, too.
    pub fn tasks_die(&mut self, host: usize) {
        let own = |running: &Running| running.host == host;
        let numbers: Vec<u64> =
            self.tasks.iter().filter(|(_, running)| own(running)).map(|(&number, _)| number).collect();
        for number in numbers {
            let Some(mut running) = self.tasks.remove(&number) else { continue };
            if let Some(disk) = &self.hosts[host].disk
                && running.task.lane() == STORE
            {
                match self.store_chance.below(4) {
                    0 => continue,
                    1 => {}
                    _ => disk.process_dies_after(calls(&mut self.store_chance)),
                }
                running.task.run();
            }
        }
        let Some(disk) = &self.hosts[host].disk else { return };
        if self.hosts[host].has_no_power { disk.lose_power() } else { disk.process_ended() }
    }
}

/// After how many calls a process dies.
fn calls(chance: &mut Chance) -> u64 {
    chance.magnitude(1, CALLS_MAX) - 1
}

/// The lane of warnings on standard error.
const WARNINGS: &str = "warnings";
/// Calls of one batch: two files are begun, one is renamed, and those before are removed.
const CALLS_MAX: u64 = 20;
/// The longest time of reading a portion of a store.
const READ_MAX: Time = 20 * MILLISECOND;
