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
    /// The least time since `before` in which other programs kept the server or the load generator waiting.
    pub(super) fn since(self, before: Waits) -> Duration {
        // The event loop may also have waited for another thread of its own process, which is no excuse.
        let others_ran = self.others_ran.saturating_sub(before.others_ran);
        let server = self.server.saturating_sub(before.server).saturating_sub(others_ran);
        // They may have waited at the same time.
        Duration::from_nanos(server.max(self.own.saturating_sub(before.own)))
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

    #[test]
    fn waits_of_both_sides_at_the_same_time_count_once_and_own_threads_not_at_all() {
        let before = Waits { server: 100, others_ran: 10, own: 5 };
        let since = |server, others_ran, own| Waits { server, others_ran, own }.since(before).as_nanos();
        assert_eq!(since(100, 10, 5), 0);
        assert_eq!(since(140, 10, 5), 40);
        assert_eq!(since(140, 25, 5), 25);
        assert_eq!(since(140, 60, 5), 0);
        assert_eq!(since(140, 10, 25), 40);
        assert_eq!(since(140, 10, 75), 70);
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
