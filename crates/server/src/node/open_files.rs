//! How many files and sockets the process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Below this, a node with many partitions or clients will not get far.
const WORTH_A_WARNING: u64 = 4_096;

/// Uses what the system allows. Shells start programs with a low limit, for the sake of programs that
/// cannot deal with large descriptors.
pub(super) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < WORTH_A_WARNING => {
            tracing::warn!(
                files,
                "few open files are allowed; raise the limit (ulimit -Hn)"
            );
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_allowed_is_used() {
        raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
