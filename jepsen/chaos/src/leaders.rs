//! Who leads.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_client::{Client, ClientConfig};

/// The node that leads most partitions, from 0. `None` if no leader is known.
pub async fn busiest_leader(addresses: &[String]) -> anyhow::Result<Option<usize>> {
    let config = ClientConfig {
        deadline: Duration::from_secs(3),
        attempt_timeout: Duration::from_secs(1),
        ..ClientConfig::new(addresses.iter().cloned())
    };
    let client = Client::unconnected(config)?;
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, topic) in client.admin().describe_topics(&[]).await? {
        // A topic that was deleted a moment ago has no leaders.
        let Ok(topic) = topic else { continue };
        let leaders = topic
            .partitions
            .iter()
            .filter_map(|found| found.leader.as_ref());
        for leader in leaders {
            *counts.entry(leader.node.get()).or_default() += 1;
        }
    }
    let busiest = counts.into_iter().max_by_key(|(_, count)| *count);
    Ok(busiest.and_then(|(node, _)| usize::try_from(node.checked_sub(1)?).ok()))
}
