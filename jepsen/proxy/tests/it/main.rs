//! Faults as both ends of a connection see them, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cut;
mod half_open;
mod limits;
mod link;
mod reset;
mod schedules;
mod shared;
mod sides;
mod slow;
mod speed;
