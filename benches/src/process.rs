//! What a process has used so far, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Ticks of a second in `/proc/PID/stat`. Linux tells user space 100, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which process: its directory in `/proc`.
#[derive(Clone, Copy, Debug)]
pub enum Process {
    Own,
    Other(u32),
}

/// Processor time of all threads, those that have ended included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuSeconds {
    pub user: f64,
    pub system: f64,
}

/// Bytes that a process has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Handed to system calls. What changes a page twice counts twice, even if the disk sees it once.
    pub by_calls: u64,
    /// Pages that became dirty, less those that were dropped before they were written. A kernel that
    /// keeps pages in large folios counts a whole folio when a part of it changes: an upper bound.
    pub by_pages: u64,
}

/// Memory that is resident now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub resident_bytes: u64,
    /// The part that no file backs: heap and stacks.
    pub anonymous_bytes: u64,
    pub thread_count: u64,
}

impl Process {
    pub fn cpu(self) -> Result<CpuSeconds> {
        parse_cpu(&self.read("stat")?).context("/proc/PID/stat has no times")
    }

    pub fn written(self) -> Result<Written> {
        let io = self.read("io")?;
        let count = |name| field(&io, name).with_context(|| format!("/proc/PID/io has no {name}"));
        Ok(Written {
            by_calls: count("wchar")?,
            by_pages: count("write_bytes")?.saturating_sub(count("cancelled_write_bytes")?),
        })
    }

    pub fn memory(self) -> Result<Memory> {
        let status = self.read("status")?;
        let kib = |name| field(&status, name).with_context(|| format!("no {name} in status"));
        Ok(Memory {
            resident_bytes: kib("VmRSS")? << 10,
            anonymous_bytes: kib("RssAnon")? << 10,
            thread_count: kib("Threads")?,
        })
    }

    fn read(self, file: &str) -> Result<String> {
        let path = match self {
            Self::Own => format!("/proc/self/{file}"),
            Self::Other(id) => format!("/proc/{id}/{file}"),
        };
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }
}

impl CpuSeconds {
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}

impl Written {
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            by_calls: self.by_calls.saturating_sub(earlier.by_calls),
            by_pages: self.by_pages.saturating_sub(earlier.by_pages),
        }
    }
}

fn parse_cpu(stat: &str) -> Option<CpuSeconds> {
    // The command's name is in parentheses and may itself hold blanks and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    Some(CpuSeconds {
        user: times.next()?.ok()? / TICKS_PER_SECOND,
        system: times.next()?.ok()? / TICKS_PER_SECOND,
    })
}

/// The number in the line that begins with `name` and a colon.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_blanks() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 75 9 9 20 0 1 0 5";
        let cpu = parse_cpu(stat).unwrap();
        assert_eq!((cpu.user, cpu.system), (2.5, 0.75));
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let io = "write_bytes: 12\ncancelled_write_bytes: 3\nVmRSS:\t  40 kB\n";
        assert_eq!(field(io, "write_bytes"), Some(12));
        assert_eq!(field(io, "VmRSS"), Some(40));
        assert_eq!(field(io, "bytes"), None);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(Process::Own.memory().unwrap().resident_bytes > 0);
        assert!(Process::Own.cpu().is_ok());
        assert!(Process::Own.written().is_ok());
    }
}
