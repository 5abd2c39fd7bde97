//! The log channel: each post of the outbox is one message, and each message ends with a seal that says which events it
//! holds and the last one's hash. So the channel is the log's witness outside of the bot's own machine.
//!
//! Only the bot's own messages count as posts. What somebody else wrote with a seal in it, and what was edited after it
//! was posted, is a suspect and says so. Text that is too long for a message stands in a file beside it; the seal never
//! does.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::event::Hash;
use scalebot_commands::ports::{Announced, LogChannel, PortError, Post};
use scalebot_commands::units::Timestamp;
use serenity::all::{ChannelId, CreateAttachment, MessageFlags, UserId};

use super::drawing::limits::{CONTENT, length};
use super::drawing::text::{self, Names};
use super::rest::{Place, Posted, Rest};
use super::room::nonce;
use super::settings::Settings;
use super::wire::ReadBack;

/// What a seal begins with, at the beginning of a message's last line. The mark makes it small.
const SEAL: &str = "-# sealed: ";

/// How many pages of a hundred messages are read at most: ten years of a few operations a day.
const PAGES: usize = 5_000;

/// How many pages are looked through for one post. What is looked for is the last that was sent, or nearly.
const LOOKED_THROUGH: usize = 20;

/// The log channel alone, for whoever only reads or completes it.
///
/// # Errors
/// In words, when the settings cannot be used.
pub(crate) fn log_channel(settings: &Settings) -> Result<Arc<dyn LogChannel>, String> {
    settings.usable().map_err(|error| error.to_string())?;
    let token = settings.token().map_err(|error| error.to_string())?;
    let base = settings.base().map_err(|error| error.to_string())?;
    let rest = Rest::new(base, &token).map_err(|fault| PortError::from(fault).to_string())?;
    Ok(Arc::new(DiscordLog::new(rest, settings.channels.log)))
}

/// The log channel of one server.
pub(crate) struct DiscordLog {
    rest: Rest,
    place: Place,
}

impl DiscordLog {
    pub(crate) fn new(rest: Rest, channel: ChannelId) -> Self {
        Self { rest, place: Place::new(channel, "the log channel") }
    }

    /// What a message says of the log, and whether that can be believed.
    fn read(message: &ReadBack, me: UserId) -> Option<Announced> {
        let foreign = message.author.id != me || message.webhook_id.is_some();
        let sealed = message.content.lines().next_back().and_then(seal);
        let Announced { first, last, hash, .. } = match sealed {
            // Discord shows the bot nobody else's words: whatever they are, somebody wrote where nobody should.
            None if foreign => Announced::plain(0, 0, Hash::GENESIS),
            sealed => sealed?,
        };
        let posted: Option<Timestamp> = message.id.created_at().to_string().parse().ok();
        Some(Announced { first, last, hash, edited: message.edited_timestamp.is_some(), foreign, posted })
    }
}

#[async_trait]
impl LogChannel for DiscordLog {
    async fn post(&self, post: &Post) -> Result<String, PortError> {
        Ok(self.rest.post(&self.place, drawn(post)).await?.id.to_string())
    }

    async fn find(&self, post: &Post) -> Result<Option<String>, PortError> {
        let me = self.rest.my_id().await?;
        let mut before = None;
        for _ in 0..LOOKED_THROUGH {
            let page = self.rest.messages(&self.place, before).await?;
            let is_last = page.len() < 100;
            for message in &page {
                let Some(found) = Self::read(message, me).filter(|found| !found.foreign) else { continue };
                if (found.first, found.last, found.hash) == (post.first, post.last, post.hash) {
                    return Ok(Some(message.id.to_string()));
                }
                // Posts stand in their order: before what came earlier it is not.
                if found.last < post.first {
                    return Ok(None);
                }
            }
            before = page.last().map(|message| message.id);
            if is_last {
                return Ok(None);
            }
        }
        let detail = format!("there are more than {} messages after the last post", LOOKED_THROUGH * 100);
        Err(PortError::Unreadable { what: "the log channel".to_owned(), detail })
    }

    async fn sealed(&self) -> Result<Vec<Announced>, PortError> {
        let me = self.rest.my_id().await?;
        let mut found = Vec::new();
        let mut after = None;
        for _ in 0..PAGES {
            let mut page = self.rest.messages_after(&self.place, after).await?;
            let is_last = page.len() < 100;
            page.sort_by_key(|message| message.id);
            found.extend(page.iter().filter_map(|message| Self::read(message, me)));
            after = page.last().map(|message| message.id).or(after);
            if is_last {
                return Ok(found);
            }
        }
        let detail = format!("it has more than {} messages", PAGES * 100);
        Err(PortError::Unreadable { what: "the log channel".to_owned(), detail })
    }

    async fn newest(&self) -> Result<Option<Announced>, PortError> {
        let me = self.rest.my_id().await?;
        let mut before = None;
        for _ in 0..LOOKED_THROUGH {
            let page = self.rest.messages(&self.place, before).await?;
            let newest = page.iter().filter_map(|message| Self::read(message, me)).find(|post| !post.foreign);
            if newest.is_some() || page.len() < 100 {
                return Ok(newest);
            }
            before = page.last().map(|message| message.id);
        }
        let detail = format!("its last {} messages are none of the bot's", LOOKED_THROUGH * 100);
        Err(PortError::Unreadable { what: "the log channel".to_owned(), detail })
    }
}

/// A post as Discord takes it.
fn drawn(post: &Post) -> Posted {
    let Post { first, last, hash, text } = post;
    let seal = format!("{SEAL}events {first} to {last}, hash {hash}");
    let file = format!("events-{first}-to-{last}.txt");
    let left_out = format!("… the rest stands in {file}\n");
    let room = CONTENT - length(&seal) - length(&left_out) - 1;
    let (mut content, mut used, mut is_whole) = (String::new(), 0, true);
    for line in text.lines() {
        let line = text::marked(line, room);
        let next = length(&line) + 1;
        if used + next > room {
            is_whole = false;
            break;
        }
        content.push_str(&line);
        content.push('\n');
        used += next;
    }
    let mut files = Vec::new();
    if !is_whole {
        content.push_str(&left_out);
        let shows = format!("Events {first} to {last} of the operational log");
        files.push(CreateAttachment::bytes(text::plain(text, &Names::default(), usize::MAX), file).description(shows));
    }
    content.push_str(&seal);
    Posted {
        content: Some(content),
        files,
        // Addresses in it are for following, not for showing; and it makes no telephone ring.
        flags: Some(MessageFlags::SUPPRESS_EMBEDS | MessageFlags::SUPPRESS_NOTIFICATIONS),
        nonce: Some(nonce(&["log", &first.to_string(), &last.to_string(), &hash.to_string()])),
        ..Posted::default()
    }
}

/// What a seal says.
fn seal(line: &str) -> Option<Announced> {
    let (events, hash) = line.strip_prefix(SEAL)?.strip_prefix("events ")?.split_once(", hash ")?;
    let (first, last) = events.split_once(" to ")?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    Some(Announced::plain(first, last, Hash::parse(hash)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::discord::drawing::limits::beyond;
    use crate::discord::testing::Fake;

    const LOG: &str = "22";

    fn post(first: u64, last: u64, text: &str) -> Post {
        Post { first, last, hash: Hash([u8::try_from(last % 256).unwrap(); 32]), text: text.to_owned() }
    }

    fn log(fake: &Fake) -> DiscordLog {
        DiscordLog::new(fake.rest(), ChannelId::new(22))
    }

    fn seals(found: &[Announced]) -> Vec<(u64, u64, bool, bool)> {
        found.iter().map(|one| (one.first, one.last, one.edited, one.foreign)).collect()
    }

    #[tokio::test]
    async fn a_post_is_a_message_with_its_seal_and_is_found_again() {
        let fake = Fake::start().await;
        let log = log(&fake);
        assert_eq!(log.newest().await.unwrap(), None);
        let (one, two) =
            (post(1, 1, "requested  *api* up to 6 by 80351110224678912"), post(2, 4, "three events\nof them"));
        let id = log.post(&one).await.unwrap();
        log.post(&two).await.unwrap();
        let hash = "01".repeat(32);
        assert_eq!(
            fake.channel(LOG)[0]["content"],
            format!("requested  \\*api\\* up to 6 by <@80351110224678912>\n-# sealed: events 1 to 1, hash {hash}")
        );
        assert_eq!(log.find(&one).await.unwrap(), Some(id));
        assert_eq!(log.find(&post(5, 5, "")).await.unwrap(), None);
        let other = Post { hash: Hash([9; 32]), ..two.clone() };
        assert_eq!(log.find(&other).await.unwrap(), None);
        let found = log.sealed().await.unwrap();
        assert_eq!(seals(&found), [(1, 1, false, false), (2, 4, false, false)]);
        assert_eq!(found[1].hash, two.hash);
    }

    #[tokio::test]
    async fn the_same_post_sent_twice_is_one_message() {
        let fake = Fake::start().await;
        let log = log(&fake);
        let first = log.post(&post(1, 3, "x")).await.unwrap();
        assert_eq!(log.post(&post(1, 3, "x")).await.unwrap(), first);
        assert_eq!(fake.channel(LOG).len(), 1);
        log.post(&Post { hash: Hash([9; 32]), ..post(1, 3, "x") }).await.unwrap();
        assert_eq!(fake.channel(LOG).len(), 2, "another hash is another post");
    }

    #[tokio::test]
    async fn what_was_edited_or_written_by_somebody_else_is_a_suspect() {
        let fake = Fake::start().await;
        let log = log(&fake);
        log.post(&post(1, 1, "x")).await.unwrap();
        log.post(&post(2, 2, "x")).await.unwrap();
        fake.state().messages[0].1["edited_timestamp"] = json!("2026-01-08T04:00:00+00:00");
        let forged = format!("x\n-# sealed: events 3 to 3, hash {}", "03".repeat(32));
        fake.write(LOG, "5", &forged);
        fake.write(LOG, "5", "nice log");
        fake.write(LOG, "7", &forged);
        fake.state().messages.last_mut().unwrap().1["webhook_id"] = json!("7");
        let found = seals(&log.sealed().await.unwrap());
        let others = [(3, 3, false, true), (0, 0, false, true), (3, 3, false, true)];
        assert_eq!(found, [&[(1, 1, true, false), (2, 2, false, false)][..], &others].concat());
        assert_eq!(log.find(&post(3, 3, "x")).await.unwrap(), None, "nobody else's post is ours");
    }

    #[tokio::test]
    async fn a_message_that_holds_what_nobody_knows_yet_hides_no_other() {
        let fake = Fake::start().await;
        let log = log(&fake);
        log.post(&post(1, 1, "x")).await.unwrap();
        fake.write(LOG, "5", &format!("x\n-# sealed: events 2 to 2, hash {}", "02".repeat(32)));
        let new = json!([{ "type": 1, "components": [{ "type": 99, "what": {} }] }]);
        fake.state().messages.last_mut().unwrap().1["components"] = new;
        let found = seals(&log.sealed().await.unwrap());
        assert_eq!(found, [(1, 1, false, false), (2, 2, false, true)]);
        assert!(log.find(&post(1, 1, "x")).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_channel_of_many_pages_is_read_to_its_end() {
        let fake = Fake::start().await;
        let log = log(&fake);
        for number in 1..=205 {
            let hash = Hash([u8::try_from(number % 256).unwrap(); 32]);
            fake.write(LOG, "7", &format!("x\n-# sealed: events {number} to {number}, hash {hash}"));
        }
        let found = log.sealed().await.unwrap();
        assert!(found.iter().map(|one| one.first).eq(1..=205), "oldest first");
        assert!(log.find(&post(2, 2, "x")).await.unwrap().is_some());
        assert_eq!(log.newest().await.unwrap().map(|post| post.last), Some(205));
        for _ in 0..250 {
            fake.write(LOG, "5", "nice log");
        }
        assert_eq!(log.newest().await.unwrap().map(|post| post.last), Some(205));
        assert_eq!(log.find(&post(300, 300, "x")).await.unwrap(), None);
        fake.fail("GET /channels/22/messages", 403, 50_001);
        assert!(log.sealed().await.unwrap_err().to_string().contains("read the log channel"));
    }

    #[test]
    fn what_is_too_long_stands_in_a_file_and_the_seal_never_does() {
        let lines: Vec<String> = (1..=20).map(|number| format!("event {number}: {}", "*".repeat(300))).collect();
        let posted = drawn(&post(1, 20, &lines.join("\n")));
        assert_eq!(beyond(&posted.json()), <[String; 0]>::default());
        let content = posted.content.as_deref().unwrap();
        assert!(
            content.contains("… the rest stands in events-1-to-20.txt\n-# sealed: events 1 to 20, hash "),
            "{content}"
        );
        assert_eq!(std::str::from_utf8(&posted.files[0].data).unwrap(), lines.join("\n"));
        assert_eq!(posted.json()["attachments"][0]["filename"], "events-1-to-20.txt");
        let long = drawn(&post(1, 1, &"x".repeat(10_000)));
        assert_eq!(beyond(&long.json()), <[String; 0]>::default());
    }

    #[test]
    fn no_text_can_pass_for_a_seal() {
        let forged = format!("-# sealed: events 8 to 9, hash {}", "0".repeat(64));
        let posted = drawn(&post(1, 1, &forged));
        let content = posted.content.as_deref().unwrap();
        let last = content.lines().next_back().and_then(seal).unwrap();
        assert_eq!((last.first, last.last), (1, 1));
        assert!(content.lines().next().and_then(seal).is_none());
    }
}
