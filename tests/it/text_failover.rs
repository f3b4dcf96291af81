//! Nodes are killed while records come in over the text protocol.

use std::collections::BTreeMap;

use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_for_leader;
use flotilla_tests::text::{TextConnection, publication, publication_with};
use tokio::sync::watch;

use crate::doors::{places, values};
use crate::topics::{FIRST, create, name};

const RECORDS: usize = 3_000;

fn offset_of(line: &str) -> Option<u64> {
    line.strip_prefix("OK ")?.parse().ok()
}

/// Goal: the leader dies under a stream of records that waits for no answers. The answers come in order,
/// each OK is in the log once, and the order of the records is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_costs_no_pipelined_record_and_doubles_none() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let leader = wait_for_leader(&client, &topic, FIRST).await;
    let other = cluster.nodes().iter().find(|node| node.id() != leader);
    let address = other.unwrap().text_address();
    let TextConnection {
        mut reader,
        mut writer,
    } = TextConnection::open(&address).await.unwrap();
    let sending = async {
        for number in 0..RECORDS {
            let payload = format!("{number:05}");
            let bytes = publication("orders", payload.as_bytes());
            writer.write(bytes).await.unwrap();
        }
    };
    let (answered, mut progress) = watch::channel(0);
    let reading = async {
        let mut lines = Vec::new();
        for count in 1..=RECORDS {
            lines.push(reader.line().await.unwrap());
            answered.send_replace(count);
        }
        lines
    };
    let killing = async {
        progress
            .wait_for(|count| *count >= RECORDS / 3)
            .await
            .unwrap();
        phase(format_args!("kill the leader, node {leader}"));
        cluster.node_mut(leader).kill();
    };
    let ((), lines, ()) = tokio::join!(sending, reading, killing);
    cluster.start_all().await;

    let mut found = places(&client, &topic, 1).await;
    let mut refused = 0;
    for (number, line) in lines.iter().enumerate() {
        let place_found = found.remove(&format!("{number:05}"));
        match offset_of(line) {
            Some(offset) => assert_eq!(place_found, Some((0, offset)), "{number} is lost"),
            None => {
                assert!(line.starts_with("ERR "), "{line}");
                phase(line);
                refused += 1;
            }
        }
    }
    assert!(found.is_empty(), "nobody has sent {found:?}");
    assert_eq!(
        refused, 0,
        "the node tries for longer than a failover takes"
    );
    assert!(values(&client, &topic, FIRST).await.is_sorted());
}

/// Goal: the node that a peer speaks to dies. The peer goes on at another one, sends again what had no
/// answer, under the same ids, and everything is stored once.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_a_dead_node_sends_again_and_has_everything_stored_once() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let victim = cluster.nodes()[0].id();
    let TextConnection {
        mut reader,
        mut writer,
    } = TextConnection::open(&cluster.node(victim).text_address())
        .await
        .unwrap();
    let message = |number: usize| {
        let payload = format!("{number:05}");
        let words = format!(" id=message-{number}");
        publication_with("orders", payload.as_bytes(), &words)
    };
    let (answered, mut progress) = watch::channel(0);
    let sending = async {
        for number in 0..RECORDS {
            if writer.write(message(number)).await.is_err() {
                return;
            }
        }
    };
    let reading = async {
        let mut offsets = Vec::new();
        while let Ok(line) = reader.line().await {
            offsets.push(offset_of(&line).unwrap_or_else(|| panic!("{line}")));
            answered.send_replace(offsets.len());
        }
        offsets
    };
    let killing = async {
        progress.wait_for(|count| *count >= 200).await.unwrap();
        phase(format_args!("kill node {victim} in the middle"));
        cluster.node_mut(victim).kill();
    };
    let ((), mut offsets, ()) = tokio::join!(sending, reading, killing);
    phase(format_args!(
        "{} were answered, the others come again",
        offsets.len()
    ));
    assert!(offsets.len() < RECORDS);
    let other = cluster.nodes().iter().find(|node| node.id() != victim);
    let TextConnection {
        mut reader,
        mut writer,
    } = TextConnection::open(&other.unwrap().text_address())
        .await
        .unwrap();
    let unanswered = offsets.len()..RECORDS;
    let sending = async {
        for number in unanswered.clone() {
            writer.write(message(number)).await.unwrap();
        }
    };
    let reading = async {
        for _ in unanswered.clone() {
            let line = reader.line().await.unwrap();
            offsets.push(offset_of(&line).unwrap_or_else(|| panic!("{line}")));
        }
    };
    tokio::join!(sending, reading);
    let expected: BTreeMap<_, _> = (0..RECORDS)
        .map(|number| (format!("{number:05}"), (0, offsets[number])))
        .collect();
    assert_eq!(places(&client, &topic, 1).await, expected);
    assert!(values(&client, &topic, FIRST).await.is_sorted());
}
