//! Where log lines go. A log that cannot be written stops nothing: its lines are lost, counted, and
//! spoken of once on standard error.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Moment;

/// A log file that is opened when there is something to write, and anew after a failure.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    lines_lost: u64,
    again_at: Moment,
}

impl LogFile {
    /// The file of a server's log in `folder`; both are made when they are needed.
    pub fn new(folder: &Path, server: &str) -> LogFile {
        LogFile {
            path: folder.join(format!("{server}.log")),
            file: None,
            lines_lost: 0,
            again_at: Moment::START,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file anew, which somebody may have renamed.
    pub fn reopen(&mut self, now: Moment) {
        self.file = None;
        self.again_at = now;
        self.write(b"", now);
    }

    /// Appends lines, or counts them as lost.
    pub fn write(&mut self, lines: &[u8], now: Moment) {
        if now < self.again_at {
            self.lines_lost += count(lines);
            return;
        }
        if let Err(error) = self.try_write(lines) {
            if self.lines_lost == 0 {
                complain(format_args!(
                    "the log {} cannot be written: {error}; serving goes on, its lines are lost until it can",
                    self.path.display()
                ));
            }
            self.file = None;
            // At least 1, so that the same trouble is spoken of once only.
            self.lines_lost += count(lines).max(1);
            self.again_at = now + AGAIN_AFTER;
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        if self.lines_lost > 0 {
            writeln!(file, "({} lines of this log could not be written and are lost)", self.lines_lost)?;
            self.lines_lost = 0;
        }
        file.write_all(lines)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Says on standard error what is wrong, if that can be written: it may well go to the same full disk,
/// and `eprintln!` would end the server then.
pub fn complain(what: fmt::Arguments<'_>) {
    // There is nobody left to tell of a failure.
    let _ = writeln!(io::stderr(), "herd: {what}");
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Without blocking: a FIFO that nobody reads must not stop the server.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().append(true).create(true).custom_flags(flags).open(path)
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// How long a log that could not be written is left alone: short enough to lose little once the disk
/// has room again, long enough that trying costs nothing.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("herd-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn the_folder_is_made_and_lines_are_appended() {
        let folder = folder("made");
        let mut log = LogFile::new(&folder.join("deep/er"), "Riley");
        log.write(b"a\n", Moment::START);
        log.write(b"b\n", Moment::START);
        assert_eq!(fs::read(folder.join("deep/er/Riley.log")).unwrap(), b"a\nb\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_renamed_file_is_left_when_it_is_opened_anew() {
        let folder = folder("renamed");
        let mut log = LogFile::new(&folder, "Riley");
        log.write(b"a\n", Moment::START);
        fs::rename(log.path(), folder.join("old")).unwrap();
        log.reopen(Moment::START);
        assert!(log.path().exists());
        log.write(b"b\n", Moment::START);
        assert_eq!(fs::read(log.path()).unwrap(), b"b\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn lines_that_are_lost_are_counted_and_writing_goes_on_later() {
        let folder = folder("lost");
        fs::create_dir_all(folder.join("Riley.log")).unwrap();
        let mut log = LogFile::new(&folder, "Riley");
        log.write(b"a\nb\n", Moment::START);
        log.write(b"c\n", Moment::START);
        fs::remove_dir(folder.join("Riley.log")).unwrap();
        log.write(b"d\n", Moment::START + AGAIN_AFTER / 2);
        log.write(b"e\n", Moment::START + AGAIN_AFTER);
        assert_eq!(
            fs::read_to_string(log.path()).unwrap(),
            "(4 lines of this log could not be written and are lost)\ne\n"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_device_and_a_missing_right_stop_nothing() {
        let mut log = LogFile { path: "/dev/full".into(), ..LogFile::new(Path::new("/"), "x") };
        log.write(b"a\n", Moment::START);
        assert_eq!(log.lines_lost, 1);
    }
}
