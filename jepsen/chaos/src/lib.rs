//! Chaos: clients work on a cluster while faults strike it, everything that they did and saw is written
//! down, and the judges of `flotilla-checker` say whether the promises were kept.
//!
//! ```text
//!   workloads ── operations ──► recorder ──► History ──► judge ──► verdict, report
//!       │                          ▲
//!       ▼                          │ faults
//!    cluster ◄── World ◄── nemesis ┘  ◄── schedule, from the seed alone
//! ```
//!
//! Nothing here knows how nodes are kept: a [`World`] begins and ends faults. [`FullWorld`] is one of real
//! processes with links that break and, where that is possible, disks whose power is cut. The broker is known
//! through the public client and through HTTP, and not from within.

mod fault;
mod files;
mod final_phase;
mod full_world;
mod http;
mod leaders;
mod nemesis;
mod payload;
mod recorder;
mod report;
mod story;
mod workload;
mod world;

pub use fault::{Fault, FaultKind, UnknownFault};
pub use files::write_files;
pub use full_world::FullWorld;
pub use leaders::busiest_leader;
pub use nemesis::{FaultSpan, Nemesis, Schedule, ScheduleOptions, Step};
pub use recorder::{Pending, ProcessLog, Recorder};
pub use report::page;
pub use story::{Judgement, Ruling, Story, StoryOptions, tell};
pub use workload::{Field, FieldOptions, LoadedTopic, UnknownWorkload, Workload};
pub use world::{FaultNote, World};
