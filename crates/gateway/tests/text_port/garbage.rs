//! Whatever a peer sends, what it gets can be read. `fuzz/fuzz_targets/text.rs` looks harder.

use std::sync::Arc;

use flotilla_gateway::text::{TextConfig, TextServer};
use flotilla_net::RemoteCertificate;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::memory::MemoryBroker;

fn any_sending() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        "PUB (a|aa|:)(/[01])? [0-9]{1,2}( (key|id|x)=[a-z]{0,3})?\r?\n",
        "FETCH (a|aa|b)(/[01])? ([0-9]|latest|earliest)( [0-9])?( wait=[0-9]{1,5})?\r?\n",
        "(PING|HELP|AUTH [a-z ]{0,9}|QUIT)\n",
        "[a-zP}]{0,12}",
        "[\r\n ]{1,2}",
    ];
    let garbage = vec(any::<u8>(), 0..8);
    let part = prop_oneof![12 => part.prop_map(String::into_bytes), 1 => garbage];
    vec(part, 0..30).prop_map(|parts| parts.concat())
}

/// What a connection answers to this, and then nothing more.
fn answers(sent: &[u8]) -> Vec<u8> {
    let broker = Arc::new(MemoryBroker::new().with_topic("aa", 2));
    let server = TextServer::new(TextConfig::default(), broker);
    let mut answers = Vec::new();
    let connection = tokio::io::join(sent, &mut answers);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(server.serve_connection(
        connection,
        &RemoteCertificate::default(),
        &CancellationToken::new(),
    ));
    answers
}

/// The lines of what was answered, without payloads.
fn lines(mut answers: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(length) = answers.windows(2).position(|two| two == b"\r\n") {
        let line = String::from_utf8(answers[..length].to_vec()).unwrap();
        answers = &answers[length + 2..];
        if let Some((_, size)) = line
            .strip_prefix("MSG ")
            .and_then(|rest| rest.split_once(' '))
        {
            answers = &answers[size.parse().unwrap()..];
        }
        lines.push(line);
    }
    assert!(answers.is_empty(), "the last answer is whole");
    lines
}

fn is_well_formed(line: &str) -> bool {
    let words: Vec<_> = line.split(' ').collect();
    let are_numbers = |words: &[&str]| words.iter().all(|word| word.parse::<u64>().is_ok());
    match words.as_slice() {
        ["#", ..] | ["PONG" | "BYE"] => true,
        ["OK", rest @ ..] => rest.len() <= 2 && are_numbers(rest),
        ["MSG", rest @ ..] => rest.len() == 2 && are_numbers(rest),
        ["END", rest @ ..] => rest.len() == 1 && are_numbers(rest),
        ["ERR", code, _, ..] => !code.is_empty() && !line.contains(char::is_control),
        _ => false,
    }
}

proptest! {
    #[test]
    fn every_byte_that_is_sent_back_belongs_to_an_answer(sent in any_sending()) {
        for line in lines(&answers(&sent)) {
            prop_assert!(is_well_formed(&line), "{line:?}");
        }
    }
}
