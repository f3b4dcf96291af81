//! Bytes on their way through the proxy.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;

use crate::counters::{add, subtract};
use crate::lane::Lane;

/// Most bytes that a connection holds in one direction.
pub const HELD_BYTES_MAX: usize = 256 << 10;

/// What is read at a time at first. It grows with what comes.
const READ_BYTES_MIN: usize = 8 << 10;
/// Pieces of their own delay that are held at a time. Beyond that nothing is read, as if the room were used up.
const MARKS_MAX: usize = 4_096;

/// What was read and not passed on yet, in order.
pub(crate) struct Held {
    bytes: BytesMut,
    /// How many bytes have left so far.
    passed: u64,
    /// From which byte on, counted from the first of the connection, everything has to wait until when.
    marks: VecDeque<Mark>,
    read_size: usize,
    lane: Arc<Lane>,
}

struct Mark {
    start: u64,
    due: Instant,
}

impl Held {
    pub(crate) fn new(lane: Arc<Lane>) -> Self {
        Self {
            bytes: BytesMut::new(),
            passed: 0,
            marks: VecDeque::new(),
            read_size: READ_BYTES_MIN,
            lane,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() < HELD_BYTES_MAX && self.marks.len() < MARKS_MAX
    }

    /// Takes in what is there to be read. There has to be room.
    pub(crate) fn read(&mut self, from: &ReadHalf<'_>) -> io::Result<usize> {
        let room = HELD_BYTES_MAX - self.bytes.len();
        let read_size = self.read_size.min(room);
        self.bytes.reserve(read_size);
        let mut limited = bytes::BufMut::limit(&mut self.bytes, read_size);
        let count = from.try_read_buf(&mut limited)?;
        if count == self.read_size {
            self.read_size = (count * 2).min(HELD_BYTES_MAX);
        }
        add(&self.lane.counters().bytes_waiting, count);
        Ok(count)
    }

    /// Keeps the last `count` bytes until `due`.
    pub(crate) fn delay_last(&mut self, count: usize, due: Instant) {
        let start = self.passed + (self.bytes.len() - count) as u64;
        self.marks.push_back(Mark { start, due });
    }

    /// Keeps nothing back any longer.
    pub(crate) fn forget_delays(&mut self) {
        self.marks.clear();
    }

    pub(crate) fn due_last(&self) -> Option<Instant> {
        self.marks.back().map(|mark| mark.due)
    }

    /// The bytes whose time has come, or when it will.
    pub(crate) fn ready(&mut self, now: Instant) -> (usize, Option<Instant>) {
        while self.marks.front().is_some_and(|mark| mark.due <= now) {
            self.marks.pop_front();
        }
        match self.marks.front() {
            Some(mark) => ((mark.start - self.passed) as usize, Some(mark.due)),
            None => (self.bytes.len(), None),
        }
    }

    pub(crate) fn first(&self, count: usize) -> &[u8] {
        &self.bytes[..count]
    }

    pub(crate) fn pass(&mut self, count: usize) {
        self.bytes.advance(count);
        self.passed += count as u64;
        subtract(&self.lane.counters().bytes_waiting, count);
        add(&self.lane.counters().bytes, count);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        subtract(&self.lane.counters().bytes_waiting, self.bytes.len());
    }
}
