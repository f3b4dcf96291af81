//! What a run leaves behind: `history.jsonl`, `history.edn`, `faults.txt`, `judgement.txt`,
//! `world.txt`, `report.html`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

use crate::report::page;
use crate::story::Story;

/// Writes everything into this directory, and makes it if there is none.
pub fn write_files(story: &Story, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let create = |name: &str| File::create(directory.join(name)).map(BufWriter::new);
    story.history.write_json_lines(create("history.jsonl")?)?;
    story.history.write_edn(create("history.edn")?)?;
    fs::write(directory.join("faults.txt"), faults(story))?;
    fs::write(directory.join("world.txt"), &story.world_after)?;
    fs::write(directory.join("judgement.txt"), judgement(story))?;
    fs::write(directory.join("report.html"), page(story))
}

/// One line for each: begin and end in seconds, and what was done.
fn faults(story: &Story) -> String {
    let mut text = String::new();
    for span in &story.spans {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let begun = seconds(span.begun_at.get());
        let ended = span.ended_at.map_or(f64::NAN, |at| seconds(at.get()));
        let (kind, what) = (span.kind, &span.what);
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{begun:9.3} {ended:9.3} {kind}: {what}");
    }
    text
}

fn judgement(story: &Story) -> String {
    let mut text = story.judgement.report.to_string();
    for line in story.breakdowns.iter().chain(&story.troubles) {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&story.judgement.line(story.options.seed));
    text.push('\n');
    text
}
