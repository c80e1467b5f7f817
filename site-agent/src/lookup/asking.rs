//! Many questions at a time, each with a limit of time and tried again, in their order or as they are answered.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

/// In which order answers are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As they come: a slow one holds back no other.
    #[default]
    Any,
    /// In the order of the questions: after a stop it is known up to which they were asked.
    Kept,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It may be answered later.
    ForNow(String),
    /// It will not.
    ForGood(String),
}

/// Asks all, `in_flight` at a time. `each` says whether to go on; then no more is asked, and what is under way is waited for: the server has
/// it already.
pub(super) async fn all<K: Clone, V, F: Future<Output = V>>(
    keys: &[K],
    (order, in_flight): (Order, usize),
    ask: impl Fn(K) -> F,
    mut each: impl FnMut(K, V) -> bool,
) {
    let go_on = AtomicBool::new(true);
    let more = keys.iter().cloned().take_while(|_| go_on.load(Relaxed));
    let questions = futures::stream::iter(more).map(|key| {
        let answer = ask(key.clone());
        async move { (key, answer.await) }
    });
    let mut entered = |(key, answer)| go_on.store(each(key, answer) && go_on.load(Relaxed), Relaxed);
    match order {
        Order::Kept => {
            let mut answers = std::pin::pin!(questions.buffered(in_flight.max(1)));
            while let Some(answered) = answers.next().await {
                entered(answered);
            }
        }
        Order::Any => {
            let mut answers = std::pin::pin!(questions.buffer_unordered(in_flight.max(1)));
            while let Some(answered) = answers.next().await {
                entered(answered);
            }
        }
    }
}

/// Asks once, and again up to `retries` times where it failed for now or took longer than `limit`, each pause twice the one before.
pub(super) async fn with_retries<T, F: Future<Output = Result<T, Failed>>>(
    (retries, limit, mut pause): (u32, Duration, Duration),
    once: impl Fn() -> F,
) -> Result<T, Failed> {
    let mut left = retries;
    loop {
        let answer = tokio::time::timeout(limit, once()).await;
        let answer =
            answer.unwrap_or_else(|_| Err(Failed::ForNow(format!("no answer within {} s", limit.as_secs_f64()))));
        match answer {
            Err(Failed::ForNow(_)) if left > 0 => {
                left -= 1;
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
            answer => return answer,
        }
    }
}
