//! Schemas of topics: whether one may be the next version, and its registration.
//!
//! A schema is judged here, before it is proposed, because only nodes know what a JSON Schema is; the
//! metadata keeps texts. So a proposal names the version that it was judged against, and has no effect
//! if there is a later one by then.

mod judge;
mod service;

pub(crate) use judge::{Judgement, judge};
pub(crate) use service::SchemaService;
