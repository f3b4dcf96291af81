//! The judges, judged: by histories that were made by hand, by histories that were generated, and by
//! their size.

mod bad;
mod forms;
mod generated;
mod good;
mod large;
mod runs;
mod simulation;
mod story;
