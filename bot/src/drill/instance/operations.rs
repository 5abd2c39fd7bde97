//! What the instance works on that takes longer than a request: it tells, and it lets constitutional work end before
//! it ends itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::{Held, log, refuse};

/// Where the instance is told to begin a piece of work. The backend has no such route; its users make it work.
pub(in crate::drill) const BEGIN_WORK: &str = "/happen/work";

/// At most so many pieces at a time, of at most so many seconds, with so long a name.
const AT_ONCE: usize = 100;
const LONGEST: u64 = 3_600;
const NAME: usize = 200;

/// A piece of work to begin.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::drill) struct WorkToDo {
    /// What it is, for people.
    pub(in crate::drill) what: String,
    /// Whether it is a constitutional write.
    pub(in crate::drill) constitutional: bool,
    /// How long it takes.
    pub(in crate::drill) seconds: u64,
}

/// `GET /v1/operations`: one piece of work under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Operation {
    what: String,
    constitutional: bool,
    since: Timestamp,
    #[serde(skip)]
    ends_at: Instant,
}

/// All that is under way.
#[derive(Default)]
pub(super) struct Operations(Mutex<Vec<Operation>>);

impl Operations {
    /// What is under way now.
    fn under_way(&self) -> Vec<Operation> {
        let mut operations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        operations.retain(|operation| operation.ends_at > now);
        operations.clone()
    }

    fn begin(&self, work: WorkToDo) -> Result<(), &'static str> {
        let WorkToDo { what, constitutional, seconds } = work;
        if what.trim().is_empty() || what.chars().count() > NAME || seconds > LONGEST {
            return Err("a name of at most 200 characters and at most 3600 s");
        }
        if self.under_way().len() >= AT_ONCE {
            return Err("no more than 100 at a time");
        }
        let ends_at = Instant::now() + Duration::from_secs(seconds);
        let operation = Operation { what, constitutional, since: Timestamp::now(), ends_at };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
        Ok(())
    }

    /// Waits until no constitutional work is under way, for at most so long; what else is under way is cut off.
    pub(super) async fn finish(&self, limit: Duration) {
        let (constitutional, other): (Vec<_>, Vec<_>) =
            self.under_way().into_iter().partition(|operation| operation.constitutional);
        if let Some(ends_at) = constitutional.iter().map(|operation| operation.ends_at).max() {
            log::info(format_args!("waiting for constitutional work to end: {}", names(&constitutional)));
            sleep_until(ends_at.min(Instant::now() + limit)).await;
            let left: Vec<_> = self.under_way().into_iter().filter(|operation| operation.constitutional).collect();
            if left.is_empty() {
                log::info("constitutional work has ended");
            } else {
                log::error(format_args!("constitutional work cut off after {} s: {}", limit.as_secs(), names(&left)));
            }
        }
        if !other.is_empty() {
            log::warning(format_args!("work cut off: {}", names(&other)));
        }
    }
}

fn names(operations: &[Operation]) -> String {
    let names: Vec<_> =
        operations.iter().map(|operation| scalebot_commands::request::escaped(&operation.what, NAME)).collect();
    names.join(", ")
}

/// `GET /v1/operations`.
pub(super) async fn list(State(app): Held) -> Json<Vec<Operation>> {
    Json(app.operations.under_way())
}

/// `POST /happen/work`.
pub(super) async fn begin(State(app): Held, Json(work): Json<WorkToDo>) -> Response {
    match app.operations.begin(work) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(wanted) => refuse(StatusCode::UNPROCESSABLE_ENTITY, wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(what: &str, constitutional: bool, seconds: u64) -> WorkToDo {
        WorkToDo { what: what.to_owned(), constitutional, seconds }
    }

    #[tokio::test(start_paused = true)]
    async fn constitutional_work_may_end_within_its_bound_and_nothing_else_is_waited_for() {
        let operations = Operations::default();
        let waited = async || {
            let began = Instant::now();
            operations.finish(Duration::from_mins(1)).await;
            began.elapsed().as_secs()
        };
        operations.begin(work("export", false, 40)).unwrap();
        assert_eq!(waited().await, 0);
        operations.begin(work("ceremony", true, 20)).unwrap();
        operations.begin(work("ceremony", true, 30)).unwrap();
        assert_eq!(waited().await, 30);
        let left: Vec<String> = operations.under_way().into_iter().map(|operation| operation.what).collect();
        assert_eq!(left, ["export"]);
        operations.begin(work("never ends", true, 3_600)).unwrap();
        assert_eq!(waited().await, 60);
    }

    #[test]
    fn work_without_a_name_or_bound_is_refused() {
        let operations = Operations::default();
        for wrong in [work(" ", true, 1), work(&"w".repeat(201), true, 1), work("forever", true, 3_601)] {
            assert!(operations.begin(wrong).is_err());
        }
        for _ in 0..AT_ONCE {
            operations.begin(work("export", false, 10)).unwrap();
        }
        assert!(operations.begin(work("export", false, 10)).is_err());
    }
}
