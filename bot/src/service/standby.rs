//! Where several processes serve one configuration, one leads and the others wait. A process that waits reads only who
//! leads: it starts no fleet, speaks to no chat and carries nothing out.

use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::ledger::{Led, Storage, StorageError, Taken};
use scalebot_commands::event::Event;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Log;
use super::watch::Seat;
use crate::state_dir::StateDir;
use crate::stop::{Asked, Stop};
use crate::storage;

/// Between two looks whether somebody leads, or whether the log can be reached.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a process does not lead.
pub(crate) enum NotLeading {
    /// It was asked to stop while it waited.
    Asked(Asked),
    /// It never can, or was not to wait; in words.
    Unusable(String),
}

/// What one try came to.
enum Tried {
    Leads(Log),
    Waits(String),
}

/// Returns once this process leads. `seen` is called with each event that it appends; whoever asks at the health endpoint
/// is told that it waits.
///
/// # Errors
/// Why it does not.
pub(crate) async fn until_leading(
    dir: &StateDir,
    seat: &Seat,
    waits: bool,
    stop: &Stop,
    seen: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<Log, NotLeading> {
    let mut stopped = std::pin::pin!(stop.requested());
    let (seen, appended) = (Arc::new(seen), Arc::new(Notify::new()));
    let hook = {
        let appended = Arc::clone(&appended);
        move |event: &Event| {
            seen(event);
            appended.notify_one();
        }
    };
    let mut opened = None;
    let mut said = String::new();
    loop {
        let tried = tokio::select! {
            biased;
            asked = &mut stopped => Err(NotLeading::Asked(asked)),
            tried = attempt(dir, &mut opened, hook.clone(), &appended) => tried,
        };
        let why = match tried {
            Ok(Tried::Leads(log)) => return Ok(log),
            Ok(Tried::Waits(why)) if waits => why,
            Ok(Tried::Waits(why)) => return Err(NotLeading::Unusable(why)),
            Err(why) => return Err(why),
        };
        if why != said {
            tracing::info!("{why}");
            said.clone_from(&why);
        }
        seat.waits(why);
        tokio::select! {
            biased;
            asked = &mut stopped => return Err(NotLeading::Asked(asked)),
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

async fn attempt(
    dir: &StateDir,
    opened: &mut Option<Arc<dyn Storage>>,
    hook: impl Fn(&Event) + Send + Sync + 'static,
    appended: &Arc<Notify>,
) -> Result<Tried, NotLeading> {
    let ledger = match opened {
        Some(ledger) => Arc::clone(ledger),
        None => match storage::open(dir, hook).await {
            Ok(ledger) => Arc::clone(opened.insert(ledger)),
            Err(error) => return away(error),
        },
    };
    // Only looked at: whoever writes is not to wait for those who wait for it.
    match ledger.leader().await {
        Ok(None) => {}
        Ok(Some(leader)) => return Ok(Tried::Waits(in_words(&leader))),
        Err(error) => return away(StorageError::Away(error.to_string())),
    }
    match ledger.lead(&storage::myself()).await {
        Ok(Taken::Ours(epoch)) => Ok(Tried::Leads(Log::led(ledger, epoch, Arc::clone(appended)))),
        Ok(Taken::Led(Led { by, .. })) => Ok(Tried::Waits(in_words(&by))),
        Err(error) => away(error),
    }
}

/// What may pass is waited for.
fn away(error: StorageError) -> Result<Tried, NotLeading> {
    match error {
        StorageError::Away(why) => Ok(Tried::Waits(format!(
            "Nothing is carried out yet: the operational log cannot be used.\n{why}.\nIt is tried again every second."
        ))),
        StorageError::Damaged(why) | StorageError::Unusable(why) => Err(NotLeading::Unusable(why)),
    }
}

fn in_words(leader: &str) -> String {
    format!("Standby: {leader} leads. This process takes over when that one ends, or does not answer for long enough.")
}
