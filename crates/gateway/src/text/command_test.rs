use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::command::*;
use super::error::TextCode;
use flotilla_client::PartitionIndex;
use flotilla_types::{Offset, TopicName};

fn refused(line: &str) -> (String, Follows) {
    let refusal = parse(line.as_bytes()).unwrap_err();
    (refusal.error.to_string(), refusal.follows)
}

fn publish(line: &str) -> Publish {
    match parse(line.as_bytes()) {
        Ok(Line::Publish(publish)) => publish,
        other => panic!("{line}: {other:?}"),
    }
}

fn fetch(line: &str) -> Fetch {
    match parse(line.as_bytes()) {
        Ok(Line::Command(Command::Fetch(fetch))) => fetch,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_publish_names_a_topic_and_a_size() {
    let topic = TopicName::parse("orders").unwrap();
    let plain = Publish {
        topic,
        partition: None,
        size: 15,
        key: None,
        id: None,
    };
    assert_eq!(publish("PUB orders 15"), plain);
    assert_eq!(publish("pub   orders  15 "), plain);
    let full = publish("PUB orders/3 15 id=payment-17 key=a=b");
    assert_eq!(full.partition, Some(PartitionIndex::new(3)));
    assert_eq!(full.key.as_deref(), Some("a=b"));
    assert_eq!(full.id.as_deref(), Some("payment-17"));
}

#[test]
fn a_fetch_names_an_offset_and_maybe_a_count() {
    let one = fetch("FETCH orders 50");
    assert_eq!(one.start, Start::Offset(Offset::new(50)));
    assert_eq!((one.count, one.wait_ms), (None, 0));
    let several = fetch("fetch orders/1 Earliest 10 wait=500");
    assert_eq!(several.start, Start::Earliest);
    assert_eq!((several.count, several.wait_ms), (Some(10), 500));
    assert_eq!(fetch("FETCH orders latest wait=1").start, Start::Latest);
}

#[test]
fn a_refused_publish_says_what_follows_it() {
    let (text, follows) = refused("PUB or:ders 16");
    assert!(text.starts_with("INVALID_TOPIC_NAME a topic name has no ':'"));
    assert_eq!(follows, Follows::Payload(16));
    assert_eq!(refused("PUB orders 16 ttl=3").1, Follows::Payload(16));
    for line in ["PUB", "PUB orders", "PUB orders x", "PUB orders -1"] {
        assert_eq!(refused(line).1, Follows::Unknown, "{line}");
    }
}

#[test]
fn errors_say_what_to_write_instead() {
    for (line, expected) in [
        (
            "PUB orders 1 key=a key=b",
            "bad-arguments \"key=b\" comes a second time",
        ),
        ("PUB orders 1 id=", "bad-arguments \"id=\" has no value"),
        (
            "PUB orders 1 fast",
            "bad-arguments \"fast\" is not known here: what can follow is",
        ),
        ("FETCH orders", "bad-arguments write FETCH <topic> <offset>"),
        (
            "FETCH orders -1",
            "bad-arguments an offset is a number, earliest or latest, not \"-1\"",
        ),
        (
            "FETCH orders 9223372036854775808",
            "bad-arguments an offset",
        ),
        (
            "FETCH orders 0 0",
            "bad-arguments a count is a number from 1",
        ),
        ("FETCH orders 0 wait=x", "bad-arguments wait=<ms> takes"),
        ("FETCH orders/x 0", "bad-arguments partitions are numbered"),
        ("FETCH orders/4096 0", "bad-arguments partitions are"),
        ("PING x", "bad-arguments PING stands alone"),
        (
            "SUBSCRIBE orders",
            "unknown-verb there is no command \"SUBSCRIBE\": send HELP",
        ),
    ] {
        let (text, _) = refused(line);
        assert!(text.starts_with(expected), "{line}: {text}");
    }
}

#[test]
fn a_token_is_shown_to_nobody() {
    let parsed = parse(b"AUTH s3cret").unwrap();
    assert!(!format!("{parsed:?}").contains("s3cret"));
    for line in ["AUTH s3cret too", "AUTH s3cret\u{7}"] {
        let refusal = parse(line.as_bytes()).unwrap_err();
        assert!(!format!("{refusal:?}").contains("s3cret"));
        assert_eq!(refusal.error.code, TextCode::BadArguments);
    }
}

#[test]
fn what_is_said_back_is_short() {
    let (text, _) = refused(&"x".repeat(4_000));
    assert!(text.len() < 200);
}

/// A line that says the same.
fn written(line: &Line) -> String {
    match line {
        Line::Publish(publish) => {
            let option = |name, value: &Option<String>| match value {
                Some(value) => format!(" {name}={value}"),
                None => String::new(),
            };
            format!(
                "PUB {} {}{}{}",
                place(&publish.topic, publish.partition),
                publish.size,
                option("key", &publish.key),
                option("id", &publish.id)
            )
        }
        Line::Command(Command::Fetch(fetch)) => {
            let start = match fetch.start {
                Start::Offset(offset) => offset.to_string(),
                Start::Earliest => "earliest".to_owned(),
                Start::Latest => "latest".to_owned(),
            };
            let count = fetch.count.map(|count| format!(" {count}"));
            let place = place(&fetch.topic, fetch.partition);
            let wait = format!(" wait={}", fetch.wait_ms);
            format!("FETCH {place} {start}{}{wait}", count.unwrap_or_default())
        }
        Line::Command(Command::Authenticate(token)) => format!("AUTH {}", token.as_str()),
        Line::Command(command) => command.verb().as_str().to_owned(),
    }
}

fn place(topic: &TopicName, partition: Option<PartitionIndex>) -> String {
    match partition {
        Some(partition) => format!("{topic}/{partition}"),
        None => topic.to_string(),
    }
}

fn any_place() -> impl Strategy<Value = (TopicName, Option<PartitionIndex>)> {
    let topic =
        "[A-Za-z0-9_-][A-Za-z0-9._-]{0,30}".prop_map(|name| TopicName::parse(&name).unwrap());
    (
        topic,
        option::of((0_u32..4_096).prop_map(PartitionIndex::new)),
    )
}

fn any_line() -> impl Strategy<Value = Line> {
    let word = || "[!-~à-ÿ]{1,20}";
    let publish = (
        any_place(),
        any::<u64>(),
        option::of(word()),
        option::of(word()),
    )
        .prop_map(|((topic, partition), size, key, id)| {
            Line::Publish(Publish {
                topic,
                partition,
                size,
                key,
                id,
            })
        });
    let start = prop_oneof![
        (0..=i64::MAX as u64).prop_map(|offset| Start::Offset(Offset::new(offset))),
        Just(Start::Earliest),
        Just(Start::Latest),
    ];
    let fetch = (any_place(), start, option::of(1_u64..), any::<u64>()).prop_map(
        |((topic, partition), start, count, wait_ms)| {
            Line::Command(Command::Fetch(Fetch {
                topic,
                partition,
                start,
                count,
                wait_ms,
            }))
        },
    );
    let token = word().prop_map(|token| parse(format!("AUTH {token}").as_bytes()).unwrap());
    let lone = prop_oneof![
        Just(Command::Help),
        Just(Command::Ping),
        Just(Command::Quit)
    ];
    prop_oneof![publish, fetch, token, lone.prop_map(Line::Command)]
}

proptest! {
    #[test]
    fn what_is_written_is_understood(line in any_line()) {
        prop_assert_eq!(parse(written(&line).as_bytes()), Ok(line));
    }

    #[test]
    fn whatever_comes_is_understood_or_refused(line in vec(any::<u8>(), 0..200)) {
        let _ = parse(&line);
    }

    #[test]
    fn whatever_follows_a_verb_is_understood_or_refused(
        verb in "(PUB|FETCH|AUTH|PING|HELP|QUIT|pub)",
        rest in "[ -~]{0,60}",
    ) {
        if let Err(refusal) = parse(format!("{verb} {rest}").as_bytes()) {
            prop_assert!(refusal.verb.is_some());
            prop_assert!(!refusal.error.text.contains(char::is_control));
        }
    }
}
