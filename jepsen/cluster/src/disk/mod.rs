//! The disk of one node: a plain directory, or an image with a file system of its own that can lose its power, fill up and
//! slow down.
//!
//! What a power cut does to an image:
//!
//! ```text
//!   written ──► memory of the kernel ──► synced ──► journal of the file system ──► image
//!               └──────── gone ────────┘            └── replayed by the next mount ──┘
//! ```
//!
//! It does not tear single writes, and what has reached the device stays, even if nobody has asked the device to keep it.

mod image;
mod mounts;
mod throttle;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::program::{MKFS, MOUNT, ProgramError, UMOUNT, XFS_IO};
use image::Image;

pub(crate) use mounts::{mount_points_in, unmount_now};
pub use throttle::{Speed, ThrottleError};

/// The right to mount, as a bit of the capabilities of a process.
const CAP_SYS_ADMIN: u32 = 21;

#[derive(Debug)]
pub struct Disk {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory(PathBuf),
    Image(Image),
}

/// What went wrong with a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error(transparent)]
    CannotMount(#[from] CannotMount),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is a plain directory, which cannot {what}", path.display())]
    NotAnImage { path: PathBuf, what: &'static str },
    #[error("this machine cannot slow a disk down: {0}")]
    Unsupported(ThrottleError),
}

/// Why no image can be mounted here.
#[derive(Debug, thiserror::Error)]
pub enum CannotMount {
    #[error("only root can mount a disk")]
    NotRoot,
    #[error("this process may not mount: it lacks CAP_SYS_ADMIN")]
    NotAllowed,
    #[error("there are no loop devices: /dev/loop-control is missing")]
    NoLoopDevices,
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl Disk {
    /// A directory, which is made if it is missing.
    pub fn directory(path: &Path) -> Result<Self, DiskError> {
        fs::create_dir_all(path).map_err(in_file(path))?;
        let path = path.canonicalize().map_err(in_file(path))?;
        Ok(Self {
            kind: Kind::Directory(path),
        })
    }

    /// A new file system of this size in a sparse file in `directory`, mounted there too. It is unmounted when the disk is
    /// dropped.
    pub async fn image(directory: &Path, bytes: u64) -> Result<Self, DiskError> {
        Self::can_mount()?;
        Ok(Self {
            kind: Kind::Image(Image::make(directory, bytes).await?),
        })
    }

    /// Whether images can be used here, or why not.
    pub fn can_mount() -> Result<(), CannotMount> {
        if !geteuid().is_root() {
            return Err(CannotMount::NotRoot);
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !may_mount(&status) {
            return Err(CannotMount::NotAllowed);
        }
        if !Path::new("/dev/loop-control").exists() {
            return Err(CannotMount::NoLoopDevices);
        }
        for program in [MKFS, MOUNT, UMOUNT, XFS_IO] {
            program.find()?;
        }
        Ok(())
    }

    /// Where files go.
    pub fn path(&self) -> &Path {
        match &self.kind {
            Kind::Directory(path) => path,
            Kind::Image(image) => image.mount_point(),
        }
    }

    pub fn is_image(&self) -> bool {
        matches!(self.kind, Kind::Image(_))
    }

    /// Whether the power of this disk can be cut.
    pub(crate) fn check_power(&self) -> Result<(), DiskError> {
        self.as_image("lose its power").map(|_| ())
    }

    /// The disk stops. Whoever uses it sees nothing but errors from now on, until [`revive`](Self::revive), and what was
    /// not synced is gone.
    pub async fn shut_down(&self) -> Result<(), DiskError> {
        self.as_image("lose its power")?.shut_down().await
    }

    /// Brings the disk back as it is after a power cut. Nobody may use it, or the old file system could not go.
    pub async fn revive(&mut self) -> Result<(), DiskError> {
        let image = self.as_image_mut("lose its power")?;
        image.unmount().await?;
        image.mount().await
    }

    /// Puts an empty disk in the place of this one. Nobody may use it.
    pub async fn replace(&mut self) -> Result<(), DiskError> {
        match &mut self.kind {
            Kind::Directory(path) => {
                fs::remove_dir_all(&*path).map_err(in_file(path))?;
                fs::create_dir(&*path).map_err(in_file(path))
            }
            Kind::Image(image) => {
                image.unmount().await?;
                image.format().await?;
                image.mount().await
            }
        }
    }

    /// Takes all room but this, until [`empty`](Self::empty). Returns how many bytes were taken.
    pub fn fill(&self, bytes_free: u64) -> Result<u64, DiskError> {
        self.as_image("fill up: it would fill the disk of this machine")?
            .fill(bytes_free)
    }

    /// Gives back all that [`fill`](Self::fill) has taken.
    pub fn empty(&self) -> Result<(), DiskError> {
        self.as_image("fill up")?.empty()
    }

    /// From now on the disk is this fast at most, also after a power cut; `None` is as fast as it can be.
    pub fn set_speed(&mut self, speed: Option<Speed>) -> Result<(), DiskError> {
        self.as_image_mut("be slowed down")?.set_speed(speed)
    }

    fn as_image(&self, what: &'static str) -> Result<&Image, DiskError> {
        match &self.kind {
            Kind::Image(image) => Ok(image),
            Kind::Directory(path) => Err(DiskError::NotAnImage {
                path: path.clone(),
                what,
            }),
        }
    }

    fn as_image_mut(&mut self, what: &'static str) -> Result<&mut Image, DiskError> {
        match &mut self.kind {
            Kind::Image(image) => Ok(image),
            Kind::Directory(path) => Err(DiskError::NotAnImage {
                path: path.clone(),
                what,
            }),
        }
    }
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> DiskError + use<> {
    let path = path.to_owned();
    |source| DiskError::File { path, source }
}

/// `status` is what the kernel tells of a process.
fn may_mount(status: &str) -> bool {
    let mut lines = status.lines();
    let bits = lines.find_map(|line| line.strip_prefix("CapEff:"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> CAP_SYS_ADMIN & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_mount_is_a_bit() {
        assert!(may_mount("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!may_mount("CapEff:\t00000000a80425fb\n"));
        assert!(!may_mount(""));
    }
}
