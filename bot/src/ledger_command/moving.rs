//! A service's log, moved from its state directory to the PostgreSQL that its configuration names, or back.

use std::sync::Arc;

use scalebot_adapters::ledger::postgres::Settings;
use scalebot_adapters::ledger::{Contents, NotMoved, PostgresLedger, SqliteLedger, Storage as _, move_log};
use scalebot_commands::ports::World as _;

use super::{DONE, NOT_IN_ORDER, Verdict, count};
use crate::cli::{ConfigArgs, Destination};
use crate::config::Config;
use crate::drill::state::{Locked, State};
use crate::run_command;
use crate::state_dir::StateDir;
use crate::system::System;

/// Moves it.
///
/// # Errors
/// In words, when either cannot be used; nothing was moved then.
pub(super) async fn carry_out(service: &ConfigArgs, to: Destination) -> Result<Verdict, String> {
    let config = Arc::new(Config::load(&service.config)?);
    let dir = StateDir::of_service(Arc::clone(&config));
    let Some(settings) = &config.sections.ledger else {
        return Err("The configuration names no PostgreSQL: describe it in [ledger].".to_owned());
    };
    let state = State::open(Some(dir.path()))?;
    let _lock = match state.lock()? {
        Locked::Ours(lock) => lock,
        Locked::Held(holder) => {
            let text = format!("Nothing was moved: {holder} uses {}. Stop it first.\n", dir.path().display());
            return Ok(Verdict { code: NOT_IN_ORDER, text });
        }
    };
    run_command::mark(&dir)?;
    match to {
        Destination::Postgres => to_postgres(&dir, settings).await,
        Destination::Sqlite => to_file(&dir, settings).await,
    }
}

async fn to_postgres(dir: &StateDir, settings: &Settings) -> Result<Verdict, String> {
    // Looked at first: opening it would make it.
    let Some(file) = SqliteLedger::open_existing_read_only(&dir.ledger()).await.map_err(|error| error.to_string())?
    else {
        return Err(format!("Nothing was moved: {} holds no log.", dir.ledger().display()));
    };
    file.close().await;
    let source = SqliteLedger::open(&dir.ledger()).await.map_err(|error| error.to_string())?;
    let moved = match PostgresLedger::open(settings).await {
        Ok(target) => {
            let moved = move_log(&source, &target, System::new().now()).await;
            let place = target.place();
            target.close().await;
            Ok((moved, place))
        }
        Err(error) => Err(error.to_string()),
    };
    source.close().await;
    let (moved, place) = moved?;
    let next = "The file stays as it is, to be read; no bot begins on it any more.\nStart the service.";
    Ok(said(moved, &place, next))
}

async fn to_file(dir: &StateDir, settings: &Settings) -> Result<Verdict, String> {
    let source = PostgresLedger::open(settings).await.map_err(|error| error.to_string())?;
    let moved = match SqliteLedger::open(&dir.ledger()).await {
        Ok(target) => {
            let moved = move_log(&source, &target, System::new().now()).await;
            target.close().await;
            Ok(moved)
        }
        Err(error) => Err(error.to_string()),
    };
    source.close().await;
    let moved = moved?;
    let next = "What is in PostgreSQL stays as it is, to be read; no bot begins on it any more.\nTake [ledger] out of the \
                configuration, then start the service.";
    Ok(said(moved, &dir.ledger().display().to_string(), next))
}

fn said(moved: Result<Contents, NotMoved>, place: &str, next: &str) -> Verdict {
    let (code, text) = match moved {
        Ok(Contents { events: 0, .. }) => (DONE, format!("The log was moved to {place}; it holds no event.\n{next}\n")),
        Ok(Contents { events, head, posts, claims, samples, .. }) => (
            DONE,
            format!(
                "The log was moved to {place}: {}, the last with hash {head}.\nWith it: {}, {}, {}.\nIt was read there again \
                 and is the same to the last byte.\n{next}\n",
                count(events, "event", "events"),
                count(posts, "post", "posts"),
                count(claims, "operation that is not finished", "operations that are not finished"),
                count(samples, "sample", "samples"),
            ),
        ),
        Err(NotMoved::Refused(why)) => (NOT_IN_ORDER, format!("Nothing was moved: {why}.\n")),
        Err(NotMoved::BrokenOff(why)) => (
            NOT_IN_ORDER,
            format!(
                "The move was broken off: {why}.\nNo bot begins on either until it is carried out again: type the same once \
                 more.\n"
            ),
        ),
    };
    Verdict { code, text }
}
