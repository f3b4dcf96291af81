//! Histories that are written down: as JSON lines and back, and in Jepsen's words.

use flotilla_checker::history::{
    Action, ClientKind, HistoryReadError, Nanos, Offset, Operation, ProcessNumber, Produce,
    Produced, Subscribe,
};
use flotilla_checker::{Contract, History, judge};
use proptest::prelude::*;

use super::simulation::{simulate, steps};
use super::story::{
    READER, Story, at, commit, orders, seen, send, send_guarded, send_with_id, stamp, value,
};

fn json(history: &History) -> String {
    let mut text = Vec::new();
    let written = history.write_json_lines(&mut text);
    written.expect("writing to memory works");
    String::from_utf8(text).expect("JSON is UTF-8")
}

fn edn(story: &Story) -> Vec<String> {
    let mut text = Vec::new();
    let written = story.history.write_edn(&mut text);
    written.expect("writing to memory works");
    let text = String::from_utf8(text).expect("the form is UTF-8");
    text.lines().map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_history_is_read_as_it_was_written(steps in steps()) {
        let (history, _) = simulate(&steps);
        let read = History::read_json_lines(json(&history).as_bytes()).unwrap();
        let contract = Contract::standard();
        prop_assert_eq!(judge(&read, &contract), judge(&history, &contract));
        prop_assert_eq!(read, history);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = History::read_json_lines(bytes.as_slice());
    }

    #[test]
    fn every_history_has_an_edn_form(steps in steps()) {
        let (history, _) = simulate(&steps);
        let mut text = Vec::new();
        history.write_edn(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let count = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        prop_assert!(count(":type :invoke") >= count(":type :ok"));
        let is_map = |line: &str| line.starts_with("{:index ") && line.ends_with('}');
        let are_maps = text.lines().all(is_map);
        prop_assert!(are_maps);
    }
}

/// One of each kind of operation, with everything that it can carry.
fn everything() -> Story {
    let mut story = Story::default();
    story.created("orders");
    story.listed(&["orders"]);
    story.sent_stamped((1, 0), stamp(9, 1, 0), at(0));
    story.ok(2, send_with_id((2, 0), "a"), at(1).again());
    story.ok(3, send_guarded((3, 0), 5), at(2));
    story.send_fails((1, 1));
    story.send_unknown((1, 2));
    story.next(1, send((1, 3)), |draft, _| {
        draft.through(ClientKind::Http).open()
    });
    story.assign(READER, &[orders()]);
    let topics = ["orders".to_owned()].into();
    story.ok(READER, Subscribe { topics }, ());
    let mut foreign = seen(1, (2, 0));
    foreign.value = None;
    story.fetched_records(READER, vec![seen(0, (1, 0)), foreign]);
    story.seek(READER, 0);
    story.event(READER, Action::Crash);
    story.tail(3);
    story.granted(4, 1);
    story.done(4, 0, 2);
    story.committed(4, 1, 2);
    story.read_committed(4, Some(2));
    story.read_committed(5, None);
    story.revoked(4, 1);
    story.acquired(6, 7);
    let name = "leader-killed".to_owned();
    story.event(0, Action::Fault { name });
    story.event(0, Action::Healed);
    story.stored(1, 0, &[(1, 0)]);
    story.deleted("orders");
    story
}

#[test]
fn every_kind_of_operation_is_read_as_it_was_written() {
    let history = everything().history;
    let text = json(&history);
    assert_eq!(text.lines().count(), history.operations().len());
    assert_eq!(History::read_json_lines(text.as_bytes()).unwrap(), history);
}

#[test]
fn a_line_says_what_it_means() {
    let mut story = Story::default();
    story.sent((1, 7), 3);
    let expected = r#"{"process":1,"client":"native","invoked_at":0,"action":{"produce":{"#
        .to_owned()
        + r#""request":{"partition":"orders/0","records":[{"value":"1-7"}]},"#
        + r#""outcome":{"ok":{"at":5,"answer":{"places":[{"offset":3}]}}}}}}"#;
    assert_eq!(json(&story.history), expected + "\n");
}

#[test]
fn a_bad_line_is_named() {
    let mut story = Story::default();
    story.sent_many(2);
    let good = json(&story.history);
    let backwards = {
        let call = Operation::call(ProcessNumber::new(1), Nanos::new(9), commit(1, 1));
        json(&[call.ok(Nanos::new(1), ())].into_iter().collect())
    };
    let too_few = {
        let call = Operation::call(ProcessNumber::new(1), Nanos::new(1), send((1, 0)));
        let places = Vec::new();
        json(
            &[call.ok(Nanos::new(2), Produced { places })]
                .into_iter()
                .collect(),
        )
    };
    let strange = good.lines().next().unwrap().replace("1-0", "one");
    for bad in [backwards.as_str(), &too_few, &strange, "{}", "nonsense"] {
        let text = format!("{good}\n{bad}");
        let read = History::read_json_lines(text.as_bytes());
        let Err(HistoryReadError::Line { line, .. }) = read else {
            panic!("{bad} was read as {read:?}");
        };
        assert_eq!(line, 4, "{bad}");
    }
}

#[test]
fn a_history_is_told_in_jepsens_words() {
    let mut story = Story::default();
    let batch = Produce::new(orders(), [value((1, 0)), value((1, 1))]);
    story.ok(1, batch, Produced::from(Offset::new(0), 2));
    story.assign(READER, &[orders()]);
    story.fetched(READER, 0, &[(1, 0), (1, 1)]);
    story.send_fails((1, 2));
    let expected = [
        "{:index 0 :type :invoke :process 0 :f :send :value [[:send 0 0] [:send 0 1]] :time 0}",
        "{:index 1 :type :ok :process 0 :f :send :value [[:send 0 [0 0]] [:send 0 [1 1]]] :time 5}",
        "{:index 2 :type :invoke :process 1 :f :assign :value [0] :time 10}",
        "{:index 3 :type :ok :process 1 :f :assign :value [0] :time 15}",
        "{:index 4 :type :invoke :process 1 :f :poll :value [[:poll]] :time 20}",
        "{:index 5 :type :ok :process 1 :f :poll :value [[:poll {0 [[0 0] [1 1]]}]] :time 25}",
        "{:index 6 :type :invoke :process 0 :f :send :value [[:send 0 2]] :time 30}",
        "{:index 7 :type :fail :process 0 :f :send :value [[:send 0 2]] :time 35}",
    ];
    assert_eq!(edn(&story), expected);
}

#[test]
fn jepsens_processes_end_with_an_unknown_outcome() {
    let mut story = Story::default();
    story.send_unknown((1, 0));
    story.sent((1, 1), 0);
    story.event(1, Action::Crash);
    story.sent((1, 2), 1);
    let lines = edn(&story);
    let process = |at: usize| {
        let (_, rest) = lines[at].split_once(":process ").unwrap();
        rest.split_once(' ').unwrap().0.to_owned()
    };
    assert_eq!(
        [process(0), process(2), process(4), process(6)],
        ["0", "1", "1", "2"]
    );
    assert!(lines[1].contains(":type :info"));
    assert!(lines[5].contains(":type :info") && lines[5].contains(":f :crash"));
}

#[test]
fn jepsen_hears_of_a_record_that_was_tried_twice_as_of_one_send() {
    let mut story = Story::default();
    story.send_unknown((1, 0));
    story.sent((1, 0), 0);
    let lines = edn(&story);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with(":time 0}") && lines[1].ends_with(":time 15}"));
}
