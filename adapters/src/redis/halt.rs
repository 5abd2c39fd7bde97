//! The stream of halt signals. Any entry is a halt: nothing ever takes one away, so that the stream alone cannot tell
//! that a halt is over.
//!
//! A stream that is not there is one without an entry: so it looks until the first halt. A wrong key looks the same. The
//! user of `deploy/redis/users.acl` may read no other key, so that a wrong one is refused; with any other user only a
//! person can tell, and the doctor asks.

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::streams::{StreamId, StreamRangeReply};
use ::redis::{Value, cmd, from_redis_value};
use async_trait::async_trait;
use scalebot_commands::ports::{HaltReading, HaltSource, PortError};
use scalebot_commands::request::escaped;
use scalebot_commands::units::Timestamp;

use super::connection::{About, Asking, Question, Server};
use super::failure::Failure;
use super::settings::HaltSettings;
use crate::conclave::time;

/// The longest reason that is passed on, in characters.
const LONGEST_REASON: usize = 500;

/// The stream of halt signals of a Redis.
#[derive(Clone, Debug)]
pub struct HaltStream {
    server: Arc<Server>,
    about: About,
    names: HaltSettings,
}

/// The two ends of the stream; none where it is empty.
pub(super) struct Ends {
    oldest: Option<StreamId>,
    newest: Option<StreamId>,
}

impl HaltStream {
    /// As a card says it.
    pub const NAME: &str = "halt signals";

    pub(super) fn new(server: Arc<Server>, settings: &HaltSettings) -> Self {
        let rights = format!("%R~{} +xrange +xrevrange +info", settings.stream);
        Self { server, about: About { what: Self::NAME.to_owned(), rights }, names: settings.clone() }
    }

    /// The stream's key, as people are told.
    pub(super) fn key(&self) -> String {
        escaped(&self.names.stream, 100)
    }

    fn says(&self, ends: &Ends) -> HaltReading {
        let newest = ends.newest.as_ref().or(ends.oldest.as_ref());
        let oldest = ends.oldest.as_ref().or(ends.newest.as_ref());
        HaltReading {
            halted: newest.is_some(),
            // An entry whose time cannot be read is a halt all the same.
            since: oldest.and_then(|entry| since(entry, &self.names.timestamp)),
            reason: newest.and_then(|entry| text(&entry.map, &self.names.reason)),
            cleared_at: None,
        }
    }
}

/// Since when an entry says, or when it was made.
fn since(entry: &StreamId, field: &str) -> Option<Timestamp> {
    let said = text(&entry.map, field).and_then(|text| time(&text));
    let made = || Timestamp::from_millisecond(entry.id.split('-').next()?.parse().ok()?).ok();
    said.or_else(made)
}

fn text(fields: &HashMap<String, Value>, name: &str) -> Option<String> {
    let bytes: Vec<u8> = from_redis_value(fields.get(name)?.clone()).ok()?;
    let text: String = String::from_utf8_lossy(&bytes).chars().take(LONGEST_REASON).collect();
    (!text.is_empty()).then_some(text)
}

#[async_trait]
impl Question for HaltStream {
    type Answer = Ends;

    async fn put(&self, asking: &mut Asking) -> Result<Ends, Failure> {
        asking.must_lead().await?;
        let stream = &self.names.stream;
        let mut oldest = cmd("XRANGE");
        let mut newest = cmd("XREVRANGE");
        let oldest: StreamRangeReply = asking.command(oldest.arg(stream).arg("-").arg("+").arg("COUNT").arg(1)).await?;
        let newest: StreamRangeReply = asking.command(newest.arg(stream).arg("+").arg("-").arg("COUNT").arg(1)).await?;
        Ok(Ends { oldest: oldest.ids.into_iter().next(), newest: newest.ids.into_iter().next() })
    }
}

#[async_trait]
impl HaltSource for HaltStream {
    async fn read(&self) -> Result<HaltReading, PortError> {
        let ends = self.server.ask(&self.about, self).await?;
        Ok(self.says(&ends))
    }

    fn name(&self) -> String {
        Self::NAME.to_owned()
    }
}
