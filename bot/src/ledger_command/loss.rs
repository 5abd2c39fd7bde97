//! A log of which the newest events are lost: a person says so, on the host, and the service goes on without them.

use std::time::Duration;

use scalebot_adapters::ledger::Taken;
use scalebot_commands::outbox::Outbox;
use scalebot_commands::witness::{self, WitnessGap};
use tokio::time::timeout;

use super::{DONE, NOT_IN_ORDER, Verdict};
use crate::cli::StateArgs;
use crate::control;
use crate::drill::state::{Locked, State};
use crate::service::front;
use crate::state_dir::StateDir;
use crate::storage;
use crate::system::System;

/// How long the log channel may take for one answer.
const LIMIT: Duration = Duration::from_secs(40);

/// Puts it on record.
///
/// # Errors
/// In words, when nothing could be put on record.
pub(super) async fn accept(args: &StateArgs, reason: &str) -> Result<Verdict, String> {
    let dir = StateDir::named(args)?;
    let state = State::open(Some(dir.path()))?;
    let _lock = match state.lock()? {
        Locked::Ours(lock) => lock,
        Locked::Held(holder) => {
            let text = format!("Nothing was put on record: {holder} holds this state. Stop that process first.\n");
            return Ok(Verdict { code: NOT_IN_ORDER, text });
        }
    };
    let channel = front::log_channel(&dir)?;
    let ledger = storage::open(&dir, |_| {}).await.map_err(|error| error.to_string())?;
    let verdict = async {
        let compared = timeout(LIMIT, witness::compare(&*ledger, &*channel)).await;
        let compared = compared.map_err(|_| format!("the log channel did not answer within {} s", LIMIT.as_secs()))?;
        let Some(gap) = compared.map_err(|error| error.to_string())? else {
            let text =
                "Nothing was put on record: no event is lost that the log channel was told of last.\n".to_owned();
            return Ok(Verdict { code: NOT_IN_ORDER, text });
        };
        let world = System::new();
        let epoch = match ledger.lead(&storage::myself()).await.map_err(|error| error.to_string())? {
            Taken::Ours(epoch) => epoch,
            Taken::Led(led) => {
                let text = format!("Nothing was put on record: {} leads. Stop that process first.\n", led.by);
                return Ok(Verdict { code: NOT_IN_ORDER, text });
            }
        };
        let last = gap.newest.last;
        let said = WitnessGap { newest: gap.newest, by: control::myself(), reason: reason.to_owned() };
        let event = witness::accept(&*ledger, &world, epoch, &said).await.map_err(|error| error.to_string())?;
        let outbox = Outbox { ledger: &*ledger, posts: &*ledger, channel: &*channel, world: &world };
        let told = outbox.flush(true).await;
        let mut text = format!(
            "On record as event {}: what the log channel was told of events {0} to {last} is lost.\nLook at the fleet before \
             anything is asked for: what those events told of was done.\nThen start the service again.\n",
            event.seq
        );
        if let Err(error) = told {
            text.push_str(&format!("The log channel could not be told yet; the service tells it: {error}\n"));
        }
        Ok(Verdict { code: DONE, text })
    };
    let verdict = verdict.await;
    ledger.resign().await;
    ledger.close().await;
    verdict
}
