//! A short run keeps its promises, and a history that was tampered with does not.

use std::time::Duration;

use flotilla_chaos::{
    FaultKind, FullWorld, Judgement, Ruling, Story, StoryOptions, Workload, tell, write_files,
};
use flotilla_chaos_cluster::{Disk, flotilla_binary};
use flotilla_checker::history::{Action, Offset, Outcome, TopicPartition};
use flotilla_checker::{History, Property};

const SEED: u64 = 11;

async fn short_story() -> Story {
    let binary = flotilla_binary().expect("`make build` makes the binary");
    let world = FullWorld::on_directories(&binary, 3, SEED).await.unwrap();
    let options = StoryOptions {
        seed: SEED,
        length: Duration::from_secs(12),
        faults: vec![FaultKind::KillLeader, FaultKind::Pause],
        workloads: Workload::ALL.to_vec(),
        rate: 2_000,
    };
    let told = tell(&world, options, |what| eprintln!("{what}")).await;
    told.unwrap()
}

/// Takes a record that was acknowledged out of everything that was read, and says where it was.
fn hide_a_record(history: &mut History) -> (TopicPartition, Offset) {
    let acknowledged = history.operations().iter().find_map(|operation| {
        let Action::Produce(call) = &operation.action else {
            return None;
        };
        let (_, answer) = call.outcome.ok()?;
        let is_in_the_middle = answer.places[0].offset > Offset::new(20);
        is_in_the_middle.then(|| (call.request.partition.clone(), answer.places[0].offset))
    });
    let (partition, offset) = acknowledged.unwrap();
    for operation in history.operations_mut() {
        match &mut operation.action {
            Action::Fetch(call) => {
                if let Outcome::Ok { answer, .. } = &mut call.outcome
                    && let Some(records) = answer.records.get_mut(&partition)
                {
                    records.retain(|record| record.offset != offset);
                }
            }
            Action::FinalRead(call) if call.request.partition == partition => {
                if let Outcome::Ok { answer, .. } = &mut call.outcome {
                    answer.records.retain(|record| record.offset != offset);
                }
            }
            _ => {}
        }
    }
    (partition, offset)
}

/// Goal: power goes out, on one node or on all at once, and links break; nothing that was acknowledged is lost.
#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_and_broken_links_lose_nothing() {
    if let Err(reason) = Disk::can_mount() {
        eprintln!("skipped: {reason}");
        return;
    }
    let binary = flotilla_binary().expect("`make build` makes the binary");
    let world = FullWorld::start(&binary, 3, SEED).await.unwrap();
    let options = StoryOptions {
        seed: SEED,
        length: Duration::from_secs(20),
        faults: vec![FaultKind::PowerCut, FaultKind::Isolate],
        workloads: Workload::ALL.to_vec(),
        rate: 2_000,
    };
    let told = tell(&world, options, |what| eprintln!("{what}")).await;
    let story = told.unwrap();
    let report = &story.judgement.report;
    assert_ne!(
        story.judgement.ruling,
        Ruling::Fail,
        "{report} {:?}",
        story.breakdowns
    );
    assert!(report.coverage.faults.contains_key("power-cut"));
    assert!(report.coverage.faults.contains_key("node-isolated"));
    // Links between nodes are told apart by where nodes dial from; a cut of another one would cut nothing.
    let strangers = story.world_after.lines();
    let mut strangers = strangers.filter(|line| line.starts_with("stranger"));
    assert!(
        strangers.all(|line| line.contains("; 0 connections")),
        "{}",
        story.world_after
    );
    assert!(report.coverage.acknowledged_records > 1_000);
}

/// Goal: while leaders are killed and nodes stand still, clients lose nothing and get nothing twice, and
/// the run says so. If one record were missing, it would say that.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_story_passes_and_fails_once_a_record_is_hidden() {
    let story = short_story().await;
    eprintln!("{}", story.judgement.line(SEED));
    let report = &story.judgement.report;
    // Whether a call is left without an answer in so short a time is up to chance.
    assert_ne!(story.judgement.ruling, Ruling::Fail, "{report}");
    assert!(report.coverage.faults.contains_key("leader-killed"));
    assert!(report.coverage.faults.contains_key("node-paused"));
    assert!(report.coverage.acknowledged_records > 1_000);

    let directory = tempfile::tempdir().unwrap();
    write_files(&story, directory.path()).unwrap();
    let lines = std::fs::File::open(directory.path().join("history.jsonl")).unwrap();
    let mut history = History::read_json_lines(lines).unwrap();
    assert_eq!(history, story.history, "what was written is what happened");

    let (partition, offset) = hide_a_record(&mut history);
    let judgement = Judgement::of(&history, &story.contract, &[]);
    assert_eq!(judgement.ruling, Ruling::Fail);
    assert_eq!(judgement.report.counts[&Property::LostWrite], 1);
    let told = judgement.report.to_string();
    assert!(
        told.contains(&format!("at offset {offset} and never read")),
        "{told}"
    );
    assert!(told.contains(&partition.to_string()));
    assert!(judgement.line(SEED).starts_with("verdict: FAIL seed=11 "));
}
