//! The judges. One promise, one checker, one file, all of the same name; each file says what exactly
//! has to hold and where that comes from.
//!
//! Of the anomalies that Jepsen's Kafka workload looks for, three have no checker here. `int-send-skip`
//! is always allowed: records of others may come between those of one batch. `precommitted-read` needs
//! operations that both send and read, which only transactions are. `G0` needs the same, and is what
//! `real-time-order` and `nonmonotonic-send` say of a log without transactions.

mod aborted_read;
mod committed_offset;
mod created_topic;
mod cycle;
mod deleted_topic;
mod dense;
mod duplicate;
mod durable_reads;
mod fencing_token;
mod fresh_tail;
mod graph;
mod group_coverage;
mod guarded_write;
mod idempotent_producer;
mod inconsistent_offsets;
mod int_nonmonotonic_poll;
mod int_nonmonotonic_send;
mod int_poll_skip;
mod invented_read;
mod lost_write;
mod message_id;
mod nonmonotonic_poll;
mod nonmonotonic_send;
mod offset_commit_back;
mod old_generation;
mod poll_skip;
mod prefix_max;
mod real_time_order;
mod recovery;
mod replica_equality;
mod topic_presence;
mod unmet;
mod unseen;

use crate::contract::Contract;
use crate::history::History;
use crate::report::{Findings, Report, Verdict};
use crate::view::View;

/// One promise, and how to find out whether it was kept.
trait Checker {
    fn check(&self, view: &View<'_>, findings: &mut Findings);
}

const CHECKERS: &[&dyn Checker] = &[
    &aborted_read::AbortedRead,
    &committed_offset::CommittedOffset,
    &created_topic::CreatedTopic,
    &cycle::Cycle,
    &deleted_topic::DeletedTopic,
    &dense::Dense,
    &duplicate::Duplicate,
    &durable_reads::DurableReads,
    &fencing_token::FencingTokens,
    &fresh_tail::FreshTail,
    &group_coverage::GroupCoverage,
    &guarded_write::GuardedWrite,
    &idempotent_producer::IdempotentProducer,
    &inconsistent_offsets::InconsistentOffsets,
    &int_nonmonotonic_poll::IntNonmonotonicPoll,
    &int_nonmonotonic_send::IntNonmonotonicSend,
    &int_poll_skip::IntPollSkip,
    &invented_read::InventedRead,
    &lost_write::LostWrite,
    &message_id::MessageId,
    &nonmonotonic_poll::NonmonotonicPoll,
    &nonmonotonic_send::NonmonotonicSend,
    &offset_commit_back::OffsetCommitBack,
    &old_generation::OldGeneration,
    &poll_skip::PollSkip,
    &real_time_order::RealTimeOrder,
    &recovery::Recovery,
    &replica_equality::ReplicaEquality,
    &unseen::Unseen,
];

/// Judges a history, and whether the run was what `contract` demands.
pub fn judge(history: &History, contract: &Contract) -> Report {
    let view = View::new(history, contract);
    let mut findings = Findings::default();
    for checker in CHECKERS {
        checker.check(&view, &mut findings);
    }
    let coverage = unmet::coverage(&view);
    let unmet = unmet::find(&view, &coverage);
    let verdict = match (findings.is_empty(), unmet.is_empty()) {
        (false, _) => Verdict::Invalid,
        (true, false) => Verdict::Unknown,
        (true, true) => Verdict::Valid,
    };
    let (findings, counts, losses) = findings.into_parts();
    Report {
        verdict,
        findings,
        counts,
        losses,
        unmet,
        coverage,
    }
}
