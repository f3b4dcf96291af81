//! What Flotilla costs and how fast it is, measured by commands that anyone can repeat.
//!
//! ```text
//!   arguments ─► scenarios ─► Report ─► table or JSON on stdout, JSON under results/
//!                   │  real processes by flotilla_tests::cluster
//!                   ├─ engine: the journal and a plain RocksDB under the same load, each run
//!                   │  in a process of its own
//!                   └─ compare: Flotilla and its peers, driven by the same generator
//! ```
//!
//! Figures are reported with their spread and with what else the machine was doing. Nothing here is a
//! test: a slow machine makes no build fail.

pub mod arguments;
pub mod compare;
pub mod engine;
pub mod machine;
pub mod payloads;
pub mod process;
pub mod report;
pub mod scenarios;
pub mod scratch;
pub mod summary;
