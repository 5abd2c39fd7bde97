//! A copy of the log, to be kept elsewhere. The bot goes on meanwhile.

use std::path::Path;

use scalebot_adapters::ledger::{NotBackedUp, SqliteLedger};
use scalebot_commands::request::escaped;

use super::{ATTEMPTS, DONE, Failed, NOT_IN_ORDER, Verdict, WRONG, always_written, count};
use crate::cli::StateArgs;
use crate::state_dir::StateDir;
use crate::storage;

/// Makes it.
///
/// # Errors
/// When it could not be made; nothing of it is left then.
pub(super) async fn make(args: &StateArgs, to: &Path) -> Result<Verdict, Failed> {
    let state = &StateDir::named(args).map_err(Failed::Unusable)?;
    state.must_exist().map_err(Failed::Unusable)?;
    if let Some(settings) = storage::server(state) {
        return Err(Failed::Unusable(in_a_database(&settings.schema)));
    }
    for _ in 0..ATTEMPTS {
        let Some(ledger) = SqliteLedger::open_existing_read_only(&state.ledger()).await? else {
            return Err(Failed::Unusable(format!("not backed up: {} holds no log", state.ledger().display())));
        };
        let made = ledger.back_up(to).await;
        let moved_on = ledger.has_moved_on();
        ledger.close().await;
        match made {
            // What is read without locks while somebody begins to write may be of two states mixed.
            Err(NotBackedUp::Damaged(_)) if moved_on => {}
            Err(NotBackedUp::Damaged(why)) => return Ok(not_in_order(state, &why)),
            Err(NotBackedUp::Unusable(why)) => return Err(Failed::Unusable(format!("not backed up: {why}"))),
            Ok(made) => {
                let text = format!(
                    "Backed up to {}: {}, the last with hash {}; {} not ended.\nIt was read again there: it is whole and in \
                     order.\nKeep it where the loss of this machine does not reach it.\n",
                    to.display(),
                    count(made.events, "event", "events"),
                    made.head,
                    count(made.unfinished as u64, "operation", "operations"),
                );
                return Ok(Verdict { code: DONE, text });
            }
        }
    }
    Err(always_written(state))
}

fn not_in_order(state: &StateDir, why: &str) -> Verdict {
    let text = format!(
        "Not backed up: {}.\nKeep your earlier backups. To see from where on it is wrong:\n  scalebot ledger verify {}\n",
        escaped(why, WRONG),
        state.option()
    );
    Verdict { code: NOT_IN_ORDER, text }
}

fn in_a_database(schema: &str) -> String {
    format!(
        "not backed up: the log is kept in PostgreSQL ([ledger]), whose own tools back it up while the bot runs:\n  pg_dump \
         --format=custom --schema={schema} --file=FILE URL"
    )
}
