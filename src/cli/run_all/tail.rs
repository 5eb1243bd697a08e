//! Reads a log file as it grows, like `tail -F`.

use super::super::check::tidy;
use super::super::failure::in_words;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

/// The end of a log file that another process may extend, rename and truncate.
pub(super) struct Tail {
    path: PathBuf,
    open: Option<Open>,
    /// An unfinished line.
    partial: Vec<u8>,
    error_was_reported: bool,
}

struct Open {
    file: File,
    position: u64,
}

/// The additions to a log since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Additions {
    /// The new lines, without their line ends.
    pub(super) lines: Vec<String>,
    /// Bytes that were skipped, because the log grows faster than it can be shown.
    pub(super) skipped: u64,
    /// The reason why the log cannot be read; reported once.
    pub(super) error: Option<String>,
}

impl Tail {
    /// Starts at the present end of the file, or at its beginning if it does not exist yet.
    pub(super) fn from_end(path: PathBuf) -> Tail {
        let mut tail = Tail { path, open: None, partial: Vec::new(), error_was_reported: false };
        if let Ok(mut file) = open(&tail.path) {
            let position = file.seek(SeekFrom::End(0)).unwrap_or(0);
            tail.open = Some(Open { file, position });
        }
        tail
    }

    /// Reads the additions. A file that was replaced or truncated is read from its beginning.
    pub(super) fn read(&mut self) -> Additions {
        let mut additions = Additions::default();
        if let Err(error) = self.try_read(&mut additions) {
            self.open = None;
            if error.kind() != io::ErrorKind::NotFound && !self.error_was_reported {
                self.error_was_reported = true;
                let reason = in_words(&error);
                additions.error =
                    Some(format!("the log {} cannot be read: {reason}", tidy(&self.path).display()));
            }
        }
        additions
    }

    fn try_read(&mut self, additions: &mut Additions) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Open { file: open(&self.path)?, position: 0 }),
        };
        let length = open.file.metadata()?.len();
        if length < open.position {
            open.file.seek(SeekFrom::Start(0))?;
            open.position = 0;
            self.partial.clear();
        }
        if length - open.position > MAX_UNREAD {
            let start = length - MAX_READ;
            additions.skipped = start - open.position;
            open.position = open.file.seek(SeekFrom::Start(start))?;
            self.partial.clear();
        }
        let mut bytes = Vec::new();
        (&mut open.file).take(MAX_READ).read_to_end(&mut bytes)?;
        open.position += bytes.len() as u64;
        if additions.skipped > 0 {
            // The skipped bytes end within a line.
            let end = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1);
            additions.skipped += end as u64;
            bytes.drain(..end);
        }
        let is_at_end = bytes.is_empty();
        take_lines(&mut self.partial, &bytes, &mut additions.lines);
        // Only at the end of the old file, so that nothing of it is lost.
        if is_at_end && is_another(&open.file.metadata()?, &fs::metadata(&self.path)) {
            self.open = None;
            self.partial.clear();
        }
        Ok(())
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    // Opening a FIFO would block until it has a writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Whether the path names another file now. While it names none, the old file may still grow.
fn is_another(open: &Metadata, path: &io::Result<Metadata>) -> bool {
    path.as_ref().is_ok_and(|path| (path.dev(), path.ino()) != (open.dev(), open.ino()))
}

fn take_lines(partial: &mut Vec<u8>, bytes: &[u8], lines: &mut Vec<String>) {
    for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
        partial.extend_from_slice(piece);
        let line = match piece.strip_suffix(b"\n") {
            Some(_) => &partial[..partial.len() - 1],
            None if partial.len() >= MAX_LINE_BYTES => partial,
            None => continue,
        };
        lines.push(String::from_utf8_lossy(line).into_owned());
        partial.clear();
    }
}

/// Bytes read at once: more than a terminal shows between two reads.
const MAX_READ: u64 = 64 * 1024;

/// Unread bytes above which a log is skipped to its end. A herd under load writes more than can be read on a
/// screen, and its state of a minute ago is of no use.
const MAX_UNREAD: u64 = 1024 * 1024;

/// A line of a log has a message of at most 16 KiB, of which each byte may be escaped with four.
const MAX_LINE_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::Path;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("herd-tail-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }

        fn log(&self) -> PathBuf {
            self.0.join("Riley.log")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn append(path: &Path, bytes: &[u8]) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn appended_lines_are_read() {
        let folder = Folder::new("appended");
        append(&folder.log(), b"old\n");
        let mut tail = Tail::from_end(folder.log());
        assert_eq!(tail.read(), Additions::default());
        append(&folder.log(), b"a\n\nbe");
        assert_eq!(tail.read().lines, ["a", ""]);
        append(&folder.log(), b"gun\xff\n");
        assert_eq!(tail.read().lines, ["begun\u{fffd}"]);
        assert_eq!(tail.read(), Additions::default());
    }

    #[test]
    fn a_file_that_is_created_later_is_read_from_its_beginning() {
        let folder = Folder::new("later");
        let mut tail = Tail::from_end(folder.log());
        assert_eq!(tail.read(), Additions::default());
        append(&folder.log(), b"a\n");
        assert_eq!(tail.read().lines, ["a"]);
    }

    #[test]
    fn a_file_that_is_replaced_or_truncated_is_read_from_its_beginning() {
        let folder = Folder::new("replaced");
        append(&folder.log(), b"old\n");
        let mut tail = Tail::from_end(folder.log());
        fs::rename(folder.log(), folder.0.join("old")).unwrap();
        append(&folder.0.join("old"), b"last\n");
        append(&folder.log(), b"first\n");
        assert_eq!(tail.read().lines, ["last"]);
        assert_eq!(tail.read(), Additions::default());
        assert_eq!(tail.read().lines, ["first"]);
        fs::write(folder.log(), b"cut\n").unwrap();
        assert_eq!(tail.read().lines, ["cut"]);
        fs::remove_file(folder.log()).unwrap();
        assert_eq!(tail.read(), Additions::default());
    }

    #[test]
    fn a_log_that_grows_too_fast_is_skipped_to_a_whole_line() {
        let folder = Folder::new("fast");
        let mut tail = Tail::from_end(folder.log());
        append(&folder.log(), &b"0123456\n".repeat(MAX_UNREAD as usize / 8 + 1));
        append(&folder.log(), b"the last\n");
        let additions = tail.read();
        assert_eq!(additions.skipped, MAX_UNREAD + 8 + 9 - MAX_READ + 7);
        assert_eq!(additions.lines[0], "0123456");
        assert_eq!(additions.lines.last().unwrap(), "the last");
    }

    #[test]
    fn an_unreadable_file_is_reported_once() {
        let folder = Folder::new("trouble");
        fs::create_dir(folder.log()).unwrap();
        let mut tail = Tail::from_end(folder.log());
        let error = tail.read().error.unwrap();
        assert!(error.ends_with("Riley.log cannot be read: not a regular file"), "{error}");
        assert_eq!(tail.read(), Additions::default());
        fs::remove_dir(folder.log()).unwrap();
        append(&folder.log(), b"a\n");
        assert_eq!(tail.read().lines, ["a"]);
    }

    #[test]
    fn an_unfinished_line_is_bounded() {
        let (mut partial, mut lines) = (Vec::new(), Vec::new());
        take_lines(&mut partial, &vec![b'x'; MAX_LINE_BYTES], &mut lines);
        assert_eq!((partial.len(), lines.len()), (0, 1));
    }
}
