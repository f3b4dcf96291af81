//! The journal is stopped at every operation on its disk, torn at every byte, flipped at every byte.
//! Afterwards it must hold everything acknowledged, serve nothing else, and go on.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use proptest::prelude::*;

use super::past::Past;
use super::rig::{FILE_BYTES, Rig, Step, Stored, entry, log_files};
use crate::disk::{CrashStyle, Disk, Fault, SimDisk};
use crate::error::{OpenError, StorageError};
use flotilla_types::{LogIndex, RaftGroupId};

const GROUP: RaftGroupId = RaftGroupId::new(1);

/// Several groups, every kind of mutation, file switches, releases and recycled files.
fn script() -> Vec<Step> {
    let mut steps = vec![
        Step::Vote {
            group: 0,
            bytes: 12,
        },
        Step::Vote {
            group: 4,
            bytes: 16,
        },
        append(0, 0, &[10, 0, 300]),
        Step::Write,
        Step::Purge {
            group: 4,
            offset: 30,
        },
        append(4, 0, &[40, 50]),
        Step::Write,
        Step::Spare,
    ];
    for round in 0..6 {
        steps.extend(script_round(round));
        match round {
            1 => steps.push(Step::Reset { group: 2 }),
            3 => steps.push(Step::Remove { group: 3 }),
            4 => steps.extend([Step::Reset { group: 1 }, append(1, 0, &[200, 4_000])]),
            _ => {}
        }
    }
    steps.extend([
        Step::Release {
            copy_bytes_max: 60_000,
        },
        Step::Write,
        Step::Watermark,
    ]);
    steps
}

fn script_round(round: u8) -> [Step; 20] {
    [
        append(1, 0, &[3_000, 20 + u16::from(round), 5_000]),
        append(2, round % 2, &[2_500, 2_500]),
        Step::Write,
        append(3, 0, &[9_000]),
        Step::Write,
        Step::Vote {
            group: round,
            bytes: 30,
        },
        Step::Truncate { group: 2, count: 1 },
        append(2, 0, &[700]),
        Step::Write,
        Step::Watermark,
        append(1, 2, &[6_000, 100]),
        Step::Write,
        Step::Seal {
            group: 1,
            kept: round % 3,
        },
        Step::Seal { group: 3, kept: 0 },
        Step::Barrier,
        append(0, 0, &[15]),
        Step::Release {
            copy_bytes_max: 20_000,
        },
        Step::Purge {
            group: 2,
            offset: round % 3,
        },
        Step::Write,
        Step::Write,
    ]
}

fn append(group: u8, replaced: u8, sizes: &[u16]) -> Step {
    Step::Append {
        group,
        replaced,
        sizes: sizes.to_vec(),
    }
}

/// Fills files of which nothing is released.
fn filling_script() -> Vec<Step> {
    let rounds = (0..5_u8).flat_map(|round| {
        [
            Step::Vote {
                group: round,
                bytes: 20,
            },
            Step::Append {
                group: 1,
                replaced: 0,
                sizes: vec![4_500, 30 + u16::from(round)],
            },
            Step::Write,
            Step::Append {
                group: 2,
                replaced: round % 2,
                sizes: vec![3_900, 3_900, 3_900],
            },
            Step::Write,
        ]
    });
    rounds.collect()
}

fn crash_styles(seed: u64) -> [CrashStyle; 4] {
    [
        CrashStyle::Process,
        CrashStyle::Unsynced,
        CrashStyle::Sectors { seed },
        CrashStyle::Sectors { seed: seed + 1_000 },
    ]
}

#[test]
fn the_script_shows_everything_and_recycles_files() {
    let mut rig = Rig::new(SimDisk::new());
    let mut names = BTreeSet::new();
    for step in script() {
        rig.step(&step);
        rig.assert_shows_everything();
        names.extend(log_files(&rig.disk));
    }
    rig.drain();
    assert!(names.len() >= 6, "files were switched: {names:?}");
    let files = rig.journal.files();
    assert!(files.len() < names.len(), "files were released");
    assert_eq!(rig.journal.spare_files(), 2, "and kept for reuse");
    assert_eq!(rig.past.acknowledged(), rig.past.operations.len());
    rig.past.assert_survived(&rig.disk).unwrap();
}

#[test]
fn whatever_the_machine_was_doing_when_it_stopped_nothing_acknowledged_is_lost() {
    let mut rig = Rig::new(SimDisk::new());
    rig.run(&script());
    let operations = rig.disk.operations();
    println!("{operations} operations to stop at");
    assert!(operations > 150);
    for number in 0..operations {
        for fault in [Fault::StopBefore(number), Fault::StopAfter(number)] {
            let disk = SimDisk::new();
            disk.inject(fault);
            let mut rig = Rig::new_on(disk);
            if let Some(rig) = &mut rig {
                rig.run(&script());
            }
            let (disk, past) = match rig {
                Some(rig) => (rig.disk, rig.past),
                None => continue,
            };
            for style in crash_styles(number) {
                println!("{fault:?}, {style:?}");
                let disk = disk.fork();
                disk.crash(style);
                past.assert_survived(&disk).unwrap();
            }
        }
    }
}

#[test]
fn a_disk_that_fails_once_ends_all_acknowledgements() {
    let mut rig = Rig::new(SimDisk::new());
    rig.run(&script());
    for number in 0..rig.disk.operations() {
        let disk = SimDisk::new();
        disk.inject(Fault::Fail(number, ErrorKind::Other));
        let Some(mut rig) = Rig::new_on(disk) else {
            continue;
        };
        rig.run(&script());
        for style in crash_styles(number) {
            println!("operation {number} fails, {style:?}");
            let disk = rig.disk.fork();
            disk.crash(style);
            rig.past.assert_survived(&disk).unwrap();
        }
    }
}

#[test]
fn a_start_that_is_interrupted_can_be_repeated() {
    for (prefix, stop_from_end) in [(30, 0), (60, 0), (60, 1), (90, 2), (90, 3), (128, 1)] {
        let mut rig = Rig::new(SimDisk::new());
        rig.run(&script()[..prefix]);
        rig.step(&Step::Append {
            group: 1,
            replaced: 0,
            sizes: vec![4_000, 4_000],
        });
        rig.disk
            .inject(Fault::StopBefore(rig.disk.operations() + stop_from_end));
        rig.step(&Step::Write);
        for style in crash_styles(prefix as u64) {
            let crashed = rig.disk.fork();
            crashed.crash(style);
            let start = crashed.operations();
            let whole = crashed.fork();
            drop(Rig::reopen(whole.clone(), rig.past.clone()).unwrap());
            for number in start..whole.operations() {
                for fault in [Fault::StopBefore(number), Fault::StopAfter(number)] {
                    println!("{prefix} steps, {style:?}, {fault:?} of the start");
                    let disk = crashed.fork();
                    disk.inject(fault);
                    assert!(Rig::reopen(disk.clone(), rig.past.clone()).is_err());
                    disk.crash(CrashStyle::Sectors { seed: number });
                    rig.past.assert_survived(&disk).unwrap();
                }
            }
        }
    }
}

/// Leaves the last write unsynced. It spans pages, in a file of its first or of a later life.
fn rig_with_an_unsynced_write(steps: &[Step]) -> Rig {
    let mut rig = Rig::new(SimDisk::new());
    rig.run(steps);
    rig.drain();
    while rig.journal.files().last().unwrap().bytes > 8_192 {
        rig.step(&Step::Append {
            group: 0,
            replaced: 0,
            sizes: vec![3_000],
        });
        rig.drain();
    }
    rig.step(&Step::Append {
        group: 1,
        replaced: 1,
        sizes: vec![300, 4_200, 0],
    });
    rig.step(&Step::Vote {
        group: 2,
        bytes: 40,
    });
    rig.step(&Step::Append {
        group: 0,
        replaced: 0,
        sizes: vec![200],
    });
    let write = rig.disk.operations();
    rig.disk.inject(Fault::StopBefore(write + 1));
    rig.step(&Step::Write);
    rig
}

#[test]
fn a_last_write_that_is_torn_at_any_byte_is_whole_or_gone() {
    for steps in [&script()[..40], &script()[..105]] {
        let rig = rig_with_an_unsynced_write(steps);
        assert_eq!(
            rig.disk.unsynced_write_bytes(),
            8_192,
            "the write spans pages"
        );
        // The block header, the frames and payloads; the rest is padding.
        let data_bytes = 40 + 5 * 32 + 300 + 4_200 + 40 + 200;
        for bytes in (0..=data_bytes + 1).chain((data_bytes..=8_192).step_by(512)) {
            let disk = rig.disk.fork();
            disk.crash(CrashStyle::TornAt { bytes });
            let found = rig.past.assert_found(&disk);
            let (found, _) = found.unwrap_or_else(|error| panic!("torn after {bytes}: {error}"));
            let is_whole = found.operations.len() == rig.past.operations.len();
            assert_eq!(is_whole, bytes >= data_bytes, "torn after {bytes}");
            if bytes % 64 == 0 {
                rig.past.assert_survived(&disk).unwrap();
            }
        }
    }
}

/// Small writes that fill a file, which is then indexed, and begin the next one.
fn rig_with_two_files() -> Rig {
    let mut rig = Rig::new(SimDisk::new());
    let mut round = 0;
    while rig.journal.files().len() < 2 || round % 4 != 0 {
        rig.step(&Step::Vote {
            group: round % 3,
            bytes: 20,
        });
        rig.step(&Step::Append {
            group: 1,
            replaced: round % 2,
            sizes: vec![350, 40],
        });
        rig.step(&Step::Append {
            group: 2,
            replaced: 0,
            sizes: vec![150],
        });
        rig.drain();
        round += 1;
    }
    rig.step(&Step::Watermark);
    rig
}

#[test]
fn a_flipped_bit_is_noticed_and_never_served() {
    let rig = rig_with_two_files();
    let (mut refused_starts, mut refused_reads, mut harmless) = (0, 0, 0);
    for path in log_files(&rig.disk) {
        let contents = rig.disk.contents(&path).unwrap();
        for position in 0..FILE_BYTES as usize {
            let page_end = (position + 1).next_multiple_of(4_096);
            let is_padding = contents[position..page_end].iter().all(|byte| *byte == 0);
            if is_padding && position % 64 != 0 {
                continue;
            }
            let disk = rig.disk.fork();
            disk.flip_bit(&path, position, (position % 8) as u8)
                .unwrap();
            let reopened = Rig::reopen(disk, rig.past.clone());
            let read = reopened.map(|rig| (Stored::read(&rig.journal), rig));
            match read {
                Ok((Ok(_), rig)) => {
                    rig.assert_shows_everything();
                    harmless += 1;
                }
                Err(OpenError::Corrupt(damage)) => {
                    assert_eq!(damage.file, path);
                    refused_starts += 1;
                }
                Ok((Err(StorageError::Corrupt(damage)), _)) => {
                    assert_eq!(damage.file, path);
                    refused_reads += 1;
                }
                Err(other) => panic!("byte {position}: {other}"),
                Ok((Err(other), _)) => panic!("byte {position}: {other}"),
            }
        }
    }
    println!("{refused_starts} starts and {refused_reads} reads refused, {harmless} harmless");
    assert!(refused_starts > 500 && refused_reads > 3_000);
}

#[test]
fn every_flipped_bit_of_the_last_acknowledged_write_stops_the_start() {
    let mut rig = Rig::new(SimDisk::new());
    rig.run(&script()[..30]);
    rig.drain();
    let start = rig.journal.files().last().unwrap().bytes as usize;
    rig.step(&Step::Append {
        group: 1,
        replaced: 0,
        sizes: vec![300, 200],
    });
    rig.drain();
    rig.step(&Step::Watermark);
    let path = log_files(&rig.disk).pop().unwrap();
    let end = start + 40 + (32 + 300) + (32 + 200);
    for position in start..end {
        for bit in 0..8 {
            let disk = rig.disk.fork();
            disk.crash(CrashStyle::Unsynced);
            disk.flip_bit(&path, position, bit).unwrap();
            let reopened = Rig::reopen(disk, rig.past.clone());
            let Err(OpenError::Corrupt(damage)) = reopened.map(|_| ()) else {
                panic!("byte {position} bit {bit} went unnoticed");
            };
            assert_eq!((damage.file, damage.position), (path.clone(), start as u64));
        }
    }
}

#[test]
fn a_former_life_of_a_file_is_never_read() {
    // Fill files with entries of one group, give them all up, and use them again.
    let mut rig = Rig::new(SimDisk::new());
    let mut index = 0;
    while rig.journal.files().len() < 3 {
        let done = Box::new(|_| {});
        rig.journal
            .append(GROUP, vec![entry(1, index, vec![7; 3_000])], done);
        rig.writer.run_once();
        index += 1;
    }
    let life = rig.journal.life(GROUP);
    rig.journal
        .release_sealed(GROUP, life, LogIndex::new(index - 1));
    let released = rig.journal.copy_forward(0, Box::new(|_| {}));
    rig.writer.run_once();
    assert_eq!(rig.journal.recycle(&released).unwrap(), 2);
    assert_eq!(rig.journal.spare_files(), 2);
    // Begin the next life of the first one with as little as possible.
    while rig.journal.files().len() < 2 {
        rig.journal.append(
            GROUP,
            vec![entry(2, index, vec![8; 3_000])],
            Box::new(|_| {}),
        );
        rig.writer.run_once();
        index += 1;
    }
    let path = log_files(&rig.disk).pop().unwrap();
    let contents = rig.disk.contents(&path).unwrap();
    assert!(
        contents.windows(100).any(|window| window == [7; 100]),
        "the old frames are there"
    );
    rig.disk.crash(CrashStyle::Unsynced);
    let past = Past::default();
    let rig = Rig::reopen(rig.disk, past).unwrap();
    let (first, last) = rig.journal.group_range(GROUP).unwrap();
    assert_eq!(last.index, LogIndex::new(index - 1));
    let entries = rig
        .journal
        .read(GROUP, first.index..last.index.next(), usize::MAX)
        .unwrap();
    assert!(entries.iter().all(|entry| entry.payload[0] == 8));
}

#[test]
fn a_missing_file_is_damage() {
    let mut rig = Rig::new(SimDisk::new());
    rig.run(&filling_script());
    rig.drain();
    let files = log_files(&rig.disk);
    assert!(files.len() >= 3, "{files:?}");
    for path in &files[1..files.len() - 1] {
        let disk = rig.disk.fork();
        disk.remove(path).unwrap();
        let reopened = Rig::reopen(disk, rig.past.clone()).map(|_| ());
        let Err(OpenError::Corrupt(damage)) = reopened else {
            panic!("a start without {} succeeded", path.display());
        };
        assert_eq!(&damage.file, path);
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let mut rig = Rig::new(SimDisk::new());
    rig.run(&script()[..10]);
    let path = log_files(&rig.disk).remove(0);
    let mut page = rig.disk.contents(&path).unwrap()[..4_096].to_vec();
    page[8] = 9;
    let crc = crc32c::crc32c(&page[8..40]);
    page[4..8].copy_from_slice(&crc.to_le_bytes());
    overwrite(&rig.disk, &path, &page);
    let reopened = Rig::reopen(rig.disk.clone(), rig.past.clone()).map(|_| ());
    assert!(matches!(
        reopened,
        Err(OpenError::Format {
            found: 9,
            supported: 1,
            ..
        })
    ));
}

#[test]
fn the_disk_that_is_full_lets_votes_through_as_long_as_there_is_a_spare() {
    let mut rig = Rig::new(SimDisk::new());
    rig.step(&Step::Append {
        group: 0,
        replaced: 0,
        sizes: vec![100],
    });
    rig.drain();
    rig.journal.prepare_spare().unwrap();
    rig.disk.set_capacity(Some(2 * FILE_BYTES));
    assert!(rig.journal.prepare_spare().is_ok(), "there is one already");
    while rig.journal.files().len() < 2 {
        rig.step(&Step::Vote {
            group: 1,
            bytes: 50,
        });
        rig.drain();
    }
    assert_eq!(rig.past.acknowledged(), rig.past.operations.len());
    assert_eq!(rig.journal.spare_files(), 0);
    let refused = rig.journal.prepare_spare();
    let Err(StorageError::Journal(failure)) = refused else {
        panic!("a full disk has no room for a spare");
    };
    assert_eq!(failure.source.kind(), ErrorKind::StorageFull);
    rig.disk.set_capacity(None);
    rig.past.assert_survived(&rig.disk).unwrap();
}

fn overwrite(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path).unwrap();
    file.write_all_at(0, &mut [std::io::IoSlice::new(bytes)])
        .unwrap();
    file.sync_data().unwrap();
}

fn step() -> impl Strategy<Value = Step> {
    let group = 0..5_u8;
    let size = prop_oneof![0..200_u16, 0..3_000_u16, Just(20_000_u16)];
    prop_oneof![
        8 => (group.clone(), prop_oneof![4 => Just(0), 1 => 0..4_u8], prop::collection::vec(size, 1..5))
            .prop_map(|(group, replaced, sizes)| Step::Append { group, replaced, sizes }),
        2 => (group.clone(), 0..60_u8).prop_map(|(group, bytes)| Step::Vote { group, bytes }),
        1 => (group.clone(), 0..4_u8).prop_map(|(group, count)| Step::Truncate { group, count }),
        1 => (group.clone(), 0..6_u8).prop_map(|(group, offset)| Step::Purge { group, offset }),
        1 => (group.clone(), 0..40_u8)
            .prop_map(|(group, rare)| match rare {
                0 => Step::Remove { group },
                1..10 => Step::Reset { group },
                _ => Step::Barrier,
            }),
        8 => Just(Step::Write),
        1 => Just(Step::Watermark),
        2 => (group, 0..3_u8).prop_map(|(group, kept)| Step::Seal { group, kept }),
        2 => (0..30_000_u16).prop_map(|copy_bytes_max| Step::Release { copy_bytes_max }),
        1 => Just(Step::Spare),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_workload_survives_a_stop_at_any_moment(
        steps in prop::collection::vec(step(), 1..160),
        stop in 0..400_u64,
        seed in any::<u64>(),
    ) {
        let disk = SimDisk::new();
        disk.inject(if seed % 2 == 0 { Fault::StopBefore(stop) } else { Fault::StopAfter(stop) });
        if let Some(mut rig) = Rig::new_on(disk) {
            for step in &steps {
                rig.step(step);
            }
            for style in crash_styles(seed % 1_000) {
                let disk = rig.disk.fork();
                disk.crash(style);
                rig.past.assert_survived(&disk).unwrap();
            }
        }
    }
}
