//! `cargo bench -p scalebot-tests`: what the bot costs, in one table.
//!
//! Absolute figures are those of the machine that they were taken on. What counts is a ratio: each measure is taken
//! side by side with what it is compared with, in turns, within this run. `-- answering` takes those of one module alone.

// A measure that meets what it did not expect should stop right there.
#![allow(clippy::unwrap_used)]

mod answering;
mod append;
mod audit;
mod checks;
mod drawing;
mod fleet;
mod grown;
mod measure;
mod parse;
mod program;
mod surroundings;
mod table;
mod verification;

use std::path::PathBuf;

use table::Table;

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match &*arguments {
        // The audit runs once more in a process of its own, whose memory is its own too.
        [first, file] if first == audit::ALONE => runtime().block_on(audit::alone(&PathBuf::from(file))),
        all if all.iter().any(|one| one == "--bench") => {
            let only = all.iter().filter_map(|one| one.to_str()).find(|one| !one.starts_with("--"));
            println!("{}", runtime().block_on(everything(only)));
        }
        _ => println!("These are measurements, not tests: cargo bench -p scalebot-tests"),
    }
}

/// As the program's own.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// All of them, or those of one module.
async fn everything(only: Option<&str>) -> Table {
    let wanted = |module: &str| only.is_none_or(|only| only == module);
    let mut table = Table::default();
    if wanted("checks") {
        checks::measure(&mut table).await;
    }
    if wanted("verification") {
        verification::measure(&mut table).await;
    }
    if wanted("append") {
        append::measure(&mut table).await;
    }
    if wanted("audit") {
        audit::measure(&mut table).await;
    }
    if wanted("drawing") {
        drawing::measure(&mut table).await;
    }
    if wanted("parse") {
        parse::measure(&mut table).await;
    }
    if wanted("program") {
        program::measure(&mut table).await;
    }
    if wanted("grown") {
        grown::measure(&mut table).await;
    }
    if wanted("answering") {
        answering::measure(&mut table).await;
    }
    table
}
