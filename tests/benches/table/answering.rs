//! How soon somebody in a Discord server is answered, and what memory that takes: `scalebot run` beside a bare bot of the
//! serenity library that only acknowledges, each with a double of Discord of its own, in turns.
//!
//! `SCALEBOT_BIN` names the program; the bare bot is an example of this crate, built with the same profile as this bench.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use scalebot_tests::discord::{Discord, Scene};
use scalebot_tests::run::Service;

use super::measure::{Pair, median};
use super::program::{Memory, mib};
use super::table::{Aim, Row, Table, time};

/// Rounds that count, after one that does not.
const ROUNDS: usize = 9;
/// Commands in a round, where each waits for the answer to the one before.
const ONE_BY_ONE: usize = 100;
/// Between two of these, for both alike: whoever is asked again at once still has everything at hand, and a bot that only
/// acknowledges could be asked sooner.
const EVERY: Duration = Duration::from_millis(50);
/// Commands at once.
const AT_ONCE: usize = 200;
/// Starts that count, after one that does not.
const STARTS: usize = 7;
/// How often the memory of a process that waits is looked at, and how long between two looks.
const LOOKS: usize = 50;
const LOOK: Duration = Duration::from_millis(20);
/// How long the double waits for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is asked. It changes nothing, and the bot has to look at its whole fleet for it.
const ASKED: &str = "status";

pub(crate) async fn measure(table: &mut Table) {
    let skipped = |figure: &str| Row {
        measure: "answering in a Discord server".to_owned(),
        figure: figure.to_owned(),
        compared: "–".to_owned(),
        ratio: None,
        aim: Aim::Skipped,
    };
    if std::env::var_os("SCALEBOT_BIN").is_none() {
        return table.add(skipped("SCALEBOT_BIN names no release build"));
    }
    let Some(program) = Bare::program() else {
        return table.add(skipped("the example bare_bot is not built"));
    };
    let (ours, bare) = (double(), double());
    let service = Service::in_discord(&ours, "", "");
    // The rehearsal's fleet is not measured here, and should not take the machine from both.
    let text = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(service.config(), text.replace("kind = \"process\"\n", "kind = \"process\"\nload = 2.0\n")).unwrap();

    let serving = service.start_ready();
    let other = Bare::start(&program, &bare);
    ours.until_registered("scale").await;
    bare.until_registered("scale").await;
    let idle = (resting(serving.pid()), resting(other.0.id()));
    one_by_one(table, &ours, &bare).await;
    at_once(table, &ours, &bare).await;
    let busy = (Memory::of(serving.pid()).unwrap(), Memory::of(other.0.id()).unwrap());
    memory(table, "memory of `scalebot run`, idle", idle, Some(40.0));
    let at_most = (busy.0.peak, busy.1.peak);
    memory(table, &format!("the most that it ever was, with {AT_ONCE} commands at once"), at_most, Some(64.0));
    memory(table, "what is left of it afterwards", (busy.0.resident, busy.1.resident), None);
    assert_eq!(serving.stop(), Some(0));
    drop(other);
    start(table, &service, &program, &ours, &bare).await;
}

fn double() -> Discord {
    let discord = Discord::start(Scene::ready_made().unlimited());
    discord.patience(PATIENCE);
    discord
}

/// The bare bot. It ends when it is dropped.
struct Bare(Child);

impl Bare {
    /// It lies beside this bench, where `cargo build --release` puts examples.
    fn program() -> Option<PathBuf> {
        let here = std::env::current_exe().ok()?;
        Some(here.parent()?.parent()?.join("examples/bare_bot")).filter(|program| program.exists())
    }

    fn start(program: &PathBuf, discord: &Discord) -> Self {
        let child = Command::new(program)
            .env("DISCORD_TOKEN", discord.token())
            .env("DISCORD_ADDRESS", discord.address())
            .env("DISCORD_APPLICATION", discord.application().to_string())
            .env("DISCORD_GUILD", discord.guild().to_string())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The middle and the 99th of 100 of one round.
struct Spread {
    p50: Duration,
    p99: Duration,
}

impl Spread {
    fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        let place = |share: usize| taken[(taken.len() * share).div_ceil(100) - 1];
        Self { p50: place(50), p99: place(99) }
    }
}

/// Asks once and waits; `answered` says whether more than an acknowledgement is waited for.
async fn ask(discord: &Discord, answered: bool) -> Duration {
    let asked = discord.person("operator").ask(ASKED);
    let taken = asked.acknowledged().await;
    if answered {
        asked.answer().await;
    }
    taken
}

async fn one_by_one(table: &mut Table, ours: &Discord, bare: &Discord) {
    let round = async |discord: &Discord, answered: bool| {
        let mut taken = Vec::with_capacity(ONE_BY_ONE);
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for _ in 0..ONE_BY_ONE {
            every.tick().await;
            taken.push(ask(discord, answered).await);
        }
        Spread::of(taken)
    };
    let rounds = in_rounds(async || round(ours, true).await, async || round(bare, false).await).await;
    add(table, "acknowledging a command, one at a time", &rounds);
}

async fn at_once(table: &mut Table, ours: &Discord, bare: &Discord) {
    let round = async |discord: &Discord, answered: bool| {
        let operator = discord.person("operator");
        let all: Vec<_> = (0..AT_ONCE).map(|_| operator.ask(ASKED)).collect();
        let mut taken = Vec::with_capacity(AT_ONCE);
        for asked in &all {
            taken.push(asked.acknowledged().await);
        }
        if answered {
            for asked in &all {
                asked.answer().await;
            }
        }
        Spread::of(taken)
    };
    let rounds = in_rounds(async || round(ours, true).await, async || round(bare, false).await).await;
    add(table, &format!("acknowledging a command, {AT_ONCE} at once"), &rounds);
}

async fn in_rounds(
    mut ours: impl AsyncFnMut() -> Spread,
    mut bare: impl AsyncFnMut() -> Spread,
) -> Vec<(Spread, Spread)> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..=ROUNDS {
        // Whoever comes second may find a warmer machine: they take turns at that as well.
        let pair = if round % 2 == 0 {
            let first = ours().await;
            (first, bare().await)
        } else {
            let first = bare().await;
            (ours().await, first)
        };
        if round > 0 {
            rounds.push(pair);
        }
    }
    rounds
}

fn add(table: &mut Table, what: &str, rounds: &[(Spread, Spread)]) {
    let p50: Vec<_> = rounds.iter().map(|(ours, bare)| (ours.p50, bare.p50)).collect();
    let p99: Vec<_> = rounds.iter().map(|(ours, bare)| (ours.p99, bare.p99)).collect();
    for (share, pairs, aim) in [("p50", p50, Aim::None), ("p99", p99, Aim::Ratio(1.5))] {
        let pair = Pair::of(&pairs);
        table.add(Row {
            measure: format!("{what}, {share}"),
            figure: time(pair.ours),
            compared: format!("a bare serenity bot: {}", time(pair.yardstick)),
            ratio: Some(pair.ratio),
            aim,
        });
    }
}

/// Resident, in KiB, while nothing is asked.
fn resting(pid: u32) -> u64 {
    let look = |_| {
        thread::sleep(LOOK);
        Memory::of(pid).unwrap().resident
    };
    median((0..LOOKS).map(look))
}

fn memory(table: &mut Table, measure: &str, (ours, bare): (u64, u64), aim: Option<f64>) {
    table.add(Row {
        measure: measure.to_owned(),
        figure: mib(ours),
        compared: format!("a bare serenity bot: {}", mib(bare)),
        ratio: Some(ours as f64 / bare as f64),
        aim: aim.map_or(Aim::None, |aim| Aim::Mib(ours as f64 / 1024.0, aim)),
    });
}

/// From its start until a command is acknowledged that is asked as soon as it listens. The fleet lives, and the command
/// is registered.
async fn start(table: &mut Table, service: &Service, program: &PathBuf, ours: &Discord, bare: &Discord) {
    let ours_once = async || {
        let (sessions, began) = (ours.identifies().len(), Instant::now());
        let serving = service.start();
        ours.until_identifies(sessions + 1).await;
        ask(ours, false).await;
        let taken = began.elapsed();
        assert_eq!(serving.stop(), Some(0));
        taken
    };
    let bare_once = async || {
        let (sessions, began) = (bare.identifies().len(), Instant::now());
        let _running = Bare::start(program, bare);
        bare.until_identifies(sessions + 1).await;
        ask(bare, false).await;
        began.elapsed()
    };
    let mut measured = Vec::with_capacity(STARTS);
    for round in 0..=STARTS {
        let pair = (ours_once().await, bare_once().await);
        if round > 0 {
            measured.push(pair);
        }
    }
    let pair = Pair::of(&measured);
    table.add(Row {
        measure: "from the start of `scalebot run` in a living world to the first acknowledgement".to_owned(),
        figure: time(pair.ours),
        compared: format!("a bare serenity bot: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::None,
    });
}
