//! Discord's moments. Token life, nonce windows, buckets and the three seconds for an answer go by the double's clock.

use std::time::Duration;

use jiff::Timestamp;

pub(crate) use crate::clock::Clock;

/// How long it is from `earlier` to `later`; nothing where it is the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// A moment as Discord writes it: `2026-01-31T12:00:00.250000+00:00`.
pub(crate) fn iso8601(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
