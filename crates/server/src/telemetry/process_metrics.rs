//! What the operating system says about this process, under the names that dashboards expect.

use std::fs;

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Ticks per second in which Linux gives processor time to programs, on every architecture.
const TICKS_PER_SECOND: u64 = 100;

const MEMORY: &str = "process_resident_memory_bytes";
const PROCESSOR: &str = "process_cpu_seconds_total";
const FILES: &str = "process_open_fds";
const BUILD: &str = "flotilla_build_info";

pub(super) fn describe() {
    describe_gauge!(MEMORY, "Memory of the process that is in RAM");
    describe_counter!(PROCESSOR, "Processor time of the process, in whole seconds");
    describe_gauge!(FILES, "Open files, sockets included");
    describe_gauge!(BUILD, "1, with the version as a label");
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Takes the figures of this moment. Those that the system does not tell stay as they were.
pub(super) fn record() {
    if let Some(bytes) = resident_bytes() {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a picture, not an account"
        )]
        gauge!(MEMORY).set(bytes as f64);
    }
    if let Some(seconds) = processor_seconds() {
        counter!(PROCESSOR).absolute(seconds);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a picture, not an account"
        )]
        gauge!(FILES).set(files.count() as f64);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

fn processor_seconds() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold blanks; user and system time are the 12th and 13th after.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_memory_and_processor_time() {
        let bytes = resident_bytes().unwrap();
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
        assert!(processor_seconds().is_some());
    }
}
