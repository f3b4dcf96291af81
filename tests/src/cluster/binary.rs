//! Where the binary `flotilla` is.

use std::env;
use std::path::PathBuf;

/// `FLOTILLA_BIN`, or else the binary that was built beside this test.
///
/// # Panics
///
/// If there is none: it is built by `make build`.
pub fn flotilla_binary() -> PathBuf {
    let path = env::var_os("FLOTILLA_BIN").map_or_else(beside_this_test, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: `make build` makes it",
        path.display()
    );
    path
}

/// Tests lie in `deps`, binaries one directory above.
fn beside_this_test() -> PathBuf {
    let test = env::current_exe().expect("a process knows its file");
    let mut directories = test.ancestors().skip(1);
    let is_target = |path: &&std::path::Path| !path.ends_with("deps");
    let target = directories.find(is_target).expect("a file has a directory");
    target.join("flotilla")
}
