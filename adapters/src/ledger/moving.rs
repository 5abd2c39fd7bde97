//! A log moved from one database to another: every byte of every event, post, claim and sample.
//!
//! The source is marked first, which raises its epoch, so that there are never two logs that somebody could write to.
//! What was copied is read back and compared, and the chain proved, before the target's one transaction ends. A move that
//! is broken off leaves the mark, and is carried out again; one that failed and left nothing takes the mark back.

use std::sync::Arc;

use futures::future::BoxFuture;
use scalebot_commands::event::{Event, Hash, Proof};
use scalebot_commands::units::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::Pool;

use super::append::{self, Moved as Mark};
use super::fault::{Fault, StorageError};
use super::way::{Columns, Statements, Value, Way};
use super::{Store, rows, sql};

/// How many rows are read at a time.
const PAGE: i64 = 500;

/// What was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How many events.
    pub events: u64,
    /// The last one's hash.
    pub head: Hash,
    /// How many posts to the log channel.
    pub posts: u64,
    /// How many targets that an unfinished operation holds.
    pub claims: u64,
    /// How many samples of what monitoring saw.
    pub samples: u64,
    /// All rows' digests together, in whichever order they come.
    digest: [u8; 32],
}

/// Why a log was not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMoved {
    /// Nothing was changed, neither there nor here.
    #[error("{0}")]
    Refused(String),
    /// It may be there, wholly or not at all. Nothing writes to the source any more; it is to be carried out again.
    #[error("{0}")]
    BrokenOff(String),
}

/// Moves everything. Nobody else may write to a file meanwhile: whoever calls it holds the lock of its directory.
///
/// # Errors
/// When a process leads here or there, when there is something at the target, when the source is not in order, and when
/// either cannot be used.
pub async fn move_log<A: Way, B: Way>(
    source: &Store<A>,
    target: &Store<B>,
    at: Timestamp,
) -> Result<Contents, NotMoved> {
    let said = |error: StorageError| NotMoved::Refused(error.to_string());
    let destination = target.way.place();
    let there = target.filled().await.map_err(said)?;
    let is_new = source.mark(&destination, at, there == 0).await.map_err(said)?;
    if there > 0 {
        return already_there(source, target, is_new).await;
    }
    let copied = target.take_from(source).await;
    let error = match copied {
        Ok(contents) => return Ok(contents),
        Err(error) => error,
    };
    // Only where it is certain that nothing is there may the source go on.
    if is_new && matches!(target.filled().await, Ok(0)) && source.unmark().await.is_ok() {
        return Err(NotMoved::Refused(error.to_string()));
    }
    Err(NotMoved::BrokenOff(error.to_string()))
}

/// An earlier move may have come to its end without anybody learning of it.
async fn already_there<A: Way, B: Way>(
    source: &Store<A>,
    target: &Store<B>,
    is_new: bool,
) -> Result<Contents, NotMoved> {
    let refused = || {
        NotMoved::Refused(format!(
            "{} holds a log already, and two are never mixed; name an empty place",
            target.way.place()
        ))
    };
    if is_new {
        return Err(refused());
    }
    let broken_off = |error: StorageError| NotMoved::BrokenOff(error.to_string());
    let (here, there) = (source.contents().await.map_err(broken_off)?, target.contents().await.map_err(broken_off)?);
    if here == there { Ok(there) } else { Err(refused()) }
}

impl<W: Way> Store<W> {
    /// How many rows there are in all.
    async fn filled(&self) -> Result<u64, StorageError> {
        let found = self.way.read(&self.readers, sql::FILLED, &[]).await.map_err(|error| self.way.explain(&error))?;
        count(&found).map_err(|fault| fault.about(self.way()))
    }

    /// Marks it as moved there, if `may`; says whether it was not before.
    async fn mark(&self, destination: &str, at: Timestamp, may: bool) -> Result<bool, StorageError> {
        let (destination, at) = (destination.to_owned(), at.to_string());
        let marked = self.write(
            move |conn| {
                let (destination, at) = (destination.clone(), at.clone());
                Box::pin(async move {
                    append::hold::<W>(conn).await?;
                    nobody_leads::<W>(conn).await?;
                    match append::moved(conn).await? {
                        Some(Mark { destination: before, .. }) if before == destination => return Ok(false),
                        Some(other) => return Err(Fault::Unfit(other.in_words())),
                        None => {}
                    }
                    if may {
                        conn.execute(sql::MARK, &[Value::Text(&at), Value::Text(&destination)]).await?;
                        conn.rows(sql::RAISE_EPOCH, &[]).await?;
                    }
                    Ok(true)
                })
            },
            |_| {},
        );
        marked.await.map_err(|fault| fault.about(self.way()))
    }

    async fn unmark(&self) -> Result<(), StorageError> {
        let unmarked = self.write(|conn| Box::pin(async move { Ok(conn.execute(sql::UNMARK, &[]).await?) }), |_| {});
        unmarked.await.map(drop).map_err(|fault| fault.about(self.way()))
    }

    async fn contents(&self) -> Result<Contents, StorageError> {
        let mut beside = Beside { way: Arc::clone(&self.way), readers: self.readers.clone() };
        contents(&mut beside).await.map_err(|fault| fault.about(self.way()))
    }

    /// Copies everything that is there, in one transaction.
    async fn take_from<A: Way>(&self, source: &Store<A>) -> Result<Contents, StorageError> {
        let Some(writer) = &self.writer else {
            return Err(StorageError::Unusable(format!("{} was opened for reading only", self.way.place())));
        };
        let (way, readers) = (Arc::clone(&source.way), source.readers.clone());
        let mut writer = writer.lock().await;
        let copied = writer.transact(move |conn| {
            let mut from = Beside { way: Arc::clone(&way), readers: readers.clone() };
            Box::pin(async move { copy::<A, W>(&mut from, conn).await })
        });
        let copied = copied.await;
        copied.map_err(|fault| fault.about(self.way()))
    }
}

async fn copy<A: Way, B: Way>(from: &mut Beside<A>, conn: &mut B::Connection) -> Result<Contents, Fault> {
    append::hold::<B>(conn).await?;
    nobody_leads::<B>(conn).await?;
    if let Some(mark) = append::moved(conn).await? {
        return Err(Fault::Unfit(mark.in_words()));
    }
    if count(&conn.rows(sql::FILLED, &[]).await?)? > 0 {
        return Err(Fault::Unfit("it holds a log already, and two are never mixed; name an empty place".to_owned()));
    }
    let elsewhere = |way: &A, fault: Fault| Fault::Elsewhere(fault.about(way));
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    loop {
        let page = cursor.next(from).await.map_err(|fault| elsewhere(&from.way, fault))?;
        let Some(page) = page else { break };
        for piece in &page {
            seen.take(piece).map_err(|fault| elsewhere(&from.way, fault))?;
            piece.write(conn).await?;
        }
    }
    let epoch = from.ask(sql::EPOCH, &[]).await.map_err(|fault| elsewhere(&from.way, fault))?;
    let epoch = epoch.first().map(|row| rows::number(row, "epoch")).transpose()?.unwrap_or(0);
    conn.execute(sql::EPOCH_AT_LEAST, &[Value::Number(rows::stored(epoch, "epoch")?)]).await?;

    let (wanted, there) = (seen.finish(), contents(&mut Within(conn)).await?);
    if wanted == there {
        Ok(there)
    } else {
        Err(Fault::Unreadable("what was copied reads otherwise there; nothing was kept".to_owned()))
    }
}

async fn nobody_leads<W: Way>(conn: &mut W::Connection) -> Result<(), Fault> {
    match W::led(conn).await? {
        Some(by) => Err(Fault::Unfit(format!("{by} leads; stop the bot first, then carry it out again"))),
        None => Ok(()),
    }
}

async fn contents<A: Ask>(from: &mut A) -> Result<Contents, Fault> {
    let (mut cursor, mut seen) = (Cursor::default(), Seen::default());
    while let Some(page) = cursor.next(from).await? {
        page.iter().try_for_each(|piece| seen.take(piece))?;
    }
    Ok(seen.finish())
}

fn count<R: Columns>(found: &[R]) -> Result<u64, Fault> {
    found.first().map_or(Ok(0), |row| rows::number(row, "filled"))
}

/// Whom rows are asked of.
trait Ask: Send {
    type Row: Columns;

    fn ask<'c>(
        &'c mut self,
        sql: &'static str,
        values: &'c [Value<'c>],
    ) -> BoxFuture<'c, Result<Vec<Self::Row>, Fault>>;
}

/// A log, by connections that only read.
struct Beside<W: Way> {
    way: Arc<W>,
    readers: Pool<W::Database>,
}

impl<W: Way> Ask for Beside<W> {
    type Row = super::Row<W>;

    fn ask<'c>(
        &'c mut self,
        sql: &'static str,
        values: &'c [Value<'c>],
    ) -> BoxFuture<'c, Result<Vec<Self::Row>, Fault>> {
        Box::pin(async move { Ok(self.way.read(&self.readers, sql, values).await?) })
    }
}

/// A log, from within the transaction that writes it.
struct Within<'t, C>(&'t mut C);

impl<C: Statements> Ask for Within<'_, C> {
    type Row = C::Row;

    fn ask<'c>(
        &'c mut self,
        sql: &'static str,
        values: &'c [Value<'c>],
    ) -> BoxFuture<'c, Result<Vec<Self::Row>, Fault>> {
        Box::pin(async move { Ok(self.0.rows(sql, values).await?) })
    }
}

/// One row, as it is.
enum Piece {
    Event(Event),
    Post { first: i64, last: i64, hash: String, text: String, message: Option<String> },
    Claim { target: String, operation: String, since: String },
    Sample { operation: String, number: i64, load: String },
}

impl Piece {
    async fn write(&self, conn: &mut impl Statements) -> Result<(), Fault> {
        match self {
            Self::Event(event) => return append::insert(conn, event).await,
            Self::Post { first, last, hash, text, message } => {
                let values = [
                    Value::Number(*first),
                    Value::Number(*last),
                    Value::Text(hash),
                    Value::Text(text),
                    Value::Maybe(message.as_deref()),
                ];
                conn.execute(sql::COPY_POST, &values).await?
            }
            Self::Claim { target, operation, since } => {
                conn.execute(sql::TAKE_CLAIM, &[Value::Text(target), Value::Text(operation), Value::Text(since)])
                    .await?
            }
            Self::Sample { operation, number, load } => {
                conn.execute(sql::KEEP_SAMPLE, &[Value::Text(operation), Value::Number(*number), Value::Text(load)])
                    .await?
            }
        };
        Ok(())
    }

    /// Which table, and every column, each told from the next.
    fn digest(&self) -> [u8; 32] {
        let number = |number: &i64| Some(number.to_string());
        let text = |text: &String| Some(text.clone());
        let (table, columns) = match self {
            // Its own hash covers everything else.
            Self::Event(event) => ("event", vec![Some(event.hash.to_string())]),
            Self::Post { first, last, hash, text: said, message } => {
                ("post", vec![number(first), number(last), text(hash), text(said), message.clone()])
            }
            Self::Claim { target, operation, since } => ("claim", vec![text(target), text(operation), text(since)]),
            Self::Sample { operation, number: at, load } => ("sample", vec![text(operation), number(at), text(load)]),
        };
        let mut hash = Sha256::new();
        hash.update(table);
        for column in columns {
            let length = column.as_ref().map_or(u64::MAX, |column| column.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(column.unwrap_or_default());
        }
        hash.finalize().into()
    }
}

/// Where reading has come to.
#[derive(Default)]
enum Cursor {
    #[default]
    Start,
    Events(i64),
    Posts(i64),
    Claims,
    Samples(String, i64),
}

impl Cursor {
    /// The next rows; `None` after the last.
    async fn next<A: Ask>(&mut self, from: &mut A) -> Result<Option<Vec<Piece>>, Fault> {
        loop {
            let page = match self {
                Self::Start => {
                    *self = Self::Events(i64::MIN);
                    continue;
                }
                Self::Events(after) => {
                    let found = from.ask(sql::EVENTS_AFTER, &[Value::Number(*after), Value::Number(PAGE)]).await?;
                    let page = read(&found, |row| Ok(Piece::Event(rows::event(row)?)))?;
                    match page.last() {
                        Some(Piece::Event(last)) => *after = rows::stored(last.seq, "event")?,
                        _ => *self = Self::Posts(i64::MIN),
                    }
                    page
                }
                Self::Posts(after) => {
                    let found = from.ask(sql::POSTS_AFTER, &[Value::Number(*after), Value::Number(PAGE)]).await?;
                    let page = read(&found, post)?;
                    match page.last() {
                        Some(Piece::Post { last, .. }) => *after = *last,
                        _ => *self = Self::Claims,
                    }
                    page
                }
                Self::Claims => {
                    let page = read(&from.ask(sql::CLAIMS, &[]).await?, claim)?;
                    *self = Self::Samples(String::new(), i64::MIN);
                    page
                }
                Self::Samples(operation, number) => {
                    let values = [Value::Text(operation), Value::Number(*number), Value::Number(PAGE)];
                    let page = read(&from.ask(sql::SAMPLES_AFTER, &values).await?, sample)?;
                    match page.last() {
                        Some(Piece::Sample { operation: last, number: at, .. }) => {
                            *self = Self::Samples(last.clone(), *at);
                        }
                        _ => return Ok(None),
                    }
                    page
                }
            };
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }
}

fn read<R: Columns>(found: &[R], read: impl Fn(&R) -> Result<Piece, Fault>) -> Result<Vec<Piece>, Fault> {
    found.iter().map(read).collect()
}

fn number(row: &impl Columns, column: &str) -> Result<i64, Fault> {
    rows::stored(rows::number(row, column)?, column)
}

fn post(row: &impl Columns) -> Result<Piece, Fault> {
    Ok(Piece::Post {
        first: number(row, "first")?,
        last: number(row, "last")?,
        hash: rows::text(row, "hash")?.to_owned(),
        text: rows::text(row, "text")?.to_owned(),
        message: row.maybe_text("message")?.map(str::to_owned),
    })
}

fn claim(row: &impl Columns) -> Result<Piece, Fault> {
    let text = |column| rows::text(row, column).map(str::to_owned);
    Ok(Piece::Claim { target: text("target")?, operation: text("operation")?, since: text("since")? })
}

fn sample(row: &impl Columns) -> Result<Piece, Fault> {
    let text = |column| rows::text(row, column).map(str::to_owned);
    Ok(Piece::Sample { operation: text("operation")?, number: number(row, "number")?, load: text("load")? })
}

/// What was read so far, with its chain proved.
#[derive(Default)]
struct Seen {
    proof: Proof,
    posts: u64,
    claims: u64,
    samples: u64,
    digest: [u8; 32],
}

impl Seen {
    fn take(&mut self, piece: &Piece) -> Result<(), Fault> {
        match piece {
            Piece::Event(event) => {
                self.proof.take(event).map_err(|wrong| Fault::Unreadable(format!("it is not in order: {wrong}")))?;
            }
            Piece::Post { .. } => self.posts += 1,
            Piece::Claim { .. } => self.claims += 1,
            Piece::Sample { .. } => self.samples += 1,
        }
        for (all, one) in self.digest.iter_mut().zip(piece.digest()) {
            *all ^= one;
        }
        Ok(())
    }

    fn finish(self) -> Contents {
        let Self { proof, posts, claims, samples, digest } = self;
        let (events, head) = proof.head();
        Contents { events, head, posts, claims, samples, digest }
    }
}
