//! The text protocol: publish and fetch with nothing but a TCP connection, by hand or from any language.
//!
//! ```text
//! $ nc localhost 7403
//! PUB orders 16                      a line: what, where to, and how many bytes
//! {"order_id":101}                   exactly these bytes are the record
//! OK 50                              it is stored on a majority, at offset 50
//! FETCH orders 50
//! MSG 50 16
//! {"order_id":101}
//! ```
//!
//! # Lines
//!
//! A peer sends lines of UTF-8: words between spaces, ended by CRLF, LF, or the end of what is sent. The first
//! word says what to do, in capitals or small letters. A line has at most 4 KiB, unless configured
//! otherwise, and one with a token 16 KiB. Lines without a word mean nothing. Every line that is sent to
//! a peer ends with CRLF.
//!
//! | The peer sends | and gets |
//! |---|---|
//! | `PUB <topic> <size> [key=<key>] [id=<id>]`, a line end, `<size>` bytes | `OK <offset>` or `OK <offset> <partition>` |
//! | `FETCH <topic> <offset> [wait=<ms>]` | `MSG <offset> <size>`, CRLF, `<size>` bytes |
//! | `FETCH <topic> <offset> <count> [wait=<ms>]` | up to `<count>` such `MSG`, then `END <next offset>` |
//! | `AUTH <token>` | `OK` |
//! | `PING` | `PONG` |
//! | `HELP` | lines that begin with `#`, then `OK` |
//! | `QUIT` | `BYE`, and the connection is closed |
//! | anything, if it cannot be done | `ERR <code> <text>` |
//!
//! Answers come in the order of the commands, one for each. Only two errors answer no command of
//! their own: `size-mismatch`, and the last words before the connection is closed.
//!
//! # Topics and partitions
//!
//! A topic that does not exist is created with one partition when something is published to it, unless
//! that is switched off. In a topic with one partition, offsets need no more than the topic. Where a topic
//! has several, `<topic>/<partition>` names one, as in `orders/2`. `FETCH` has to name it. `PUB` need not: then
//! the key picks the partition, or else the id, or else the broker, and the answer is `OK <offset> <partition>`.
//!
//! # PUB
//!
//! `OK` means that the record is stored on a majority of the partition's replicas. With an id (1 to
//! 256 bytes) the record is stored once, however often and over whichever connection it is sent, within the topic's
//! deduplication window; a repetition gets the offset of the first. A key or an id is one word, taken as it is
//! written. An error says whether the record may be stored all the same.
//!
//! Exactly `<size>` bytes are stored: bytes, not characters, and no line end unless it is counted. One
//! line end behind the payload is skipped, so that a payload can be typed. What comes then must begin
//! with a command. If it does not, the size was wrong, and a payload would be taken for commands. For
//! this there is `ERR size-mismatch expected=<size> …`, beside the answer to the `PUB`, as soon as the first
//! wrong byte is there; the rest of the line is skipped, and with the next line everything is well again.
//! So `PUB orders 15` with the 16 bytes from above stores 15 of them, and is told so.
//!
//! A payload has at most 1 MiB, unless configured otherwise. A payload whose `PUB` is refused is read and
//! thrown away, up to 8 MiB. A payload that ends early is not stored: `ERR half-sent`.
//!
//! # FETCH
//!
//! `<offset>` is a number, `earliest`, or `latest`, which is the record that comes next. Nothing follows the
//! payload of a `MSG`; its size says where it ends. A tombstone has size 0.
//!
//! The form without a count answers with the record at this offset, or `ERR no-such-offset` that says which
//! there are. The form with a count answers with the records from there on, at most 1,000 and
//! about 1 MiB, which may be none, and where to go on. `wait=<ms>` waits for a record, at most
//! 30,000 ms, if there is none at this offset yet.
//!
//! # Many commands at once
//!
//! A peer may send commands without a wait for answers. Records that one connection publishes to one
//! partition are stored in the order in which they were sent, those with an id and those without each among
//! themselves; if one is refused, the others are stored all the same. `FETCH` and `AUTH` begin when everything before them
//! is answered, so a `FETCH` sees what was published before it. At most 128 commands or 2 MiB of
//! payloads are in flight; more are left unread. A peer that ends its side still gets its answers.
//!
//! # Errors
//!
//! `<code>` never changes its meaning; `<text>` is for people, says what to do next, and is one line. Codes
//! in capitals are the broker's, the same as on every other port: `UNKNOWN_TOPIC`, `OVERLOADED`. Those of this
//! protocol:
//!
//! | Code | Means | Then |
//! |---|---|---|
//! | `bad-arguments` | the command does not take what follows it | goes on; closed after a `PUB` without a size |
//! | `foreign-protocol` | this was TLS, HTTP or Kafka | closed |
//! | `half-sent` | a line or a payload did not end, within 30 s or at all | closed |
//! | `idle` | no command for 5 minutes | closed |
//! | `line-too-long` | | closed, because it may have been a `PUB` |
//! | `no-such-offset` | no record there, or not yet | goes on |
//! | `partition-required` | the topic has several partitions | goes on |
//! | `size-mismatch` | what follows a payload is no command | goes on with the next line |
//! | `tls-required` | the port speaks TLS | closed |
//! | `too-large` | the payload is larger than this port takes | goes on; closed above 8 MiB |
//! | `too-many-connections` | | closed |
//! | `unknown-verb` | | goes on |
//!
//! After `AUTH` with a token that nobody has, the connection speaks for nobody, whoever it spoke for before.
//! Whoever has shown a certificate in TLS and no token is whom the certificate names. Without TLS, tokens cross the
//! network as they are. When the node stops, it finishes what is in
//! flight, and its last words are `ERR SHUTTING_DOWN`; what has no answer before them was not done. A
//! peer that leaves its answers unread for 30 s is cut off.
//!
//! # Inside
//!
//! `command` understands a line, `framing` finds lines and payloads, `session` is a connection,
//! `server` all of them. What commands do is behind [`TextBackend`]; this module knows no broker.

mod answer;
mod backend;
mod command;
#[cfg(test)]
mod command_test;
mod config;
mod error;
mod foreign;
mod framing;
#[cfg(test)]
mod framing_test;
mod meters;
mod patience;
mod reader;
mod server;
mod session;
mod through_doors;
mod work;
mod writer;

pub use answer::TextRecord;
pub use backend::{Receipt, TextBackend, TextFetch, TextFetched};
pub use config::TextConfig;
pub use error::{TextCode, TextError};
pub use server::TextServer;
pub use through_doors::ThroughDoors;
