//! Names as rules write them: text, `*` for any run of characters, and templates that stand for what
//! is known of whoever asks.

use std::borrow::Cow;
use std::fmt;

use flotilla_types::Principal;

use super::AccessRuleError;

/// A name, with some of it left open. What a template stands for is taken literally, so that nobody
/// gets a wildcard by the name or the claim that an issuer has given them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern {
    /// What stands before, between and behind the `*`: at least one.
    runs: Vec<Run>,
}

/// What has to be there without a gap.
type Run = Vec<Part>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Text(String),
    /// The claim of this name.
    Claim(String),
    /// The name of the principal.
    Name,
}

impl NamePattern {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, AccessRuleError> {
        let mut runs = vec![Run::new()];
        let mut run = Run::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '*' {
                let last = runs.len() - 1;
                runs[last] = std::mem::take(&mut run);
                runs.push(Run::new());
                rest = rest.trim_start_matches('*');
            } else if let Some(template) = rest.strip_prefix('{') {
                let (template, after) = template
                    .split_once('}')
                    .ok_or_else(|| unknown_template(rest))?;
                run.push(parse_template(template)?);
                rest = after;
            } else {
                let end = rest.find(|character| !is_name_character(character));
                let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
                if text.is_empty() {
                    return Err(AccessRuleError::Character { found: first });
                }
                run.push(Part::Text(text.to_owned()));
                rest = after;
            }
        }
        let last = runs.len() - 1;
        runs[last] = run;
        Ok(Self { runs })
    }

    /// The one name that it stands for, whoever asks, if it is just one.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.runs[..] {
            [run] => match &run[..] {
                [Part::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Takes each run at the first place where it fits: if any place lets the rest fit, that one does.
    /// So nothing is tried twice.
    pub fn matches(&self, name: &str, principal: &Principal) -> bool {
        let runs = self.runs.iter();
        let runs = runs.map(|run| text_of(run, principal, name.len()));
        let Some(runs) = runs.collect::<Option<Vec<_>>>() else {
            return false;
        };
        let (start, between, end) = match &runs[..] {
            [] => return false,
            [whole] => return whole == name,
            [start, between @ .., end] => (start, between, end),
        };
        let name = name.strip_prefix(&**start);
        let Some(mut rest) = name.and_then(|name| name.strip_suffix(&**end)) else {
            return false;
        };
        between.iter().all(|run| match rest.split_once(&**run) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

fn parse_template(text: &str) -> Result<Part, AccessRuleError> {
    if text == "name" {
        return Ok(Part::Name);
    }
    match text.strip_prefix("claim:") {
        Some(claim) if !claim.is_empty() && !claim.contains(|c| !is_claim_character(c)) => {
            Ok(Part::Claim(claim.to_owned()))
        }
        _ => Err(unknown_template(&format!("{{{text}}}"))),
    }
}

fn unknown_template(found: &str) -> AccessRuleError {
    AccessRuleError::Template {
        found: found.to_owned(),
    }
}

/// What a run is for this principal: `None` if it is longer than any that could fit, or if it has a
/// template that stands for nothing.
fn text_of<'a>(run: &'a Run, principal: &'a Principal, bytes_max: usize) -> Option<Cow<'a, str>> {
    let mut whole = Cow::Borrowed("");
    for part in run {
        let text = match part {
            Part::Text(text) => text,
            Part::Claim(claim) => substitute(principal.claim(claim)?)?,
            Part::Name => substitute(principal.name())?,
        };
        whole += text;
        if whole.len() > bytes_max {
            return None;
        }
    }
    Some(whole)
}

/// What cannot be a part of a name is not put into one.
fn substitute(value: &str) -> Option<&str> {
    (!value.is_empty() && value.chars().all(is_name_character)).then_some(value)
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

/// Issuers choose the names of claims, and some choose addresses.
fn is_claim_character(character: char) -> bool {
    !character.is_whitespace() && !character.is_control() && character != '{'
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, run) in self.runs.iter().enumerate() {
            if position > 0 {
                f.write_str("*")?;
            }
            for part in run {
                match part {
                    Part::Text(text) => f.write_str(text)?,
                    Part::Claim(claim) => write!(f, "{{claim:{claim}}}")?,
                    Part::Name => f.write_str("{name}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
