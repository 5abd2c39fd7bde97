//! What an outside system might answer that means harm or has lost its way, and what has to hold of whatever is made of it:
//! nothing panics, nothing grows without bound, and no text that is made for people acts on a screen.
//!
//! Each function takes bytes, makes an answer of them and reads it by the way that every real answer goes. Property tests
//! and fuzz targets call the same functions; a release build has none of this.

mod answer;
mod choices;
mod haproxy;
mod instance;
mod kubernetes;
mod prometheus;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use scalebot_commands::ports::{PortError, World};
use scalebot_commands::request::escaped;
use scalebot_commands::units::Timestamp;
use serde_json::Value;

pub use self::answer::answer;
pub use self::choices::Choices;
pub use self::haproxy::haproxy;
pub use self::instance::{instance, metrics};
pub use self::kubernetes::kubernetes;
pub use self::prometheus::prometheus;

/// The longest text that an adapter makes for people, in characters.
const LONGEST: usize = 4_000;

/// A text that people read is bounded, and nothing in it acts.
///
/// # Panics
/// When it is not so.
pub fn may_be_shown(text: &str) {
    let length = text.chars().count();
    assert!(length <= LONGEST, "{length} characters: {}", escaped(text, 300));
    // Line ends are for the layout of whoever shows it.
    let line = text.replace('\n', " ");
    assert_eq!(escaped(&line, LONGEST), line, "something in it acts");
}

/// How many questions were answered by something that could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read(pub usize);

impl Read {
    /// What was read, counted; what is said of a failure may be shown.
    ///
    /// # Panics
    /// When it may not.
    fn or_refused<T>(&mut self, read: Result<T, PortError>) -> Option<T> {
        let read = read.inspect_err(|error| may_be_shown(&error.to_string())).ok()?;
        self.0 += 1;
        Some(read)
    }
}

/// Every text in it may be shown, but those that name something: they are compared, and escaped where they are shown.
///
/// # Panics
/// When one may not.
pub fn texts_may_be_shown(value: &Value) {
    const NAMES: [&str; 7] = ["id", "identity", "version", "address", "instance", "object", "before"];
    match value {
        Value::String(text) => may_be_shown(text),
        Value::Array(all) => all.iter().for_each(texts_may_be_shown),
        Value::Object(fields) => {
            fields
                .iter()
                .filter(|(name, _)| !NAMES.contains(&name.as_str()))
                .for_each(|(_, value)| texts_may_be_shown(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A world in which an hour passes with each look at the clock, so that no budget of requests is ever used up.
#[derive(Debug, Default)]
struct Fast(std::sync::atomic::AtomicU32);

impl World for Fast {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_hours(1) * self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn unique_id(&self) -> String {
        "id".to_owned()
    }

    fn random(&self) -> u64 {
        0
    }
}

fn fast() -> Arc<dyn World> {
    Arc::new(Fast::default())
}
