//! The text protocol as its users see it: bytes in, bytes out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod counting;
mod garbage;
mod memory;
mod peer;
mod pipelines;
mod sockets;
mod time_limits;
