//! The one failure that stops the node, and who wants to know.

use parking_lot::Mutex;

use crate::error::StorageError;

/// Remembers the first failure and tells it to every listener once, whenever it registers.
#[derive(Default)]
pub(crate) struct Failure {
    state: Mutex<State>,
}

type Listener = Box<dyn FnOnce(&StorageError) + Send>;

#[derive(Default)]
struct State {
    first: Option<StorageError>,
    listeners: Vec<Listener>,
}

impl Failure {
    pub(crate) fn report(&self, error: &StorageError) {
        let listeners = {
            let mut state = self.state.lock();
            if state.first.is_some() {
                return;
            }
            tracing::error!(error = %error.chain(), "storage failed");
            state.first = Some(error.clone());
            std::mem::take(&mut state.listeners)
        };
        for listener in listeners {
            listener(error);
        }
    }

    pub(crate) fn listen(&self, listener: Listener) {
        let failed = {
            let mut state = self.state.lock();
            match &state.first {
                Some(error) => error.clone(),
                None => return state.listeners.push(listener),
            }
        };
        listener(&failed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn early_and_late_listeners_hear_of_the_first_failure_once() {
        let failure = Failure::default();
        let calls = Arc::new(AtomicU32::new(0));
        let listener = |calls: &Arc<AtomicU32>| -> Listener {
            let calls = Arc::clone(calls);
            Box::new(move |_| {
                calls.fetch_add(1, Ordering::Relaxed);
            })
        };
        failure.listen(listener(&calls));
        failure.report(&StorageError::Closed);
        failure.report(&StorageError::Closed);
        failure.listen(listener(&calls));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
