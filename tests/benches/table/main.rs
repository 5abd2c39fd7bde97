//! `cargo bench -p scalebot-tests`: what the bot costs, in one table.
//!
//! Absolute figures are those of the machine that they were taken on. What counts is a ratio: each measure is taken
//! side by side with what it is compared with, in turns, within this run.

// A measure that meets what it did not expect should stop right there.
#![allow(clippy::unwrap_used)]

mod append;
mod audit;
mod checks;
mod drawing;
mod fleet;
mod measure;
mod parse;
mod program;
mod surroundings;
mod table;
mod verification;

use std::path::PathBuf;

use table::Table;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        // The audit runs once more in a process of its own, whose memory is its own too.
        Some(first) if first == audit::ALONE => {
            let file = PathBuf::from(arguments.next().unwrap());
            runtime().block_on(audit::alone(&file));
        }
        Some(first) if first == "--bench" => println!("{}", runtime().block_on(everything())),
        _ => println!("These are measurements, not tests: cargo bench -p scalebot-tests"),
    }
}

/// As the program's own.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

async fn everything() -> Table {
    let mut table = Table::default();
    checks::measure(&mut table).await;
    verification::measure(&mut table).await;
    append::measure(&mut table).await;
    audit::measure(&mut table).await;
    drawing::measure(&mut table).await;
    parse::measure(&mut table).await;
    program::measure(&mut table).await;
    table
}
