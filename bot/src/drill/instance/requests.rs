//! The requests under way: how many there are, and a line in the log when one took long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::{Held, log};

/// What takes longer is worth a line.
const SLOW: Duration = Duration::from_secs(1);

/// At most one line in so long; the others are counted.
const PER: Duration = Duration::from_secs(5);

/// The requests of one instance.
#[derive(Default)]
pub(super) struct Requests {
    under_way: AtomicUsize,
    slow: Mutex<Slow>,
}

#[derive(Default)]
struct Slow {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Requests {
    /// How many are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

impl Slow {
    /// The line about a slow request that ended now, unless there was one just before.
    fn line(&mut self, request: &str, took: Duration, now: Instant) -> Option<String> {
        if self.said_at.is_some_and(|said| now.duration_since(said) < PER) {
            self.unsaid += 1;
            return None;
        }
        self.said_at = Some(now);
        let more = match std::mem::take(&mut self.unsaid) {
            0 => String::new(),
            unsaid => format!(" ({unsaid} more since the last such line)"),
        };
        Some(format!("slow request: {request} took {:.2} s{more}", took.as_secs_f64()))
    }
}

/// Counts a request as ended also when its client has gone away.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts every request, and times it.
pub(super) async fn follow(State(app): Held, request: Request, next: Next) -> Response {
    app.requests.under_way.fetch_add(1, Ordering::Relaxed);
    let _under_way = UnderWay(&app.requests.under_way);
    let what = format!("{} {}", request.method(), scalebot_commands::request::escaped(request.uri().path(), 100));
    let began = Instant::now();
    let response = next.run(request).await;
    let now = Instant::now();
    if now - began > SLOW {
        let mut slow = app.requests.slow.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = slow.line(&what, now - began, now) {
            log::warning(line);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_requests_are_said_once_in_a_while_with_how_many_were_not() {
        let mut slow = Slow::default();
        let now = Instant::now();
        let mut line = |after| slow.line("GET /a", Duration::from_millis(1_500), now + Duration::from_secs(after));
        assert_eq!(line(0).as_deref(), Some("slow request: GET /a took 1.50 s"));
        assert_eq!((line(1), line(4)), (None, None));
        assert_eq!(line(5).as_deref(), Some("slow request: GET /a took 1.50 s (2 more since the last such line)"));
        assert_eq!(line(11).as_deref(), Some("slow request: GET /a took 1.50 s"));
    }
}
