//! Files that are allocated and empty: released ones, and one made ahead of need.
//!
//! Writing to a file that is fully allocated cannot fail for want of space. As long as there is a spare,
//! votes and small writes go on while the disk is full. In a file that was written before, a sync changes
//! no metadata either and costs half as much, so released files are kept: the journal grows once to
//! what it needs and stays there. A new file is not filled with zeros, which would write each of its
//! bytes twice; where small blocks go, zeros are written a little ahead of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::JournalConfig;
use crate::disk::Disk;
use crate::error::IoFailure;

const SPARE_PREFIX: &str = "spare-";
const UNFINISHED_PREFIX: &str = "new-";

#[derive(Debug)]
pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    file_bytes: u64,
    kept_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Spare>,
    next_number: u64,
}

#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    /// Up to here it was written before, for all that is known.
    pub(crate) touched: u64,
}

impl Spares {
    /// Takes over the spares that a directory holds, and removes unfinished and misshapen ones.
    pub(crate) fn open(
        config: &JournalConfig,
        disk: Arc<dyn Disk>,
        names: &[String],
    ) -> Result<Self, IoFailure> {
        let spares = Self {
            disk,
            directory: config.directory.clone(),
            file_bytes: config.file_bytes,
            kept_max: config.spare_files_max,
            state: Mutex::default(),
        };
        for name in names {
            let path = spares.directory.join(name);
            if name.starts_with(UNFINISHED_PREFIX) {
                spares.remove(&path)?;
            } else if let Some(number) = name.strip_prefix(SPARE_PREFIX) {
                let mut state = spares.state.lock();
                let number = number.parse::<u64>().unwrap_or(0);
                state.next_number = state.next_number.max(number + 1);
                drop(state);
                spares.adopt(path)?;
            }
        }
        Ok(spares)
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// A file of the usual size: one that is ready, else a new one.
    pub(crate) fn take(&self) -> Result<Spare, IoFailure> {
        let ready = self.state.lock().ready.pop();
        ready.map_or_else(|| self.allocate(self.file_bytes), Ok)
    }

    /// Makes a spare if there is none.
    pub(crate) fn prepare(&self) -> Result<(), IoFailure> {
        if self.count() == 0 {
            let spare = self.allocate(self.file_bytes)?;
            self.state.lock().ready.push(spare);
        }
        Ok(())
    }

    /// A new file of any size.
    pub(crate) fn allocate(&self, bytes: u64) -> Result<Spare, IoFailure> {
        let (unfinished, path) = self.next_names();
        let allocated = self
            .disk
            .create(&unfinished)
            .and_then(|file| file.allocate(bytes));
        let named = allocated.and_then(|()| self.disk.rename(&unfinished, &path));
        named.map_err(|error| {
            // What is left over is removed at the next start if it cannot be removed now.
            let _ = self.disk.remove(&unfinished);
            IoFailure::new("allocate", &path, error)
        })?;
        Ok(Spare { path, touched: 0 })
    }

    /// Ends the life of a file of so many bytes, durably: it becomes a spare, which was written up to
    /// `touched`, or goes if there are enough.
    pub(crate) fn recycle(&self, path: &Path, bytes: u64, touched: u64) -> Result<(), IoFailure> {
        if bytes != self.file_bytes || self.count() >= self.kept_max {
            self.remove(path)?;
            return self.sync();
        }
        let (_, name) = self.next_names();
        let renamed = self.disk.rename(path, &name);
        renamed.map_err(|error| IoFailure::new("rename", path, error))?;
        self.sync()?;
        let mut state = self.state.lock();
        state.ready.push(Spare {
            path: name,
            touched,
        });
        Ok(())
    }

    fn adopt(&self, path: PathBuf) -> Result<(), IoFailure> {
        let bytes = self.disk.open(&path).and_then(|file| file.bytes());
        let bytes = bytes.map_err(|error| IoFailure::new("open", &path, error))?;
        if bytes == self.file_bytes && self.count() < self.kept_max.max(1) {
            self.state.lock().ready.push(Spare { path, touched: 0 });
            return Ok(());
        }
        self.remove(&path)
    }

    fn remove(&self, path: &Path) -> Result<(), IoFailure> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(IoFailure::new("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn sync(&self) -> Result<(), IoFailure> {
        let synced = self.disk.sync_dir(&self.directory);
        synced.map_err(|error| IoFailure::new("sync", &self.directory, error))
    }

    fn next_names(&self) -> (PathBuf, PathBuf) {
        let mut state = self.state.lock();
        let number = state.next_number;
        state.next_number += 1;
        (
            self.directory.join(format!("{UNFINISHED_PREFIX}{number}")),
            self.directory.join(format!("{SPARE_PREFIX}{number}")),
        )
    }
}
