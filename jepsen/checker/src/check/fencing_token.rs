//! **fencing-token.** Of two acquisitions of a job, one invoked after the other was answered, the second
//! has the greater token; the same one only if the same process asks again. No two processes ever get
//! one token.
//!
//! Source: a later owner has a greater fencing token.

use std::collections::BTreeMap;

use super::Checker;
use super::prefix_max::PrefixMax;
use crate::history::{Action, FencingToken, Nanos, ProcessNumber};
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct FencingTokens;

#[derive(Clone, Copy)]
struct Acquisition {
    token: FencingToken,
    process: ProcessNumber,
    invoked_at: Nanos,
    completed_at: Nanos,
    operation: usize,
}

impl Checker for FencingTokens {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for (job, mut acquisitions) in gather(view) {
            let mut add = |operations: [usize; 2], what: &dyn Fn() -> String| {
                findings.add(Property::FencingToken, None, &operations, what);
            };
            let known = acquisitions
                .iter()
                .map(|found| (found.completed_at, (found.token, found.operation)));
            let known = PrefixMax::new(known.collect());
            for found in &acquisitions {
                if let Some((newest, witness)) = known.before(found.invoked_at)
                    && found.token < newest
                {
                    let token = found.token;
                    let what = || format!("job {job} was given out with {newest}, then {token}");
                    add([witness, found.operation], &what);
                }
            }
            acquisitions.sort_by_key(|found| (found.token, found.process));
            for pair in acquisitions.windows(2) {
                if pair[0].token == pair[1].token && pair[0].process != pair[1].process {
                    let token = pair[0].token;
                    let what = || format!("two processes own job {job} with the token {token}");
                    add([pair[0].operation, pair[1].operation], &what);
                }
            }
        }
    }
}

fn gather<'a>(view: &View<'a>) -> BTreeMap<&'a str, Vec<Acquisition>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, operation) in view.operations.iter().enumerate() {
        if let Action::JobAcquire(call) = &operation.action
            && let Some((completed_at, answer)) = call.outcome.ok()
        {
            let of_this = found.entry(call.request.job.as_str()).or_default();
            of_this.push(Acquisition {
                token: answer.token,
                process: operation.process,
                invoked_at: operation.invoked_at,
                completed_at,
                operation: index,
            });
        }
    }
    found
}
