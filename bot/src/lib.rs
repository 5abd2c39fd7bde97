//! The program, as a library: `main` does nothing but call it, and what is measured or tested from outside is named
//! here.

mod chart;
mod check_command;
mod cli;
mod config;
mod console;
mod control;
mod discord;
pub mod drawing;
mod drill;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
mod ledger_command;
mod logging;
mod measures;
mod operation_command;
mod palette;
mod private_socket;
mod reception;
mod run_command;
mod service;
mod state_dir;
mod stop;
mod storage;
#[cfg(test)]
mod stories;
mod system;
#[cfg(test)]
mod testing;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

/// How long what is still under way is waited for at the end. A read of standard input cannot be broken off: without
/// this, Ctrl-C at the prompt would do nothing until Enter was pressed.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(200);

/// Does what the command line asks for; returns the exit code.
pub fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("scalebot cannot start its threads: {error}");
            return ExitCode::from(2);
        }
    };
    let code = runtime.block_on(async {
        match cli.command {
            cli::Command::Run(args) => Box::pin(run_command::run(&args.config)).await,
            cli::Command::Check(args) => check_command::run(&args.config).await,
            cli::Command::Drill(args) => drill::command::run(args).await,
            cli::Command::Ledger(command) => ledger_command::run(command).await,
            cli::Command::Operation(command) => Box::pin(operation_command::run(command)).await,
            cli::Command::Status(args) => operation_command::status(args).await,
            cli::Command::Cancel(args) => operation_command::cancel(args).await,
            cli::Command::DrillWorld(args) => drill::world::run(args).await,
            cli::Command::DrillInstance(args) => drill::instance::run(args).await,
            cli::Command::DrillReady(args) => drill::instance::tell_ready(args).await,
        }
    });
    runtime.shutdown_timeout(LAST_WORDS);
    code
}
