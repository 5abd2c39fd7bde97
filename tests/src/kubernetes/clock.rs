//! Moments as the API writes them.

use jiff::Timestamp;

pub(crate) use crate::clock::Clock;

/// In whole seconds: `2026-01-31T12:00:00Z`.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
