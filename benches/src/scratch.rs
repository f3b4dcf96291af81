//! Where runs keep their data: one directory for everything, gone at the end whatever happens.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::TempDir;

/// Free space that has to remain for everyone else.
const RESERVE_BYTES: u64 = 2 << 30;

pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// A fresh directory below `parent`, or below the system's directory for temporary files. From
    /// now on this process keeps all its temporary files in it, so it can be called once.
    pub fn create(parent: Option<&Path>) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let directory = TempDir::with_prefix_in("flotilla-bench-", &parent);
        let directory =
            directory.with_context(|| format!("no directory in {}", parent.display()))?;
        // The harness makes its clusters where `tempfile` makes everything.
        tempfile::env::override_temp_dir(directory.path())
            .map_err(|set| anyhow!("temporary files go to {} already", set.display()))?;
        Ok(Self { directory })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// An empty directory of a run's own.
    pub fn fresh(&self, name: &str) -> Result<TempDir> {
        TempDir::with_prefix_in(format!("{name}-"), self.path()).context("no directory for a run")
    }

    pub fn ensure_room(&self, bytes: u64) -> Result<()> {
        let stat = rustix::fs::statvfs(self.path())?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        ensure!(
            free >= bytes.saturating_add(RESERVE_BYTES),
            "{} has {} MB free, and this needs {} MB and a reserve: choose another --data-dir",
            self.path().display(),
            free / 1_000_000,
            bytes / 1_000_000,
        );
        Ok(())
    }
}

/// Waits until all that was written anywhere is on the disk, so that one run does not pay for the
/// one before.
pub fn settle_disk() {
    rustix::fs::sync();
}

/// Makes the next reads come from the disk. False: only root may do that.
pub fn drop_page_cache() -> bool {
    settle_disk();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Bytes that the block device below `directory` has written since the machine started, for whomever.
/// `None` where there is no such device, as below an overlay.
pub fn device_bytes_written(directory: &Path) -> Option<u64> {
    let device = fs::metadata(directory).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}

/// Waits until the file system of `directory` has nothing left to write.
pub fn settle_file_system(directory: &Path) -> Result<()> {
    let directory = File::open(directory)?;
    rustix::fs::syncfs(&directory).context("the file system cannot be synced")
}

/// Bytes that the files below `directory` take on the disk.
pub fn stored_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut waiting: Vec<PathBuf> = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                waiting.push(entry.path());
            } else {
                bytes += metadata.blocks() * 512;
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_goes_with_the_directory() {
        let directory = TempDir::new().unwrap();
        let scratch = Scratch {
            directory: TempDir::new_in(directory.path()).unwrap(),
        };
        let run = scratch.fresh("run").unwrap().keep();
        fs::create_dir(run.join("deep")).unwrap();
        fs::write(run.join("deep/file"), vec![1; 10_000]).unwrap();
        assert!(stored_bytes(scratch.path()).unwrap() >= 10_000);
        assert!(scratch.ensure_room(u64::MAX).is_err());
        let path = scratch.path().to_path_buf();
        drop(scratch);
        assert!(!path.exists());
    }
}
