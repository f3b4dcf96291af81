//! How much disk storage takes and how much it has written.

/// A moment's figures, for metrics and for the status of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Journal files in use, as allocated.
    pub journal_bytes: u64,
    pub segment_bytes: u64,
    pub segment_count: u64,
    /// Entries of runs that were too small for a segment.
    pub leftover_bytes: u64,
    /// What the disk of the data directory can still take.
    pub disk_free_bytes: u64,
    /// Written to the journal since the start, with framing and with zeros ahead of small writes.
    pub journal_bytes_written: u64,
    /// Written to segments and leftovers since the start. With the line above and the bytes that
    /// were appended, this is the write amplification.
    pub sealed_bytes_written: u64,
    /// Raft groups with stored state.
    pub group_count: u64,
    /// Raft groups of which stored entries are damaged or missing, and that were not reset since.
    pub damaged_group_count: u64,
    /// Read by the scrub since the start.
    pub scrubbed_bytes: u64,
    /// Times that the scrub has read everything since the start.
    pub scrub_passes: u64,
    /// Read in the present pass of the scrub, or in the last one. All of it is about the journal's bytes
    /// and those of segments and leftovers.
    pub scrub_pass_bytes: u64,
    /// How often a group was found to be damaged since the start.
    pub damage_found_count: u64,
}

impl Usage {
    /// Hands the figures to the metrics recorder.
    pub(crate) fn publish(&self) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a picture, not an account"
        )]
        let gauge = |name: &'static str, value: u64| metrics::gauge!(name).set(value as f64);
        gauge("flotilla_storage_journal_bytes", self.journal_bytes);
        gauge("flotilla_storage_segment_bytes", self.segment_bytes);
        gauge("flotilla_storage_segments", self.segment_count);
        gauge("flotilla_storage_leftover_bytes", self.leftover_bytes);
        gauge("flotilla_storage_disk_free_bytes", self.disk_free_bytes);
        gauge("flotilla_storage_groups", self.group_count);
        gauge("flotilla_storage_damaged_groups", self.damaged_group_count);
        metrics::counter!("flotilla_storage_scrubbed_bytes_total").absolute(self.scrubbed_bytes);
        metrics::counter!("flotilla_storage_scrub_passes_total").absolute(self.scrub_passes);
        metrics::counter!("flotilla_storage_damage_found_total").absolute(self.damage_found_count);
        metrics::counter!("flotilla_storage_journal_written_bytes_total")
            .absolute(self.journal_bytes_written);
        metrics::counter!("flotilla_storage_sealed_written_bytes_total")
            .absolute(self.sealed_bytes_written);
    }
}
