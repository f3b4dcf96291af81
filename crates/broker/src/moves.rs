//! Moves the replicas of what this node leads to where metadata wants them, a few at a time.
//!
//! Nothing is remembered of a move: each tick looks at what metadata wants and takes the next step
//! towards it, so it does not matter who took the last one. When the members of a group are the ones
//! wanted, metadata is told, and only then do other nodes drop what they have of it.
//!
//! A group whose members are not the ones placed, though nobody moves it any more, is brought back the
//! same way: a move that was called off may have been half done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_raft::MoveStep;
use flotilla_state::metadata::{MetadataCommand, MetadataState};
use flotilla_types::{NodeId, RaftGroupId};
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::led::Led;
use crate::node::Node;

/// Between two steps while something moves.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks whether this node leads something by now that is to move.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at the members of groups that nobody moves.
const CHECK_PAUSE: Duration = Duration::from_secs(5);
/// How long one step may take.
const STEP_LIMIT: Duration = Duration::from_secs(5);
/// How long metadata may take to note that a move is finished.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
/// A move that gets no further for so long makes room for another one.
const TURN: Duration = Duration::from_secs(10);

/// Runs until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut state = node.watch_state();
    let mut joined = node.joined.subscribe();
    // What this node knew before may be long over.
    tokio::select! {
        () = node.stop.cancelled() => return,
        // The sender lives in the node.
        _ = joined.wait_for(|joined| *joined) => {}
    }
    let mut turns = Turns::new(node.config.moves_max);
    let mut checked = Instant::now();
    loop {
        let checks_all = checked.elapsed() >= CHECK_PAUSE;
        if checks_all {
            checked = Instant::now();
        }
        let current = state.borrow_and_update().clone();
        let moves = due(&node, &current, checks_all || turns.is_busy());
        let pause = match moves.is_empty() {
            true => LOOK_PAUSE,
            false => STEP_PAUSE,
        };
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = advance(&node, &moves, &mut turns) => {}
        }
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = sleep(pause) => {}
            changed = state.changed(), if moves.is_empty() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// A group that this node leads and whose members are not the ones wanted.
struct Move {
    group: RaftGroupId,
    led: Led,
    /// The first one is preferred to lead.
    wanted: Vec<NodeId>,
    /// Metadata waits for it.
    is_planned: bool,
}

fn due(node: &Node, state: &MetadataState, with_unplanned: bool) -> Vec<Move> {
    let due = state.placements().filter_map(|placed| {
        let is_planned = placed.moving_to.is_some();
        if !is_planned && !with_unplanned {
            return None;
        }
        let led = Led::here(node, placed.raft_group)?;
        if !is_planned && led.has_replicas(&placed.replicas) {
            return None;
        }
        Some(Move {
            group: placed.raft_group,
            led,
            wanted: placed.wanted().to_vec(),
            is_planned,
        })
    });
    due.collect()
}

async fn advance(node: &Node, moves: &[Move], turns: &mut Turns) {
    let groups: Vec<_> = moves.iter().map(|one| one.group).collect();
    let chosen = turns.choose(&groups, Instant::now());
    let chosen = moves.iter().filter(|one| chosen.contains(&one.group));
    let steps = chosen.map(|one| async move {
        let step = timeout(STEP_LIMIT, one.led.move_replicas(&one.wanted)).await;
        let step = step.unwrap_or(MoveStep::NotLeader);
        if step == MoveStep::Done && one.is_planned {
            finish(node, one).await;
        }
        (one.group, step)
    });
    for (group, step) in join_all(steps).await {
        if let MoveStep::Moving { entries_behind } = step {
            turns.note(group, entries_behind, Instant::now());
        }
    }
}

async fn finish(node: &Node, one: &Move) {
    let command = MetadataCommand::FinishMove {
        raft_group: one.group,
        replicas: one.wanted.clone(),
    };
    match node.propose(&command, Instant::now() + FINISH_LIMIT).await {
        Ok(_) => tracing::info!(group = %one.group, replicas = ?one.wanted, "replicas have moved"),
        // It is done again at the next tick.
        Err(error) => tracing::debug!(group = %one.group, %error, "cannot finish a move yet"),
    }
}

/// Who may move now. Moves that get no further make room for others.
struct Turns {
    max: usize,
    taken: BTreeMap<RaftGroupId, Turn>,
    /// When those lost their turn that got no further.
    set_aside: BTreeMap<RaftGroupId, Instant>,
}

struct Turn {
    /// When it last got further.
    advanced: Instant,
    /// The least that the slowest new replica has lacked.
    entries_behind: Option<u64>,
}

impl Turns {
    const fn new(max: usize) -> Self {
        Self {
            max,
            taken: BTreeMap::new(),
            set_aside: BTreeMap::new(),
        }
    }

    fn is_busy(&self) -> bool {
        !self.taken.is_empty()
    }

    fn choose(&mut self, due: &[RaftGroupId], now: Instant) -> Vec<RaftGroupId> {
        self.taken.retain(|group, _| due.contains(group));
        self.set_aside.retain(|group, _| due.contains(group));
        let mut waiting: Vec<_> = due
            .iter()
            .filter(|group| !self.taken.contains_key(group))
            .map(|group| (self.set_aside.get(group).copied(), *group))
            .collect();
        waiting.sort_unstable();
        if !waiting.is_empty() {
            let stuck = |turn: &Turn| now.duration_since(turn.advanced) >= TURN;
            let stuck = self.taken.extract_if(.., |_, turn| stuck(turn));
            self.set_aside.extend(stuck.map(|(group, _)| (group, now)));
        }
        let room = self.max.saturating_sub(self.taken.len());
        for (_, group) in waiting.into_iter().take(room) {
            self.set_aside.remove(&group);
            let turn = Turn {
                advanced: now,
                entries_behind: None,
            };
            self.taken.insert(group, turn);
        }
        self.taken.keys().copied().collect()
    }

    fn note(&mut self, group: RaftGroupId, entries_behind: Option<u64>, now: Instant) {
        let (Some(turn), Some(entries)) = (self.taken.get_mut(&group), entries_behind) else {
            return;
        };
        if turn.entries_behind.is_none_or(|least| entries < least) {
            turn.entries_behind = Some(entries);
            turn.advanced = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(ids: &[u32]) -> Vec<RaftGroupId> {
        ids.iter().map(|id| RaftGroupId::new(*id)).collect()
    }

    #[test]
    fn only_some_move_at_a_time_and_those_that_are_done_make_room() {
        let mut turns = Turns::new(2);
        let now = Instant::now();
        assert_eq!(turns.choose(&groups(&[5, 3, 9]), now), groups(&[3, 5]));
        assert_eq!(turns.choose(&groups(&[9, 1, 5]), now), groups(&[1, 5]));
        assert_eq!(turns.choose(&groups(&[9]), now), groups(&[9]));
        assert_eq!(turns.choose(&[], now), []);
        assert!(!turns.is_busy());
    }

    #[test]
    fn who_gets_no_further_waits_for_all_others() {
        let mut turns = Turns::new(1);
        let due = groups(&[1, 2, 3]);
        let start = Instant::now();
        assert_eq!(turns.choose(&due, start), groups(&[1]));
        turns.note(due[0], Some(100), start + TURN / 2);
        assert_eq!(turns.choose(&due, start + TURN), groups(&[1]));
        turns.note(due[0], Some(100), start + TURN);
        turns.note(due[0], None, start + TURN);
        assert_eq!(turns.choose(&due, start + 2 * TURN), groups(&[2]));
        assert_eq!(turns.choose(&due, start + 3 * TURN), groups(&[3]));
        assert_eq!(turns.choose(&due, start + 4 * TURN), groups(&[1]));
        assert_eq!(turns.choose(&due[..1], start + 9 * TURN), groups(&[1]));
    }
}
