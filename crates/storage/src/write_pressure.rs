//! Why producers have to wait: the journal grows faster than it is sealed, or the disk is almost full.
//!
//! Storage itself refuses nothing, because votes, replication that is under way and retention need it.
//! Whoever takes records from producers asks here first.
//!
//! ```text
//!   journal   0 ───────── budget ──── 5/4 ──────── 3/2 ──────────── 2
//!                         sealer       │            │
//!                         hurries      └ let in     └ held back, what is under way still comes
//! ```

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::config::StorageConfig;

/// Whether producers have to wait, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WritePressure {
    /// There is room for records.
    #[default]
    None,
    /// The journal, or its index in memory, is half above its budget: the sealer has to catch up.
    /// That is a matter of moments, unless sealing fails.
    JournalFull,
    /// The disk has less room than its reserve: retention, or an operator, has to make some.
    DiskFull,
}

/// Called with the pressure that there is from now on.
pub type PressureListener = Box<dyn Fn(WritePressure) + Send + Sync>;

/// What was last seen of the journal and the disk, and what follows from it.
pub(crate) struct PressureGauge {
    journal_bytes_max: u64,
    index_bytes_max: u64,
    /// The pressure as of the last change.
    present: AtomicU8,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    journal_is_full: bool,
    index_is_full: bool,
    disk_is_full: bool,
    listeners: Vec<PressureListener>,
}

impl WritePressure {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::None,
            1 => Self::JournalFull,
            _ => Self::DiskFull,
        }
    }
}

impl PressureGauge {
    pub(crate) fn new(config: &StorageConfig) -> Self {
        Self {
            journal_bytes_max: config.journal_bytes_max,
            index_bytes_max: config.journal_index_bytes_max,
            present: AtomicU8::new(WritePressure::None as u8),
            state: Mutex::default(),
        }
    }

    pub(crate) fn present(&self) -> WritePressure {
        WritePressure::from_byte(self.present.load(Ordering::Relaxed))
    }

    /// Registers a listener and tells it the present pressure.
    pub(crate) fn listen(&self, listener: PressureListener) {
        let mut state = self.state.lock();
        listener(self.present());
        state.listeners.push(listener);
    }

    pub(crate) fn observe_journal(&self, bytes: u64) {
        self.observe(|state| {
            state.journal_is_full = is_full(state.journal_is_full, bytes, self.journal_bytes_max);
        });
    }

    pub(crate) fn observe_index(&self, bytes: u64) {
        self.observe(|state| {
            state.index_is_full = is_full(state.index_is_full, bytes, self.index_bytes_max);
        });
    }

    pub(crate) fn observe_disk(&self, is_full: bool) {
        self.observe(|state| state.disk_is_full = is_full);
    }

    /// Listeners are called under the lock, so that each hears the last word last.
    fn observe(&self, look: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        look(&mut state);
        let pressure = match (
            state.disk_is_full,
            state.journal_is_full || state.index_is_full,
        ) {
            (true, _) => WritePressure::DiskFull,
            (false, true) => WritePressure::JournalFull,
            (false, false) => WritePressure::None,
        };
        if self.present.swap(pressure as u8, Ordering::Relaxed) == pressure as u8 {
            return;
        }
        metrics::gauge!("flotilla_storage_write_pressure").set(f64::from(pressure as u8));
        match pressure {
            WritePressure::None => tracing::info!("there is room for records again"),
            WritePressure::JournalFull => {
                tracing::warn!("the journal is far over its budget, producers have to wait");
            }
            // The watch over the disk says it with its figures.
            WritePressure::DiskFull => {}
        }
        for listener in &state.listeners {
            listener(pressure);
        }
    }
}

/// From half above the budget until it is only a quarter above.
const fn is_full(was_full: bool, bytes: u64, bytes_max: u64) -> bool {
    let limit = if was_full {
        bytes_max.saturating_add(bytes_max / 4)
    } else {
        bytes_max.saturating_add(bytes_max / 2)
    };
    bytes > limit
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn gauge() -> PressureGauge {
        let mut config = StorageConfig::new("data");
        (config.journal_bytes_max, config.journal_index_bytes_max) = (100, 8);
        PressureGauge::new(&config)
    }

    #[test]
    fn producers_wait_from_half_above_the_budget_to_a_quarter_above_it() {
        let gauge = gauge();
        for (bytes, is_full) in [
            (150, false),
            (151, true),
            (126, true),
            (125, false),
            (150, false),
        ] {
            gauge.observe_journal(bytes);
            let full = gauge.present() == WritePressure::JournalFull;
            assert_eq!(full, is_full, "{bytes} bytes");
        }
        gauge.observe_index(13);
        assert_eq!(gauge.present(), WritePressure::JournalFull);
        gauge.observe_index(10);
        assert_eq!(gauge.present(), WritePressure::None);
    }

    #[test]
    fn listeners_hear_of_every_change_and_first_how_it_is() {
        let gauge = gauge();
        gauge.observe_disk(true);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heard);
        gauge.listen(Box::new(move |pressure| noted.lock().push(pressure)));
        // The disk is the graver trouble.
        gauge.observe_journal(200);
        gauge.observe_disk(false);
        gauge.observe_journal(190);
        gauge.observe_journal(0);
        let expected = [
            WritePressure::DiskFull,
            WritePressure::JournalFull,
            WritePressure::None,
        ];
        assert_eq!(*heard.lock(), expected);
    }
}
