//! What `GET /metrics` can tell of the text protocol.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

use super::memory::MemoryBroker;
use super::peer::Scene;

/// Remembers counters and gauges by name and labels.
#[derive(Default)]
struct Remembered {
    numbers: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    described: Mutex<Vec<String>>,
}

impl Remembered {
    fn number(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::clone(self.numbers.lock().entry(name).or_default())
    }

    fn counted(&self, name: &str) -> u64 {
        let numbers = self.numbers.lock();
        numbers
            .get(name)
            .map_or(0, |number| number.load(Ordering::Relaxed))
    }

    fn describe(&self, name: &KeyName) {
        self.described.lock().push(name.as_str().to_owned());
    }
}

impl Recorder for Remembered {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn commands_are_counted_by_what_came_of_them() {
    let remembered = Remembered::default();
    let _guard = metrics::set_default_local_recorder(&remembered);
    let mut scene = Scene::of(MemoryBroker::new());
    scene
        .peer
        .send("PUB a 1\nxPUB a 1\nyPUB a:b 1\nzAUTH nobody\nWHAT\n")
        .await;
    scene.peer.send("PUB a 1\n}}\nQUIT\n").await;
    let answers = scene.peer.rest().await;
    assert_eq!(answers.lines().count(), 8, "{answers}");
    scene.serving.await.unwrap();

    let count = |labels| remembered.counted(&format!("flotilla_text_commands_total {labels}"));
    assert_eq!(count("PUB ok"), 3);
    assert_eq!(count("PUB INVALID_TOPIC_NAME"), 1);
    assert_eq!(count("AUTH UNAUTHENTICATED"), 1);
    assert_eq!(count("none unknown-verb"), 1);
    assert_eq!(count("none size-mismatch"), 1);
    assert_eq!(count("QUIT ok"), 1);
    let mut described = remembered.described.lock().clone();
    described.sort();
    let expected = [
        "flotilla_text_commands_total",
        "flotilla_text_connections",
        "flotilla_text_connections_refused_total",
    ];
    assert_eq!(described, expected);
}
