//! A disk in memory that crashes as a real one does and fails when it is told to.
//!
//! Every file has two images: what a reader sees, and what a power cut leaves. A write changes the
//! first and waits in a list; a sync moves the list into the second. Names work alike: creations,
//! renamings and removals wait until their directory is synced. A failed sync forgets the list, as
//! page caches do, so a later sync that succeeds proves nothing.
//!
//! Every operation that changes something is counted, so that a test can stop the machine at each.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Disk, DiskFile};

/// What a disk writes in one piece.
const SECTOR_BYTES: usize = 512;

/// A file system in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// What happens at one counted operation (the first has number 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops: the operation and all later ones fail and do nothing.
    StopBefore(u64),
    /// The operation happens, but nobody learns of it: the machine stops right after it.
    StopAfter(u64),
    /// This one operation fails, and the next ones work again.
    Fail(u64, io::ErrorKind),
}

/// What a crash leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashStyle {
    /// Only the process dies: the machine still has everything, and still owes the syncs.
    Process,
    /// Nothing that was not synced survives.
    Unsynced,
    /// Any sectors of unsynced writes survive, and a prefix of the unsynced names.
    Sectors { seed: u64 },
    /// Everything survives, but of the last unsynced write only so many bytes.
    TornAt { bytes: usize },
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    waiting_names: Vec<NameChange>,
    operations: u64,
    faults: Vec<Fault>,
    is_stopped: bool,
    /// Handles from before a crash are dead.
    crashes: u64,
    capacity: Option<u64>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

type Node = Arc<Mutex<Contents>>;

#[derive(Clone, Debug, Default)]
struct Contents {
    visible: Vec<u8>,
    durable: Vec<u8>,
    waiting: Vec<WaitingWrite>,
}

#[derive(Clone, Debug)]
struct WaitingWrite {
    position: usize,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: Node,
    crashes: u64,
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Adds a fault to come.
    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// How many operations were counted, the next one's number.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// The process or the machine dies and comes back: open handles are dead, faults are gone.
    pub fn crash(&self, style: CrashStyle) {
        let mut state = self.state.lock();
        state.crashes += 1;
        state.is_stopped = false;
        state.faults.clear();
        if style != CrashStyle::Process {
            state.lose_power(style);
        }
    }

    /// A disk with the same contents that goes its own way from here.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state.lock();
        let mut copies = BTreeMap::new();
        let mut copy = |node: &Node| {
            let copied = copies.entry(Arc::as_ptr(node) as usize);
            Arc::clone(copied.or_insert_with(|| Arc::new(Mutex::new(node.lock().clone()))))
        };
        let mut copy_names = |names: &BTreeMap<PathBuf, Node>| {
            names
                .iter()
                .map(|(path, node)| (path.clone(), copy(node)))
                .collect()
        };
        let names = copy_names(&state.names);
        let durable_names = copy_names(&state.durable_names);
        let waiting_names = state.waiting_names.iter().map(|change| match change {
            NameChange::Add(path, node) => NameChange::Add(path.clone(), copy(node)),
            other => other.clone(),
        });
        let waiting_names = waiting_names.collect();
        Self {
            state: Arc::new(Mutex::new(State {
                names,
                durable_names,
                waiting_names,
                operations: state.operations,
                capacity: state.capacity,
                ..State::default()
            })),
        }
    }

    /// Turns one bit of a file, in what is visible and in what is durable.
    pub fn flip_bit(&self, path: &Path, position: usize, bit: u8) -> io::Result<()> {
        let state = self.state.lock();
        let mut contents = state.node(path)?.lock();
        let contents = &mut *contents;
        for image in [&mut contents.visible, &mut contents.durable] {
            if let Some(byte) = image.get_mut(position) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Ok(())
    }

    /// What a reader of the file sees.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.state.lock().node(path)?.lock().visible.clone())
    }

    /// Bytes of the last write that no sync has covered yet, over all files.
    pub fn unsynced_write_bytes(&self) -> usize {
        let state = self.state.lock();
        let last = state.names.values().filter_map(|node| {
            let contents = node.lock();
            contents.waiting.last().map(|write| write.bytes.len())
        });
        last.max().unwrap_or(0)
    }

    /// Counts an operation, carries it out unless a fault says otherwise, and tells the outcome.
    fn operate<T>(
        &self,
        operation: impl FnOnce(&mut State) -> io::Result<T>,
        on_failure: impl FnOnce(),
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.is_stopped {
            return Err(stopped());
        }
        let number = state.operations;
        state.operations += 1;
        for fault in state.faults.clone() {
            match fault {
                Fault::StopBefore(at) if at == number => {
                    state.is_stopped = true;
                    return Err(stopped());
                }
                Fault::StopAfter(at) if at == number => {
                    operation(&mut state)?;
                    state.is_stopped = true;
                    return Err(stopped());
                }
                Fault::Fail(at, kind) if at == number => {
                    on_failure();
                    return Err(kind.into());
                }
                _ => {}
            }
        }
        operation(&mut state)
    }

    fn handle(&self, node: &Node, crashes: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            node: Arc::clone(node),
            crashes,
        })
    }
}

impl State {
    fn node(&self, path: &Path) -> io::Result<&Node> {
        self.names
            .get(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn bytes(&self) -> u64 {
        let bytes = self
            .names
            .values()
            .map(|node| node.lock().visible.len() as u64);
        bytes.sum()
    }

    fn free(&self) -> u64 {
        self.capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(self.bytes()))
    }

    fn lose_power(&mut self, style: CrashStyle) {
        let mut random = Random::of(style);
        let kept = match style {
            CrashStyle::Unsynced => 0,
            CrashStyle::Sectors { .. } => random.below(self.waiting_names.len() + 1),
            CrashStyle::Process | CrashStyle::TornAt { .. } => self.waiting_names.len(),
        };
        for change in self.waiting_names.drain(..).take(kept) {
            change.apply(&mut self.durable_names);
        }
        self.names.clone_from(&self.durable_names);
        for node in self.names.values() {
            node.lock().lose_power(style, &mut random);
        }
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Add(path, node) => {
                names.insert(path, node);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(&from) {
                    names.insert(to, node);
                }
            }
            Self::Remove(path) => {
                names.remove(&path);
            }
        }
    }
}

impl Contents {
    fn sync(&mut self) {
        for write in std::mem::take(&mut self.waiting) {
            overwrite(&mut self.durable, write.position, &write.bytes);
        }
    }

    fn lose_power(&mut self, style: CrashStyle, random: &mut Random) {
        let waiting = std::mem::take(&mut self.waiting);
        let last = waiting.len().saturating_sub(1);
        for (number, write) in waiting.into_iter().enumerate() {
            match style {
                CrashStyle::Unsynced => {}
                CrashStyle::Sectors { .. } => {
                    for (sector, bytes) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
                        if random.below(2) == 0 {
                            let position = write.position + sector * SECTOR_BYTES;
                            overwrite(&mut self.durable, position, bytes);
                        }
                    }
                }
                CrashStyle::TornAt { bytes } if number == last => {
                    let bytes = bytes.min(write.bytes.len());
                    overwrite(&mut self.durable, write.position, &write.bytes[..bytes]);
                }
                CrashStyle::TornAt { .. } | CrashStyle::Process => {
                    overwrite(&mut self.durable, write.position, &write.bytes);
                }
            }
        }
        self.visible.clone_from(&self.durable);
    }
}

fn overwrite(image: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[position..end].copy_from_slice(bytes);
}

fn stopped() -> io::Error {
    io::Error::other("the simulated machine is stopped")
}

/// A small generator (splitmix64), so that a crash can be repeated from its seed.
struct Random(u64);

impl Random {
    fn of(style: CrashStyle) -> Self {
        match style {
            CrashStyle::Sectors { seed } => Self(seed),
            _ => Self(0),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let create = |state: &mut State| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let node = Node::default();
            state.names.insert(path.to_path_buf(), Arc::clone(&node));
            state
                .waiting_names
                .push(NameChange::Add(path.to_path_buf(), Arc::clone(&node)));
            Ok((node, state.crashes))
        };
        let (node, crashes) = self.operate(create, || {})?;
        Ok(self.handle(&node, crashes))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        if state.is_stopped {
            return Err(stopped());
        }
        Ok(self.handle(state.node(path)?, state.crashes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |state: &mut State| {
            state.node(from)?;
            let change = NameChange::Rename(from.to_path_buf(), to.to_path_buf());
            change.clone().apply(&mut state.names);
            state.waiting_names.push(change);
            Ok(())
        };
        self.operate(rename, || {})
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let remove = |state: &mut State| {
            state.node(path)?;
            let change = NameChange::Remove(path.to_path_buf());
            change.clone().apply(&mut state.names);
            state.waiting_names.push(change);
            Ok(())
        };
        self.operate(remove, || {})
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        let inside = state
            .names
            .keys()
            .filter(|path| path.parent() == Some(directory));
        let names = inside.filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let sync = |state: &mut State| {
            // One journal of names for the whole disk, as most file systems have it.
            let _ = directory;
            for change in std::mem::take(&mut state.waiting_names) {
                change.apply(&mut state.durable_names);
            }
            Ok(())
        };
        self.operate(sync, || {})
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(self.state.lock().free())
    }
}

impl SimFile {
    fn is_dead(&self, state: &MutexGuard<'_, State>) -> bool {
        state.is_stopped || state.crashes != self.crashes
    }

    fn operate(
        &self,
        operation: impl FnOnce(&mut State, &mut Contents) -> io::Result<()>,
        on_failure: impl FnOnce(&mut Contents),
    ) -> io::Result<()> {
        if self.is_dead(&self.disk.state.lock()) {
            return Err(stopped());
        }
        self.disk.operate(
            |state| operation(state, &mut self.node.lock()),
            || on_failure(&mut self.node.lock()),
        )
    }
}

impl DiskFile for SimFile {
    fn write_all_at(&self, position: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let position = position as usize;
        let write = |_: &mut State, contents: &mut Contents| {
            overwrite(&mut contents.visible, position, &bytes);
            contents.waiting.push(WaitingWrite { position, bytes });
            Ok(())
        };
        self.operate(write, |_| {})
    }

    fn read_exact_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.is_dead(&self.disk.state.lock()) {
            return Err(stopped());
        }
        let contents = self.node.lock();
        let end = (position as usize).saturating_add(buffer.len());
        let bytes = contents.visible.get(position as usize..end);
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let sync = |_: &mut State, contents: &mut Contents| {
            contents.sync();
            Ok(())
        };
        self.operate(sync, |contents| contents.waiting.clear())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let free = self.disk.state.lock().free();
        let allocate = |_: &mut State, contents: &mut Contents| {
            if bytes.saturating_sub(contents.visible.len() as u64) > free {
                return Err(io::ErrorKind::StorageFull.into());
            }
            contents.visible.resize(bytes as usize, 0);
            contents.durable.resize(bytes as usize, 0);
            Ok(())
        };
        self.operate(allocate, |_| {})
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.node.lock().visible.len() as u64)
    }
}
