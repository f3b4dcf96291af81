//! What a run that was killed has left on the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::disk::{mount_points_in, unmount_now};
use crate::node::PROCESS_ID_FILE;
use crate::program::{LOSETUP, ProgramError};

/// A process that was killed is gone by then, unless its disk hangs.
const END_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// What was left, and is gone now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanedUp {
    pub processes: Vec<i32>,
    pub mount_points: Vec<PathBuf>,
    /// Devices that were still bound to an image.
    pub devices: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("process {0} cannot be killed")]
    Process(i32),
    #[error("{} does not let go of its image", .0.display())]
    Device(PathBuf),
}

/// Ends the nodes that an earlier run with this directory has left, and unmounts their disks. The files stay. No cluster
/// may use the directory any more.
pub async fn clean_up(directory: &Path) -> Result<CleanedUp, CleanUpError> {
    let in_directory = |source| CleanUpError::File {
        path: directory.to_owned(),
        source,
    };
    let directory = directory.canonicalize().map_err(in_directory)?;
    let mut cleaned = CleanedUp::default();
    for entry in fs::read_dir(&directory).map_err(in_directory)? {
        let node = entry.map_err(in_directory)?.path();
        if let Some(process) = process_of(&node) {
            end(process, &node).await?;
            cleaned.processes.push(process);
        }
    }
    for point in mount_points_in(&directory) {
        unmount_now(&point)?;
        cleaned.mount_points.push(point);
    }
    for device in devices_of(&directory) {
        detach(&device, &directory).await?;
        cleaned.devices.push(device);
    }
    Ok(cleaned)
}

/// The process that was started in the directory of a node and still works there. A number alone says nothing: it may
/// belong to somebody else by now.
fn process_of(node: &Path) -> Option<i32> {
    let written = fs::read_to_string(node.join(PROCESS_ID_FILE)).ok()?;
    let process = written.trim().parse().ok()?;
    works_in(process, node).then_some(process)
}

fn works_in(process: i32, node: &Path) -> bool {
    fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|place| place == node)
}

async fn end(process: i32, node: &Path) -> Result<(), CleanUpError> {
    let id = Pid::from_raw(process).ok_or(CleanUpError::Process(process))?;
    let limit = Instant::now() + END_LIMIT;
    // It may end by itself at any time.
    let _ = kill_process(id, Signal::KILL);
    while works_in(process, node) || has_threads(process) {
        if Instant::now() > limit {
            return Err(CleanUpError::Process(process));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Whether threads of a process are left besides its first. They go one by one, and each holds on to the disk.
fn has_threads(process: i32) -> bool {
    fs::read_dir(format!("/proc/{process}/task")).is_ok_and(|tasks| tasks.count() > 1)
}

async fn detach(device: &Path, directory: &Path) -> Result<(), CleanUpError> {
    let limit = Instant::now() + END_LIMIT;
    let detached = LOSETUP.run(&["-d".as_ref(), device.as_os_str()]).await;
    let is_bound = || devices_of(directory).iter().any(|bound| bound == device);
    // It lets go by itself when its last mount is gone, which may have been just before.
    if is_bound() {
        detached?;
    }
    while is_bound() {
        if Instant::now() > limit {
            return Err(CleanUpError::Device(device.to_owned()));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The loop devices whose images are in a directory.
fn devices_of(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let bound = entries.filter(|entry| {
        let file = fs::read_to_string(entry.path().join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(file.trim_end()).starts_with(directory))
    });
    bound
        .map(|entry| Path::new("/dev").join(entry.file_name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process;

    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_process_that_works_elsewhere_is_left_alone() {
        let directory = TempDir::new().unwrap();
        let node = directory.path().join("node-1");
        fs::create_dir(&node).unwrap();
        // It is this very process.
        fs::write(node.join(PROCESS_ID_FILE), process::id().to_string()).unwrap();
        let cleaned = clean_up(directory.path()).await.unwrap();
        assert_eq!(cleaned, CleanedUp::default());
    }
}
