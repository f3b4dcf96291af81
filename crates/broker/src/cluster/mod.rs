//! The cluster as an operator sees it.

mod messages;
mod placement;
mod service;
mod status;

pub(crate) use service::ClusterService;
