//! Slow disks for a log, without privileges: a FIFO that is read from at a bounded rate, and a file whose lock
//! another thread holds most of the time.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::traffic_log::LogLines;

/// A thread that makes a disk slow until the value is dropped.
pub struct SlowDisk {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<LogLines>,
    bytes: AtomicU64,
    is_active: AtomicBool,
    is_over: AtomicBool,
}

impl SlowDisk {
    /// Makes a FIFO at the path of a log, and reads [`READ_RATE`] bytes per second from it. A write to a full
    /// FIFO fails.
    pub fn fifo(log: &Path) -> io::Result<SlowDisk> {
        mknodat(CWD, log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Without waiting for a writer. A server can open its log only while the FIFO has a reader.
        let fifo = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(log)?;
        Ok(SlowDisk::start(move |shared| shared.read(fifo)))
    }

    /// Makes a file at the path of a log, and while the disk is active writes to it, too. A kernel takes one
    /// write to a file at a time, so a write of the server sleeps until that of the bench is on the disk.
    pub fn busy_file(log: &Path) -> io::Result<SlowDisk> {
        File::create(log)?;
        let direct = OFlags::DIRECT.bits() as i32;
        let file = File::options().write(true).custom_flags(direct).open(log);
        // Some file systems have no direct writes. Others are as slow, but take processor time.
        let file = file.or_else(|_| File::options().write(true).open(log))?;
        Ok(SlowDisk::start(move |shared| shared.keep_busy(&file)))
    }

    fn start(run: impl FnOnce(&Shared) -> io::Result<()> + Send + 'static) -> SlowDisk {
        let shared = Arc::<Shared>::default();
        shared.is_active.store(true, Ordering::Relaxed);
        let own = shared.clone();
        SlowDisk { shared, thread: Some(thread::spawn(move || run(&own))) }
    }

    /// Makes the disk slow, or fast again.
    pub fn set_active(&self, is_active: bool) {
        self.shared.is_active.store(is_active, Ordering::Relaxed);
    }

    /// The number of bytes that the server has written.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// The lines of the FIFO so far.
    pub fn lines(&self) -> LogLines {
        self.shared.lines.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    /// Ends the thread, and returns its failure, if any.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the slow disk failed")))
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Shared {
    fn read(&self, mut fifo: File) -> io::Result<()> {
        let mut buffer = vec![0; PIPE];
        let time_of = |bytes: usize| Duration::from_secs_f64(bytes as f64 / READ_RATE as f64);
        // The time up to which the rate is used.
        let mut used_until = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            let now = Instant::now();
            // Time in which the pipe was empty gives no right to read faster later.
            used_until = used_until.max(now - time_of(PIPE));
            let allowed = match self.is_active.load(Ordering::Relaxed) {
                true => ((now - used_until).as_secs_f64() * READ_RATE as f64) as usize,
                false => PIPE,
            };
            match fifo.read(&mut buffer[..allowed.min(PIPE)]) {
                Ok(length) => {
                    used_until += time_of(length);
                    self.bytes.fetch_add(length as u64, Ordering::Relaxed);
                    if let Ok(mut lines) = self.lines.lock() {
                        lines.add(&buffer[..length]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            thread::sleep(READ_PAUSE);
        }
        Ok(())
    }

    fn keep_busy(&self, file: &File) -> io::Result<()> {
        // Direct writes need an aligned buffer.
        let memory = vec![0; PIECE + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT);
        let piece = &memory[begin..begin + PIECE];
        let mut end = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let length = file.metadata()?.len();
            // Shorter: the bench has emptied the log.
            self.bytes.fetch_add(length.saturating_sub(end), Ordering::Relaxed);
            end = length;
            if self.is_active.load(Ordering::Relaxed) {
                // Beyond the end, since only a write that extends the file locks it on all file systems; and far
                // enough that lines of the server cannot grow into it meanwhile.
                let at = length.next_multiple_of(ALIGNMENT as u64) + GAP;
                file.write_all_at(piece, at)?;
                // Lines that the server has written between the two calls are not in `bytes`.
                end = end.max(at + PIECE as u64);
            }
            thread::sleep(FREE);
        }
        Ok(())
    }
}

/// The bytes per second that are read from a FIFO: a sixth of what the server writes, as with a cheap disk.
pub const READ_RATE: u64 = 50_000_000;
/// The capacity of a pipe.
const PIPE: usize = 64 * 1024;
/// The pause between two reads.
const READ_PAUSE: Duration = Duration::from_micros(500);
/// The bytes that are written at once, for which a disk needs some ten milliseconds.
const PIECE: usize = 16 * 1024 * 1024;
/// The time between two such writes.
const FREE: Duration = Duration::from_millis(5);
/// The alignment of direct writes.
const ALIGNMENT: usize = 4096;
/// The distance of a piece from the end of the file.
const GAP: u64 = 1024 * 1024 * 1024;
