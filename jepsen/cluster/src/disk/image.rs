//! A file with a file system in it, mounted. It can lose its power.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs, major, minor, stat};
use rustix::io::Errno;

use super::mounts::{is_mounted, unmount_now};
use super::throttle::{Speed, Throttle};
use super::{DiskError, in_file};
use crate::program::{MKFS, MOUNT, UMOUNT, XFS_IO};

/// What takes the room of a full disk.
const FILLER: &str = "filler";

#[derive(Debug)]
pub(super) struct Image {
    file: PathBuf,
    mount_point: PathBuf,
    bytes: u64,
    speed: Option<Speed>,
    throttle: Option<Throttle>,
}

impl Image {
    pub(super) async fn make(directory: &Path, bytes: u64) -> Result<Self, DiskError> {
        let mount_point = directory.join("mount");
        fs::create_dir_all(&mount_point).map_err(in_file(&mount_point))?;
        // The list of mounts has whole paths without links.
        let directory = directory.canonicalize().map_err(in_file(directory))?;
        let mut image = Self {
            file: directory.join("image"),
            mount_point: directory.join("mount"),
            bytes,
            speed: None,
            throttle: None,
        };
        image.format().await?;
        image.mount().await?;
        Ok(image)
    }

    pub(super) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Makes an empty file system, whatever was there before.
    pub(super) async fn format(&self) -> Result<(), DiskError> {
        let file = File::create(&self.file).map_err(in_file(&self.file))?;
        file.set_len(self.bytes).map_err(in_file(&self.file))?;
        let options = "-q -F -m 0 -E lazy_itable_init=1,lazy_journal_init=1";
        let mut arguments: Vec<_> = options.split(' ').map(AsRef::as_ref).collect();
        arguments.push(self.file.as_os_str());
        Ok(MKFS.run(&arguments).await?)
    }

    /// Mounts it: what its journal holds is replayed. It is as slow as it was before.
    pub(super) async fn mount(&mut self) -> Result<(), DiskError> {
        let options = ["-t", "ext4", "-o", "loop,noatime"].map(AsRef::as_ref);
        let [t, ext4, o, with] = options;
        let (file, point) = (self.file.as_os_str(), self.mount_point.as_os_str());
        MOUNT.run(&[t, ext4, o, with, file, point]).await?;
        self.throttle()
    }

    pub(super) async fn unmount(&mut self) -> Result<(), DiskError> {
        self.throttle = None;
        if is_mounted(&self.mount_point) {
            UMOUNT.run(&[self.mount_point.as_os_str()]).await?;
        }
        Ok(())
    }

    /// Stops the file system where it is. Nothing that was not synced will ever be on the disk, not even what the
    /// journal of the file system has finished in memory.
    pub(super) async fn shut_down(&self) -> Result<(), DiskError> {
        let shutdown = ["-x", "-c", "shutdown"].map(AsRef::as_ref);
        let [expert, command, shutdown] = shutdown;
        let point = self.mount_point.as_os_str();
        Ok(XFS_IO.run(&[expert, command, shutdown, point]).await?)
    }

    /// Takes all room but this. Returns how much was taken.
    pub(super) fn fill(&self, bytes_free: u64) -> Result<u64, DiskError> {
        let path = self.mount_point.join(FILLER);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(in_file(&path))?;
        let in_filler = in_file(&path);
        let take = || -> io::Result<u64> {
            let room = fstatvfs(&file)?;
            let start = file.metadata()?.len();
            let taken = (room.f_bavail * room.f_frsize).saturating_sub(bytes_free);
            if taken > 0 {
                match fallocate(&file, FallocateFlags::empty(), start, taken) {
                    // The list of what is taken takes room too.
                    Err(Errno::NOSPC) => {}
                    filled => filled?,
                }
            }
            // A full disk is still full after a power cut.
            file.sync_all()?;
            Ok(file.metadata()?.len() - start)
        };
        take().map_err(in_filler)
    }

    pub(super) fn empty(&self) -> Result<(), DiskError> {
        let path = self.mount_point.join(FILLER);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(in_file(&path)(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn set_speed(&mut self, speed: Option<Speed>) -> Result<(), DiskError> {
        self.speed = speed;
        self.throttle()
    }

    fn throttle(&mut self) -> Result<(), DiskError> {
        // The old one has to be gone first: it takes its limit away.
        self.throttle = None;
        if let Some(speed) = self.speed {
            let found = stat(&self.mount_point).map_err(io::Error::from);
            let device = found.map_err(in_file(&self.mount_point))?.st_dev;
            let device = format!("{}:{}", major(device), minor(device));
            let throttle = Throttle::new(device, speed);
            self.throttle = Some(throttle.map_err(DiskError::Unsupported)?);
        }
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.throttle = None;
        if is_mounted(&self.mount_point)
            && let Err(error) = unmount_now(&self.mount_point)
        {
            tracing::error!(%error, at = %self.mount_point.display(), "a disk stays mounted");
        }
    }
}
