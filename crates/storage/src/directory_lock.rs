//! One process per directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Makes this process the only one that uses the directory, for as long as the file stays open. `None`
/// if another one uses it.
pub fn lock_directory(directory: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("LOCK"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
