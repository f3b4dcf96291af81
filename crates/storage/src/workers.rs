//! The workers of a store: the journal's writer, the row writer, the sealer and the scrub.
//!
//! Each has a thread, or all are stepped by the caller in a simulation. Closing ends them in the
//! order in which work flows, so that nothing is left between them.

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, panicking};

use flotilla_types::ErrorChain;

use crate::engine::Engine;
use crate::error::{IoFailure, OpenError, StorageError};
use crate::failure::Failure;
use crate::journal::Writer;
use crate::rows::RowWriter;
use crate::scrub::Scrub;
use crate::sealer::Sealer;
use crate::seams::Threads;

pub(crate) enum Workers {
    Spawned {
        writer: JoinHandle<()>,
        rows: JoinHandle<()>,
        sealer: JoinHandle<()>,
        scrub: JoinHandle<()>,
    },
    Stepped {
        writer: Box<Writer>,
        rows: Box<RowWriter>,
        sealer: Box<Sealer>,
        scrub: Box<Scrub>,
    },
    Stopped,
}

impl Workers {
    pub(crate) fn start(
        engine: &Arc<Engine>,
        writer: Writer,
        threads: Threads,
    ) -> Result<Self, OpenError> {
        let rows = RowWriter {
            queue: Arc::clone(&engine.rows),
            tables: Arc::clone(&engine.tables),
            failure: Arc::clone(&engine.failure),
            clock: Arc::clone(&engine.clock),
        };
        let sealer = Sealer::new(Arc::clone(engine));
        let scrub = Scrub::new(Arc::clone(engine));
        if threads == Threads::Stepped {
            let (writer, rows, sealer) = (Box::new(writer), Box::new(rows), Box::new(sealer));
            return Ok(Self::Stepped {
                writer,
                rows,
                sealer,
                scrub: Box::new(scrub),
            });
        }
        let spawned = spawn(engine, "journal-writer", move || writer.run()).and_then(|writer| {
            let rows = spawn(engine, "row-writer", move || rows.run())?;
            let sealer = spawn(engine, "sealer", move || sealer.run())?;
            let scrub = spawn(engine, "scrub", move || scrub.run())?;
            Ok(Self::Spawned {
                writer,
                rows,
                sealer,
                scrub,
            })
        });
        spawned.map_err(|error| {
            OpenError::Io(IoFailure::new(
                "start the threads for",
                &engine.config.data_dir,
                error,
            ))
        })
    }

    /// Runs each stepped worker once. True: one of them had something to do.
    pub(crate) fn step(&mut self) -> bool {
        match self {
            Self::Stepped {
                writer,
                rows,
                sealer,
                scrub,
            } => {
                let wrote = writer.run_once();
                let stored = rows.run_once();
                let sealed = sealer.seal_once();
                let scrubbed = scrub.run_once();
                wrote || stored || sealed || scrubbed
            }
            Self::Spawned { .. } | Self::Stopped => false,
        }
    }

    pub(crate) fn stop(&mut self, engine: &Engine) {
        let ignore_order = || Box::new(|_| ());
        match mem::replace(self, Self::Stopped) {
            Self::Stopped => return,
            Self::Spawned {
                writer,
                rows,
                sealer,
                scrub,
            } => {
                engine.chores.stop();
                join(sealer);
                join(scrub);
                engine.journal.shut_down(ignore_order());
                join(writer);
                engine.rows.close();
                join(rows);
            }
            Self::Stepped {
                mut writer,
                mut rows,
                sealer: _,
                scrub: _,
            } => {
                engine.journal.shut_down(ignore_order());
                while writer.run_once() {}
                engine.rows.close();
                while rows.run_once() {}
            }
        }
        if let Err(error) = engine.tables.close() {
            tracing::warn!(error = %ErrorChain(&error), "the tables did not close cleanly");
        }
    }
}

/// Runs a worker on a thread of its own. A store of which one worker is gone must not go on.
fn spawn(
    engine: &Arc<Engine>,
    thread: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let failure = Arc::clone(&engine.failure);
    Builder::new().name(thread.to_owned()).spawn(move || {
        let report = ReportPanic { failure, thread };
        body();
        drop(report);
    })
}

/// Reports a panic of the thread that it lives on.
struct ReportPanic {
    failure: Arc<Failure>,
    thread: &'static str,
}

impl Drop for ReportPanic {
    fn drop(&mut self) {
        if panicking() {
            let thread = self.thread;
            self.failure.report(&StorageError::Panicked { thread });
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a storage thread panicked");
    }
}
