//! `produce` and `consume`.

mod compact;
mod consume;
mod consume_arguments;
mod consume_group;
#[cfg(test)]
mod fake_sink;
mod feed;
mod input;
mod json_line;
mod lines;
mod print_format;
mod produce;
mod produce_arguments;
mod record_json;
mod settle;
mod sink;
mod start;

pub(crate) use consume_arguments::ConsumeArgs;
pub(crate) use produce_arguments::Batching;
pub(crate) use produce_arguments::ProduceArgs;

#[cfg(test)]
pub(crate) use fake_sink::FakeSink;

pub(crate) use consume::consume;
pub(crate) use input::InputFault;
pub(crate) use produce::produce;
pub(crate) use sink::Sink;
pub(crate) use start::Start;
