//! Where the binary `flotilla` is.

use std::env;
use std::path::{Path, PathBuf};

/// `FLOTILLA_BIN`, or else the one that was built beside this program. `None` if there is no such file.
pub fn flotilla_binary() -> Option<PathBuf> {
    let named = env::var_os("FLOTILLA_BIN").map(PathBuf::from);
    named
        .or_else(beside_this_program)
        .filter(|path| path.is_file())
}

/// Tests lie in `deps`, binaries one directory above.
fn beside_this_program() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let mut directories = program.ancestors().skip(1);
    let is_target = |path: &&Path| !path.ends_with("deps");
    Some(directories.find(is_target)?.join("flotilla"))
}
