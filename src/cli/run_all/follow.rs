//! Follows a log file as it grows, like `tail -F`.

use super::super::failure::in_words;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

/// A log file that another process writes, renames and shortens as it likes.
pub(super) struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// The beginning of a line whose end was not written yet.
    begun: Vec<u8>,
    trouble_was_told: bool,
}

struct Open {
    file: File,
    position: u64,
}

/// What happened to a log since it was looked at last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Its new lines, without their line ends.
    pub(super) lines: Vec<String>,
    /// Bytes that were passed over, for a log that grows faster than anybody reads.
    pub(super) skipped: u64,
    /// Why it cannot be read; told once.
    pub(super) trouble: Option<String>,
}

impl Follower {
    /// Follows the file from its present end, or from its beginning if there is none yet.
    pub(super) fn from_end(path: PathBuf) -> Follower {
        let mut follower = Follower { path, open: None, begun: Vec::new(), trouble_was_told: false };
        if let Ok(mut file) = open(&follower.path) {
            let position = file.seek(SeekFrom::End(0)).unwrap_or(0);
            follower.open = Some(Open { file, position });
        }
        follower
    }

    /// What is new. A file that was replaced or cut is read from its beginning.
    pub(super) fn news(&mut self) -> News {
        let mut news = News::default();
        if let Err(error) = self.read(&mut news) {
            self.open = None;
            if error.kind() != io::ErrorKind::NotFound && !self.trouble_was_told {
                self.trouble_was_told = true;
                let why = in_words(&error);
                news.trouble = Some(format!("the log {} cannot be read: {why}", self.path.display()));
            }
        }
        news
    }

    fn read(&mut self, news: &mut News) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Open { file: open(&self.path)?, position: 0 }),
        };
        let length = open.file.metadata()?.len();
        if length < open.position {
            open.file.seek(SeekFrom::Start(0))?;
            open.position = 0;
            self.begun.clear();
        }
        if length - open.position > BEHIND_MAX {
            let start = length - READ_MAX;
            news.skipped = start - open.position;
            open.position = open.file.seek(SeekFrom::Start(start))?;
            self.begun.clear();
        }
        let mut bytes = Vec::new();
        (&mut open.file).take(READ_MAX).read_to_end(&mut bytes)?;
        open.position += bytes.len() as u64;
        if news.skipped > 0 {
            // What was skipped ended within a line.
            let end = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1);
            news.skipped += end as u64;
            bytes.drain(..end);
        }
        let is_at_end = bytes.is_empty();
        take_lines(&mut self.begun, &bytes, &mut news.lines);
        // Only at its end, so that nothing of a renamed file is lost.
        if is_at_end && is_another(&open.file.metadata()?, &fs::metadata(&self.path)) {
            self.open = None;
            self.begun.clear();
        }
        Ok(())
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    // Without blocking: a FIFO would wait for a writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// Whether the path names another file by now. While it names none, the old one may still grow.
fn is_another(open: &Metadata, path: &io::Result<Metadata>) -> bool {
    path.as_ref().is_ok_and(|path| (path.dev(), path.ino()) != (open.dev(), open.ino()))
}

fn take_lines(begun: &mut Vec<u8>, bytes: &[u8], lines: &mut Vec<String>) {
    for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
        begun.extend_from_slice(piece);
        let line = match piece.strip_suffix(b"\n") {
            Some(_) => &begun[..begun.len() - 1],
            None if begun.len() >= LINE_MAX => begun,
            None => continue,
        };
        lines.push(String::from_utf8_lossy(line).into_owned());
        begun.clear();
    }
}

/// Bytes read in one turn: more than a terminal shows in that time.
const READ_MAX: u64 = 64 * 1024;

/// How far behind its end a log is read at most. A herd under load writes far more than a person reads,
/// and what it did a minute ago is not what it does now.
const BEHIND_MAX: u64 = 1024 * 1024;

/// A line of a log repeats a message of at most 16 KiB, whose bytes may be written with four each.
const LINE_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::Path;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("herd-follow-{}-{name}", std::process::id()));
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
    fn what_is_appended_is_read_line_by_line() {
        let folder = Folder::new("appended");
        append(&folder.log(), b"old\n");
        let mut follower = Follower::from_end(folder.log());
        assert_eq!(follower.news(), News::default());
        append(&folder.log(), b"a\n\nbe");
        assert_eq!(follower.news().lines, ["a", ""]);
        append(&folder.log(), b"gun\xff\n");
        assert_eq!(follower.news().lines, ["begun\u{fffd}"]);
        assert_eq!(follower.news(), News::default());
    }

    #[test]
    fn a_file_that_comes_later_is_read_from_its_beginning() {
        let folder = Folder::new("later");
        let mut follower = Follower::from_end(folder.log());
        assert_eq!(follower.news(), News::default());
        append(&folder.log(), b"a\n");
        assert_eq!(follower.news().lines, ["a"]);
    }

    #[test]
    fn a_file_that_is_replaced_or_cut_is_read_anew() {
        let folder = Folder::new("replaced");
        append(&folder.log(), b"old\n");
        let mut follower = Follower::from_end(folder.log());
        fs::rename(folder.log(), folder.0.join("old")).unwrap();
        append(&folder.0.join("old"), b"last\n");
        append(&folder.log(), b"first\n");
        assert_eq!(follower.news().lines, ["last"]);
        assert_eq!(follower.news(), News::default());
        assert_eq!(follower.news().lines, ["first"]);
        fs::write(folder.log(), b"cut\n").unwrap();
        assert_eq!(follower.news().lines, ["cut"]);
        fs::remove_file(folder.log()).unwrap();
        assert_eq!(follower.news(), News::default());
    }

    #[test]
    fn a_log_that_outruns_the_reader_is_skipped_to_a_whole_line_near_its_end() {
        let folder = Folder::new("behind");
        let mut follower = Follower::from_end(folder.log());
        append(&folder.log(), &b"0123456\n".repeat(BEHIND_MAX as usize / 8 + 1));
        append(&folder.log(), b"the last\n");
        let news = follower.news();
        assert_eq!(news.skipped, BEHIND_MAX + 8 + 9 - READ_MAX + 7);
        assert_eq!(news.lines[0], "0123456");
        assert_eq!(news.lines.last().unwrap(), "the last");
    }

    #[test]
    fn what_cannot_be_read_is_told_once() {
        let folder = Folder::new("trouble");
        fs::create_dir(folder.log()).unwrap();
        let mut follower = Follower::from_end(folder.log());
        let trouble = follower.news().trouble.unwrap();
        assert!(trouble.ends_with("Riley.log cannot be read: it is not a file"), "{trouble}");
        assert_eq!(follower.news(), News::default());
        fs::remove_dir(folder.log()).unwrap();
        append(&folder.log(), b"a\n");
        assert_eq!(follower.news().lines, ["a"]);
    }

    #[test]
    fn a_line_without_end_is_not_kept_for_ever() {
        let (mut begun, mut lines) = (Vec::new(), Vec::new());
        take_lines(&mut begun, &vec![b'x'; LINE_MAX], &mut lines);
        assert_eq!((begun.len(), lines.len()), (0, 1));
    }
}
