//! Before anything is carried out: does the log channel hold a post that this log lacks? Then an older log was put back,
//! or another bot posts there, and whoever went on might do again what is done. A person decides, on the host. As long as
//! the channel cannot be read it is not known, and nothing is carried out either; whoever asks for something is told why.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use scalebot_commands::journal::Signal;
use scalebot_commands::request::Request;
use scalebot_commands::units::{OperationId, Person, TargetName};
use scalebot_commands::witness::{self, Gap};
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::front::{Front, Left};
use super::watch::Watch;
use super::{End, Service};
use crate::reception::{Reception, Reply};
use crate::stop::Stop;

/// How long one look at the channel may take.
const LOOK: Duration = Duration::from_secs(40);

/// How long is waited until it is looked again: the first time, and at most.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_AT_MOST: Duration = Duration::from_mins(1);

/// Between two signs of life.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// Returns once the log and its witness agree.
///
/// # Errors
/// Why the process stops before they do.
pub(crate) async fn until_witnessed(
    service: &Service,
    front: &dyn Front,
    watch: &Watch,
    option: &str,
    stop: &Stop,
) -> Result<(), End> {
    let mut stopped = std::pin::pin!(stop.requested());
    let first = tokio::select! {
        biased;
        asked = &mut stopped => return Err(End::Asked(asked)),
        looked = look(service) => looked,
    };
    let mut why = match first {
        Looked::Agrees => return Ok(()),
        otherwise => otherwise,
    };
    let held = Arc::new(Held { why: Mutex::default(), targets: service.names().to_vec() });
    let mut serving = std::pin::pin!(front.serve(Arc::clone(&held) as _));
    let mut sign = interval(SIGN_EVERY);
    let mut pause = AGAIN;
    loop {
        let text = match &why {
            Looked::Agrees => {
                watch.hold(None);
                tracing::info!("the log channel could be read, and the log agrees with it");
                return Ok(());
            }
            Looked::Gap(gap) => in_words(gap, option),
            Looked::Unknown(error) => format!(
                "Nothing is carried out yet: the log channel cannot be read, so that it is not known whether this log is \
                 the last one.\nIt is tried again. {error}"
            ),
        };
        tracing::error!("{text}");
        watch.hold(Some(text.clone()));
        held.say(text);
        let mut again = std::pin::pin!(look_at(Instant::now() + pause, service));
        pause = (pause * 2).min(AGAIN_AT_MOST);
        loop {
            tokio::select! {
                biased;
                asked = &mut stopped => return Err(End::Asked(asked)),
                _ = sign.tick() => watch.sign(),
                left = &mut serving => return Err(match left {
                    Left::Asked => End::Done,
                    Left::Failed(why) => End::NoFront(why),
                }),
                // What a person has to decide does not change by looking again.
                looked = &mut again, if matches!(why, Looked::Unknown(_)) => {
                    why = looked;
                    break;
                }
            }
        }
    }
}

/// Looks once.
///
/// # Errors
/// In words, where the log and its witness do not agree, or where that cannot be found out.
pub(crate) async fn is_witnessed(service: &Service, option: &str) -> Result<(), String> {
    match look(service).await {
        Looked::Agrees => Ok(()),
        Looked::Gap(gap) => Err(in_words(&gap, option)),
        Looked::Unknown(error) => Err(format!(
            "Nothing is carried out: the log channel cannot be read, so that it is not known whether this log is the last \
             one.\n{error}"
        )),
    }
}

/// What one look came to.
enum Looked {
    Agrees,
    Gap(Gap),
    Unknown(String),
}

/// Looks at that time.
async fn look_at(then: Instant, service: &Service) -> Looked {
    sleep_until(then).await;
    look(service).await
}

async fn look(service: &Service) -> Looked {
    match timeout(LOOK, witness::compare(&*service.log().ledger, service.log_channel())).await {
        Ok(Ok(None)) => Looked::Agrees,
        Ok(Ok(Some(gap))) => Looked::Gap(gap),
        Ok(Err(error)) => Looked::Unknown(error.to_string()),
        Err(_) => Looked::Unknown(format!("There was no answer within {} s.", LOOK.as_secs())),
    }
}

/// What whoever asks for something is told, and who runs it; `option` is how the service is named on a command line.
pub(crate) fn in_words(gap: &Gap, option: &str) -> String {
    format!(
        "Nothing is carried out: {gap}.\nAn older log was put back, or another bot posts there; what is done already could \
         be done again.\nOn the bot's machine, with the bot stopped, put the newer log back. If it is lost:\n  scalebot \
         ledger accept-loss --reason \"…\" {option}"
    )
}

/// Refuses everything, and says why.
struct Held {
    why: Mutex<String>,
    targets: Vec<TargetName>,
}

impl Held {
    fn say(&self, why: String) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn refused(&self) -> Reply {
        Reply::Refused(self.why.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[async_trait]
impl Reception for Held {
    async fn command(&self, _: Request, _: Person) -> Reply {
        self.refused()
    }

    async fn signal(&self, _: &OperationId, _: Signal) -> Reply {
        self.refused()
    }

    async fn acknowledge(&self, _: Option<u64>, _: Person) -> Reply {
        self.refused()
    }

    async fn start_proposed(&self, _: Person) -> Reply {
        self.refused()
    }

    async fn dismiss_proposed(&self, _: Person) -> Reply {
        self.refused()
    }

    fn targets(&self) -> Vec<TargetName> {
        self.targets.clone()
    }

    fn under_way(&self) -> Vec<OperationId> {
        Vec::new()
    }
}
