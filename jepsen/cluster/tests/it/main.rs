//! Disks that really lose what was not synced, and real nodes on them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::print_stdout,
    reason = "a test that was skipped or damaged something says so"
)]

mod disks;
mod story;

use flotilla_chaos_cluster::Disk;

/// Whether disks can be mounted here. If not, a test says why and does nothing.
fn can_mount() -> bool {
    let able = Disk::can_mount();
    if let Err(reason) = &able {
        println!("skipped: {reason}");
    }
    able.is_ok()
}
