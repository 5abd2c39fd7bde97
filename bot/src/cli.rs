//! The command line. Exit codes: 0 done as asked, 1 ended otherwise, 2 flags, configuration or a state that cannot be
//! used, 130 interrupted.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scalebot_commands::approval::Mark;
use scalebot_commands::request::{MAX_REASON, escaped};
use secrecy::SecretString;

use crate::drill::limits::LimitArgs;
use crate::drill::settings::{Fault, FleetKind};

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
    /// Rehearse on this machine: real processes, no account and no cluster needed
    Drill(DrillArgs),
    /// Serve: carry out what people ask for in chat, until the process is told to stop
    Run(ConfigArgs),
    /// Look whether everything that a configuration names is there and lets the bot do what it has to
    Check(ConfigArgs),
    /// Read and prove the operational log
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Look at operations on this host, and free one that cannot go on, without any chat
    #[command(subcommand)]
    Operation(OperationCommand),
    /// What is under way, who carries it out, and what waits for somebody
    Status(StateArgs),
    /// Ask the operation under way to stop, without any chat
    Cancel(StateArgs),
    #[command(hide = true)]
    DrillWorld(WorldArgs),
    #[command(hide = true)]
    DrillInstance(InstanceArgs),
    #[command(hide = true)]
    DrillReady(ReadyArgs),
}

/// What a rehearsal is to be.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct DrillArgs {
    /// What the operator types, for example "/scale up 6"; without any, lines are read from standard input
    #[arg(value_name = "COMMAND")]
    pub(crate) commands: Vec<String>,
    /// Instances at the start
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) instances: u32,
    /// What the instances are; containers take a Docker engine on this machine
    #[arg(long, value_enum, value_name = "KIND", default_value = "process")]
    pub(crate) fleet: FleetKind,
    /// Requests per second of the load generator
    #[arg(long, value_name = "RPS", default_value_t = 38.0, value_parser = load)]
    pub(crate) load: f64,
    /// Begin in a halt, by both sources of truth
    #[arg(long)]
    pub(crate) halted: bool,
    /// The governance lead approves whatever is asked
    #[arg(long, conflicts_with = "reject")]
    pub(crate) approve: bool,
    /// The governance lead rejects whatever is asked
    #[arg(long)]
    pub(crate) reject: bool,
    /// How long the governance lead has to decide
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = length_of_time)]
    pub(crate) approval_timeout: Duration,
    /// How long the fleet is watched afterwards (a service watches for 15 min)
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = length_of_time)]
    pub(crate) monitor: Duration,
    /// What goes wrong
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
    /// How it is known whether new instances reach their keys: they are asked, or an operator gives their word
    #[arg(long, value_enum, default_value = "probe")]
    pub(crate) keys: Keys,
    /// A dashboard to show on the precheck; may be given several times
    #[arg(long, value_name = "URL")]
    pub(crate) dashboard: Vec<String>,
    /// Real systems to use: postgres=URL,redis=URL,prometheus=URL,targets=FILE (where that Prometheus finds the instances)
    #[arg(long, value_name = "SYSTEM=URL,…", value_delimiter = ',', value_parser = real_system)]
    pub(crate) with: Vec<SecretString>,
    /// Where everything is kept; a drill that was killed goes on there
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Print every event as JSON on standard output; what people read goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Where all of the world's randomness comes from
    #[arg(long, default_value_t = 72)]
    pub(crate) seed: u64,
    /// How long every role that is told of something has to acknowledge it, instead of the runbook's times
    #[arg(long, hide = true, value_name = "TIME", value_parser = length_of_time)]
    pub(crate) acknowledge_within: Option<Duration>,
    /// Scalings are proposed also where nobody types at a terminal
    #[arg(long, hide = true)]
    pub(crate) propose: bool,
    /// What would be proposed because the fleet is too slow is begun without being asked
    #[arg(long, hide = true)]
    pub(crate) by_itself: bool,
    /// Limits that differ from a rehearsal's own
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// How it is known whether new instances reach their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Keys {
    /// Each instance is asked
    Probe,
    /// An operator attests it
    Attest,
}

impl DrillArgs {
    /// A rehearsal in that state with no command, and nobody who decides by himself: it only carries on what is there.
    ///
    /// # Errors
    /// When a rehearsal cannot be started with nothing but a state.
    pub(crate) fn resuming(state: &Path) -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            args: DrillArgs,
        }
        let state = Some(state.to_owned());
        Alone::try_parse_from(["drill"]).map(|alone| Self { state, ..alone.args })
    }

    /// Whether somebody types at a terminal while it runs.
    pub(crate) fn is_attended(&self) -> bool {
        self.commands.is_empty() && std::io::stdin().is_terminal()
    }

    /// What the governance lead does without being asked, where the command line says so.
    pub(crate) fn vote(&self) -> Option<Mark> {
        match (self.approve, self.reject) {
            (true, _) => Some(Mark::Approve),
            (_, true) => Some(Mark::Reject),
            _ => None,
        }
    }
}

/// Reads "90s", "15m", "1h", "500ms", or several of them: "1m30s".
pub(crate) fn length_of_time(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_hours(24);
    let form = || "write it as 90s, 15m, 1h or 1m30s".to_owned();
    let mut rest = text;
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).ok_or_else(form)?;
        let unit =
            rest[digits..].find(|character: char| character.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let number: u32 = rest[..digits].parse().map_err(|_| form())?;
        whole += match &rest[digits..unit] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(form()),
        } * number;
        rest = &rest[unit..];
    }
    if whole.is_zero() || whole > LONGEST {
        return Err("it must be more than nothing and at most 24h".to_owned());
    }
    Ok(whole)
}

/// Takes whatever it is: what is wrong with it must not be said here, where it would be repeated with its password.
#[expect(clippy::unnecessary_wraps, reason = "what clap asks for")]
fn real_system(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text))
}

/// Reads a number of requests per second.
fn load(text: &str) -> Result<f64, String> {
    let load: f64 = text.parse().map_err(|_| "write a number, for example 38".to_owned())?;
    if (0.0..=10_000.0).contains(&load) { Ok(load) } else { Err("it must be from 0 to 10000".to_owned()) }
}

/// What can be asked of the operational log.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Prove that no event was changed, inserted, removed or moved, and compare with the log channel
    Verify(StateArgs),
    /// Copy the log into a new file and prove the copy, also while the bot runs
    Backup {
        #[command(flatten)]
        state: StateArgs,
        /// The file to make; one that exists is left as it is
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Put on record that events are lost which the log channel was told of, so that the service goes on without them
    AcceptLoss {
        #[command(flatten)]
        state: StateArgs,
        /// Why, for whoever reads the log later
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Move the log of a service to the PostgreSQL that its configuration names, or back into its state directory
    Move {
        #[command(flatten)]
        service: ConfigArgs,
        /// Where to
        #[arg(long, value_enum)]
        to: Destination,
    },
    /// Print the log for people
    Show(StateArgs),
    /// Print the log as JSON, one event a line
    Export(StateArgs),
}

/// Where a log is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Destination {
    /// The PostgreSQL that the configuration names
    Postgres,
    /// A file in the state directory
    Sqlite,
}

/// What can be asked about operations.
#[derive(Debug, Subcommand)]
pub(crate) enum OperationCommand {
    /// What is unfinished, then the last that ended
    List(StateArgs),
    /// Everything that is on record of one operation, and what can be done about it
    Show {
        #[command(flatten)]
        one: OperationArgs,
    },
    /// Carry an unfinished operation on
    Resume {
        #[command(flatten)]
        one: OperationArgs,
    },
    /// Give up an operation that cannot go on: its fleet is free again, and left as it is
    Abandon {
        #[command(flatten)]
        one: OperationArgs,
        /// Why, for whoever reads the log later
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

/// Which operation is meant, and where it is.
#[derive(Debug, Args)]
pub(crate) struct OperationArgs {
    /// The operation: its identifier, or the last characters of it, at least four
    #[arg(value_name = "ID", value_parser = identifier)]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// Reads an operation's identifier, or the end of one.
fn identifier(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
    if !plain || !(4..=64).contains(&text.len()) {
        return Err("write the identifier, or at least its last four characters, as operation list shows it".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a reason as it is kept: one line, with nothing in it that acts on a screen.
fn reason(text: &str) -> Result<String, String> {
    let plain = escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_REASON + 1);
    match plain.chars().count() {
        0 => Err("say why, in a few words".to_owned()),
        1..=MAX_REASON => Ok(plain),
        _ => Err(format!("it has at most {MAX_REASON} characters")),
    }
}

/// Which state is meant: the one place where it is said how.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct StateArgs {
    /// The state directory of a rehearsal
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// The configuration of a service
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which service is meant.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration: deploy/scalebot.example.toml holds every key
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
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
    /// What the instances are
    #[arg(long, value_enum, default_value = "process")]
    pub(crate) fleet: FleetKind,
    /// The socket of the engine on which they are containers
    #[arg(long, value_name = "SOCKET", required_if_eq_any([("fleet", "compose"), ("fleet", "swarm")]))]
    pub(crate) engine: Option<PathBuf>,
}

/// How one of the world's instances is started. Hidden: the world uses it, and whoever tries the bot on pods of a cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct InstanceArgs {
    /// Its name
    #[arg(long)]
    pub(crate) name: String,
    /// The world's socket, where the shared store is
    #[arg(long, required_unless_present = "alone", conflicts_with = "alone")]
    pub(crate) store: Option<PathBuf>,
    /// Serves there without any world, from a store of its own that is the same in all that are alone
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) alone: Option<SocketAddr>,
    /// Serves there, and lives for as long as something answers at the world's socket: in a container of the world
    #[arg(long, value_name = "ADDRESS:PORT", requires = "store")]
    pub(crate) contained: Option<SocketAddr>,
    /// Where all its randomness comes from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What goes wrong in it
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
    /// It goes wrong only where this file is there when it begins
    #[arg(long, value_name = "FILE", requires = "fault")]
    pub(crate) fault_if: Option<PathBuf>,
}

/// Which instance is asked whether it is ready. Hidden: a container's engine uses it, which has nothing else to ask with.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadyArgs {
    /// Where it listens
    pub(crate) address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_read_with_its_units_and_nothing_else_is() {
        let seconds = |text: &str| length_of_time(text).map(|length| length.as_secs_f64());
        assert_eq!(seconds("90s"), Ok(90.0));
        assert_eq!(seconds("1m30s"), Ok(90.0));
        assert_eq!(seconds("500ms"), Ok(0.5));
        for wrong in ["", "15", "m", "-1s", "1d", "0s", "99999999999s", "25h", "1m30", "٣s", "4294967295h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reason_is_one_plain_line_and_never_nothing() {
        assert_eq!(reason(" it \n hangs\u{202e} ").as_deref(), Ok(r"it hangs\u{202e}"));
        assert!(reason(&"w".repeat(MAX_REASON)).is_ok());
        for wrong in ["", " \n", &"w".repeat(MAX_REASON + 1), &"\u{7}".repeat(MAX_REASON / 3)] {
            assert!(reason(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_identifier_is_plain_and_long_enough_to_mean_one() {
        assert!(identifier("019b9b3a-7f3a-7000-8000-0000007f3a01").is_ok() && identifier("3a01").is_ok());
        for wrong in ["", "a01", "7f3 01", "../..", "7f3a\u{202e}01", &"a".repeat(65)] {
            assert!(identifier(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rehearsal_is_resumed_with_nothing_but_its_state() {
        let args = DrillArgs::resuming(Path::new("/state")).unwrap();
        assert_eq!((args.state.as_deref(), args.commands.len()), (Some(Path::new("/state")), 0));
        assert_eq!(args.vote(), None);
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
