//! What waits for the writer, in order.
//!
//! Whoever finds the queue empty sleeps at once. A receiver that spins for a while first, as those of
//! channels do, takes the time from the very threads that it waits for where cores are few.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::mutation::Mutation;

/// A new queue. It is bounded where requests are admitted: an append must not wait.
pub(super) fn queue() -> (QueueSender, QueueReceiver) {
    let queue = Arc::new(Queue::default());
    queue.state.lock().senders = 1;
    (QueueSender(Arc::clone(&queue)), QueueReceiver(queue))
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    mutations: VecDeque<Mutation>,
    senders: usize,
    /// Nobody takes anything out any more.
    is_closed: bool,
}

/// The end of those who change the journal. The receiver learns when the last clone is gone.
pub(super) struct QueueSender(Arc<Queue>);

/// The writer's end.
pub(super) struct QueueReceiver(Arc<Queue>);

/// What the receiver found.
#[derive(Debug)]
pub(super) enum Received {
    Mutation(Mutation),
    /// Nothing came in time.
    Nothing,
    /// Nothing will come any more.
    End,
}

impl QueueSender {
    /// Gives the mutation back if the receiver is gone.
    pub(super) fn send(&self, mutation: Mutation) -> Option<Mutation> {
        let mut state = self.0.state.lock();
        if state.is_closed {
            return Some(mutation);
        }
        state.mutations.push_back(mutation);
        drop(state);
        self.0.changed.notify_one();
        None
    }
}

impl Clone for QueueSender {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for QueueSender {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.0.changed.notify_one();
        }
    }
}

impl QueueReceiver {
    /// Waits for the next mutation, for as long as it takes without a limit.
    pub(super) fn receive(&self, limit: Option<Duration>) -> Received {
        let mut state = self.0.state.lock();
        loop {
            if let Some(mutation) = state.mutations.pop_front() {
                return Received::Mutation(mutation);
            }
            if state.senders == 0 {
                return Received::End;
            }
            let Some(limit) = limit else {
                self.0.changed.wait(&mut state);
                continue;
            };
            let waited = self.0.changed.wait_for(&mut state, limit);
            if waited.timed_out() && state.mutations.is_empty() && state.senders > 0 {
                return Received::Nothing;
            }
        }
    }

    /// The next mutation if there is one now.
    pub(super) fn take(&self) -> Option<Mutation> {
        self.0.state.lock().mutations.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.state.lock().mutations.is_empty()
    }
}

impl Drop for QueueReceiver {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        let rest = std::mem::take(&mut state.mutations);
        // Their completions run here, so not under the lock.
        drop(state);
        drop(rest);
    }
}

impl std::fmt::Debug for QueueSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QueueSender")
    }
}

impl std::fmt::Debug for QueueReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QueueReceiver")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::error::StorageError;
    use crate::journal::mutation::{Change, Done};

    /// A mutation that adds its number to `sum` when it is completed or dropped.
    fn numbered(number: usize, sum: &Arc<AtomicUsize>) -> Mutation {
        let sum = Arc::clone(sum);
        let done = Box::new(move |_: Result<(), StorageError>| {
            sum.fetch_add(number, Ordering::SeqCst);
        });
        Mutation {
            change: Change::Barrier,
            done: Done::new(done),
        }
    }

    #[test]
    fn what_was_sent_comes_out_in_order_and_then_the_end() {
        let sum = Arc::default();
        let (sender, receiver) = queue();
        let other = sender.clone();
        let sending = {
            let sum = Arc::clone(&sum);
            thread::spawn(move || {
                for number in 1..=1_000 {
                    let sender = if number % 2 == 0 { &sender } else { &other };
                    assert!(sender.send(numbered(number, &sum)).is_none());
                }
            })
        };
        for number in 1..=1_000 {
            let before = sum.load(Ordering::SeqCst);
            let Received::Mutation(mutation) = receiver.receive(None) else {
                panic!("the queue ended too early");
            };
            mutation.done.complete(Ok(()));
            assert_eq!(sum.load(Ordering::SeqCst) - before, number);
        }
        assert!(matches!(receiver.receive(None), Received::End));
        sending.join().unwrap();
    }

    #[test]
    fn nothing_comes_in_time() {
        let (_sender, receiver) = queue();
        let limit = Some(Duration::from_millis(1));
        assert!(matches!(receiver.receive(limit), Received::Nothing));
        assert!(receiver.take().is_none() && receiver.is_empty());
    }

    #[test]
    fn what_nobody_takes_any_more_is_completed_or_given_back() {
        let sum = Arc::default();
        let (sender, receiver) = queue();
        assert!(sender.send(numbered(1, &sum)).is_none());
        drop(receiver);
        assert_eq!(sum.load(Ordering::SeqCst), 1);
        assert!(sender.send(numbered(2, &sum)).is_some());
        assert_eq!(sum.load(Ordering::SeqCst), 3);
    }
}
