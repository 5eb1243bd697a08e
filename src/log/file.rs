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
    /// It cannot be written, and that was said.
    in_trouble: bool,
    /// It ends within a line.
    is_torn: bool,
    again_at: Moment,
}

impl LogFile {
    /// The file of a server's log in `folder`; both are made when they are needed.
    pub fn new(folder: &Path, server: &str) -> LogFile {
        LogFile {
            path: folder.join(format!("{server}.log")),
            file: None,
            lines_lost: 0,
            in_trouble: false,
            is_torn: false,
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
        // A file that was renamed, or emptied, is another one.
        self.is_torn &= fs::metadata(&self.path).is_ok_and(|about| about.len() > 0 || !about.is_file());
        self.again_at = now;
        self.write(b"", now);
    }

    /// Appends lines, or counts them as lost.
    pub fn write(&mut self, lines: &[u8], now: Moment) {
        if now < self.again_at {
            self.lines_lost += count(lines);
            return;
        }
        let mut rest = lines;
        match self.try_write(&mut rest) {
            // Writing the note alone is no sign that the trouble is over.
            Ok(()) => self.in_trouble &= lines.is_empty(),
            Err(error) => {
                if !std::mem::replace(&mut self.in_trouble, true) {
                    complain(format_args!(
                        "the log {} cannot be written: {error}; serving goes on, its lines are lost until it can",
                        self.path.display()
                    ));
                }
                self.file = None;
                self.lines_lost += count(rest);
                self.again_at = now + AGAIN_AFTER;
            }
        }
    }

    /// Writes `rest`, from which it takes away what was written.
    fn try_write(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        if self.lines_lost > 0 {
            let end_of_line = if self.is_torn { "\n" } else { "" };
            let lost = self.lines_lost;
            let note = format!("{end_of_line}({lost} lines of this log could not be written and are lost)\n");
            append(&mut file, &mut note.as_bytes(), &mut self.is_torn)?;
            self.lines_lost = 0;
        }
        append(&mut file, rest, &mut self.is_torn)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Writes `rest`, from which it takes away what was written; whether the file ends within a line then.
fn append(file: &mut File, rest: &mut &[u8], is_torn: &mut bool) -> io::Result<()> {
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                *is_torn = rest[length - 1] != b'\n';
                *rest = &rest[length..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    use std::io::Read;

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
    fn a_reader_that_is_slow_gets_whole_lines_and_is_spoken_of_once() {
        let folder = folder("slow");
        fs::create_dir_all(&folder).unwrap();
        let mut log = LogFile::new(&folder, "Riley");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, log.path(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut pipe = OpenOptions::new().read(true).custom_flags(flags).open(log.path()).unwrap();
        let mut take = || {
            let mut taken = Vec::new();
            let error = pipe.read_to_end(&mut taken).err().map(|error| error.kind());
            assert!(matches!(error, None | Some(io::ErrorKind::WouldBlock)));
            String::from_utf8(taken).unwrap()
        };
        // More than a pipe holds.
        let line = "0123456789 a line\n";
        let batch = line.repeat(50_000);
        log.write(batch.as_bytes(), Moment::START);
        let first = take();
        assert!(log.in_trouble && log.is_torn && batch.starts_with(&first));
        assert_eq!(log.lines_lost as usize, 50_000 - first.len() / line.len());
        // There is room for the note, and not for all that follows it.
        let note = format!("\n({} lines of this log could not be written and are lost)\n", log.lines_lost);
        log.write(batch.as_bytes(), Moment::START + AGAIN_AFTER);
        assert!(log.in_trouble, "which is not spoken of again");
        assert!(take().starts_with(&(note + line)));
        log.reopen(Moment::START + AGAIN_AFTER);
        assert!(log.in_trouble && take().starts_with("\n("), "it is the same pipe");
        log.write(line.as_bytes(), Moment::START + AGAIN_AFTER * 2);
        assert!(!log.in_trouble && log.lines_lost == 0 && take().ends_with(line));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_device_and_a_missing_right_stop_nothing() {
        let mut log = LogFile { path: "/dev/full".into(), ..LogFile::new(Path::new("/"), "x") };
        log.write(b"a\n", Moment::START);
        assert_eq!(log.lines_lost, 1);
    }
}
