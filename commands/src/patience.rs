//! How long the bot waits. Every look at the outside is bounded, and a deadline that stands in the log is not extended
//! by a restart.

use std::future::Future;
use std::time::Duration;

use futures::future::{Either, select};
use futures::{StreamExt as _, stream};

use crate::ports::{PortError, World};
use crate::units::{Timestamp, elapsed};

/// The end of a wait. Counted by the monotonic clock while the process lives; across a restart by the wall clock, from
/// the moment that the log holds.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// By the monotonic clock.
    ends: Duration,
}

impl Deadline {
    /// `length` after the recorded moment `since`.
    pub fn after(world: &dyn World, since: Timestamp, length: Duration) -> Self {
        // A clock that went back must not make a wait longer than it is.
        let left = length.saturating_sub(elapsed(since, world.now()));
        Self { ends: world.monotonic() + left }
    }

    /// What is left of it.
    pub fn left(&self, world: &dyn World) -> Duration {
        self.ends.saturating_sub(world.monotonic())
    }

    /// Whether it has passed.
    pub fn is_over(&self, world: &dyn World) -> bool {
        self.left(world).is_zero()
    }
}

/// How long something has been going on, by the same clocks as a [`Deadline`].
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    before: Duration,
    began: Duration,
}

impl Stopwatch {
    /// Started at the recorded moment `since`.
    pub fn since(world: &dyn World, since: Timestamp) -> Self {
        Self { before: elapsed(since, world.now()), began: world.monotonic() }
    }

    /// How long ago that is.
    pub fn spent(&self, world: &dyn World) -> Duration {
        self.before + world.monotonic().saturating_sub(self.began)
    }
}

/// The answer, if it comes within `limit`.
///
/// # Errors
/// Its own, or [`PortError::TimedOut`] naming `what`.
pub async fn within<T>(
    world: &dyn World,
    limit: Duration,
    what: &str,
    asked: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let asked = std::pin::pin!(asked);
    match select(asked, world.sleep(limit)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => Err(PortError::TimedOut { what: what.to_owned(), limit }),
    }
}

/// How many instances are asked at the same time.
const AT_ONCE: usize = 64;

/// Asks all of them, so many at a time that neither side is overwhelmed; the answers are in the order of the questions.
/// A slow one holds up nobody but itself.
pub async fn ask_all<F: Future>(questions: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let numbered = questions.into_iter().enumerate().map(|(number, question)| async move { (number, question.await) });
    let mut answers: Vec<_> = stream::iter(numbered).buffer_unordered(AT_ONCE).collect().await;
    answers.sort_unstable_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Asks again, with a pause, while the answer may still come: until there is one, or a refusal, or the deadline is over.
/// Asks at least once.
pub async fn ask_until<T, F>(
    world: &dyn World,
    deadline: Deadline,
    pause: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T, PortError>
where
    F: Future<Output = Result<T, PortError>>,
{
    loop {
        match ask().await {
            Err(error) if error.may_pass() && !deadline.is_over(world) => {
                world.sleep(pause.min(deadline.left(world))).await;
            }
            answer => return answer,
        }
    }
}
