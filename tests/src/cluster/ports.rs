//! Ports for the nodes of tests.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the kernel gives to outgoing connections. One of those could take the port
/// of a node between its death and its next start.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 that nobody listens on. Within a process it is given out once; other processes
/// begin elsewhere.
///
/// # Panics
///
/// If every port is taken.
pub fn next_port() -> u16 {
    let start = process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("the range ends below 65,536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_out_once_and_skip_what_is_taken() {
        let first = next_port();
        let taken = u32::from(first) + 1 - FIRST;
        let taken = u16::try_from(FIRST + taken % COUNT).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", taken));
        let second = next_port();
        assert_ne!(first, second);
        if listener.is_ok() {
            assert_ne!(second, taken);
        }
    }
}
