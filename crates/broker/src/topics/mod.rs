//! Topics: create, describe, alter, delete, and delete the oldest of their records.
//!
//! What is asked is checked where it can be said best: names and configuration here, before anything
//! is proposed; counts and nodes by the metadata itself, which alone knows them for sure.

mod delete_records;
mod service;

pub(crate) use service::TopicService;
