//! The command line. Exit codes: 0 done as asked, 1 ended otherwise, 2 flags, configuration or a state that cannot be
//! used, 130 interrupted.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::drill::settings::Fault;

/// Scales a fleet by its runbook, and shows its work.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the program can be asked on its command line.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read and prove the operational log
    #[command(subcommand)]
    Ledger(LedgerCommand),
    #[command(hide = true)]
    DrillWorld(WorldArgs),
    #[command(hide = true)]
    DrillInstance(InstanceArgs),
}

/// What can be asked of the operational log.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Prove that no event was changed, inserted, removed or moved, and compare with the log channel
    Verify(StateArgs),
    /// Print the log for people
    Show(StateArgs),
    /// Print the log as JSON, one event a line
    Export(StateArgs),
}

/// Which log is meant.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// The state directory of a rehearsal
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
}

/// How the rehearsal's world is started. Hidden: only `drill` uses it.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorldArgs {
    /// The state directory, which exists
    #[arg(long)]
    pub(crate) state: PathBuf,
    /// Instances at the start
    #[arg(long, default_value_t = 4)]
    pub(crate) instances: u32,
    /// Requests per second of the load generator
    #[arg(long, default_value_t = 38.0)]
    pub(crate) load: f64,
    /// Where all randomness comes from
    #[arg(long, default_value_t = 72)]
    pub(crate) seed: u64,
    /// Halted at the start
    #[arg(long)]
    pub(crate) halted: bool,
    /// What goes wrong
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
}

/// How one of the world's instances is started. Hidden: only the world uses it.
#[derive(Debug, Clone, Args)]
pub(crate) struct InstanceArgs {
    /// Its name
    #[arg(long)]
    pub(crate) name: String,
    /// The world's socket, where the shared store is
    #[arg(long)]
    pub(crate) store: PathBuf,
    /// Where all its randomness comes from
    #[arg(long)]
    pub(crate) seed: u64,
    /// What goes wrong in it
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
}
