//! The judge of a chaos run: what clients did and saw while faults were injected, and whether that
//! keeps the promise.
//!
//! ```text
//!   harness ── operations ──► History ──► judge(history, contract) ──► Report
//!                              │   ▲                                   valid, invalid, unknown
//!                              ▼   │
//!                           JSON lines, EDN
//! ```
//!
//! ```
//! use flotilla_checker::history::{Nanos, Offset, Operation, ProcessNumber, Produce, Produced, RecordValue};
//! use flotilla_checker::{Contract, History, Verdict, judge};
//!
//! let process = ProcessNumber::new(1);
//! let request = Produce::new("orders/0".parse()?, [RecordValue::new(process, 0)]);
//! let call = Operation::call(process, Nanos::new(10), request);
//!
//! let mut history = History::new();
//! history.push(call.ok(Nanos::new(25), Produced::from(Offset::new(0), 1)));
//! let report = judge(&history, &Contract::default());
//! assert_eq!(report.verdict, Verdict::Unknown, "nobody read anything");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`History`] is plain data, and [`judge`] is a function of it alone: the same history gets the same
//! verdict everywhere. Nothing here knows how the cluster works, which client library was used, or
//! what time it is; nothing is opened or sent. Every checker runs in O(n log n), so that a run of
//! millions of operations is judged on the machine that made it.
//!
//! What a history has to keep to:
//!
//! 1. All times come from one monotonic clock.
//! 2. Every value is sent to one partition, and never reused for another record. Sending it again is a
//!    retry.
//! 3. A process does one thing after the other. Operations of one process that overlap are taken as
//!    sent in the order of their invocations.
//! 4. Whatever may have happened has an unknown outcome. Only what surely did not happen has failed.
//! 5. Partitions are empty when the run begins, and consumer groups begin at the earliest record.
//! 6. At the end everything is read that can be, by consumers or replica by replica.

mod check;
mod contract;
pub mod history;
mod report;
mod view;

pub use check::judge;
pub use contract::{Contract, Demand};
pub use history::History;
pub use report::{Coverage, Finding, Loss, Property, Report, Unmet, Verdict};
