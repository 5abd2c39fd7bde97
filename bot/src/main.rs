//! scalebot: carries out a scaling runbook and shows its work.

mod chart;
mod cli;
mod console;
mod drill;
mod ledger_command;
mod logging;
mod palette;
mod state_dir;
mod stop;
mod system;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("scalebot cannot start its threads: {error}");
            return ExitCode::from(2);
        }
    };
    runtime.block_on(async {
        match cli.command {
            cli::Command::Drill(args) => drill::command::run(args).await,
            cli::Command::Ledger(command) => ledger_command::run(command).await,
            cli::Command::DrillWorld(args) => drill::world::run(args).await,
            cli::Command::DrillInstance(args) => drill::instance::run(args).await,
        }
    })
}
