//! What the demo tells while it runs: one line per event, each with its time.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

pub(super) struct Account {
    begun: Instant,
}

impl Account {
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    #[expect(clippy::print_stdout, reason = "the account is what the demo is for")]
    pub(super) fn line(&self, text: impl fmt::Display) {
        println!("[{:6.2} s] {text}", self.elapsed().as_secs_f64());
    }
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub(super) fn rate(records: usize, bytes: usize, elapsed: Duration) -> String {
    // Nothing takes no time at all.
    let seconds = elapsed.as_secs_f64().max(1e-9);
    format!(
        "{} records/s, {:.1} MB/s",
        grouped((records as f64 / seconds) as usize),
        bytes as f64 / 1e6 / seconds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }

    #[test]
    fn rates_count_records_and_bytes() {
        assert_eq!(
            rate(3_000, 6_000_000, Duration::from_secs(2)),
            "1,500 records/s, 3.0 MB/s"
        );
    }
}
