//! The disk seam: the few file operations that the journal needs.
//!
//! [`RealDisk`] is the machine's file system, [`SimDisk`] one in memory that crashes and fails on
//! demand. The contract is that of a careful file system: data is durable after
//! [`DiskFile::sync_data`], names are durable after [`Disk::sync_dir`], and nothing else is.

mod real;
mod sim;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;
pub use sim::{CrashStyle, Fault, SimDisk};

/// A file system.
pub trait Disk: Debug + Send + Sync {
    fn create_dir_all(&self, directory: &Path) -> io::Result<()>;
    /// Creates an empty file for reading and writing; fails if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name in the same directory. Open handles stay valid.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, in no particular order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Makes every creation, renaming and removal in the directory durable.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;
    /// Bytes that can still be allocated where the directory lies.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;
}

/// An open file. Reads and writes name their position; there is no cursor to share.
pub trait DiskFile: Debug + Send + Sync {
    /// Writes the parts one after the other from `position` on. The slices are used up.
    fn write_all_at(&self, position: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    fn read_exact_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// So many bytes from `position` on, if it can be into memory that is not zeroed before.
    fn read_vec_at(&self, position: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        self.read_exact_at(position, &mut read)?;
        Ok(read)
    }
    /// Makes the data durable, and so much metadata as reading it back takes.
    fn sync_data(&self) -> io::Result<()>;
    /// Extends the file to `bytes`, which read as zeros, with space that is set aside on the disk,
    /// durably: writing there later cannot run out of it.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    fn bytes(&self) -> io::Result<u64>;
}
