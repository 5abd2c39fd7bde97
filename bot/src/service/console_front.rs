//! The front of a service without a chat system: standard input and output, and the people of a rehearsal. It is for
//! trying a configuration out: whoever types there may speak as anybody, so a configuration with another fleet is refused without `[discord]`.

use std::io::{ErrorKind, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use scalebot_adapters::transcript::Transcript;
use scalebot_commands::approval::{Ballot, Mark, Standing};
use scalebot_commands::card::Card;
use scalebot_commands::journal::{PersonsAnswer, Signal};
use scalebot_commands::ports::{LogChannel, PortError, Role, Room, Slot};
use scalebot_commands::request::{self, Request};
use scalebot_commands::units::{OperationId, Person, TargetName};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

use super::front::{Front, Left};
use crate::console::Console;
use crate::drill::persona::{self, Line, Said};
use crate::drill::room::RehearsalRoom;
use crate::reception::{Reception, Reply};
use crate::state_dir::StateDir;

/// Standard input and output.
pub(super) struct ConsoleFront {
    room: Arc<ConsoleRoom>,
    channel: Arc<Transcript>,
}

/// The console, and what is asked there.
struct ConsoleRoom {
    room: RehearsalRoom,
    /// What was asked, latest last: the operation, where, and the request's digest as long as it is open.
    asked: Mutex<Vec<(OperationId, Slot, Option<String>)>>,
}

impl ConsoleFront {
    pub(super) fn new(console: Arc<Console>, dir: &StateDir) -> Self {
        let room = RehearsalRoom::new(console, std::io::stdin().is_terminal(), dir.charts());
        let room = Arc::new(ConsoleRoom { room, asked: Mutex::default() });
        Self { room, channel: Arc::new(Transcript::new(dir.transcript())) }
    }
}

#[async_trait]
impl Front for ConsoleFront {
    fn room(&self) -> Arc<dyn Room> {
        Arc::clone(&self.room) as _
    }

    fn log_channel(&self) -> Arc<dyn LogChannel> {
        Arc::clone(&self.channel) as _
    }

    async fn serve(&self, reception: Arc<dyn Reception>) -> Left {
        let targets = reception.targets();
        let targets: Vec<_> = targets.iter().map(TargetName::as_str).collect();
        self.room.room.say("No chat is configured: type here, as in a rehearsal. help shows what can be typed.");
        self.room.room.say(&format!("Fleets: {}.", targets.join(", ")));
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        // Ends with this, and what is being answered with it.
        let mut answering = JoinSet::new();
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line,
                Some(_) = answering.join_next(), if !answering.is_empty() => continue,
            };
            let line = match line {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    self.room.room.say("That line is no text in UTF-8, so it was left out.");
                    continue;
                }
                Err(error) => return Left::Failed(format!("Standard input cannot be read any more: {error}.")),
            };
            self.room.room.cursor_moved();
            let Line { by, said } = persona::read(&line);
            if said == Said::Quit {
                return Left::Asked;
            }
            // What is typed next does not wait for the answer.
            let (room, reception) = (Arc::clone(&self.room), Arc::clone(&reception));
            answering.spawn(async move { room.hear(&*reception, by, said).await });
        }
        while answering.join_next().await.is_some() {}
        // Nobody types any more; what is under way goes on.
        std::future::pending().await
    }

    fn is_reached(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ConsoleRoom {
    async fn hear(&self, reception: &dyn Reception, by: Person, said: Said) {
        let mut is_help = false;
        let reply = match said {
            Said::Nothing | Said::Quit => return,
            Said::Command(text) => match request::parse(&text) {
                Ok(request) => {
                    is_help = request == Request::Help;
                    reception.command(request, by.clone()).await
                }
                Err(no_command) => Reply::Refused(no_command.to_string()),
            },
            Said::Cancel => reception.command(Request::Cancel { target: None }, by.clone()).await,
            Said::Acknowledge(number) => reception.acknowledge(number, by.clone()).await,
            Said::Start => reception.start_proposed(by.clone()).await,
            Said::Dismiss => reception.dismiss_proposed(by.clone()).await,
            said => match self.signal(reception, &by, said) {
                Some((operation, signal)) => reception.signal(&operation, signal).await,
                None => Reply::Refused("Nobody is asked that now. Type help to see what can be typed.".to_owned()),
            },
        };
        match reply {
            Reply::Card(card) => {
                if let Err(error) = self.room.reply(&by, &card).await {
                    tracing::warn!(%error, "an answer could not be shown");
                }
                if is_help {
                    self.room.say(persona::HELP);
                }
            }
            Reply::Opened { text, .. } | Reply::Taken(text) | Reply::Refused(text) => self.room.say(&text),
        }
    }

    /// What was said, for the operation that it answers.
    fn signal(&self, reception: &dyn Reception, by: &Person, said: Said) -> Option<(OperationId, Signal)> {
        let ballot = |mark, request, reason: Option<String>| Ballot {
            by: by.clone(),
            mark,
            request,
            reason: reason.as_deref().map(bounded),
        };
        let answer = |text: &str| PersonsAnswer { by: by.clone(), text: bounded(text) };
        Some(match said {
            Said::Vote(mark, reason) => {
                let (operation, request) = self.request(Slot::Approval)?;
                (operation, Signal::Cast(ballot(mark, request, reason)))
            }
            Said::Withdraw => {
                let (operation, request) = self.request(Slot::Approval)?;
                (operation, Signal::Withdrawn(ballot(Mark::Approve, request, None)))
            }
            Said::Halt(halt) => {
                let (operation, request) = self.request(Slot::HaltOffer)?;
                let mark = if halt { Mark::Approve } else { Mark::Reject };
                (operation, Signal::Cast(ballot(mark, request, None)))
            }
            Said::Reason(text) => (self.questioned(reception)?, Signal::Reason(answer(&text))),
            Said::Attest(text) => (self.questioned(reception)?, Signal::Attest(answer(&text))),
            _ => return None,
        })
    }

    /// The latest request that was put there. One that is decided is named as well: it can still be taken back.
    fn request(&self, wanted: Slot) -> Option<(OperationId, String)> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = asked.iter().rev().find(|(_, slot, ask)| *slot == wanted && ask.is_some())?;
        Some((latest.0.clone(), latest.2.clone()?))
    }

    /// The operation that asked something last, among those that are under way.
    fn questioned(&self, reception: &dyn Reception) -> Option<OperationId> {
        let under_way = reception.under_way();
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let latest =
            asked.iter().rev().find(|(operation, slot, _)| *slot == Slot::Question && under_way.contains(operation));
        latest.map(|(operation, ..)| operation.clone())
    }
}

#[async_trait]
impl Room for ConsoleRoom {
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError> {
        if matches!(slot, Slot::Approval | Slot::HaltOffer | Slot::Question) {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let before = asked.iter().position(|(one, at, _)| one == operation && *at == slot);
            let known = before.and_then(|at| asked.remove(at).2);
            // The card of a decided request no longer asks; what it asked can still be taken back.
            asked.push((operation.clone(), slot, card.ask.clone().or(known)));
        }
        if slot == Slot::Summary {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).retain(|(one, ..)| one != operation);
        }
        self.room.show(operation, slot, card).await
    }

    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        self.room.standing(person, role).await
    }

    fn attended(&self) -> bool {
        self.room.attended()
    }

    async fn answer(&self, person: &Person, text: &str) -> Result<(), PortError> {
        self.room.answer(person, text).await
    }

    async fn reply(&self, person: &Person, card: &Card) -> Result<(), PortError> {
        self.room.reply(person, card).await
    }
}

/// What somebody says for the record, as long as a reason may be and with nothing in it that acts on a screen.
fn bounded(text: &str) -> String {
    request::escaped(text, request::MAX_REASON)
}
