//! Crashes at every operation of a scripted life, and at random ones of random lives.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use flotilla_types::RaftGroupId;

use crate::disk::{CrashStyle, Fault};
use crate::model::{Model, Step};
use crate::rig::Rig;

/// A life in which everything happens: large runs, small ones under pressure, boundaries, leftovers
/// that grow into a segment, purges of sealed and of absent entries, a removal, resets of groups with
/// segments, with leftovers, with nothing but a purge point, and of one that was reset just now.
fn life() -> Vec<Step> {
    let work = Step::Work { turns: 3 };
    let mut steps = Vec::new();
    for round in 0..20 {
        steps.extend([
            append(1, 12, 3_000),
            append(2, 2, 1_300),
            Step::Row { group: 1 },
            seal(1, 2, round % 2 == 1),
            work,
            append(3, 1, 500),
            Step::Vote { group: 2 },
            seal(2, 0, round % 4 == 3),
            Step::Truncate { group: 1, count: 2 },
            append(4, 20, 2_000),
            seal(3, 0, round == 5),
            Step::Row { group: 2 },
            work,
            Step::Wait,
        ]);
        match round {
            3 => steps.push(seal(4, 0, true)),
            4 => steps.push(purge(1, -20)),
            5 => steps.push(purge(3, 30)),
            6 => steps.push(Step::Remove { group: 4 }),
            7 => steps.push(purge(2, -3)),
            8 => steps.extend([Step::Reset { group: 3 }, append(3, 2, 700)]),
            9 => steps.extend(reset_in_mid_air()),
            _ => {}
        }
        steps.push(Step::Work { turns: 12 });
    }
    steps
}

/// Resets of a group that is being written, sealed and told rows, and of one with leftovers.
fn reset_in_mid_air() -> [Step; 12] {
    let (reset, row) = (Step::Reset { group: 1 }, Step::Row { group: 1 });
    [
        append(1, 8, 3_000),
        row,
        Step::Vote { group: 1 },
        seal(1, 0, true),
        Step::Work { turns: 1 },
        reset,
        append(1, 5, 2_900),
        row,
        reset,
        append(1, 6, 3_100),
        row,
        Step::Reset { group: 2 },
    ]
}

const fn append(group: u32, count: u64, bytes: usize) -> Step {
    Step::Append {
        group,
        count,
        bytes,
    }
}

const fn seal(group: u32, unapplied: u64, boundary: bool) -> Step {
    Step::Seal {
        group,
        unapplied,
        boundary,
    }
}

const fn purge(group: u32, ahead: i64) -> Step {
    Step::Purge { group, ahead }
}

/// Leftovers are what is below a quarter of a segment here, so that a life stays short.
fn rig() -> Rig {
    let mut rig = Rig::simulated();
    rig.close();
    rig.config.segment_bytes_min = 16 << 10;
    rig.config.segment_bytes_target = 32 << 10;
    rig.config.journal_bytes_max = 256 << 10;
    rig.open().unwrap();
    rig
}

/// Lives the scripted life with a fault in it, crashes, and checks what is left, twice.
fn crash_with(inject: impl Fn(&Rig), style: CrashStyle, rows_kept: usize) {
    let mut rig = rig();
    let mut model = Model::new();
    model.watch(&rig);
    inject(&rig);
    let finished = model.run(&rig, &life());
    println!("crash with {style:?}, {rows_kept} rows kept, the life finished: {finished}");
    let mut model = model.crash(&mut rig, style, rows_kept);
    // The store works as before, and what it did to put itself in order is sound, too.
    assert!(
        model.run(&rig, &life()[..28]),
        "a store that has crashed works on"
    );
    rig.settle();
    println!("crash once more");
    model.crash(&mut rig, CrashStyle::Unsynced, 0);
}

#[test]
fn the_scripted_life_uses_everything() {
    let mut rig = rig();
    let mut model = Model::new();
    model.watch(&rig);
    assert!(model.run(&rig, &life()));
    rig.settle();
    let usage = rig.storage().usage();
    assert!(
        usage.segment_count > 4 && usage.leftover_bytes > 0,
        "{usage:?}"
    );
    assert!(
        usage.journal_bytes < usage.journal_bytes_written / 2,
        "files were released: {usage:?}"
    );
    let resealed = rig.tables().segment_ranges(RaftGroupId::new(2));
    assert!(
        !resealed.is_empty(),
        "leftovers became a segment: {usage:?}"
    );
    let model = model.crash(&mut rig, CrashStyle::Unsynced, 0);
    rig.settle();
    rig.reopen();
    model.resume(&rig);
}

#[test]
fn a_stop_at_any_operation_of_the_tables_loses_nothing_acknowledged() {
    let operations = {
        let rig = rig();
        let mut model = Model::new();
        assert!(model.run(&rig, &life()));
        rig.tables().operations()
    };
    assert!(
        operations > 60,
        "{operations} operations are too few to say anything"
    );
    for at in 0..operations {
        println!("operation {at} of the tables");
        let kept = usize::try_from(at % 4).unwrap();
        for fault in [Fault::StopBefore(at), Fault::StopAfter(at)] {
            let style = if at % 2 == 0 {
                CrashStyle::Unsynced
            } else {
                CrashStyle::Process
            };
            crash_with(|rig| rig.tables().inject(fault), style, kept);
        }
    }
}

#[test]
fn a_stop_at_any_operation_of_the_disk_loses_nothing_acknowledged() {
    let operations = {
        let rig = rig();
        let mut model = Model::new();
        assert!(model.run(&rig, &life()));
        rig.disk().operations()
    };
    assert!(
        operations > 200,
        "{operations} operations are too few to say anything"
    );
    for at in (0..operations).step_by(2) {
        println!("operation {at} of the disk");
        let (fault, style) = match at / 2 % 3 {
            0 => (Fault::StopBefore(at), CrashStyle::Sectors { seed: at }),
            1 => (Fault::StopAfter(at), CrashStyle::Unsynced),
            _ => (Fault::StopBefore(at + 1), CrashStyle::TornAt { bytes: 700 }),
        };
        let kept = usize::try_from(at % 3).unwrap();
        crash_with(|rig| rig.disk().inject(fault), style, kept);
    }
}

fn random_step(random: &mut StdRng) -> Step {
    let group = random.random_range(1..5);
    match random.random_range(0..100) {
        0..30 => Step::Append {
            group,
            count: random.random_range(1..12),
            bytes: random.random_range(0..4_000),
        },
        30..38 => Step::Truncate {
            group,
            count: random.random_range(1..8),
        },
        38..42 => Step::Purge {
            group,
            ahead: random.random_range(-30..3),
        },
        42..44 => Step::Purge {
            group,
            ahead: random.random_range(1..100),
        },
        44..50 => Step::Vote { group },
        50..51 => Step::Remove { group },
        51..53 => Step::Reset { group },
        53..60 => Step::Row { group },
        60..78 => Step::Seal {
            group,
            unapplied: random.random_range(0..6),
            boundary: random.random_bool(0.3),
        },
        78..80 => Step::Wait,
        _ => Step::Work {
            turns: random.random_range(1..12),
        },
    }
}

fn random_style(random: &mut StdRng) -> CrashStyle {
    match random.random_range(0..4) {
        0 => CrashStyle::Process,
        1 => CrashStyle::Unsynced,
        2 => CrashStyle::Sectors {
            seed: random.random(),
        },
        _ => CrashStyle::TornAt {
            bytes: random.random_range(0..9_000),
        },
    }
}

/// Stops somewhere in the next operations of the disk or of the tables.
fn inject_stop(rig: &Rig, random: &mut StdRng, within: u64) {
    let delay = random.random_range(0..within);
    let (now, tables) = match random.random_bool(0.5) {
        true => (rig.tables().operations(), true),
        false => (rig.disk().operations(), false),
    };
    let at = now + delay;
    let fault = if random.random_bool(0.5) {
        Fault::StopBefore(at)
    } else {
        Fault::StopAfter(at)
    };
    if tables {
        rig.tables().inject(fault);
    } else {
        rig.disk().inject(fault);
    }
}

/// One store through several lives, each ended by a close, a crash or a stop in mid-air. After
/// some of them the machine stops once more while the store is being opened.
fn random_lives(seed: u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut rig = rig();
    let mut model = Model::new();
    model.watch(&rig);
    for _ in 0..random.random_range(2..5) {
        let may_stop = random.random_bool(0.6);
        if may_stop {
            inject_stop(&rig, random, 120);
        }
        let steps: Vec<_> = (0..random.random_range(10..120))
            .map(|_| random_step(random))
            .collect();
        let went_well = model.run(&rig, &steps);
        if went_well && !may_stop && random.random_bool(0.5) {
            rig.settle();
            rig.reopen();
            model = model.resume(&rig);
            continue;
        }
        rig.abandon();
        rig.disk().crash(random_style(random));
        rig.tables().crash(random.random_range(0..5));
        if random.random_bool(0.4) {
            inject_stop(&rig, random, 12);
            // It may get through, for the stop may come later.
            let _ = rig.open();
            rig.abandon();
            rig.disk().crash(random_style(random));
            rig.tables().crash(random.random_range(0..5));
        }
        rig.open()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        model = model.resume(&rig);
    }
}

#[test]
fn random_lives_lose_nothing_acknowledged() {
    for seed in 0..1_000 {
        let outcome = std::panic::catch_unwind(|| random_lives(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
