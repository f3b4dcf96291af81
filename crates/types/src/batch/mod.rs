//! Record batches: the unit in which records are produced, replicated, stored and fetched.
//!
//! The bytes are Kafka's RecordBatch, version 2. A producer builds a batch once, and everyone
//! after it passes the same bytes on; only the base offset and the leader epoch are written by
//! the leader, and the checksum leaves those two out.
//!
//! ```text
//!  byte   0            8        12             16      17     21             61
//!         | base offset | length | leader epoch | magic | CRC  | rest of the  | records, compressed
//!         |             |        |              |  = 2  | -32C | header       | as a whole or not
//!         '-- stamped --'        '-- stamped ---'       '----> covers all that follows it
//! ```
//!
//! What [`RecordBatch::parse`] lets through has a sound header and checksum. Whether its records
//! can be read is known only after [`RecordBatch::verify_records`], which the edge calls once.
//!
//! Not here: transactions (their attribute bits are refused), message sets of older versions, and
//! batches with gaps between their offsets.

mod builder;
mod checksum;
mod compression;
mod cursor;
mod error;
mod header;
mod record;
mod record_batch;
mod snappy;
mod varint;

pub use builder::BatchBuilder;
pub use compression::Compression;
pub use error::{BatchError, RecordFault};
pub use header::BatchProducer;
pub use record::{Header, Record};
pub use record_batch::{BatchContents, RecordBatch};

#[cfg(test)]
mod builder_test;
#[cfg(test)]
mod compression_test;
#[cfg(test)]
mod interoperability_test;
#[cfg(test)]
mod parse_test;
#[cfg(test)]
mod records_test;
#[cfg(test)]
mod round_trip_test;
#[cfg(test)]
mod samples;
