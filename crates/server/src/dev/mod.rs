//! `flotilla dev`: a whole cluster on this machine, for trying out and for demonstrations.
//!
//! Every node is a process of its own, so that one can be killed for real and the rest goes on. This
//! process only starts them, watches them and stops them: each holds a pipe from it and stops when
//! the pipe closes, so that nothing is left behind however this process ends.
//!
//! ```text
//!   D/node-1.toml   settings, also for starting the node by hand: flotilla server --config ...
//!   D/node-1/       data          D/node-1.log   log          D/node-1.pid   while it runs
//! ```

mod child;
mod cluster;
mod log_copy;
mod plan;

use std::io;

use crate::args::DevArgs;
use crate::exit::ServerExit;
use crate::node::StopOrders;
use cluster::{Cluster, DevError};
use plan::Plan;

pub(crate) fn run(args: DevArgs) -> ServerExit {
    match start(args) {
        Ok(()) => ServerExit::Stopped,
        Err(error) => {
            let exit = match error {
                DevError::Killed => ServerExit::Interrupted,
                _ => ServerExit::CannotStart,
            };
            say(&format!("error: {:#}", anyhow::Error::new(error)));
            exit
        }
    }
}

fn start(args: DevArgs) -> Result<(), DevError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DevError::Runtime)?;
    let ended = runtime.block_on(async {
        let orders = StopOrders::listen(args.supervised).map_err(DevError::Runtime)?;
        let plan = Plan::make(&args)?;
        plan.write()?;
        Cluster::new(plan, args.restart).run(orders).await
    });
    runtime.shutdown_background();
    ended
}

/// Tells whoever watches, on stderr.
fn say(text: &str) {
    use io::Write;
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
