//! What an operator can decide about storage. Plain data; [`StorageConfig::validate`] checks it.

use std::path::PathBuf;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of one node's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Directory that holds everything this node must not lose. Created when it is missing.
    pub data_dir: PathBuf,
    /// Size of one journal file, in bytes. Default 64 MiB, 64 KiB to 1 GiB. Journal space comes back
    /// file by file, so a small journal budget wants small files.
    pub journal_file_bytes: u64,
    /// Journal bytes from which the sealer stops waiting for large segments and makes room with what
    /// there is. Default 1 GiB, at least four journal files. More gives quiet partitions larger
    /// segments; less saves disk.
    pub journal_bytes_max: u64,
    /// Journal bytes up to which nothing is sealed. Default half of `journal_bytes_max`, which it must
    /// not exceed. Consumers that lag by less than this read what the kernel still has in memory,
    /// while a segment's first read is a read of the disk.
    pub journal_bytes_kept: u64,
    /// Memory for the journal's index, in bytes, from which the sealer makes room in the same way.
    /// Default 32 MiB. It matters when entries are small: each takes 24 bytes of it.
    pub journal_index_bytes_max: u64,
    /// Memory for entries that were written lately, in bytes. Default 64 MiB. It serves replication
    /// and consumers at the end of a log without reading the disk.
    pub tail_cache_bytes: u64,
    /// Size that the sealer waits for before it makes a segment, in bytes. Default 32 MiB, 16 KiB to
    /// 1 GiB. Larger segments replay faster; retention frees space one segment at a time.
    pub segment_bytes_target: u64,
    /// Smallest run that becomes a segment of its own when the journal is over its budget, in bytes.
    /// Default 1 MiB. What is smaller goes to a file that many partitions share.
    pub segment_bytes_min: u64,
    /// Free disk space below which producers are refused, in bytes. Default 256 MiB. Votes, replication that is under way and retention may use it.
    pub disk_reserve_bytes: u64,
    /// How fast everything that is stored is read to find damage, in bytes per second. Default 4 MiB, 64
    /// KiB to 1 GiB, or 0 for not at all. Faster finds damage earlier and takes more of the disk.
    pub scrub_bytes_per_second: u64,
    /// Time from the start of one such reading to the start of the next. Default 7 days, 1 minute to 1
    /// year. A reading that takes longer is followed by the next one at once.
    pub scrub_interval: Duration,
    /// Memory for RocksDB's cache of blocks and indexes, in bytes. Default 16 MiB.
    pub block_cache_bytes: u64,
    /// Files that RocksDB keeps open. Default 512, at least 64.
    pub open_files_max: u32,
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}, but it must lie between {min} and {max}")]
pub struct InvalidConfig {
    pub setting: &'static str,
    pub value: u64,
    pub min: u64,
    pub max: u64,
}

impl StorageConfig {
    /// The defaults, which serve a small machine and a large one.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            journal_file_bytes: 64 * MIB,
            journal_bytes_max: 1024 * MIB,
            journal_bytes_kept: 512 * MIB,
            journal_index_bytes_max: 32 * MIB,
            tail_cache_bytes: 64 * MIB,
            segment_bytes_target: 32 * MIB,
            segment_bytes_min: MIB,
            disk_reserve_bytes: 256 * MIB,
            scrub_bytes_per_second: 4 * MIB,
            scrub_interval: 7 * DAY,
            block_cache_bytes: 16 * MIB,
            open_files_max: 512,
        }
    }

    /// Checks each setting against its range and against the settings that it depends on.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let gib = 1024 * MIB;
        within("journal_file_bytes", self.journal_file_bytes, 64 << 10, gib)?;
        let budget_min = 4 * self.journal_file_bytes;
        within(
            "journal_bytes_max",
            self.journal_bytes_max,
            budget_min,
            u64::MAX,
        )?;
        within(
            "segment_bytes_target",
            self.segment_bytes_target,
            16 << 10,
            gib,
        )?;
        within(
            "segment_bytes_min",
            self.segment_bytes_min,
            1,
            self.segment_bytes_target,
        )?;
        if self.scrub_bytes_per_second > 0 {
            let rate = self.scrub_bytes_per_second;
            within("scrub_bytes_per_second", rate, 64 << 10, gib)?;
        }
        let seconds = self.scrub_interval.as_secs();
        within("scrub_interval", seconds, 60, 365 * DAY.as_secs())?;
        within("block_cache_bytes", self.block_cache_bytes, MIB, u64::MAX)?;
        within(
            "open_files_max",
            u64::from(self.open_files_max),
            64,
            1 << 20,
        )
    }
}

const fn within(
    setting: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), InvalidConfig> {
    if value < min || value > max {
        return Err(InvalidConfig {
            setting,
            value,
            min,
            max,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(StorageConfig::new("data").validate(), Ok(()));
    }

    #[test]
    fn a_journal_budget_of_fewer_than_four_files_is_refused() {
        let mut config = StorageConfig::new("data");
        config.journal_bytes_max = 3 * config.journal_file_bytes;
        let refused = config.validate().unwrap_err();
        assert_eq!(refused.setting, "journal_bytes_max");
        assert!(refused.to_string().contains("must lie between 268435456"));
    }
}
