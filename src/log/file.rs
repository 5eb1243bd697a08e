//! The log file: opening, appending and reopening it. It does not format lines.
//!
//! A failure to write never stops the server: the lines are dropped and counted, and the failure is reported
//! once on standard error. The thread that writes may wait: for a disk as long as the system does, for the reader
//! of a FIFO a bounded time.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Sink;
use crate::clock::Moment;

/// A log file, opened at the first write and again after a failure.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// Lines dropped since the last successful write.
    lines_lost: u64,
    /// Whether writing fails, and the failure was reported.
    is_failing: bool,
    /// Whether the file ends in the middle of a line.
    ends_within_line: bool,
    /// The earliest time of the next attempt to write.
    retry_at: Moment,
    /// How long a write waits for the reader of a FIFO.
    reader_patience: Duration,
}

impl LogFile {
    /// The log file of a server in `folder`. Both are created at the first write.
    pub fn new(folder: &Path, server: &str) -> LogFile {
        LogFile {
            path: folder.join(format!("{server}.log")),
            file: None,
            lines_lost: 0,
            is_failing: false,
            ends_within_line: false,
            retry_at: Moment::START,
            reader_patience: READER_PATIENCE,
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `lines`, or drops and counts them. After a failure it makes no attempt before `retry_at`. Returns the
    /// number of lines dropped.
    fn append(&mut self, lines: &[u8], now: Moment) -> u64 {
        let mut rest = lines;
        if now >= self.retry_at {
            match self.try_write(&mut rest) {
                Ok(()) => {
                    // A write without lines does not prove that the file can be written again.
                    self.is_failing &= lines.is_empty();
                    return 0;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        warn(format_args!(
                            "the log {} cannot be written: {error}; the server goes on, drops log lines and retries \
                             every second",
                            self.path.display()
                        ));
                    }
                    self.file = None;
                    self.retry_at = now + RETRY_DELAY;
                }
            }
        }
        let dropped = count(rest);
        self.lines_lost += dropped;
        dropped
    }

    /// Writes the count of lost lines, if any, then `rest`. Removes from `rest` what was written.
    fn try_write(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        // A reader that has stopped is not waited for again and again.
        let patience = if self.is_failing { Duration::ZERO } else { self.reader_patience };
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        if self.lines_lost > 0 {
            let end_of_line = if self.ends_within_line { "\n" } else { "" };
            let lost = self.lines_lost;
            let note = format!("{end_of_line}({lost} lines of this log could not be written and are lost)\n");
            append(&mut file, &mut note.as_bytes(), &mut self.ends_within_line, patience)?;
            self.lines_lost = 0;
        }
        append(&mut file, rest, &mut self.ends_within_line, patience)?;
        self.file = Some(file);
        Ok(())
    }
}

impl Sink for LogFile {
    fn write(&mut self, lost: u64, lines: &[u8], now: Moment) -> u64 {
        self.lines_lost += lost;
        self.append(lines, now)
    }

    fn reopen(&mut self, now: Moment) -> bool {
        self.file = None;
        // A new or truncated file does not end in the middle of a line.
        self.ends_within_line &=
            fs::metadata(&self.path).is_ok_and(|about| about.len() > 0 || !about.is_file());
        self.retry_at = now;
        self.append(b"", now);
        self.file.is_some()
    }
}

/// Writes `rest`, removes from it what was written, and updates `ends_within_line`.
fn append(
    file: &mut File,
    rest: &mut &[u8],
    ends_within_line: &mut bool,
    patience: Duration,
) -> io::Result<()> {
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                *ends_within_line = rest[length - 1] != b'\n';
                *rest = &rest[length..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let limit = Timespec::try_from(patience).unwrap_or_default();
                match poll(&mut [PollFd::new(file, PollFlags::OUT)], Some(&limit)) {
                    Ok(0) => return Err(error),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(failed) => return Err(failed.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes a warning to standard error. Unlike `eprintln!` it does not panic if that fails: standard error may
/// be on the same full disk.
pub fn warn(message: fmt::Arguments<'_>) {
    // No place is left to report a failure to.
    let _ = writeln!(io::stderr(), "herd: {message}");
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Non-blocking, because a FIFO without a reader is a failure, not a reason to wait.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().append(true).create(true).custom_flags(flags).open(path)
}

/// The number of lines.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// The time between attempts to write a failing log: short, to lose few lines once the disk has room again;
/// long, so that the attempts cost nothing.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a write waits for the reader of a FIFO that takes nothing: a program that rotates or sends logs may
/// pause for seconds. Lines that are logged meanwhile wait in memory.
const READER_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("herd-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn make_fifo(path: &Path) {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    #[test]
    fn the_folder_is_created_and_lines_are_appended() {
        let folder = folder("made");
        let mut log = LogFile::new(&folder.join("deep/er"), "Riley");
        log.write(0, b"a\n", Moment::START);
        log.write(0, b"b\n", Moment::START);
        assert_eq!(fs::read(folder.join("deep/er/Riley.log")).unwrap(), b"a\nb\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn reopening_leaves_a_renamed_file() {
        let folder = folder("renamed");
        let mut log = LogFile::new(&folder, "Riley");
        log.write(0, b"a\n", Moment::START);
        fs::rename(log.path(), folder.join("old")).unwrap();
        log.reopen(Moment::START);
        assert!(log.path().exists());
        log.write(0, b"b\n", Moment::START);
        assert_eq!(fs::read(log.path()).unwrap(), b"b\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn lost_lines_are_counted_and_writing_is_retried() {
        let folder = folder("lost");
        fs::create_dir_all(folder.join("Riley.log")).unwrap();
        let mut log = LogFile::new(&folder, "Riley");
        log.write(0, b"a\nb\n", Moment::START);
        log.write(0, b"c\n", Moment::START);
        fs::remove_dir(folder.join("Riley.log")).unwrap();
        log.write(0, b"d\n", Moment::START + RETRY_DELAY / 2);
        log.write(0, b"e\n", Moment::START + RETRY_DELAY);
        assert_eq!(
            fs::read_to_string(log.path()).unwrap(),
            "(4 lines of this log could not be written and are lost)\ne\n"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_slow_reader_gets_whole_lines_and_is_reported_once() {
        let folder = folder("slow");
        fs::create_dir_all(&folder).unwrap();
        let mut log = LogFile { reader_patience: Duration::ZERO, ..LogFile::new(&folder, "Riley") };
        make_fifo(log.path());
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut pipe = OpenOptions::new().read(true).custom_flags(flags).open(log.path()).unwrap();
        let mut take = || {
            let mut taken = Vec::new();
            let error = pipe.read_to_end(&mut taken).err().map(|error| error.kind());
            assert!(matches!(error, None | Some(io::ErrorKind::WouldBlock)));
            String::from_utf8(taken).unwrap()
        };
        // More than the buffer of a pipe.
        let line = "0123456789 a line\n";
        let batch = line.repeat(50_000);
        let dropped = log.write(0, batch.as_bytes(), Moment::START);
        assert_eq!(dropped, log.lines_lost);
        let first = take();
        assert!(log.is_failing && log.ends_within_line && batch.starts_with(&first));
        assert_eq!(log.lines_lost as usize, 50_000 - first.len() / line.len());
        // The pipe has room for the count of lost lines, but not for all lines after it.
        let note = format!("\n({} lines of this log could not be written and are lost)\n", log.lines_lost);
        log.write(0, batch.as_bytes(), Moment::START + RETRY_DELAY);
        assert!(log.is_failing, "the failure is not reported a second time");
        assert!(take().starts_with(&(note + line)));
        log.reopen(Moment::START + RETRY_DELAY);
        assert!(log.is_failing && take().starts_with("\n("), "the path still names the same pipe");
        log.write(0, line.as_bytes(), Moment::START + RETRY_DELAY * 2);
        assert!(!log.is_failing && log.lines_lost == 0 && take().ends_with(line));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn lines_that_were_dropped_before_are_counted_in_their_place() {
        let folder = folder("dropped");
        let mut log = LogFile::new(&folder, "Riley");
        log.write(0, b"a\n", Moment::START);
        log.write(3, b"b\n", Moment::START);
        log.write(2, b"", Moment::START);
        let lost = |lines| format!("({lines} lines of this log could not be written and are lost)\n");
        assert_eq!(fs::read_to_string(log.path()).unwrap(), format!("a\n{}b\n{}", lost(3), lost(2)));
        fs::remove_dir_all(folder).unwrap();
    }

    /// The write waits for the reader, which reads only after the pipe is full.
    #[test]
    fn a_reader_that_pauses_loses_no_line() {
        let folder = folder("pause");
        fs::create_dir_all(&folder).unwrap();
        let mut log = LogFile::new(&folder, "Riley");
        make_fifo(log.path());
        let path = log.path().to_owned();
        let (opened, is_open) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
            let pipe = OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap();
            opened.send(()).unwrap();
            let mut taken = Vec::new();
            while taken.len() < BATCH.len() * LINES {
                poll(&mut [PollFd::new(&pipe, PollFlags::IN)], None).unwrap();
                let mut part = [0; 4096];
                match (&pipe).read(&mut part) {
                    Ok(length) => taken.extend_from_slice(&part[..length]),
                    // The writer has not opened the pipe yet.
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            taken
        });
        is_open.recv().unwrap();
        assert_eq!(log.write(0, BATCH.repeat(LINES).as_bytes(), Moment::START), 0);
        assert!(!log.is_failing);
        assert_eq!(reader.join().unwrap(), BATCH.repeat(LINES).as_bytes());
        fs::remove_dir_all(folder).unwrap();
    }

    /// Together many times the buffer of a pipe.
    const BATCH: &str = "0123456789 a line\n";
    const LINES: usize = 50_000;

    #[test]
    fn a_full_device_loses_lines_and_stops_nothing() {
        let mut log = LogFile { path: "/dev/full".into(), ..LogFile::new(Path::new("/"), "x") };
        log.write(0, b"a\n", Moment::START);
        assert_eq!(log.lines_lost, 1);
    }
}
