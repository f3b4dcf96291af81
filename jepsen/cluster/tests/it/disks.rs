//! Disks on which something was written, and what is left of it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};

use flotilla_chaos_cluster::{CleanedUp, Disk, DiskError, Speed, clean_up};
use tempfile::TempDir;

use crate::can_mount;

const MIB: u64 = 1 << 20;

async fn image() -> (TempDir, Disk) {
    let directory = TempDir::new().unwrap();
    let disk = Disk::image(directory.path(), 64 * MIB).await.unwrap();
    (directory, disk)
}

fn write_synced(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    File::open(path).unwrap().sync_all().unwrap();
    File::open(path.parent().unwrap())
        .unwrap()
        .sync_all()
        .unwrap();
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap()
}

/// A whole power cut of a disk that nobody uses.
async fn cut_power(disk: &mut Disk) {
    disk.shut_down().await.unwrap();
    disk.revive().await.unwrap();
}

#[tokio::test]
async fn a_power_cut_takes_what_was_not_synced_and_only_that() {
    if !can_mount() {
        return;
    }
    let (_directory, mut disk) = image().await;
    let file = |name| disk.path().join(name);
    let (synced, unsynced, appended) = (file("synced"), file("unsynced"), file("appended"));
    write_synced(&synced, b"safe");
    write_synced(&appended, b"safe");
    fs::write(&unsynced, b"lost").unwrap();
    let mut open = File::options().append(true).open(&appended).unwrap();
    open.write_all(b" and lost").unwrap();
    drop(open);

    cut_power(&mut disk).await;
    assert_eq!(fs::read(&synced).unwrap(), b"safe");
    assert_eq!(fs::read(&appended).unwrap(), b"safe");
    let gone = fs::read(&unsynced).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_renamed_file_keeps_its_old_name_until_its_directory_is_synced() {
    if !can_mount() {
        return;
    }
    let (_directory, mut disk) = image().await;
    let (old, new) = (disk.path().join("old"), disk.path().join("new"));
    write_synced(&old, b"safe");
    fs::rename(&old, &new).unwrap();
    cut_power(&mut disk).await;
    assert!(old.exists() && !new.exists());
}

#[tokio::test]
async fn a_disk_that_stops_gives_errors_to_who_uses_it() {
    if !can_mount() {
        return;
    }
    let (_directory, mut disk) = image().await;
    let path = disk.path().join("file");
    let mut file = File::create(&path).unwrap();
    disk.shut_down().await.unwrap();
    disk.shut_down().await.unwrap();
    let written = file.write_all(b"late").and_then(|()| file.sync_all());
    assert!(written.is_err());
    drop(file);
    disk.revive().await.unwrap();
    fs::write(&path, b"again").unwrap();
}

#[tokio::test]
async fn a_full_disk_takes_little_more_also_after_a_power_cut() {
    if !can_mount() {
        return;
    }
    let (_directory, mut disk) = image().await;
    assert!(disk.fill(MIB).unwrap() > 30 * MIB);
    cut_power(&mut disk).await;
    let large = disk.path().join("large");
    let full = fs::write(&large, vec![1; 4 << 20]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    fs::remove_file(&large).unwrap();
    disk.fill(0).unwrap();
    disk.empty().unwrap();
    disk.empty().unwrap();
    fs::write(&large, vec![1; 4 << 20]).unwrap();
}

#[tokio::test]
async fn a_slow_disk_takes_its_time_also_after_a_power_cut() {
    if !can_mount() {
        return;
    }
    let (_directory, mut disk) = image().await;
    let speed = Speed {
        bytes_per_second: NonZeroU64::new(MIB).unwrap(),
    };
    match disk.set_speed(Some(speed)) {
        Err(DiskError::Unsupported(reason)) => {
            println!("skipped: {reason}");
            return;
        }
        slowed => slowed.unwrap(),
    }
    cut_power(&mut disk).await;
    let path = disk.path().join("file");
    let slow = time_to_write(&path);
    disk.set_speed(None).unwrap();
    let fast = time_to_write(&path);
    assert!(slow > Duration::from_millis(700), "it took {slow:?}");
    assert!(fast < slow / 2, "it took {fast:?}, and {slow:?} before");
}

/// Of two mebibytes.
fn time_to_write(path: &Path) -> Duration {
    let start = Instant::now();
    write_synced(path, &vec![1; 2 << 20]);
    start.elapsed()
}

#[tokio::test]
async fn a_new_disk_is_empty() {
    if !can_mount() {
        return;
    }
    let (_directory, mut disk) = image().await;
    let path = disk.path().join("file");
    write_synced(&path, b"old");
    disk.replace().await.unwrap();
    assert!(!path.exists());
    write_synced(&path, b"new");
}

#[tokio::test]
async fn a_dropped_disk_is_unmounted_also_in_a_panic_and_while_it_is_used() {
    if !can_mount() {
        return;
    }
    let (_directory, disk) = image().await;
    let path = disk.path().to_owned();
    let used = File::create(path.join("used")).unwrap();
    assert!(mounts().contains(path.to_str().unwrap()));
    let panicking = tokio::spawn(async move {
        let _disk = disk;
        panic!("this panic belongs to the test");
    });
    assert!(panicking.await.unwrap_err().is_panic());
    assert!(!mounts().contains(path.to_str().unwrap()));
    drop(used);
}

#[tokio::test]
async fn what_a_killed_run_has_left_is_cleaned_up() {
    if !can_mount() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let at = directory.path().join("node-1");
    let disk = Disk::image(&at, 64 * MIB).await.unwrap();
    let path = disk.path().to_owned();
    // Nothing is dropped of a process that is killed.
    std::mem::forget(disk);
    let cleaned = clean_up(directory.path()).await.unwrap();
    assert_eq!(cleaned.mount_points, std::slice::from_ref(&path));
    assert!(!mounts().contains(path.to_str().unwrap()));
    let again = clean_up(directory.path()).await.unwrap();
    assert_eq!(again, CleanedUp::default());
}

#[tokio::test]
async fn a_plain_directory_does_not_pretend_to_lose_anything() {
    let directory = TempDir::new().unwrap();
    let mut disk = Disk::directory(&directory.path().join("disk")).unwrap();
    let refused = [
        disk.shut_down().await,
        disk.revive().await,
        disk.fill(0).map(|_| ()),
        disk.set_speed(None),
    ];
    for outcome in refused {
        let error = outcome.unwrap_err();
        assert!(matches!(error, DiskError::NotAnImage { .. }), "{error}");
    }
    let file = disk.path().join("file");
    fs::write(&file, b"old").unwrap();
    disk.replace().await.unwrap();
    assert!(!file.exists());
}
