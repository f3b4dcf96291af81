//! One command after the other.

use flotilla_client::ErrorCode;
use flotilla_gateway::text::TextConfig;

use super::memory::{MemoryBroker, TOKEN};
use super::peer::Scene;

const ORDER: &str = r#"{"order_id":101}"#;

fn fifty_orders() -> MemoryBroker {
    let broker = MemoryBroker::new().with_topic("orders", 1);
    broker.store("orders", 0, &[Some("earlier"); 50]);
    broker
}

#[tokio::test(start_paused = true)]
async fn an_order_is_published_and_fetched_as_the_story_has_it() {
    let mut scene = Scene::of(fifty_orders());
    scene.peer.send(format!("PUB orders 16\r\n{ORDER}")).await;
    assert_eq!(scene.peer.line().await, "OK 50");
    scene.peer.send_all("FETCH orders 50").await;
    let expected = format!("MSG 50 16\r\n{ORDER}");
    assert_eq!(scene.peer.rest().await, expected, "and nothing behind it");
}

#[tokio::test(start_paused = true)]
async fn the_size_of_the_story_is_one_too_small_and_its_teller_learns_it() {
    let mut scene = Scene::of(fifty_orders());
    scene.peer.send(format!("PUB orders 15\r\n{ORDER}")).await;
    assert_eq!(scene.peer.line().await, "OK 50");
    let told = scene.peer.line().await;
    assert!(told.starts_with("ERR size-mismatch expected=15 "), "{told}");
    scene.peer.send("\r\n").await;
    let fetched = scene.peer.fetch("FETCH orders 50").await;
    assert_eq!(fetched, ("MSG 50 15".to_owned(), ORDER[..15].to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_size_is_noticed_when_the_rest_comes_later() {
    let mut scene = Scene::of(fifty_orders());
    scene
        .peer
        .send(format!("PUB orders 15\r\n{}", &ORDER[..15]))
        .await;
    assert_eq!(scene.peer.line().await, "OK 50");
    scene.peer.send("}").await;
    assert!(
        scene
            .peer
            .line()
            .await
            .starts_with("ERR size-mismatch expected=15 ")
    );
    scene.peer.send("FETCH orders 50\r\n").await;
    assert_eq!(scene.peer.ask("PING").await, "PONG", "the line was skipped");
    scene.peer.send_all(format!("PUB orders 15\n{ORDER}")).await;
    let rest = scene.peer.rest().await;
    assert!(
        rest.starts_with("OK 51\r\nERR size-mismatch expected=15 "),
        "{rest}"
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_may_come_one_by_one() {
    let mut scene = Scene::of(MemoryBroker::new());
    let sent = "pub orders 5\nhello\r\nPUB orders 6 id=x\r\nw\u{f6}rldFETCH orders 0 9\nQUIT\n";
    for byte in sent.as_bytes() {
        scene.peer.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    let expected = "OK 0\r\nOK 1\r\nMSG 0 5\r\nhelloMSG 1 6\r\nw\u{f6}rldEND 2\r\nBYE\r\n";
    assert_eq!(scene.peer.rest().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_created_when_somebody_publishes_to_it() {
    let mut scene = Scene::of(MemoryBroker::new());
    assert_eq!(
        scene.peer.ask("FETCH orders 0").await,
        "ERR UNKNOWN_TOPIC there is no topic orders"
    );
    assert_eq!(scene.peer.ask("PUB orders 0\r\n").await, "OK 0");
    assert_eq!(scene.peer.ask("PUB events/0 1\r\nx").await, "OK 0");
    let several = scene.peer.ask("PUB other/1 1\r\nx").await;
    assert!(several.starts_with("ERR UNKNOWN_TOPIC "), "{several}");
    assert_eq!(scene.broker.topics(), ["events", "orders"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_not_created_where_that_is_switched_off() {
    let config = TextConfig {
        create_topics: false,
        ..TextConfig::default()
    };
    let mut scene = Scene::with(MemoryBroker::new(), config);
    assert_eq!(
        scene.peer.ask("PUB orders 16\r\n{\"order_id\":101}").await,
        "ERR UNKNOWN_TOPIC there is no topic orders; nothing is stored"
    );
    assert_eq!(scene.peer.ask("PING").await, "PONG");
    assert!(scene.broker.topics().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_topic_with_several_partitions_wants_to_know_which() {
    let mut scene = Scene::of(MemoryBroker::new().with_topic("orders", 3));
    let peer = &mut scene.peer;
    assert_eq!(peer.ask("PUB orders 1\r\na").await, "OK 0 2");
    assert_eq!(peer.ask("PUB orders/1 1\r\nb").await, "OK 0");
    // The bytes of the key add up to 97.
    assert_eq!(peer.ask("PUB orders 1 key=a\r\nc").await, "OK 1 1");
    assert_eq!(
        peer.ask("PUB orders/7 1\r\nd").await,
        "ERR UNKNOWN_PARTITION no such partition; nothing is stored"
    );
    let told = peer.ask("FETCH orders 0").await;
    assert!(told.starts_with("ERR partition-required "), "{told}");
    assert!(told.ends_with("name one, from orders/0 to orders/2"));
    assert_eq!(peer.fetch("FETCH orders/1 1").await.1, "c");
}

#[tokio::test(start_paused = true)]
async fn a_message_id_keeps_a_record_from_being_stored_twice() {
    let mut scene = Scene::of(fifty_orders());
    let sent = format!("PUB orders 16 id=payment-17\r\n{ORDER}");
    assert_eq!(scene.peer.ask(&sent).await, "OK 50");
    assert_eq!(scene.peer.ask(&sent).await, "OK 50");
    assert_eq!(scene.broker.values("orders", 0).len(), 51);
}

#[tokio::test(start_paused = true)]
async fn an_offset_without_a_record_says_which_have_one() {
    let broker = fifty_orders();
    broker.delete_before("orders", 7);
    let mut scene = Scene::of(broker.with_topic("events", 1));
    let expected = "ERR no-such-offset 7 to 49 can be read, the next record gets 50: add wait=<ms> \
                    to wait for it";
    for line in ["50", "51", "6", "latest"] {
        assert_eq!(
            scene.peer.ask(&format!("FETCH orders {line}")).await,
            expected
        );
    }
    let nothing = scene.peer.ask("FETCH events earliest").await;
    assert!(nothing.starts_with("ERR no-such-offset nothing can be read yet, "));
    assert_eq!(scene.peer.fetch("FETCH orders earliest").await.0, "MSG 7 7");
}

#[tokio::test(start_paused = true)]
async fn several_records_are_fetched_at_once() {
    let broker = MemoryBroker::new().with_topic("orders", 1);
    broker.store("orders", 0, &[Some("a"), None, Some(""), Some("dd")]);
    let mut scene = Scene::of(broker);
    scene
        .peer
        .send("FETCH orders 0 3\nFETCH orders 3 100\nFETCH orders 4 1\n")
        .await;
    scene.peer.send_all("FETCH orders 5 1 wait=50\n").await;
    let rest = scene.peer.rest().await;
    let expected = "MSG 0 1\r\naMSG 1 0\r\nMSG 2 0\r\nEND 3\r\nMSG 3 2\r\nddEND 4\r\nEND 4\r\n\
                    ERR no-such-offset 0 to 3 ";
    assert!(rest.starts_with(expected), "{rest}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_its_limits() {
    let broker = MemoryBroker::new()
        .with_topic("small", 1)
        .with_topic("large", 1);
    broker.store("small", 0, &[Some("x"); 2_500]);
    let large: &'static str = "y".repeat(700 << 10).leak();
    broker.store("large", 0, &[Some(large); 3]);
    let mut scene = Scene::of(broker);
    scene
        .peer
        .send("FETCH small 0 18446744073709551615\n")
        .await;
    for offset in 0..1_000 {
        assert_eq!(scene.peer.line().await, format!("MSG {offset} 1"));
        assert_eq!(scene.peer.exactly(1).await, "x");
    }
    assert_eq!(scene.peer.line().await, "END 1000");
    assert_eq!(scene.peer.fetch("FETCH large 1 5").await.0, "MSG 1 716800");
    assert_eq!(scene.peer.line().await, "END 2");
}

#[tokio::test(start_paused = true)]
async fn somebody_says_who_it_is() {
    let mut scene = Scene::of(fifty_orders());
    let peer = &mut scene.peer;
    peer.ask("PUB orders 1\r\na").await;
    assert_eq!(peer.ask(&format!("AUTH {TOKEN}")).await, "OK");
    peer.ask("PUB orders 1\r\nb").await;
    assert_eq!(
        peer.ask("AUTH wrong-token").await,
        "ERR UNAUTHENTICATED nobody has …: get a new one",
        "the token is not said back"
    );
    peer.ask("PUB orders 1\r\nc").await;
    assert_eq!(scene.broker.callers(), [None, Some("alice"), None]);
}

#[tokio::test(start_paused = true)]
async fn small_talk_is_answered() {
    let mut scene = Scene::of(MemoryBroker::new());
    assert_eq!(scene.peer.ask("ping").await, "PONG");
    scene.peer.send("HELP\n").await;
    let mut help = Vec::new();
    while help.last().is_none_or(|line| line != "OK") {
        help.push(scene.peer.line().await);
    }
    assert!(help[0].starts_with("# PUB <topic> <size>"));
    let unknown = scene.peer.ask("SUBSCRIBE orders").await;
    assert!(unknown.starts_with("ERR unknown-verb "), "{unknown}");
    scene.peer.send("QUIT\r\nPING\r\n").await;
    assert_eq!(scene.peer.rest().await, "BYE\r\n");
    scene.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_half_sent_payload_is_not_stored() {
    let mut scene = Scene::of(fifty_orders());
    scene.peer.send_all("PUB orders 16\r\n{\"order_id").await;
    let told = scene.peer.rest().await;
    assert!(
        told.starts_with("ERR half-sent expected=16 received=10 "),
        "{told}"
    );
    scene.serving.await.unwrap();
    assert_eq!(scene.broker.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_payload_is_not_taken_for_commands() {
    let mut scene = Scene::of(fifty_orders());
    let sent = "PUB or:ders 26\r\nPING\r\nPUB orders 4\r\nPONG\r\n";
    scene.peer.send(sent).await;
    let told = scene.peer.line().await;
    assert!(told.starts_with("ERR INVALID_TOPIC_NAME "), "{told}");
    scene.peer.send_all("").await;
    assert_eq!(scene.peer.rest().await, "");
    assert_eq!(scene.broker.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_says_is_passed_on() {
    let mut scene = Scene::of(fifty_orders());
    scene
        .broker
        .fail_next(ErrorCode::DiskFull, "no room\r\nOK 7");
    assert_eq!(
        scene.peer.ask("PUB orders 1\r\nx").await,
        "ERR DISK_FULL no room\\r\\nOK 7; nothing is stored, send it again"
    );
    scene
        .broker
        .fail_next(ErrorCode::ResultUnknown, "the link broke");
    let told = scene.peer.ask("PUB orders 1\r\nx").await;
    assert!(told.starts_with("ERR RESULT_UNKNOWN the link broke; it may be stored: with an id="));
    assert_eq!(scene.peer.ask("PUB orders 1\r\nx").await, "OK 50");
}

#[tokio::test(start_paused = true)]
async fn another_protocol_gets_one_clear_answer() {
    let config = TextConfig {
        http_address: Some("node1:7402".to_owned()),
        ..TextConfig::default()
    };
    let mut scene = Scene::with(MemoryBroker::new(), config);
    scene
        .peer
        .send("GET /topics HTTP/1.1\r\nHost: node1\r\n\r\n")
        .await;
    assert_eq!(
        scene.peer.rest().await,
        "ERR foreign-protocol this looks like HTTP, which is spoken at node1:7402; here it is the \
         text protocol: send HELP\r\n"
    );
}
