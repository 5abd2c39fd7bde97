//! The rehearsal's room: shows cards as text on a terminal, or in a file or a log where nobody watches.
//!
//! On a terminal a card that changes is redrawn in place while it is the last thing printed. Elsewhere nothing moves and
//! nothing is coloured, and progress is printed only when there is news. A card is always written whole, by one writer
//! at a time.

mod memory;
mod style;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod texts;
mod wrap;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scalebot_commands::card::Card;
use scalebot_commands::ports::{PortError, Slot, World};
use scalebot_commands::units::OperationId;

use self::memory::Memory;
pub(crate) use self::style::Style;
pub(crate) use self::text::text;

/// Where the text goes, and what it can do there.
pub(crate) struct Medium {
    /// What is written to.
    pub(crate) out: Box<dyn Write + Send>,
    /// The columns and rows of the terminal, asked anew for each card because a window is resized; `None` where this is
    /// no terminal that understands escape codes, and nothing is ever redrawn.
    pub(crate) size: Option<Box<dyn Fn() -> TerminalSize + Send>>,
    /// How cards look; a terminal's present width overrides this one's.
    pub(crate) style: Style,
}

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TerminalSize {
    /// Columns.
    pub(crate) columns: usize,
    /// Rows.
    pub(crate) rows: usize,
}

impl Medium {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(io::stdout(), || terminal_size::terminal_size_of(io::stdout()))
    }

    /// Standard error: for people, when standard output is for machines.
    pub(crate) fn stderr() -> Self {
        Self::of(io::stderr(), || terminal_size::terminal_size_of(io::stderr()))
    }

    fn of<W>(out: W, size: fn() -> Option<(terminal_size::Width, terminal_size::Height)>) -> Self
    where
        W: IsTerminal + Write + Send + 'static,
    {
        let variable = |name: &str| std::env::var(name).ok();
        let terminal = out.is_terminal() && variable("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        let style = Style::detect(terminal, None, variable);
        let size = move || {
            let (columns, rows) =
                size().map_or((0, 0), |(columns, rows)| (usize::from(columns.0), usize::from(rows.0)));
            // A terminal that does not tell its size says zero.
            TerminalSize { columns: if columns == 0 { 80 } else { columns }, rows: if rows == 0 { 24 } else { rows } }
        };
        Self { out: Box::new(out), size: terminal.then(|| Box::new(size) as _), style }
    }
}

/// A room on one medium. Whatever else is printed there goes through [`Console::say`] or the [`Write`] of a reference,
/// so that a card is never redrawn over it.
pub(crate) struct Console {
    world: Arc<dyn World>,
    desk: Arc<Mutex<Desk>>,
}

/// The medium, and what stands on it.
struct Desk {
    medium: Medium,
    memory: Memory,
    /// The card that the cursor stands right below.
    last: Option<Last>,
}

struct Last {
    operation: OperationId,
    slot: Slot,
    drawn: String,
}

impl Console {
    /// A room on that medium, with time from `world`.
    pub(crate) fn new(world: Arc<dyn World>, medium: Medium) -> Self {
        let desk = Desk { medium, memory: Memory::default(), last: None };
        Self { world, desk: Arc::new(Mutex::new(desk)) }
    }

    /// Prints a line that belongs to no card. Like a card it is wrapped, and stripped of what a terminal would obey.
    pub(crate) fn say(&self, line: &str) -> io::Result<()> {
        let mut desk = self.desk();
        let style = desk.style();
        let mut out = wrap::wrap(&wrap::printable(line, style.unicode), style.width).join("\n");
        out.push('\n');
        desk.print(&out)
    }

    /// Tells that the cursor was moved by somebody else: a prompt was printed, or a person has typed a line. What is on
    /// the screen then stays there.
    pub(crate) fn cursor_moved(&self) {
        self.desk().last = None;
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

/// A panic while writing leaves at worst half a card on the screen; the next one may still be shown.
fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Console {
    /// Shows a card, or shows it anew where the operation already has one in that slot.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub(crate) async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError> {
        let now = self.world.monotonic();
        let (desk, operation, card) = (Arc::clone(&self.desk), operation.clone(), card.clone());
        // A terminal that was stopped, or a pipe that nobody reads, blocks who writes to it: let that be a thread
        // whose only work this is, so that the caller's time limit still counts.
        let written = tokio::task::spawn_blocking(move || lock(&desk).show(now, &operation, slot, &card)).await;
        let unreachable = |detail| PortError::Unreachable { what: "the terminal".to_owned(), detail };
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }
}

impl Console {
    /// Prints a card that answers a question: below everything, and again when it says the same as before, because
    /// somebody has asked again.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub(crate) async fn reply(&self, card: &Card) -> Result<(), PortError> {
        let (desk, card) = (Arc::clone(&self.desk), card.clone());
        let written = tokio::task::spawn_blocking(move || {
            let mut desk = lock(&desk);
            let drawn = text(&card, desk.style());
            desk.print(&drawn)
        });
        let unreachable = |detail| PortError::Unreachable { what: "the terminal".to_owned(), detail };
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }
}

/// For what is written beside cards: log lines, for instance. Passed on as it is.
impl Write for &Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut desk = self.desk();
        desk.last = None;
        desk.medium.out.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut desk = self.desk();
        desk.last = None;
        desk.medium.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.desk().medium.out.flush()
    }
}

impl Desk {
    /// The style for what is drawn now.
    fn style(&self) -> Style {
        match &self.medium.size {
            Some(size) => self.medium.style.at_width(size().columns),
            None => self.medium.style,
        }
    }

    fn show(&mut self, now: Duration, operation: &OperationId, slot: Slot, card: &Card) -> io::Result<()> {
        let drawn = text(card, self.style());
        match self.place(operation, slot) {
            Place::Above { drawn: same, .. } if same == drawn => return Ok(()),
            // Up to the card's first line, and clear from there to the end of the screen.
            Place::Above { rows, .. } => self.print(&format!("\x1b[{rows}A\r\x1b[J{drawn}"))?,
            Place::Below => self.print(&drawn)?,
            Place::BelowIfNews if self.memory.is_news(now, operation, slot, card) => self.print(&drawn)?,
            Place::BelowIfNews => return Ok(()),
        }
        self.memory.printed(now, operation, slot, card);
        self.last = Some(Last { operation: operation.clone(), slot, drawn });
        Ok(())
    }

    /// Where a card of that slot goes.
    fn place(&self, operation: &OperationId, slot: Slot) -> Place<'_> {
        let Some(size) = self.medium.size.as_ref().map(|size| size()) else {
            return Place::BelowIfNews;
        };
        match &self.last {
            Some(last) if last.operation == *operation && last.slot == slot => {
                let rows = wrap::rows(&last.drawn, size.columns);
                // What has left the screen at its top cannot be reached any more.
                if rows < size.rows { Place::Above { rows, drawn: &last.drawn } } else { Place::BelowIfNews }
            }
            _ => Place::Below,
        }
    }

    /// Writes it in one piece. Nothing above can be redrawn from then on.
    fn print(&mut self, text: &str) -> io::Result<()> {
        self.last = None;
        self.medium.out.write_all(text.as_bytes())?;
        self.medium.out.flush()
    }
}

/// Where a card goes.
enum Place<'a> {
    /// Over the one drawn last, which takes that many rows.
    Above { rows: usize, drawn: &'a str },
    /// Below everything.
    Below,
    /// Below everything, unless it says nothing new.
    BelowIfNews,
}
