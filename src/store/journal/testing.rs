//! A folder in memory, for tests.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex};

use super::disk::{Folder, Output};

/// Files in memory. Clones are the same folder.
#[derive(Clone, Debug, Default)]
pub struct MemoryFolder {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    calls: Vec<String>,
    /// Calls that begin with this fail.
    failing: Option<&'static str>,
}

impl MemoryFolder {
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.state.lock().unwrap().files.clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().files.insert(name.into(), bytes);
    }

    /// The calls since the last time: `append 00000001.log`.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// Makes calls that begin with this fail from now on.
    pub fn fail(&self, failing: Option<&'static str>) {
        self.state.lock().unwrap().failing = failing;
    }

    fn call<T>(&self, call: String, action: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        let fails = state.failing.is_some_and(|failing| call.starts_with(failing));
        state.calls.push(call);
        if fails {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(action(&mut state))
    }
}

impl Folder for MemoryFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        self.call("names".into(), |state| state.files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.call(format!("open {name}"), |state| state.files.get(name).cloned())?;
        Ok(Box::new(Cursor::new(bytes.ok_or(io::ErrorKind::NotFound)?)))
    }

    fn read_end(&self, name: &str, most: u64) -> io::Result<(u64, Vec<u8>)> {
        let bytes = self.call(format!("read_end {name}"), |state| state.files.get(name).cloned())?;
        let bytes = bytes.ok_or(io::ErrorKind::NotFound)?;
        let start = bytes.len().saturating_sub(most as usize);
        Ok((bytes.len() as u64, bytes[start..].to_vec()))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Output>> {
        self.call(format!("create {name}"), |state| {
            assert!(state.files.insert(name.into(), Vec::new()).is_none(), "{name} is written once");
        })?;
        Ok(Box::new(MemoryOutput { folder: self.clone(), name: name.into(), length: 0 }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(format!("rename {from} {to}"), |state| {
            let bytes = state.files.remove(from).unwrap();
            state.files.insert(to.into(), bytes);
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(format!("link {from} {to}"), |state| {
            let bytes = state.files[from].clone();
            state.files.insert(to.into(), bytes);
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(format!("remove {name}"), |state| state.files.remove(name))?
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        self.call(format!("sync {name}"), |_| ())
    }

    fn sync(&self) -> io::Result<()> {
        self.call("sync folder".into(), |_| ())
    }
}

#[derive(Debug)]
struct MemoryOutput {
    folder: MemoryFolder,
    name: String,
    length: usize,
}

impl MemoryOutput {
    fn call(&self, what: &str, action: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.folder.call(format!("{what} {}", self.name), |state| {
            // A file that was removed is written on.
            if let Some(bytes) = state.files.get_mut(&self.name) {
                action(bytes);
            }
        })
    }
}

impl Output for MemoryOutput {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.length;
        self.length += bytes.len();
        self.call("append", |file| {
            file.resize(file.len().max(at + bytes.len()), 0);
            file[at..at + bytes.len()].copy_from_slice(bytes);
        })
    }

    fn reserve(&mut self, length: u64) -> io::Result<()> {
        self.call("reserve", |file| file.resize(file.len().max(length as usize), 0))
    }

    fn truncate(&mut self) -> io::Result<()> {
        let length = self.length;
        self.call("truncate", |file| file.truncate(length))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.call("sync", |_| ())
    }
}
