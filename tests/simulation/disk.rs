//! The disk of a simulated machine, with the folder of one store. A process sees what it has written at once. On the disk
//! that is after a sync, and before one as far as chance has it: a power cut loses or keeps each sector by itself.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use herd::store::journal::disk::{Folder, Output};

use crate::chance::Chance;

/// The disk of one machine.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<Disk>>);

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is room for so many more bytes.
    Full { room: u64 },
    /// One call in so many fails that writes or reads; it may have had its effect.
    Errors { one_in: u64 },
    /// One sync of a file in so many fails. What it should have written is lost, and later syncs do not say so.
    Syncs { one_in: u64 },
}

#[derive(Debug)]
struct Disk {
    chance: Chance,
    files: Vec<Content>,
    /// The files by name, as processes see them.
    names: BTreeMap<String, usize>,
    /// The same, as they were at the last sync of the folder, and the changes since then.
    synced_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    trouble: Option<Trouble>,
    /// The file system can make room before it is used.
    reserves: bool,
    /// The number of the process that may use the disk. Calls of earlier ones have no effect.
    process: u64,
    /// The process dies within the call after so many others.
    calls_left: Option<u64>,
}

/// One file.
#[derive(Clone, Debug, Default)]
struct Content {
    /// As a process reads it.
    memory: Vec<u8>,
    /// As it is on the disk without doubt.
    disk: Vec<u8>,
    /// The end of what was appended.
    end: usize,
    /// The end of what was appended before the last sync.
    clean: usize,
    /// The lengths that the file had since then, and the ends of what was appended.
    lengths: Vec<usize>,
    ends: Vec<usize>,
    /// The number of changes of names before the last sync of this file, which may have written them, too.
    names_synced: usize,
}

/// A change of the names: first one is removed, then one is set.
#[derive(Clone, Debug)]
struct NameChange {
    removed: Option<String>,
    set: Option<(String, usize)>,
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(mut chance: Chance) -> SimulatedDisk {
        let reserves = !chance.one_in(4);
        SimulatedDisk(Arc::new(Mutex::new(Disk {
            chance,
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            changes: Vec::new(),
            trouble: None,
            reserves,
            process: 0,
            calls_left: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder for a process that starts. Earlier processes no longer reach the disk.
    pub fn process_starts(&self) -> Box<dyn Folder> {
        let mut disk = self.lock();
        disk.process += 1;
        disk.calls_left = None;
        Box::new(SimulatedFolder { disk: self.clone(), process: disk.process })
    }

    /// The process dies within the call after so many others, which are made without a further one of these.
    pub fn process_dies_after(&self, calls: u64) {
        self.lock().calls_left = Some(calls);
    }

    /// Whether the process has not died yet. From now on it does not.
    pub fn process_lives_on(&self) -> bool {
        self.lock().calls_left.take() != Some(0)
    }

    /// The process has ended. The operating system goes on.
    pub fn process_ended(&self) {
        let mut disk = self.lock();
        disk.process += 1;
        disk.calls_left = None;
        disk.files.iter_mut().for_each(Content::forget_clean_pages);
    }

    /// The machine has lost its power.
    pub fn lose_power(&self) {
        let mut disk = self.lock();
        disk.process += 1;
        disk.calls_left = None;
        disk.lose_power();
    }

    /// Something is wrong with the disk from now on; `None`: nothing is.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        self.lock().trouble = trouble;
    }

    /// What is wrong with the disk.
    pub fn trouble(&self) -> Option<Trouble> {
        self.lock().trouble
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// The content of a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.lock();
        disk.names.get(name).map(|&file| disk.files[file].memory.clone())
    }

    /// The operating system has written everything that it has in memory.
    pub fn write_back(&self) {
        let mut disk = self.lock();
        disk.files.iter_mut().for_each(Content::sync);
        disk.synced_names = disk.names.clone();
        disk.changes.clear();
    }

    /// Puts other bytes in the place of a file, as if the disk had damaged it while no process ran.
    pub fn damage(&self, name: &str, content: Vec<u8>) {
        let mut disk = self.lock();
        if let Some(&file) = disk.names.get(name) {
            disk.files[file] = Content::written(content);
        }
    }

    /// Loses a file, as if somebody had removed it while no process ran.
    pub fn lose(&self, name: &str) {
        let mut disk = self.lock();
        disk.names.remove(name);
        disk.synced_names = disk.names.clone();
        disk.changes.clear();
    }
}

impl Disk {
    /// A call of a process begins. The error ends it without an effect.
    fn enter(&mut self, process: u64) -> io::Result<()> {
        if process != self.process || self.calls_left == Some(0) {
            return Err(io::Error::other("the process has ended"));
        }
        if let Some(calls_left) = &mut self.calls_left {
            *calls_left -= 1;
        }
        Ok(())
    }

    /// Whether a call fails because of the trouble, a sync or another one.
    fn fails(&mut self, is_sync: bool) -> bool {
        match self.trouble {
            Some(Trouble::Errors { one_in }) => self.chance.one_in(one_in),
            Some(Trouble::Syncs { one_in }) => is_sync && self.chance.one_in(one_in),
            Some(Trouble::Full { .. }) | None => false,
        }
    }

    /// Takes room for so many bytes. Returns how many of them there is room for.
    fn take_room(&mut self, bytes: usize) -> usize {
        let Some(Trouble::Full { room }) = &mut self.trouble else { return bytes };
        let taken = (*room).min(bytes as u64);
        *room -= taken;
        taken as usize
    }

    /// Carries out a call that changes names, unless it fails; then perhaps.
    fn change_names(&mut self, process: u64, change: NameChange) -> io::Result<()> {
        self.enter(process)?;
        let fails = self.fails(false);
        if !fails || self.chance.one_in(2) {
            change.apply(&mut self.names);
            self.changes.push(change);
        }
        if fails { Err(input_output_error()) } else { Ok(()) }
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_file(&mut self, file: usize) -> io::Result<()> {
        // After a sync that has failed, there is nothing to be written.
        let is_clean = self.files[file].end == self.files[file].clean;
        let fails = self.fails(true) && !(is_clean && matches!(self.trouble, Some(Trouble::Syncs { .. })));
        let Disk { chance, files, changes, .. } = self;
        let file = &mut files[file];
        if fails {
            file.fail_to_sync(chance);
            return Err(input_output_error());
        }
        file.sync();
        file.names_synced = changes.len();
        Ok(())
    }

    fn lose_power(&mut self) {
        let length = self.changes.len();
        // A file system with a journal keeps the changes of names up to one of them.
        let kept = match self.chance.below(4) {
            0 => 0,
            1 => length,
            _ => self.chance.below(length as u64 + 1) as usize,
        };
        for (index, change) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            // Some keep those of a file with its sync, before earlier ones of others.
            let came_with_file =
                change.set.as_ref().is_some_and(|set| self.files[set.1].names_synced > index);
            if index < kept || came_with_file && self.chance.one_in(2) {
                change.apply(&mut self.synced_names);
            }
        }
        self.names = self.synced_names.clone();
        let Disk { chance, files, .. } = self;
        for file in files {
            file.lose_power(chance);
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((name, file)) = &self.set {
            names.insert(name.clone(), *file);
        }
    }
}

impl Content {
    /// A file that is on the disk as a whole.
    fn written(content: Vec<u8>) -> Content {
        let end = content.len();
        Content { memory: content.clone(), disk: content, end, clean: end, ..Content::default() }
    }

    fn append(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        self.memory[self.end..end].copy_from_slice(bytes);
        self.end = end;
        self.ends.push(end);
        self.lengths.push(self.memory.len());
    }

    fn set_length(&mut self, length: usize) {
        self.memory.resize(length, 0);
        self.lengths.push(length);
    }

    /// The sectors that are not on the disk.
    fn dirty_sectors(&self) -> std::ops::Range<usize> {
        let first = self.clean / SECTOR;
        first..if self.end > self.clean { self.end.div_ceil(SECTOR) } else { first }
    }

    /// Writes a sector to the disk, as it was when the file had this end.
    fn write_sector(&mut self, sector: usize, end: usize) {
        let start = sector * SECTOR;
        let length = (start + SECTOR).min(end).min(self.disk.len());
        if start < length {
            self.disk[start..length].copy_from_slice(&self.memory[start..length]);
        }
    }

    fn sync(&mut self) {
        self.disk.resize(self.memory.len(), 0);
        for sector in self.dirty_sectors() {
            self.write_sector(sector, self.end);
        }
        self.count_as_clean();
    }

    /// A sync that fails. The pages that it has not written count as written.
    fn fail_to_sync(&mut self, chance: &mut Chance) {
        self.disk.resize(self.memory.len(), 0);
        for sector in self.dirty_sectors() {
            if chance.one_in(3) {
                self.write_sector(sector, self.end);
            }
        }
        self.count_as_clean();
    }

    fn count_as_clean(&mut self) {
        self.clean = self.end;
        self.lengths.clear();
        self.ends.clear();
    }

    /// The memory is used for something else: what counts as written is read from the disk from now on. That could come
    /// later, too; but then a process would read what nothing can tell from what is on the disk.
    fn forget_clean_pages(&mut self) {
        // A page with later bytes was not written yet.
        let clean = if self.end > self.clean { self.clean / SECTOR * SECTOR } else { self.clean };
        let length = clean.min(self.disk.len()).min(self.memory.len());
        self.memory[..length].copy_from_slice(&self.disk[..length]);
    }

    /// Keeps of each sector what chance has it. No sector is torn.
    fn lose_power(&mut self, chance: &mut Chance) {
        let (kind, sectors) = (chance.below(4), self.dirty_sectors());
        let length = match kind {
            0 => self.disk.len(),
            1 => self.memory.len(),
            _ if self.lengths.is_empty() => self.disk.len(),
            _ => *chance.pick(&self.lengths),
        };
        self.disk.resize(length, 0);
        let kept = sectors.start + chance.index(sectors.len() + 1);
        for sector in sectors {
            let is_kept = match kind {
                0 => false,
                1 => true,
                2 => sector < kept,
                _ => chance.one_in(2),
            };
            if is_kept {
                let end = if kind == 1 || chance.one_in(2) { self.end } else { *chance.pick(&self.ends) };
                self.write_sector(sector, end);
            }
        }
        *self = Content::written(std::mem::take(&mut self.disk));
    }
}

/// The folder, for one process.
#[derive(Debug)]
struct SimulatedFolder {
    disk: SimulatedDisk,
    process: u64,
}

impl Folder for SimulatedFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        if disk.fails(false) { Err(input_output_error()) } else { Ok(disk.names.keys().cloned().collect()) }
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        let file = disk.file(name)?;
        if disk.fails(false) {
            return Err(input_output_error());
        }
        Ok(Box::new(Cursor::new(disk.files[file].memory.clone())))
    }

    fn read_end(&self, name: &str, most: u64) -> io::Result<(u64, Vec<u8>)> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        let file = disk.file(name)?;
        if disk.fails(false) {
            return Err(input_output_error());
        }
        let bytes = &disk.files[file].memory;
        let start = bytes.len().saturating_sub(most as usize);
        Ok((bytes.len() as u64, bytes[start..].to_vec()))
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        let file = disk.file(name)?;
        disk.sync_file(file)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Output>> {
        let mut disk = self.disk.lock();
        if disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = disk.files.len();
        disk.files.push(Content::default());
        disk.change_names(self.process, NameChange { removed: None, set: Some((name.into(), file)) })?;
        Ok(Box::new(SimulatedOutput { disk: self.disk.clone(), process: self.process, file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let file = disk.file(from)?;
        disk.change_names(
            self.process,
            NameChange { removed: Some(from.into()), set: Some((to.into(), file)) },
        )
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let file = disk.file(from)?;
        if disk.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.change_names(self.process, NameChange { removed: None, set: Some((to.into(), file)) })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.file(name)?;
        disk.change_names(self.process, NameChange { removed: Some(name.into()), set: None })
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        if disk.fails(true) {
            return Err(input_output_error());
        }
        disk.synced_names = disk.names.clone();
        disk.changes.clear();
        disk.files.iter_mut().for_each(|file| file.names_synced = 0);
        Ok(())
    }
}

/// A file that a process writes.
#[derive(Debug)]
struct SimulatedOutput {
    disk: SimulatedDisk,
    process: u64,
    file: usize,
}

impl Output for SimulatedOutput {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        let (fails, dies) = (disk.fails(false), disk.calls_left == Some(0));
        let bytes = if fails || dies { &bytes[..disk.chance.index(bytes.len() + 1)] } else { bytes };
        let reserved = disk.files[self.file].memory.len() - disk.files[self.file].end;
        let needed = bytes.len().saturating_sub(reserved);
        let room = disk.take_room(needed);
        let taken = bytes.len() - (needed - room);
        disk.files[self.file].append(&bytes[..taken]);
        match (fails, taken < bytes.len()) {
            (true, _) => Err(input_output_error()),
            (false, true) => Err(io::ErrorKind::StorageFull.into()),
            (false, false) => Ok(()),
        }
    }

    fn reserve(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        let needed = (length as usize).saturating_sub(disk.files[self.file].memory.len());
        if !disk.reserves || needed == 0 {
            return Ok(());
        }
        if disk.fails(false) {
            return Err(input_output_error());
        }
        // All of it, or nothing.
        match disk.trouble {
            Some(Trouble::Full { room }) if room < needed as u64 => Err(io::ErrorKind::StorageFull.into()),
            _ => {
                disk.take_room(needed);
                disk.files[self.file].set_length(length as usize);
                Ok(())
            }
        }
    }

    fn truncate(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        if disk.fails(false) {
            return Err(input_output_error());
        }
        let end = disk.files[self.file].end;
        disk.files[self.file].set_length(end);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.enter(self.process)?;
        disk.sync_file(self.file)
    }
}

fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

/// Bytes that a disk writes as a whole.
pub const SECTOR: usize = 512;
/// The number of the error of a device.
const EIO: i32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> SimulatedDisk {
        SimulatedDisk::new(Chance::new(seed))
    }

    /// What a process reads that starts now.
    fn read(disk: &SimulatedDisk, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        disk.process_starts().open(name).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// What some bytes have become after some kind of end, in many runs.
    fn outcomes(write: impl Fn(&dyn Folder), end: impl Fn(&SimulatedDisk)) -> Vec<Option<Vec<u8>>> {
        let outcome = |seed| {
            let disk = disk(seed);
            write(&*disk.process_starts());
            end(&disk);
            read(&disk, "a")
        };
        (0..400).map(outcome).collect()
    }

    fn write_synced(folder: &dyn Folder) -> Box<dyn Output> {
        let mut file = folder.create("a").unwrap();
        file.append(&[1; 700]).unwrap();
        file.sync().unwrap();
        folder.sync().unwrap();
        file
    }

    #[test]
    fn the_end_of_a_process_loses_nothing() {
        let write = |folder: &dyn Folder| folder.create("a").unwrap().append(&[1; 2000]).unwrap();
        for outcome in outcomes(write, SimulatedDisk::process_ended) {
            assert_eq!(outcome, Some(vec![1; 2000]));
        }
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced() {
        for outcome in outcomes(|folder| drop(write_synced(folder)), SimulatedDisk::lose_power) {
            assert_eq!(outcome, Some(vec![1; 700]));
        }
    }

    #[test]
    fn a_power_cut_loses_keeps_and_reorders_sectors_and_tears_none() {
        let write = |folder: &dyn Folder| {
            let mut file = write_synced(folder);
            file.append(&[2; 2000]).unwrap();
        };
        let all: Vec<Vec<u8>> = outcomes(write, SimulatedDisk::lose_power).into_iter().flatten().collect();
        assert_eq!(all.len(), 400);
        for content in &all {
            assert!(content.starts_with(&[1; 700]));
            let is_whole = |start: usize, sector: &[u8]| {
                sector
                    .iter()
                    .skip(700_usize.saturating_sub(start))
                    .all(|byte| *byte == sector[sector.len() - 1])
            };
            let sectors = content.chunks(SECTOR).enumerate();
            for (number, sector) in sectors.skip(1) {
                assert!(is_whole(number * SECTOR, sector), "sector {number} of {content:?}");
            }
        }
        assert!(all.iter().any(|content| content.len() == 700), "everything is lost");
        assert!(all.iter().any(|content| content[700..] == [2; 2000]), "everything is kept");
        let is_reordered = |content: &&Vec<u8>| {
            let lost = content.iter().position(|&byte| byte == 0);
            lost.is_some_and(|lost| content[lost..].contains(&2))
        };
        assert!(all.iter().filter(is_reordered).count() > 10, "a later sector is kept, an earlier one lost");
    }

    #[test]
    fn a_power_cut_loses_names_that_were_not_synced() {
        let write = |folder: &dyn Folder| {
            write_synced(folder);
            folder.rename("a", "b").unwrap();
            folder.create("c").unwrap();
        };
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let disk = disk(seed);
            write(&*disk.process_starts());
            disk.lose_power();
            seen.insert(disk.names().concat());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b", "bc"]);
    }

    #[test]
    fn a_name_may_come_with_the_sync_of_its_file_before_earlier_names() {
        let seen = |seed| {
            let disk = disk(seed);
            let folder = disk.process_starts();
            folder.create("a").unwrap();
            folder.create("b").unwrap().sync().unwrap();
            disk.lose_power();
            disk.names().concat()
        };
        let all: std::collections::BTreeSet<_> = (0..100).map(seen).collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["", "a", "ab", "b"]);
    }

    #[test]
    fn a_sync_that_fails_loses_data_and_the_next_one_does_not_say_so() {
        let lost = |seed| {
            let disk = disk(seed);
            let folder = disk.process_starts();
            let mut file = write_synced(&*folder);
            file.append(&[2; 600]).unwrap();
            disk.set_trouble(Some(Trouble::Syncs { one_in: 1 }));
            assert!(file.sync().is_err());
            disk.set_trouble(None);
            file.sync().unwrap();
            assert!(disk.content("a").unwrap().ends_with(&[2; 600]));
            disk.lose_power();
            let content = disk.content("a").unwrap();
            assert!(content.starts_with(&[1; 700]));
            content.contains(&0)
        };
        assert!((0..20).filter(|&seed| lost(seed)).count() > 5);
    }

    #[test]
    fn lost_pages_are_read_until_the_process_ends() {
        let write = |folder: &dyn Folder| drop(write_synced(folder));
        let end = |disk: &SimulatedDisk| {
            let folder = disk.process_starts();
            let mut file = folder.create("b").unwrap();
            file.append(&[2; 600]).unwrap();
            disk.set_trouble(Some(Trouble::Syncs { one_in: 1 }));
            assert!(file.sync().is_err());
            disk.set_trouble(None);
            assert_eq!(disk.content("b").unwrap(), [2; 600]);
            disk.process_ended();
            folder.rename("b", "a").expect_err("the process has ended");
            disk.process_starts().rename("b", "a").unwrap();
        };
        let all: Vec<_> = outcomes(write, end).into_iter().flatten().collect();
        assert!(all.contains(&vec![2; 600]) && all.contains(&vec![0; 600]));
        assert!(all.iter().any(|content| content.starts_with(&[0; SECTOR]) && content.ends_with(&[2])));
    }

    #[test]
    fn a_full_disk_takes_a_part_and_what_was_reserved() {
        let mut partial = 0;
        for seed in 0..20 {
            let disk = disk(seed);
            let folder = disk.process_starts();
            let mut file = folder.create("a").unwrap();
            file.reserve(50).unwrap();
            disk.set_trouble(Some(Trouble::Full { room: 30 }));
            let reserves = disk.content("a").unwrap().len() == 50;
            if reserves {
                file.append(&[1; 50]).unwrap();
                assert_eq!(file.reserve(100).unwrap_err().kind(), io::ErrorKind::StorageFull);
            } else {
                partial += 1;
            }
            assert_eq!(file.append(&[1; 50]).unwrap_err().kind(), io::ErrorKind::StorageFull);
            file.truncate().unwrap();
            assert_eq!(disk.content("a").unwrap().len(), if reserves { 80 } else { 30 });
        }
        assert!(partial > 0 && partial < 20);
    }

    #[test]
    fn a_process_dies_within_a_call() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let disk = disk(seed);
            let folder = disk.process_starts();
            disk.process_dies_after(2);
            let mut file = folder.create("a").unwrap();
            let _ = file.append(&[1; 9]);
            assert!(file.append(&[2; 9]).is_err() && folder.create("b").is_err());
            lengths.insert(read(&disk, "a").unwrap().len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), (0..=9).collect::<Vec<_>>());
    }

    #[test]
    fn errors_come_at_any_call_and_may_leave_their_effect() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let disk = disk(seed);
            let folder = disk.process_starts();
            write_synced(&*folder);
            disk.set_trouble(Some(Trouble::Errors { one_in: 1 }));
            assert!(folder.names().is_err() && folder.open("a").is_err() && folder.sync().is_err());
            assert!(folder.rename("a", "b").is_err());
            seen.insert(disk.names().concat());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
