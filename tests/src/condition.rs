//! Waiting for what another process does.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is there.
///
/// # Panics
///
/// If it is not there within `limit`.
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < end,
            "waited {limit:?} in vain until {what}"
        );
        // Another process cannot wake this one, so it is asked again.
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_is_returned_when_it_is_there() {
        let mut asked = 0;
        let answer = until("the third time", Duration::from_secs(5), async || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "in vain until it is there")]
    async fn waiting_ends_with_the_limit() {
        until(
            "it is there",
            Duration::from_millis(50),
            async || None::<()>,
        )
        .await;
    }
}
