//! A disk that is slower than it could be, by the kernel's throttle for block devices.
//!
//! Limits are per device and per control group. Who writes is in some group, and the threads of the kernel that write for
//! it are in the root, so both get the limit. Only the first version of control groups lets the root have one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

const FILES: [&str; 2] = [
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
];

/// How fast a disk is, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    pub bytes_per_second: NonZeroU64,
}

/// Why a disk cannot be slowed down on this machine.
#[derive(Debug, thiserror::Error)]
pub enum ThrottleError {
    #[error("no blkio controller (control groups, version 1) is mounted")]
    NoController,
    #[error("cannot write {file}")]
    Write { file: PathBuf, source: io::Error },
}

/// Holds a device down until it is dropped.
#[derive(Debug)]
pub(crate) struct Throttle {
    device: String,
    files: Vec<PathBuf>,
}

impl Throttle {
    /// `device` is `major:minor`.
    pub(crate) fn new(device: String, speed: Speed) -> Result<Self, ThrottleError> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let root = controller(&mounts).ok_or(ThrottleError::NoController)?;
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = group(&groups).unwrap_or("/").trim_start_matches('/');
        let directories = BTreeSet::from([root.to_owned(), root.join(own)]);
        let mut throttle = Self {
            device,
            files: Vec::new(),
        };
        for file in FILES {
            for directory in &directories {
                let file = directory.join(file);
                throttle.write(&file, speed.bytes_per_second.get())?;
                throttle.files.push(file);
            }
        }
        Ok(throttle)
    }

    fn write(&self, file: &Path, bytes_per_second: u64) -> Result<(), ThrottleError> {
        let line = format!("{} {bytes_per_second}", self.device);
        fs::write(file, line).map_err(|source| ThrottleError::Write {
            file: file.to_owned(),
            source,
        })
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        for file in &self.files {
            // Nought is no limit.
            if let Err(error) = self.write(file, 0) {
                tracing::warn!(%error, device = self.device, "a disk stays slow");
            }
        }
    }
}

/// Where the controller is mounted.
fn controller(mounts: &str) -> Option<&Path> {
    let mut lines = mounts.lines().map(|line| line.split(' '));
    lines.find_map(|mut fields| {
        let (point, kind) = (fields.nth(1)?, fields.next()?);
        let has_it = fields.next()?.split(',').any(|option| option == "blkio");
        (kind == "cgroup" && has_it).then_some(Path::new(point))
    })
}

/// The group that this process is in, and so whatever it starts.
fn group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let has_it = controllers.split(',').any(|name| name == "blkio");
        has_it.then_some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_found_among_the_mounts() {
        let mounts = "proc /proc proc rw 0 0\ncgroup /cg/cpu cgroup rw,cpu 0 0\n\
                      cgroup /cg/blkio cgroup rw,relatime,blkio 0 0\n";
        assert_eq!(controller(mounts), Some(Path::new("/cg/blkio")));
        assert_eq!(controller("cgroup2 /cg cgroup2 rw 0 0\n"), None);
    }

    #[test]
    fn the_group_of_this_process_is_found() {
        let groups = "8:pids:/\n7:blkio,x:/a/b\n0::/\n";
        assert_eq!(group(groups), Some("/a/b"));
        assert_eq!(group("0::/\n"), None);
    }
}
