//! How files of secrets are written: whole or not at all, and by one process at a time.

use super::KeysError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The right to write files into a folder. The kernel gives it back when the process ends, however it
/// ends.
#[derive(Debug)]
pub(crate) struct Lock {
    folder: File,
}

impl Lock {
    /// Makes the folder if there is none, and waits until no other process writes into it.
    pub(crate) fn take(folder: &Path) -> Result<Lock, KeysError> {
        let failed = |error: io::Error| KeysError::new(folder, format!("cannot be written: {error}"));
        make_folder(folder).map_err(failed)?;
        // The empty path, which is the folder of a name alone, is that of no folder.
        let named = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let opened = File::open(named).map_err(failed)?;
        let until = Instant::now() + LOCK_WAIT;
        loop {
            match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { folder: opened }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < until => thread::sleep(LOCK_RETRY),
                Err(Errno::WOULDBLOCK) => {
                    let wait = LOCK_WAIT.as_secs();
                    let problem = format!(
                        "another process of this program has been writing here for {wait} s; end it, and start this again"
                    );
                    return Err(KeysError::new(folder, problem));
                }
                Err(error) => return Err(KeysError::new(folder, format!("cannot be locked: {error}"))),
            }
        }
    }

    /// Puts all files into their places, in this order. Before that each of them is complete on the disk.
    pub(crate) fn put(&self, files: &[NewFile]) -> Result<(), KeysError> {
        for file in files {
            file.write().map_err(|error| file.failed(&error))?;
        }
        for file in files {
            fs::rename(file.temporary(), &file.path).map_err(|error| file.failed(&error))?;
        }
        // Not all file systems can do it for a folder, and the files are there.
        let _ = self.folder.sync_all();
        Ok(())
    }
}

/// A file to be written.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    text: String,
    mode: u32,
}

impl NewFile {
    /// A file that all may read.
    pub(crate) fn public(path: PathBuf, text: String) -> NewFile {
        NewFile { path, text, mode: 0o644 }
    }

    /// A file that only its owner may read.
    pub(crate) fn private(path: PathBuf, text: String) -> NewFile {
        NewFile { path, text, mode: 0o600 }
    }

    /// The name of the file until it is complete. A process that died has left at most one of this name.
    fn temporary(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }

    fn write(&self) -> io::Result<()> {
        let temporary = self.temporary();
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(self.mode).open(&temporary)?;
        file.write_all(self.text.as_bytes())?;
        // A name must not outlive a power failure without its content.
        file.sync_all()
    }

    fn failed(&self, error: &io::Error) -> KeysError {
        KeysError::new(&self.path, format!("cannot be written: {error}"))
    }
}

/// Makes a folder that only its owner may enter, and the folders above it as usual.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Five servers make their keys one after the other within a second, on a slow disk too.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Writing a pair of keys takes about so long.
const LOCK_RETRY: Duration = Duration::from_millis(5);
