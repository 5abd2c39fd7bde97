//! The room of a rehearsal: cards go to the console, and whoever looks at it can see which request is open.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::ports::{PortError, Role, Room, Slot};
use scalebot_commands::units::{OperationId, Person};
use tokio::sync::watch;

use super::persona;
use crate::chart::{self, Chart};
use crate::console::Console;

/// The console, with the people of the rehearsal around it.
pub(crate) struct RehearsalRoom {
    console: Arc<Console>,
    open: watch::Sender<Option<String>>,
    latest: Mutex<Option<String>>,
    offer: watch::Sender<Option<String>>,
    /// Whether somebody types at a terminal.
    attended: bool,
    /// Where charts are kept.
    charts: PathBuf,
}

impl RehearsalRoom {
    pub(crate) fn new(console: Arc<Console>, attended: bool, charts: PathBuf) -> Self {
        let (open, offer) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { console, open, latest: Mutex::new(None), offer, attended, charts }
    }

    /// The last approval request that was put, by its digest, decided or not.
    pub(crate) fn latest_request(&self) -> Option<String> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The approval request that is open, by its digest.
    pub(crate) fn open_request(&self) -> watch::Receiver<Option<String>> {
        self.open.subscribe()
    }

    /// The offer to halt the system that is open, by its digest.
    pub(crate) fn open_offer(&self) -> watch::Receiver<Option<String>> {
        self.offer.subscribe()
    }

    /// Draws the chart and says where it is. Without a picture the card still says everything.
    async fn keep(&self, operation: &OperationId, chart: Chart) {
        let path = self.charts.join(format!("{operation}.png"));
        let file = path.clone();
        let drawn = tokio::task::spawn_blocking(move || {
            let picture = chart::draw(&chart).map_err(|error| error.to_string())?;
            let folder = file.parent().unwrap_or(&file);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&file, picture))
                .map_err(|error| error.to_string())?;
            Ok::<_, String>(chart::alt_text(&chart))
        });
        match drawn.await.map_err(|error| error.to_string()).and_then(|drawn| drawn) {
            Ok(alt_text) => self.say(&format!("Chart: {}\n{alt_text}", path.display())),
            Err(error) => self.say(&format!("The chart could not be kept in {}: {error}", path.display())),
        }
    }

    /// A person has typed something, or is asked to: what is on the screen stays there.
    pub(crate) fn cursor_moved(&self) {
        self.console.cursor_moved();
    }

    /// A line of text that belongs to no card.
    pub(crate) fn say(&self, text: &str) {
        for line in text.lines() {
            if let Err(error) = self.console.say(line) {
                tracing::warn!(%error, "the console cannot be written to");
            }
        }
    }
}

#[async_trait]
impl Room for RehearsalRoom {
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError> {
        // Before it is on the screen: who reads a question may answer it in the same instant.
        if slot == Slot::Approval {
            if card.ask.is_some() {
                self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&card.ask);
            }
            self.open.send_replace(card.ask.clone());
        }
        if slot == Slot::HaltOffer {
            self.offer.send_replace(card.ask.clone());
        }
        let shown = self.console.show(operation, slot, card).await;
        if let Some(chart) = &card.chart {
            self.keep(operation, Chart::of(chart, card.tone)).await;
        }
        shown
    }

    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        Ok(persona::standing(person, role))
    }

    fn attended(&self) -> bool {
        self.attended
    }

    async fn reply(&self, _: &Person, card: &Card) -> Result<(), PortError> {
        self.console.reply(card).await
    }

    async fn answer(&self, person: &Person, text: &str) -> Result<(), PortError> {
        self.say(&format!("(to {person} only) {text}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::OnceLock;

    use scalebot_commands::card::Tone;

    use super::*;
    use crate::console::{Medium, Style};
    use crate::system::System;

    /// What was open, each time that something came on the screen.
    #[derive(Clone, Default)]
    struct Screen {
        open: Arc<OnceLock<watch::Receiver<Option<String>>>>,
        seen: Arc<Mutex<Vec<Option<String>>>>,
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.seen.lock().unwrap().push(self.open.get().unwrap().borrow().clone());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_question_can_be_answered_as_soon_as_it_is_on_the_screen() {
        for slot in [Slot::Approval, Slot::HaltOffer] {
            let screen = Screen::default();
            let medium =
                Medium { out: Box::new(screen.clone()), size: None, style: Style::detect(false, None, |_| None) };
            let console = Console::new(Arc::new(System::new()), medium);
            let room = RehearsalRoom::new(Arc::new(console), true, PathBuf::from("never"));
            let open = if slot == Slot::Approval { room.open_request() } else { room.open_offer() };
            screen.open.set(open).unwrap();
            let asked = Card {
                tone: Tone::Warn,
                title: "Go back to 4 instances?".to_owned(),
                lines: vec![],
                rows: vec![],
                progress: None,
                ask: Some("5c1d".to_owned()),
                chart: None,
                footer: String::new(),
            };
            let operation = OperationId::new("7f3a9c");
            room.show(&operation, slot, &asked).await.unwrap();
            room.show(&operation, slot, &Card { ask: None, title: "Decided.".to_owned(), ..asked }).await.unwrap();
            assert_eq!(*screen.seen.lock().unwrap(), [Some("5c1d".to_owned()), None]);
        }
    }
}
