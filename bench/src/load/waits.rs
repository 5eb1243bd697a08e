//! The time in which a server and the load generator were ready to run, but waited for a processor that other
//! programs used.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// The threads whose waits are read, from `/proc/PID/task/TID/schedstat`.
pub(super) struct Threads {
    /// The main thread of the server, which has its event loop.
    server: File,
    /// The other threads of the server.
    others: Vec<File>,
    /// The thread of the load generator.
    own: File,
}

/// The waits so far, in nanoseconds.
#[derive(Clone, Copy, Default)]
pub(super) struct Waits {
    server: u64,
    /// The processor time of the server's other threads.
    others_ran: u64,
    own: u64,
}

impl Threads {
    /// The threads of the process `server`, and the calling one.
    pub(super) fn of(server: u32) -> io::Result<Threads> {
        let tasks = format!("/proc/{server}/task");
        let main = server.to_string();
        let mut others = Vec::new();
        for task in fs::read_dir(&tasks)?.flatten().filter(|task| task.file_name() != main.as_str()) {
            others.push(File::open(task.path().join("schedstat"))?);
        }
        let server = File::open(format!("{tasks}/{main}/schedstat"))?;
        Ok(Threads { server, others, own: File::open("/proc/thread-self/schedstat")? })
    }

    /// The waits so far.
    pub(super) fn waits(&self) -> Waits {
        Waits {
            server: read(&self.server).1,
            others_ran: self.others.iter().map(|thread| read(thread).0).sum(),
            own: read(&self.own).1,
        }
    }
}

impl Waits {
    /// The time in which other programs delayed a reply, at least: from the waits when its message was sent, when
    /// it had not arrived at the last look, and when it was read.
    pub(super) fn delay(sent: Waits, missing: Waits, read: Waits) -> Duration {
        let missing = missing.at_least(sent);
        // A wait of the load generator delays a reply only if it can have arrived meanwhile. The server may have
        // waited at the same time.
        let both = read.server_since(missing).max(read.own.saturating_sub(missing.own));
        Duration::from_nanos(missing.server_since(sent) + both)
    }

    fn server_since(self, before: Waits) -> u64 {
        let others_ran = self.others_ran.saturating_sub(before.others_ran);
        // The event loop may have waited for another thread of its own process, which is no excuse.
        self.server.saturating_sub(before.server).saturating_sub(others_ran)
    }

    fn at_least(self, other: Waits) -> Waits {
        Waits {
            server: self.server.max(other.server),
            others_ran: self.others_ran.max(other.others_ran),
            own: self.own.max(other.own),
        }
    }
}

/// The time on a processor, and the time of waiting for one.
fn read(thread: &File) -> (u64, u64) {
    let mut text = [0; 128];
    let length = thread.read_at(&mut text, 0).unwrap_or(0);
    let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
    let mut numbers = text.split(' ').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(server: u64, others_ran: u64, own: u64) -> Waits {
        Waits { server, others_ran, own }
    }

    #[test]
    fn waits_at_the_same_time_count_once() {
        let sent = waits(100, 10, 5);
        let delay = |read| Waits::delay(sent, sent, read).as_nanos();
        assert_eq!(delay(waits(100, 10, 5)), 0);
        assert_eq!(delay(waits(140, 10, 25)), 40);
        assert_eq!(delay(waits(140, 10, 75)), 70);
    }

    #[test]
    fn a_wait_of_the_load_generator_before_the_last_look_is_no_delay() {
        let (sent, missing) = (waits(100, 10, 5), waits(130, 10, 65));
        assert_eq!(Waits::delay(sent, missing, waits(140, 10, 70)).as_nanos(), 40);
        // The last look was before the message was sent.
        assert_eq!(Waits::delay(missing, sent, waits(140, 10, 70)).as_nanos(), 10);
    }

    #[test]
    fn a_wait_for_another_thread_of_the_server_is_no_delay() {
        let sent = waits(100, 10, 5);
        assert_eq!(Waits::delay(sent, sent, waits(140, 25, 5)).as_nanos(), 25);
        assert_eq!(Waits::delay(sent, sent, waits(140, 60, 5)).as_nanos(), 0);
    }

    #[test]
    fn the_processor_time_of_a_thread_is_read() {
        let threads = Threads::of(std::process::id()).unwrap();
        let before = read(&threads.own).0;
        // Long enough for the kernel to account for it.
        while read(&threads.own).0 == before {
            std::hint::spin_loop();
        }
        assert!(read(&threads.own).0 > before);
    }
}
