//! Data directories: whose they are, who uses them, and which ones are refused.

use std::fs;

use bytes::Bytes;
use flotilla_types::{ClusterId, Lineage, NodeId};

use crate::error::{OpenError, StorageError};
use crate::rig::{Rig, World, entries};
use crate::tables::{Change, Durability, RowFamily, keys, values};

fn on_both(test: impl Fn(Rig)) {
    World::both().into_iter().map(Rig::new).for_each(test);
}

#[test]
fn identity_is_adopted_once_and_counts_starts() {
    on_both(|mut rig| {
        let (cluster, node) = (ClusterId::new([7; 16]), NodeId::new(3));
        assert_eq!(rig.storage().identity(), None);
        let first = rig.storage().adopt_identity(cluster, node).unwrap();
        rig.reopen();
        assert_eq!(rig.storage().identity().as_ref(), Some(&first));
        let second = rig.storage().adopt_identity(cluster, node).unwrap();
        assert!(second.lineage.remembers(first.lineage.current()));
        assert_eq!(second.lineage.current().start(), 2);
        let foreign = rig
            .storage()
            .adopt_identity(cluster, NodeId::new(4))
            .unwrap_err();
        assert!(matches!(foreign, StorageError::ForeignDirectory { .. }));
        assert!(
            foreign.to_string().contains("node 3 of cluster 0707"),
            "{foreign}"
        );
        rig.reopen();
        assert_eq!(rig.storage().identity(), Some(second));
    });
}

#[test]
fn a_directory_that_was_wiped_is_another_one() {
    on_both(|mut before| {
        let (cluster, node) = (ClusterId::new([7; 16]), NodeId::new(3));
        let known = before.storage().adopt_identity(cluster, node).unwrap();
        let mut wiped = Rig::new(World::simulated());
        // In the simulation, chance is the number of the start.
        wiped.reopen();
        let fresh = wiped.storage().adopt_identity(cluster, node).unwrap();
        assert!(!fresh.lineage.may_follow(known.lineage.current()));
        before.reopen();
        let again = before.storage().adopt_identity(cluster, node).unwrap();
        assert!(again.lineage.may_follow(known.lineage.current()));
    });
}

#[test]
fn only_the_starts_since_the_registered_one_are_kept() {
    on_both(|mut rig| {
        let adopt = |rig: &Rig| {
            let adopted = rig
                .storage()
                .adopt_identity(ClusterId::new([7; 16]), NodeId::new(3));
            adopted.unwrap().lineage
        };
        let numbers = |lineage: &Lineage| {
            let starts = lineage.starts().iter();
            starts.map(|start| start.start()).collect::<Vec<_>>()
        };
        rig.storage().forget_earlier_starts().unwrap();
        assert_eq!(rig.storage().identity(), None);
        adopt(&rig);
        rig.reopen();
        assert_eq!(numbers(&adopt(&rig)), [1, 2]);
        rig.storage().forget_earlier_starts().unwrap();
        rig.storage().forget_earlier_starts().unwrap();
        rig.reopen();
        assert_eq!(numbers(&adopt(&rig)), [2, 3]);
        rig.reopen();
        assert_eq!(numbers(&adopt(&rig)), [2, 3, 4]);
    });
}

#[test]
fn one_directory_is_opened_once_at_a_time() {
    on_both(|mut rig| {
        let seams = rig.seams();
        let second = crate::Storage::open(rig.config.clone(), seams).map(|_| ());
        let Err(refused @ OpenError::InUse { .. }) = second else {
            panic!("{second:?}");
        };
        assert!(
            refused
                .to_string()
                .contains("data is in use by another process"),
            "{refused}"
        );
        // Closing gives it back, even while a handle to a group is still around.
        let log = rig.group(7);
        rig.reopen();
        let closed = rig.outcome_of(|done| log.save_vote(Bytes::new(), done));
        assert!(matches!(closed, Err(StorageError::Closed)), "{closed:?}");
    });
}

#[test]
fn a_directory_of_a_newer_version_is_refused() {
    on_both(|mut rig| {
        let newer = values::encode_format_version(values::FORMAT_VERSION + 1);
        let change = Change::Put(RowFamily::System, keys::format_version(), newer);
        rig.storage()
            .engine
            .tables
            .write(&[change], Durability::Synced)
            .unwrap();
        rig.close();
        let refused = rig.open().unwrap_err();
        assert!(
            matches!(refused, OpenError::NewerVersion { .. }),
            "{refused}"
        );
    });
}

#[test]
fn a_directory_of_an_older_version_is_refused() {
    on_both(|mut rig| {
        rig.append(7, 1..3, 10);
        let write = |rig: &Rig, version: u32| {
            let value = values::encode_format_version(version);
            let change = Change::Put(RowFamily::System, keys::format_version(), value);
            let tables = &rig.storage().engine.tables;
            tables.write(&[change], Durability::Synced).unwrap();
        };
        write(&rig, values::FORMAT_VERSION - 1);
        rig.close();
        let refused = rig.open().unwrap_err();
        assert!(
            matches!(refused, OpenError::OlderVersion { found, .. } if found == values::FORMAT_VERSION - 1),
            "{refused}"
        );
    });
}

#[test]
fn half_a_directory_is_refused() {
    for half in ["journal", "tables"] {
        let mut rig = Rig::new(World::real());
        rig.append(7, 1..3, 10);
        rig.close();
        let path = rig.config.data_dir.join(half);
        let away = rig.config.data_dir.join("away");
        fs::rename(&path, &away).unwrap();
        for _ in 0..2 {
            let refused = rig.open().unwrap_err();
            let OpenError::Incomplete { missing } = &refused else {
                panic!("{refused}");
            };
            assert_eq!(missing, &path);
        }
        // Nothing was changed by trying.
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::rename(&away, &path).unwrap();
        rig.open().unwrap();
        rig.assert_holds(7, &entries(7, 1..3, 10));
    }
}
