//! The folder of one server's store, as the journal uses it: few calls, so that a simulation can take its place. Every
//! call may block.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

/// A folder of files.
pub trait Folder: Debug + Send {
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file to be read from its start.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// The length of a file in bytes, and the last of its bytes, `most` at most.
    fn read_end(&self, name: &str, most: u64) -> io::Result<(u64, Vec<u8>)>;

    /// Creates an empty file. An error if there is one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn Output>>;

    /// Gives a file another name. A file that had that name is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file a second name, whatever becomes of the first.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name of a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until a file is on the disk that an earlier process may have written.
    fn sync_file(&self, name: &str) -> io::Result<()>;

    /// Waits until the names of all files are on the disk, as they are now.
    fn sync(&self) -> io::Result<()>;
}

/// A file that is being written, from its start to its end.
pub trait Output: Debug + Send {
    /// Appends bytes. After an error it is unknown how many of them were.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file at least so many bytes long, with zeros after what was appended, so that appending needs no further
    /// room on the disk.
    fn reserve(&mut self, length: u64) -> io::Result<()>;

    /// Cuts off what was reserved and not used.
    fn truncate(&mut self) -> io::Result<()>;

    /// Waits until everything that was appended is on the disk. After an error the file is of no use: the operating system
    /// may have dropped the data and not say so a second time.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the operating system.
#[derive(Debug)]
pub struct OsFolder {
    path: PathBuf,
    /// Locked as long as the folder is written by this process.
    _lock: Option<File>,
}

impl OsFolder {
    /// The folder, to be read. It need not exist.
    pub fn to_read(path: &Path) -> OsFolder {
        OsFolder { path: path.to_owned(), _lock: None }
    }

    /// The folder, to be read and written by this process alone. It is made if it does not exist. `None`: another process
    /// has it.
    pub fn to_write(path: &Path) -> io::Result<Option<OsFolder>> {
        fs::create_dir_all(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(OsFolder { path: path.to_owned(), _lock: Some(lock) })),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a process writes the folder.
    pub fn is_in_use(path: &Path) -> bool {
        File::open(path.join(LOCK)).is_ok_and(|lock| {
            flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
        })
    }

    /// The bytes of a file, and when it was written last.
    pub fn facts(&self, name: &str) -> io::Result<(u64, SystemTime)> {
        let facts = fs::metadata(self.path.join(name))?;
        Ok((facts.len(), facts.modified()?))
    }
}

impl Folder for OsFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of the journal's.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path.join(name))?))
    }

    fn read_end(&self, name: &str, most: u64) -> io::Result<(u64, Vec<u8>)> {
        let mut file = File::open(self.path.join(name))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok((length, bytes))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().write(true).create_new(true).open(self.path.join(name))?;
        Ok(Box::new(OsOutput { file, length: 0, reserved: 0 }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        File::open(self.path.join(name))?.sync_data()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// A file of the operating system.
#[derive(Debug)]
struct OsOutput {
    file: File,
    length: u64,
    reserved: u64,
}

impl Output for OsOutput {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn reserve(&mut self, length: u64) -> io::Result<()> {
        if length > self.reserved {
            match fallocate(&self.file, FallocateFlags::empty(), self.length, length - self.length) {
                // A file system that cannot reserve has less speed and no less safety.
                Err(rustix::io::Errno::OPNOTSUPP) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
            self.reserved = length;
        }
        Ok(())
    }

    fn truncate(&mut self) -> io::Result<()> {
        self.reserved = self.length;
        self.file.set_len(self.length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The file that the process that writes a folder has locked.
pub const LOCK: &str = "lock";
