use proptest::collection::vec;
use proptest::prelude::*;

use super::command::{Command, Verb};
use super::config::TextConfig;
use super::error::TextCode;
use super::framing::{Framing, Input};

fn config() -> TextConfig {
    TextConfig {
        line_bytes_max: 100,
        payload_bytes_max: 64,
        ..TextConfig::default()
    }
}

/// What is understood when the bytes come in these pieces, and then no more.
fn understood<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Input> {
    let config = config();
    let mut framing = Framing::new(&config);
    let mut inputs = Vec::new();
    for piece in pieces {
        framing.room().extend_from_slice(piece);
        inputs.extend(std::iter::from_fn(|| framing.next(false)));
    }
    inputs.extend(std::iter::from_fn(|| framing.next(true)));
    inputs
}

/// In short: payloads, commands by their verb, and the codes of errors.
fn outline(text: &str) -> Vec<String> {
    let whole = understood([text.as_bytes()]);
    let singly = understood(text.as_bytes().chunks(1));
    assert_eq!(whole, singly, "{text:?} is the same in pieces of one byte");
    let told = whole.into_iter().map(|input| match input {
        Input::Publish(_, payload) => String::from_utf8_lossy(&payload).into_owned(),
        Input::Command(command) => command.verb().as_str().to_owned(),
        Input::Refused(_, error) => error.code.as_str().to_owned(),
        Input::Broken(error) => format!("{}!", error.code),
        Input::Ended => "end".to_owned(),
    });
    told.collect()
}

#[test]
fn a_payload_with_the_right_size_is_whole() {
    let order = r#"{"order_id":101}"#;
    for (sent, case) in [
        (format!("PUB orders 16\r\n{order}"), "as the example has it"),
        (format!("PUB orders 16\n{order}\n"), "with LF"),
        (format!("PUB orders 16\r\n{order}\r\n"), "with CRLF"),
        (format!("PUB orders 16\n{order}\r"), "with half a line end"),
        (
            format!("\r\n\nPUB orders 16\n{order}\n\n  \n"),
            "with empty lines",
        ),
    ] {
        assert_eq!(outline(&sent), [order, "end"], "{case}");
    }
    let twice = format!("PUB orders 16\r\n{order}PUB orders 16\r\n{order}");
    assert_eq!(outline(&twice), [order, order, "end"]);
    let then_fetched = format!("PUB orders 16\r\n{order}fetch orders 0");
    assert_eq!(outline(&then_fetched), [order, "FETCH", "end"]);
}

#[test]
fn a_payload_that_is_longer_than_its_size_is_told_and_left_behind() {
    let stored = r#"{"order_id":101"#;
    let sent = "PUB orders 15\r\n{\"order_id\":101}";
    let expected = [stored, "size-mismatch", "end"];
    assert_eq!(outline(sent), expected);
    assert_eq!(outline(&format!("{sent}\r\n")), expected);
    let sent = "PUB orders 15\r\n{\"order_id\":101}\r\nPING\r\n";
    assert_eq!(outline(sent), [stored, "size-mismatch", "PING", "end"]);
    // Without a line end the command is on the line that is skipped.
    let sent = "PUB orders 15\r\n{\"order_id\":101}PING\r\nHELP";
    assert_eq!(outline(sent), [stored, "size-mismatch", "HELP", "end"]);
}

#[test]
fn what_only_looks_like_a_command_behind_a_payload_is_a_mismatch() {
    for stray in ["P", "PU", "PINGS", "PUBX a 1", " PING", "\rPING", "}", "é"] {
        let sent = format!("PUB a 1\nx{stray}\nPING");
        let expected = ["x", "size-mismatch", "PING", "end"];
        assert_eq!(outline(&sent), expected, "{stray:?}");
    }
    assert_eq!(outline("PUB a 1\nx\nPINGS"), ["x", "unknown-verb", "end"]);
}

#[test]
fn a_mismatch_is_told_before_its_line_ends() {
    let config = config();
    let mut framing = Framing::new(&config);
    framing.room().extend_from_slice(b"PUB a 1\nxP");
    assert!(matches!(framing.next(false), Some(Input::Publish(..))));
    assert_eq!(framing.next(false), None, "it can still become PING");
    framing.room().extend_from_slice(b"X");
    let Some(Input::Refused(None, error)) = framing.next(false) else {
        panic!("it can not any more");
    };
    assert_eq!(error.code, TextCode::SizeMismatch);
    assert!(error.text.starts_with("expected=1 "));
    assert!(!framing.is_unfinished());
}

#[test]
fn a_payload_that_is_shorter_than_its_size_takes_what_follows() {
    let sent = "PUB a 3\nx\nPING\nPING\n";
    assert_eq!(outline(sent), ["x\nP", "size-mismatch", "PING", "end"]);
}

#[test]
fn a_payload_that_ends_early_is_no_payload() {
    assert_eq!(outline("PUB a 3\nxy"), ["half-sent!"]);
    assert_eq!(outline("PUB a 3"), ["half-sent!"]);
    assert_eq!(outline("PUB a:b 3\nxy"), ["half-sent!"]);
    assert_eq!(outline("PUB a 0"), ["", "end"]);
}

#[test]
fn a_refused_payload_is_thrown_away() {
    let sent = "PUB a:b 9\nPING\nPINGPING";
    assert_eq!(outline(sent), ["INVALID_TOPIC_NAME", "PING", "end"]);
    let large = "x".repeat(65);
    let sent = format!("PUB a 65\n{large}\nPUB a 64\n{}", &large[1..]);
    assert_eq!(outline(&sent), ["too-large", &large[1..], "end"]);
    assert_eq!(outline("PUB a 8388609\nPING"), ["too-large!"]);
    assert_eq!(outline("PUB a 18446744073709551615\nPING"), ["too-large!"]);
    assert_eq!(outline("PUB a x\nPING"), ["bad-arguments!"]);
}

#[test]
fn a_line_has_a_length() {
    let line = |length: usize| format!("PING{}", " ".repeat(length - 4));
    for end in ["\n", "\r\n", ""] {
        let longest = format!("{}{end}", line(100));
        assert_eq!(outline(&longest), ["PING", "end"]);
        let longer = format!("{}{end}PING\n", line(101));
        assert_eq!(outline(&longer), ["line-too-long!"]);
    }
    let token = |length: usize| format!("auth {}\n", "x".repeat(length - 5));
    assert_eq!(outline(&token(16 << 10)), ["AUTH", "end"]);
    assert_eq!(outline(&token((16 << 10) + 1)), ["line-too-long!"]);
}

#[test]
fn other_protocols_are_recognised() {
    let text = |sent: &[u8]| match understood([sent]).first() {
        Some(Input::Broken(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for (sent, name) in [
        (b"\x16\x03\x01\x02\x00\x01".as_slice(), "TLS"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"\x00\x00\x00\x23\x00\x12\x00\x03", "the Kafka protocol"),
    ] {
        let text = text(sent);
        let expected = format!("foreign-protocol this looks like {name}");
        assert!(text.starts_with(&expected), "{text}");
    }
    assert_eq!(
        outline("PING\nGET / HTTP/1.1\n"),
        ["PING", "unknown-verb", "end"]
    );
}

#[test]
fn nothing_comes_after_the_end() {
    let config = config();
    let mut framing = Framing::new(&config);
    framing.room().extend_from_slice(b"PUB a x\nPING\n");
    assert!(matches!(framing.next(false), Some(Input::Broken(_))));
    framing.room().extend_from_slice(b"PING\n");
    assert_eq!(framing.next(false), None);
    assert_eq!(framing.next(true), None);
}

#[test]
fn a_verb_is_written_large_or_small() {
    assert_eq!(Verb::parse(b"pInG"), Some(Verb::Ping));
    let inputs = understood([b"quit".as_slice()]);
    assert_eq!(inputs.first(), Some(&Input::Command(Command::Quit)));
}

fn any_sending() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        "PUB [a:]{1,3}(/[0-9])? [0-9]{1,2}( (key|id|x)=[a-z]{0,3})?\r?\n",
        "[a-zP}]{0,12}",
        "(PING|FETCH a 0|HELP|AUTH x|QUIT)",
        "[\r\n ]{1,2}",
        "[A-Z]{90,120}",
    ];
    let garbage = vec(any::<u8>(), 0..8);
    let part = prop_oneof![8 => part.prop_map(String::into_bytes), 1 => garbage];
    vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn it_makes_no_difference_how_bytes_were_cut(
        sent in any_sending(),
        cuts in vec(1_usize..30, 1..100),
    ) {
        let whole = understood([sent.as_slice()]);
        let mut rest = sent.as_slice();
        let mut pieces = Vec::new();
        for cut in cuts {
            let (piece, left) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        pieces.push(rest);
        prop_assert_eq!(&understood(pieces), &whole);
        let ends = |input: &Input| matches!(input, Input::Broken(_) | Input::Ended);
        prop_assert_eq!(whole.iter().position(ends), Some(whole.len() - 1));
    }
}
