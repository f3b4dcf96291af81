//! The cluster as an operator sees it.

mod service;
mod status;

pub(crate) use service::ClusterService;
