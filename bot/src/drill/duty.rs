//! The duty in a rehearsal: it goes on at the prompt and while operations run, and hears what people say to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::channel::mpsc;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::duty::{Answer, Begin, Duty, DutyError, Start};
use scalebot_commands::policy::{Policy, Trigger};
use scalebot_commands::ports::{PortError, Ports, Role, Room, Slot};
use scalebot_commands::units::{Epoch, OperationId, Person};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::persona::{Line, Said};
use super::room::RehearsalRoom;
use crate::cli::DrillArgs;

/// What stands before the line that is typed next.
pub(super) const PROMPT: &str = "operator> ";

/// What the command line says about the duty.
pub(super) fn set(policy: &mut Policy, args: &DrillArgs) {
    if let Some(within) = args.acknowledge_within {
        let rules = &mut policy.escalation;
        (rules.high, rules.medium, rules.critical_again) = (within, within, within);
    }
    if args.by_itself {
        policy.triggers.by_itself = vec![Trigger::Latency];
    }
}

/// What comes next while nothing is under way.
pub(super) enum Next {
    /// Somebody has said something.
    Line(Line),
    /// Policy lets the bot begin something by itself.
    Begun(Begin),
}

/// The duty, under way.
pub(super) struct OnDuty {
    duty: Arc<Duty>,
    begun: Mutex<mpsc::UnboundedReceiver<Begin>>,
    room: Arc<RehearsalRoom>,
    prompting: Arc<AtomicBool>,
}

impl OnDuty {
    /// Begins it, as a task that ends when it is aborted or another process takes over.
    pub(super) fn begin(
        ports: &Ports,
        policy: &Policy,
        epoch: Epoch,
        room: &Arc<RehearsalRoom>,
        proposes: bool,
    ) -> (Self, JoinHandle<()>) {
        let prompting = Arc::new(AtomicBool::new(false));
        let beside = BesidePrompt { room: Arc::clone(room), prompting: Arc::clone(&prompting) };
        let ports = Ports { room: Arc::new(beside), ..ports.clone() };
        let (duty, begun) = Duty::new(ports, policy.clone(), epoch, proposes);
        let duty = Arc::new(duty);
        let task = tokio::spawn({
            let duty = Arc::clone(&duty);
            async move {
                let why = duty.run().await;
                tracing::warn!(%why, "another process is on duty now");
            }
        });
        (Self { duty, begun: Mutex::new(begun), room: Arc::clone(room), prompting }, task)
    }

    /// A line is asked for.
    pub(super) fn prompted(&self) {
        self.prompting.store(true, Ordering::SeqCst);
    }

    /// The next line, or what is begun by itself meanwhile.
    pub(super) async fn or_begun(&self, next: impl Future<Output = Option<Line>>) -> Option<Next> {
        let mut begun = self.begun.lock().await;
        let next = tokio::select! {
            biased;
            line = next => line.map(Next::Line),
            Some(by_itself) = begun.next() => Some(Next::Begun(by_itself)),
        };
        self.prompting.store(false, Ordering::SeqCst);
        next
    }

    /// Does what is said to the duty, and returns what is left of the line: nothing, or the command that it stands for.
    pub(super) async fn hear(&self, line: Line, as_asked: &mut bool) -> Line {
        let Line { by, said } = line;
        let heard = match &said {
            Said::Acknowledge(number) => self.duty.acknowledge(*number, &by).await,
            Said::Dismiss => self.duty.dismiss(&by).await,
            Said::Start => match self.duty.start(&by).await {
                Ok(Start::Command(command)) => return Line { by, said: Said::Command(command) },
                Ok(Start::Refused(why)) => Ok(Answer::Refused(why)),
                Err(error) => Err(error),
            },
            _ => return Line { by, said },
        };
        *as_asked &= matches!(heard, Ok(Answer::Done(_)));
        match heard {
            // The card says it.
            Ok(Answer::Done(_)) => {}
            Ok(Answer::Refused(text)) => self.room.say(&text),
            Err(error @ (DutyError::Fenced(_) | DutyError::Ledger(_))) => {
                self.room.say(&format!(
                    "That could not be recorded: {error}.\nLook whether it was done, then say it again."
                ));
            }
        }
        Line { by, said: Said::Nothing }
    }

    /// Says which escalations nobody has acknowledged.
    pub(super) async fn say_what_is_open(&self) {
        match self.duty.open().await {
            Ok(open) => {
                for one in open {
                    self.room.say(&format!(
                        "Escalation {} is not acknowledged: {}, {}. The {} was told last. It stays open in the log.",
                        one.escalation,
                        one.severity.words(),
                        one.condition.words(),
                        one.to.words()
                    ));
                }
            }
            Err(error) => self.room.say(&format!("Whether an escalation is open cannot be told: {error}.")),
        }
    }
}

/// The room as the duty sees it: what it shows comes unasked, so that the prompt is printed anew below it.
struct BesidePrompt {
    room: Arc<RehearsalRoom>,
    prompting: Arc<AtomicBool>,
}

#[async_trait]
impl Room for BesidePrompt {
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError> {
        let prompting = self.prompting.load(Ordering::SeqCst);
        if prompting {
            eprintln!();
            self.room.cursor_moved();
        }
        let shown = self.room.show(operation, slot, card).await;
        if prompting {
            self.room.cursor_moved();
            eprint!("{PROMPT}");
        }
        shown
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

#[cfg(test)]
mod tests;
