//! What a test is doing, for whoever reads the output of one that failed.

use std::fmt;
use std::sync::LazyLock;

use tokio::time::Instant;

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Notes the beginning of a phase, with the time since the first one of the process.
pub fn phase(what: impl fmt::Display) {
    eprintln!("[{:7.3} s] {what}", BEGUN.elapsed().as_secs_f64());
}
