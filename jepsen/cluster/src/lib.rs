//! A cluster of real processes on one machine, and the hands that break it: processes are killed and paused, disks lose
//! what was not synced, fill up, slow down and rot, and every connection goes through a proxy that can cut it.
//!
//! ```text
//!   client ──► proxy ──► node 1  (127.77.0.1)  ──► disk: an image with a file system of its own
//!                          │ dials from 127.77.0.1
//!                          ▼
//!                        proxy ──► node 2  (127.77.0.2)  ──► ...
//! ```
//!
//! Every node has an address of its own and makes its connections from there, so that all nodes can dial one port of
//! the proxy and still be told apart. It knows nothing of what is stored, of clients or of what a node promises: it
//! breaks things, and others judge.
//!
//! What must stay true:
//!
//! 1. Nothing is pretended. What cannot be done here is an error with the reason, such as a power cut of a disk that
//!    cannot lose anything.
//! 2. Nothing outlives its [`Cluster`]: processes are killed and disks unmounted when it is dropped. Only a run that was
//!    itself killed leaves something, and [`clean_up`] finds that.
//! 3. Chance comes from a seed, and everything that was damaged is told.

mod binary;
mod cluster;
mod damage;
mod disk;
mod leftovers;
mod links;
mod node;
mod program;

pub use binary::flotilla_binary;
pub use cluster::{Cluster, ClusterError, ClusterOptions, DiskKind};
pub use damage::{
    CANDIDATES, Change, Damage, DamageError, Harm, Vandal, cut_tail, flip_bit, put_back, truncate,
};
pub use disk::{CannotMount, Disk, DiskError, Speed, ThrottleError};
pub use leftovers::{CleanUpError, CleanedUp, clean_up};
pub use node::{Node, NodeError, NodeId, Ports, Status};
pub use program::ProgramError;
