//! Giving journal files back. The journal's writer copies forward what still counts in the oldest
//! ones; the sealer asks for that, goes on with its work, and recycles the files when they are ready.

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::error::StorageError;
use crate::journal::Released;
use crate::sealer::Sealer;

/// A request to release files.
pub(crate) struct Release {
    released: Released,
    answer: Receiver<Result<(), StorageError>>,
}

impl Sealer {
    /// Takes the answer to the last request and recycles its files, then asks again if a
    /// file may have become free since. True: files came back, or were asked for.
    pub(crate) fn release_files(&mut self) -> Result<bool, StorageError> {
        let mut recycled = 0;
        if let Some(release) = &self.release {
            let answer = match release.answer.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => return Ok(false),
                Err(TryRecvError::Disconnected) => Err(StorageError::Closed),
            };
            recycled = self.engine.journal.recycle(&release.released)?;
            self.release = None;
            let journal_bytes = self.engine.journal.bytes();
            self.engine.pressure.observe_journal(journal_bytes);
            answer?;
        }
        if self.may_release && self.engine.journal.has_full_file() {
            self.may_release = false;
            let (sender, answer) = bounded(1);
            let done = Box::new(move |result| {
                // The sealer may be gone by now, and then nobody wants to know.
                let _ = sender.send(result);
            });
            let released = self
                .engine
                .journal
                .copy_forward(self.copy_bytes_max(), done);
            self.release = Some(Release { released, answer });
            return Ok(true);
        }
        Ok(recycled > 0)
    }
}
