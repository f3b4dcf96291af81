//! The report of a run, as one page that needs nothing else: no scripts, no fonts, no network.

mod chart;
mod series;

use std::fmt::Write as _;

use flotilla_checker::Property;

use self::chart::{Band, Chart, Line, Scale};
use self::series::{Second, Series};
use crate::fault::FaultKind;
use crate::story::{Story, StoryOptions};
use crate::workload::Workload;

const STYLE: &str = include_str!("style.css");

/// The page of a story.
pub fn page(story: &Story) -> String {
    let series = Series::of(&story.history);
    let (word, seed) = (story.judgement.ruling.word(), story.options.seed);
    let class = word.to_lowercase();
    let seconds = story.options.length.as_secs();
    let rate = story.options.rate;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Chaos run {seed}: {word}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Chaos run {seed}: <span class=\"{class}\">{word}</span></h1>\n\
         <p class=\"soft\">{seconds} seconds of faults, {rate} records per second wanted.</p>\n\
         <p>Again: <code>{}</code></p>\n",
        escape(&command(&story.options, story.node_count))
    );
    facts(story, &series, &mut page);
    charts(story, &series, &mut page);
    faults(story, &mut page);
    properties(story, &mut page);
    gaps(story, &mut page);
    page.push_str("</body>\n</html>\n");
    page
}

/// What repeats the run, as far as chance allows.
fn command(options: &StoryOptions, node_count: usize) -> String {
    let faults: Vec<_> = options.faults.iter().map(|kind| kind.name()).collect();
    let workloads: Vec<_> = options.workloads.iter().map(|one| one.name()).collect();
    format!(
        "chaos run --seed {} --seconds {} --nodes {node_count} --rate {} --faults {} --workloads {}",
        options.seed,
        options.length.as_secs(),
        options.rate,
        faults.join(","),
        workloads.join(",")
    )
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn facts(story: &Story, series: &Series, page: &mut String) {
    let coverage = &story.judgement.report.coverage;
    let count = |property| story.judgement.report.counts.get(&property).copied();
    let lost = count(Property::LostWrite).unwrap_or(0) + count(Property::Unseen).unwrap_or(0);
    let millis =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1} ms"));
    let availability = series.availability;
    let available = availability.percent();
    let available = available.map_or_else(|| "–".to_owned(), |percent| format!("{percent:.2} %"));
    let facts = [
        ("acknowledged", coverage.acknowledged_records.to_string()),
        ("consumed", coverage.consumed_records.to_string()),
        ("lost", lost.to_string()),
        (
            "duplicated",
            count(Property::Duplicate).unwrap_or(0).to_string(),
        ),
        ("unknown outcomes", coverage.unknown_changes.to_string()),
        (
            "faults",
            coverage.faults.values().sum::<usize>().to_string(),
        ),
        ("latency p50", millis(series.latency_p50_ms)),
        ("latency p99", millis(series.latency_p99_ms)),
        ("available", available),
    ];
    page.push_str("<div class=\"facts\">\n");
    // Writing to a text cannot fail, here and below.
    for (name, value) in facts {
        let _ = writeln!(page, "<div><b>{value}</b>{name}</div>");
    }
    let (served, all) = (availability.served, availability.all);
    let _ = writeln!(
        page,
        "</div>\n<p class=\"soft\">Available: in {served} of {all} partition-seconds a record was sent and \
         acknowledged within a second. Partitions that are sent to too rarely do not count.</p>"
    );
}

fn charts(story: &Story, series: &Series, page: &mut String) {
    let bands = story.spans.iter().map(|span| Band {
        start: span.begun_at.get() as f64 / 1e9,
        end: span.ended_at.unwrap_or(span.begun_at).get() as f64 / 1e9,
        what: format!("{}: {}", span.kind, span.what),
    });
    let bands: Vec<_> = bands.collect();
    let line = |name, class, value: fn(&Second) -> Option<f64>| Line {
        name,
        class,
        values: series.seconds.iter().map(value).collect(),
    };
    let throughput = Chart {
        title: "Throughput",
        unit: "records per second",
        scale: Scale::Linear,
        lines: vec![
            line("acknowledged", "one", |second| {
                Some(second.acknowledged as f64)
            }),
            line("consumed", "two", |second| Some(second.consumed as f64)),
        ],
        bands: &bands,
    };
    let latency = Chart {
        title: "Latency of sends",
        unit: "milliseconds",
        scale: Scale::Logarithmic,
        lines: vec![
            line("p50", "one", |second| second.latency_p50_ms),
            line("p99", "two", |second| second.latency_p99_ms),
        ],
        bands: &bands,
    };
    for chart in [throughput, latency] {
        let (title, unit) = (chart.title, chart.unit);
        let _ = write!(page, "<h2>{title}</h2>\n<p class=\"soft\">{unit}");
        for line in &chart.lines {
            let (class, name) = (line.class, line.name);
            let _ = write!(page, "<span class=\"key {class}\"></span>{name}");
        }
        page.push_str("<span class=\"key band\"></span>fault</p>\n");
        page.push_str(&chart.svg());
    }
}

fn faults(story: &Story, page: &mut String) {
    page.push_str(
        "<h2>Faults</h2>\n<table>\n<tr><th>From</th><th>To</th><th>Fault</th><th>What</th></tr>\n",
    );
    for span in &story.spans {
        let seconds = |nanos: u64| format!("{:.1} s", nanos as f64 / 1e9);
        let begun = seconds(span.begun_at.get());
        let ended = span
            .ended_at
            .map_or_else(|| "–".to_owned(), |at| seconds(at.get()));
        let (kind, what): (FaultKind, _) = (span.kind, escape(&span.what));
        let _ = writeln!(page, "<tr><td>{begun}<td>{ended}<td>{kind}<td>{what}</tr>");
    }
    page.push_str("</table>\n");
}

fn properties(story: &Story, page: &mut String) {
    let report = &story.judgement.report;
    let names: Vec<_> = story
        .options
        .workloads
        .iter()
        .map(Workload::to_string)
        .collect();
    let _ = writeln!(
        page,
        "<h2>Promises</h2>\n<p class=\"soft\">Workloads: {}. What no workload tries is kept by nobody's \
         doing.</p>\n<table>",
        names.join(", ")
    );
    for property in Property::ALL {
        let count = report.counts.get(&property).copied().unwrap_or(0);
        let (class, verdict) = match count {
            0 => ("pass", "kept".to_owned()),
            count => ("fail", format!("broken {count} times")),
        };
        let _ = write!(
            page,
            "<tr><td>{property}<td class=\"{class}\">{verdict}<td>"
        );
        let found = report
            .findings
            .iter()
            .filter(|found| found.property == property);
        for found in found {
            let _ = write!(page, "<p>{}</p>", escape(&found.to_string()));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

/// What the run lacked, and what went wrong besides.
fn gaps(story: &Story, page: &mut String) {
    let unmet = story.judgement.report.unmet.iter().map(ToString::to_string);
    let others = story.breakdowns.iter().chain(&story.troubles).cloned();
    let lines: Vec<_> = unmet.chain(others).collect();
    if lines.is_empty() {
        return;
    }
    page.push_str("<h2>Gaps and breakdowns</h2>\n");
    for line in lines {
        let _ = writeln!(page, "<p>{}</p>", escape(&line));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flotilla_checker::history::{
        Nanos, Offset, Operation, ProcessNumber, Produce, Produced, RecordValue,
    };
    use flotilla_checker::{Contract, History};

    use super::*;
    use crate::nemesis::FaultSpan;
    use crate::story::Judgement;

    fn story() -> Story {
        let process = ProcessNumber::new(1);
        let mut history = History::new();
        for (number, partition) in [(0, "orders/0"), (1, "orders/1")] {
            let value = RecordValue::new(process, number);
            let request = Produce::new(partition.parse().unwrap(), [value]);
            let call = Operation::call(process, Nanos::new(1_000_000 * number), request);
            let answer = Produced::from(Offset::new(0), 1);
            history.push(call.ok(Nanos::new(9_000_000), answer));
        }
        let contract = Contract::default();
        let judgement = Judgement::of(&history, &contract, &[]);
        Story {
            options: StoryOptions {
                seed: 4_711,
                length: Duration::from_secs(60),
                faults: vec![FaultKind::Kill, FaultKind::Pause],
                workloads: vec![Workload::Assigned, Workload::Tail],
                rate: 5_000,
            },
            node_count: 3,
            history,
            contract,
            judgement,
            spans: vec![FaultSpan {
                kind: FaultKind::Kill,
                what: "killed <node> 2".to_owned(),
                begun_at: Nanos::new(1_000_000),
                ended_at: Some(Nanos::new(5_000_000)),
            }],
            troubles: vec!["pause did not begin".to_owned()],
            breakdowns: Vec::new(),
            world_after: String::new(),
        }
    }

    #[test]
    fn the_page_says_how_it_was_and_how_to_repeat_it() {
        let page = page(&story());
        for wanted in [
            "Chaos run 4711: <span class=\"unknown\">UNKNOWN</span>",
            "chaos run --seed 4711 --seconds 60 --nodes 3 --rate 5000 --faults kill,pause --workloads assigned,tail",
            "<b>2</b>acknowledged",
            "<title>kill: killed &lt;node&gt; 2</title>",
            "latency p99",
            "available",
            "prefers-color-scheme: dark",
            "pause did not begin",
            "nobody ever read there",
        ] {
            assert!(page.contains(wanted), "{wanted}");
        }
        for property in Property::ALL {
            assert!(page.contains(&format!("<td>{property}<td")), "{property}");
        }
        assert_eq!(page.matches("<svg").count(), 2);
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&story());
        for foreign in ["<script", "<link", "http://", "https://", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(!page.contains("<node>"), "what others said is escaped");
    }
}
