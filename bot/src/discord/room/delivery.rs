//! Delivers the cards of one operation, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use scalebot_commands::card::Card;
use scalebot_commands::ports::{PortError, Slot};
use scalebot_commands::units::{OperationId, Timestamp};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::placed::{Ask, AskState, Entry};
use super::spot::{self, Spot, Where};
use super::{Shared, texts_of};
use crate::chart;
use crate::discord::drawing::limits::THREAD_NAME;
use crate::discord::drawing::{self, Picture, View, text};
use crate::discord::id::{ChannelId, MessageId};
use crate::discord::marks::{APPROVE, REJECT};
use crate::discord::people::user;
use crate::discord::rest::{Fault, File, Place, Posted, code};
use crate::discord::wire::Message;

/// How long an operation's task waits for another card before it ends.
const IDLE: Duration = Duration::from_mins(5);

/// How long after a failure it is tried again: at first, and at most.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_AT_MOST: Duration = Duration::from_mins(1);

/// How much of what instances wrote is attached: files, and the end of each in bytes.
const LOGS: usize = 5;
const LOG: usize = 512 << 10;

/// A card to deliver.
pub(super) struct Job {
    pub(super) slot: Slot,
    pub(super) card: Card,
    /// Who waits for it.
    pub(super) done: Option<oneshot::Sender<Result<(), PortError>>>,
}

/// The task of one operation.
pub(super) struct Delivery {
    shared: Arc<Shared>,
    operation: OperationId,
    jobs: mpsc::Receiver<Job>,
    /// What waits, one a message, oldest first.
    waiting: Vec<Waiting>,
    /// When each message was last changed.
    changed: HashMap<(&'static str, String), Instant>,
    failures: u32,
    not_before: Option<Instant>,
    /// A thread cannot be had; said once.
    threadless: bool,
    looked_back: bool,
}

struct Waiting {
    slot: Slot,
    card: Card,
    spot: Spot,
    done: Vec<oneshot::Sender<Result<(), PortError>>>,
}

impl Delivery {
    pub(super) fn new(shared: Arc<Shared>, operation: OperationId, jobs: mpsc::Receiver<Job>) -> Self {
        Self {
            shared,
            operation,
            jobs,
            waiting: Vec::new(),
            changed: HashMap::new(),
            failures: 0,
            not_before: None,
            threadless: false,
            looked_back: false,
        }
    }

    /// Delivers until there was nothing to deliver for a while.
    pub(super) async fn run(mut self) {
        loop {
            let next = self.next();
            let due = next.map_or_else(|| Instant::now() + IDLE, |(_, due)| due);
            tokio::select! {
                biased;
                job = self.jobs.recv() => match job {
                    Some(job) => self.take(job),
                    None if next.is_none() => return,
                    // Nobody hands over any more, and what waits is still delivered.
                    None => {
                        sleep_until(due).await;
                        self.deliver(next).await;
                    }
                },
                () = sleep_until(due) => match next {
                    Some(_) => self.deliver(next).await,
                    None => {
                        // What was handed over in this very moment is still delivered.
                        self.jobs.close();
                        match self.jobs.recv().await {
                            Some(job) => self.take(job),
                            None => return,
                        }
                    }
                },
            }
        }
    }

    /// Which is delivered next, and when.
    fn next(&self) -> Option<(usize, Instant)> {
        let now = Instant::now();
        let due = |waiting: &Waiting| {
            let paced = match waiting.slot {
                Slot::Progress => self.changed.get(&waiting.key()).map(|at| *at + self.shared.settings.edit_every),
                _ => None,
            };
            paced.into_iter().chain(self.not_before).max().unwrap_or(now).max(now)
        };
        self.waiting.iter().map(due).enumerate().min_by_key(|(_, due)| *due)
    }

    fn take(&mut self, job: Job) {
        let Job { slot, card, done } = job;
        let spot = spot::of(slot, &card);
        let mut done: Vec<_> = done.into_iter().collect();
        // What was to be asked is decided by now; and a newer card replaces the one that did not go out yet.
        let is_replaced = |waiting: &Waiting| {
            waiting.slot == slot && (waiting.spot.part == spot.part || asks(slot) && card.ask.is_none()) && !spot.anew
        };
        for replaced in self.waiting.extract_if(.., |waiting| is_replaced(waiting)) {
            done.extend(replaced.done);
        }
        self.waiting.push(Waiting { slot, card, spot, done });
    }

    async fn deliver(&mut self, next: Option<(usize, Instant)>) {
        let Some((at, _)) = next else { return };
        let mut waiting = self.waiting.remove(at);
        let result = self.put(&waiting).await;
        let done = std::mem::take(&mut waiting.done);
        let answer = match result {
            Ok(()) => {
                self.changed.insert(waiting.key(), Instant::now());
                (self.failures, self.not_before) = (0, None);
                Ok(())
            }
            Err(fault) => {
                self.failures += 1;
                let again = fault.may_pass();
                let error = PortError::from(fault);
                tracing::warn!(operation = %self.operation, card = spot::word(waiting.slot), %error, again, "a card could not be shown");
                if again {
                    let pause = (AGAIN * 2_u32.pow(self.failures.min(6) - 1)).min(AGAIN_AT_MOST);
                    self.not_before = Some(Instant::now() + pause);
                    self.waiting.insert(at.min(self.waiting.len()), waiting);
                }
                Err(error)
            }
        };
        for done in done {
            // Who does not wait any longer knows by now that it took too long.
            let _ = done.send(answer.clone());
        }
    }

    /// Puts a card where it belongs: into its message, or into a new one.
    async fn put(&mut self, waiting: &Waiting) -> Result<(), Fault> {
        let Waiting { slot, card, spot, .. } = waiting;
        self.look_back().await?;
        let word = spot::word(*slot);
        let board = &self.shared.board;
        // What became of a request is shown where it was asked.
        let known = match asks(*slot) && card.ask.is_none() {
            true => board.latest(&self.operation, word),
            false => board.find(&self.operation, word, &spot.part),
        };
        let reopened = card.ask.is_some()
            && known.as_ref().and_then(|known| known.ask.as_ref()).is_some_and(|ask| ask.state != AskState::Open);
        let edited = match known.as_ref().filter(|_| !spot.anew && !reopened) {
            Some(known) => self.edit(known, *slot, card).await?,
            None => false,
        };
        if !edited {
            self.post(known.as_ref(), *slot, card, spot).await?;
        }
        if matches!(slot, Slot::WayBack | Slot::Summary) {
            self.close(*slot == Slot::Summary).await;
        }
        Ok(())
    }

    /// Changes a message. Whether it was still there.
    async fn edit(&self, known: &Entry, slot: Slot, card: &Card) -> Result<bool, Fault> {
        let board = &self.shared.board;
        let request = known.ask.as_ref().map(|ask| ask.digest.as_str());
        let mut drawn = self.draw(slot, &known.part, card, request, None).await;
        // An edit notifies nobody, and what was said when it was posted is no longer so.
        drawn.json["content"] = json!("");
        let pressable = is_pressable(&drawn);
        let place = Place::new(known.channel, "the channel of an earlier card");
        match self.shared.rest.edit(&place, known.message, drawn).await {
            Ok(_) => {}
            Err(fault) if matches!(fault.code(), Some(code::UNKNOWN_MESSAGE | code::UNKNOWN_CHANNEL)) => {
                board.forget(known.message).await;
                return Ok(false);
            }
            Err(fault) => return Err(fault),
        }
        let ask = card.ask.clone();
        let approved = asks(slot) && card.tone == scalebot_commands::card::Tone::Good;
        board
            .change(known.message, |entry| {
                entry.pressable = pressable;
                match (&mut entry.ask, ask) {
                    (Some(known), Some(digest)) if known.digest == digest => known.state = AskState::Open,
                    (ours, Some(digest)) => {
                        *ours = Some(Ask { digest, state: AskState::Open, marks: std::collections::BTreeSet::new() });
                    }
                    (Some(known), None) => known.state = if approved { AskState::Approved } else { AskState::Over },
                    (None, None) => {}
                }
            })
            .await;
        Ok(true)
    }

    async fn post(&mut self, known: Option<&Entry>, slot: Slot, card: &Card, spot: &Spot) -> Result<(), Fault> {
        let place = match spot.room {
            Where::Ops => self.ops(card),
            Where::Governance => self.shared.governance(),
            Where::Thread => self.thread(card).await?,
        };
        let notifies = spot.notifies.and_then(|role| self.shared.settings.roles.notified(role));
        let mut drawn = self.draw(slot, &spot.part, card, None, notifies).await;
        let before = known.map_or(0, |known| known.before + 1);
        let word = spot::word(slot);
        drawn.json["nonce"] = json!(nonce(&[self.operation.as_str(), word, &spot.part, &before.to_string()]));
        drawn.json["enforce_nonce"] = json!(true);
        let pressable = is_pressable(&drawn);
        let message = match self.shared.rest.post(&place, drawn).await {
            Ok(message) => message,
            Err(fault) if spot.room == Where::Thread && fault.is_gone() => {
                // Somebody has deleted the thread: the channel has to do.
                self.forget_thread().await;
                self.threadless = true;
                return Err(Fault::Unreadable("the operation's thread is gone".to_owned()));
            }
            Err(fault) => return Err(fault),
        };
        let digest = card.ask.clone();
        let ask = digest.map(|digest| Ask { digest, state: AskState::Open, marks: std::collections::BTreeSet::new() });
        let asked = ask.is_some();
        self.shared
            .board
            .add(Entry {
                operation: self.operation.clone(),
                slot: word.to_owned(),
                part: spot.part.clone(),
                channel: message.channel_id,
                message: message.id,
                before,
                thread: message.thread.map(|thread| thread.id),
                ask,
                pressable,
            })
            .await;
        if asked {
            self.put_marks(place, message.id);
        }
        Ok(())
    }

    /// Puts ✅ and ❌ under a request, for people to press. Nothing waits for it: the buttons do the same.
    fn put_marks(&self, place: Place, message: MessageId) {
        let (rest, operation) = (self.shared.rest.clone(), self.operation.clone());
        tokio::spawn(async move {
            for emoji in [APPROVE, REJECT] {
                if let Err(fault) = rest.mark(&place, message, emoji.in_url).await {
                    let error = PortError::from(fault);
                    tracing::warn!(%operation, %error, "no marks could be put under a request; its buttons do the same");
                    return;
                }
            }
        });
    }

    /// Takes the buttons away from what was asked and is over: whether to go back, with the way back; with the summary
    /// everything but escalations, which outlive their operation.
    async fn close(&self, everything: bool) {
        for entry in self.shared.board.of_operation(&self.operation) {
            let is_over = match spot::slot(&entry.slot) {
                Some(Slot::Approval) => everything || self.shared.settings.channels.ops.contains(&entry.channel),
                Some(Slot::HaltOffer | Slot::Question) => everything,
                _ => false,
            };
            let is_open = entry.pressable || entry.ask.as_ref().is_some_and(|ask| ask.state != AskState::Over);
            if !is_over || !is_open {
                continue;
            }
            let place = Place::new(entry.channel, "the channel of an earlier card");
            let without = Posted { json: json!({ "components": [] }), files: vec![] };
            if entry.pressable
                && let Err(fault) = self.shared.rest.edit(&place, entry.message, without).await
            {
                // Pressed, it is answered that nothing is asked any more.
                tracing::debug!(operation = %self.operation, ?fault, "buttons stay under what is over");
            }
            let over = |entry: &mut Entry| {
                entry.pressable = false;
                if let Some(ask) = &mut entry.ask {
                    ask.state = AskState::Over;
                }
            };
            self.shared.board.change(entry.message, over).await;
        }
    }

    /// Where the command was given.
    fn ops(&self, card: &Card) -> Place {
        let board = &self.shared.board;
        let ops = &self.shared.settings.channels.ops;
        let earlier = board.of_operation(&self.operation).into_iter().find(|entry| ops.contains(&entry.channel));
        let asked_in = || {
            let (_, by) = card.footer.split_once("asked by ")?;
            let by = scalebot_commands::units::Person::new(by.split(' ').next()?);
            self.shared.people.channel_of(user(&by)?)
        };
        self.shared.ops_channel(earlier.map(|entry| entry.channel).or_else(asked_in))
    }

    /// The operation's thread, begun at its first card; without one the channel.
    async fn thread(&mut self, card: &Card) -> Result<Place, Fault> {
        let board = &self.shared.board;
        let Some(anchor) = board.latest(&self.operation, spot::word(Slot::Precheck)).filter(|_| !self.threadless)
        else {
            return Ok(self.ops(card));
        };
        if let Some(thread) = anchor.thread {
            return Ok(Place::new(thread, "the operation's thread"));
        }
        let place = Place::new(anchor.channel, "the ops channel");
        let name = text::plain(&format!("Operation {}", self.operation.short()), &text::Names::default(), THREAD_NAME);
        let thread = match self.shared.rest.begin_thread(&place, anchor.message, &name).await {
            Ok(thread) => thread.id,
            // It has one already, of which nothing was kept: it bears the message's number.
            Err(fault) if fault.code() == Some(THREAD_EXISTS) => ChannelId(anchor.message.0),
            Err(fault) if fault.may_pass() || fault == Fault::TokenRefused => return Err(fault),
            Err(fault) => {
                self.threadless = true;
                let error = PortError::from(fault);
                tracing::warn!(operation = %self.operation, %error, "there is no thread; the channel gets the detail too");
                return Ok(self.ops(card));
            }
        };
        board.change(anchor.message, |entry| entry.thread = Some(thread)).await;
        Ok(Place::new(thread, "the operation's thread"))
    }

    async fn forget_thread(&self) {
        let board = &self.shared.board;
        if let Some(anchor) = board.latest(&self.operation, spot::word(Slot::Precheck)) {
            board.change(anchor.message, |entry| entry.thread = None).await;
        }
    }

    /// Looks once for messages of an operation of which nothing is known: they may be from before the file was lost.
    async fn look_back(&mut self) -> Result<(), Fault> {
        let is_new = began(&self.operation).is_some_and(|began| began >= self.shared.began);
        if self.looked_back || is_new || !self.shared.board.of_operation(&self.operation).is_empty() {
            return Ok(());
        }
        let mut places = vec![self.shared.governance()];
        places.extend(self.shared.settings.channels.ops.iter().map(|id| Place::new(*id, "the ops channel")));
        let me = self.shared.rest.my_id().await?;
        let mark = format!("operation {} · ", self.operation.short());
        for place in places {
            let messages = match self.shared.rest.messages(&place, None).await {
                Ok(messages) => messages,
                Err(fault) if fault.may_pass() || fault == Fault::TokenRefused => return Err(fault),
                // A channel that cannot be read can be posted in all the same.
                Err(_) => continue,
            };
            // Oldest first, so that the newest of several for the same stays.
            for message in messages.into_iter().rev().filter(|message| message.author.id == me) {
                if let Some(entry) = found_again(&self.operation, &mark, message) {
                    self.shared.board.add(entry).await;
                }
            }
        }
        self.looked_back = true;
        Ok(())
    }

    async fn draw(
        &self,
        slot: Slot,
        part: &str,
        card: &Card,
        request: Option<&str>,
        notify: Option<crate::discord::id::RoleId>,
    ) -> Posted {
        let names = self.shared.people.names_in(texts_of(card)).await;
        let picture = picture(card).await;
        let tag = tag(slot, part);
        let presses = drawing::buttons(card, slot, &self.operation, request);
        let now = self.shared.world.now();
        let view = View { names: &names, now, tag: Some(&tag), presses, notify, picture: picture.as_ref() };
        let mut drawn = drawing::card(card, &view);
        if slot == Slot::Summary && self.shared.settings.attach_instance_logs {
            let files = self.logs().await;
            drawing::attach(&mut drawn, files);
        }
        drawn
    }

    /// The ends of what instances wrote, where they were kept.
    async fn logs(&self) -> Vec<File> {
        let Some(folder) = &self.shared.logs else { return Vec::new() };
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
        let folder = folder.join(self.operation.as_str().chars().map(plain).collect::<String>());
        tokio::task::spawn_blocking(move || read_logs(&folder)).await.unwrap_or_default()
    }
}

/// When an operation began, as its identifier tells.
fn began(operation: &OperationId) -> Option<Timestamp> {
    let (seconds, nanos) = uuid::Uuid::parse_str(operation.as_str()).ok()?.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}

/// Discord's code for a message that has a thread already.
const THREAD_EXISTS: u32 = 160_004;

/// Whether cards in that place ask people to mark something.
fn asks(slot: Slot) -> bool {
    matches!(slot, Slot::Approval | Slot::HaltOffer)
}

fn is_pressable(drawn: &Posted) -> bool {
    drawn.json["components"].as_array().is_some_and(|rows| !rows.is_empty())
}

impl Waiting {
    fn key(&self) -> (&'static str, String) {
        (spot::word(self.slot), self.spot.part.clone())
    }
}

/// What stands at the end of the small print, by which a message is found again.
fn tag(slot: Slot, part: &str) -> String {
    let word = spot::word(slot);
    // An escalation's part is its title.
    if part.is_empty() || slot == Slot::Escalation { word.to_owned() } else { format!("{word} {part}") }
}

/// What a message of the bot's own shows, by its small print.
fn found_again(operation: &OperationId, mark: &str, message: Message) -> Option<Entry> {
    let embed = message.embeds.first()?;
    let footer = &embed.footer.as_ref()?.text;
    if !footer.contains(mark) {
        return None;
    }
    let (_, tag) = footer.rsplit_once(" · ")?;
    let (slot, part) = match spot::slot(tag) {
        Some(Slot::Escalation) => (Slot::Escalation, spot::condition(embed.title.as_deref()?)),
        Some(slot) => (slot, ""),
        None => {
            let (word, part) = tag.rsplit_once(' ')?;
            (spot::slot(word)?, part)
        }
    };
    Some(Entry {
        operation: operation.clone(),
        slot: spot::word(slot).to_owned(),
        part: part.to_owned(),
        channel: message.channel_id,
        message: message.id,
        before: 0,
        thread: message.thread.map(|thread| thread.id),
        ask: None,
        pressable: false,
    })
}

/// The same for the same message, after a restart too; at most 25 characters.
pub(crate) fn nonce(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// Draws the chart. Without a picture the card still says everything.
async fn picture(card: &Card) -> Option<Picture> {
    let shown = chart::Chart::of(card.chart.as_ref()?, card.tone);
    let drawn = tokio::task::spawn_blocking(move || {
        chart::draw(&shown)
            .map(|png| Picture { png, alt_text: chart::alt_text(&shown) })
            .map_err(|error| error.to_string())
    });
    match drawn.await.map_err(|error| error.to_string()).and_then(|drawn| drawn) {
        Ok(picture) => Some(picture),
        Err(error) => {
            tracing::warn!(error, "a chart could not be drawn");
            None
        }
    }
}

fn read_logs(folder: &std::path::Path) -> Vec<File> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = found.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let end_of = |path: std::path::PathBuf| {
        let mut file = std::fs::File::open(&path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG as u64))).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG as u64).read_to_end(&mut bytes).ok()?;
        let name = path
            .file_name()?
            .to_string_lossy()
            .replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "_");
        let name: String = name.chars().take(80).collect();
        let description = format!("The end of what {name} holds");
        Some(File { name, content_type: "text/plain; charset=utf-8", bytes, description })
    };
    paths.into_iter().take(LOGS).filter_map(end_of).collect()
}
