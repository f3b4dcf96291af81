//! Manifests: the topics that the cluster shall have, applied whole or not at all.
//!
//! ```text
//!   manifest ── wanted ──┐
//!                        ├── plan ── one command of the metadata group, for exactly this version
//!   metadata, caught up ─┘    │
//!                             └── what changes, for people
//! ```
//!
//! A plan is made from nothing but the metadata and the manifest, and rehearsed on a copy of the
//! metadata, so that a dry run refuses what an application would refuse. Whatever changes in between
//! makes the plan void: it is made again, or refused if the caller goes by what they have seen.

mod messages;
mod plan;
#[cfg(test)]
mod plan_test;
mod service;
mod wanted;

pub(crate) use service::ManifestService;
