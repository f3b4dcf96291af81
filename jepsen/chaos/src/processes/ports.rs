//! Ports for nodes, below those that the kernel gives to outgoing connections: one of these could take
//! the port of a node between its death and its next start.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::bail;

const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port that nobody listens on. A process gives each out once; other processes begin elsewhere.
pub(super) fn next_port() -> anyhow::Result<u16> {
    let start = process::id().wrapping_mul(89);
    for _ in 0..COUNT {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + start.wrapping_add(step) % COUNT)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} on is free");
}
