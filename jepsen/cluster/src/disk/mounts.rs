//! What is mounted on this machine, and how to get rid of it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::program::{ProgramError, UMOUNT};

/// The mount points at `directory` and below, the innermost first.
pub(crate) fn mount_points_in(directory: &Path) -> Vec<PathBuf> {
    // Without the list nothing is known to be mounted.
    let list = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points: Vec<_> = list.lines().filter_map(mount_point).collect();
    points.retain(|point| point.starts_with(directory));
    points.reverse();
    points
}

pub(crate) fn is_mounted(point: &Path) -> bool {
    mount_points_in(point).iter().any(|found| found == point)
}

/// Unmounts without waiting for anything else to happen. If somebody still uses the mount point, it is hidden now and
/// unmounted when they end.
pub(crate) fn unmount_now(point: &Path) -> Result<(), ProgramError> {
    match UMOUNT.run_now(&[point.as_os_str()]) {
        Ok(()) => Ok(()),
        Err(_) => UMOUNT.run_now(&["-l".as_ref(), point.as_os_str()]),
    }
}

fn mount_point(line: &str) -> Option<PathBuf> {
    let point = line.split(' ').nth(4)?;
    Some(PathBuf::from(unescape(point)))
}

/// Blanks and the like are written as `\040`.
fn unescape(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_may_have_blanks() {
        let line = r"36 35 98:0 / /mnt/a\040b rw,noatime - ext4 /dev/loop0 rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/a b")));
    }

    #[test]
    fn the_root_is_mounted_and_a_file_is_not() {
        assert!(is_mounted(Path::new("/")));
        assert!(!is_mounted(Path::new("/proc/self/status")));
    }
}
