//! The program itself, as built for release: how soon it answers, and how much memory it takes.
//!
//! `SCALEBOT_BIN` names it. Its processes are waited for by what they print.

use std::io::{Write as _, pipe};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scalebot_tests::binary::{Drill, kill, program};

use super::measure::{Pair, in_turns, median};
use super::table::{Aim, Row, Table, time};

const ROUNDS: usize = 15;
/// Rehearsals entered until the first card; each takes about a second.
const CARDS: usize = 7;
/// How long the fleet is watched while the memory is looked at.
const MONITOR: &str = "20s";
/// Between two looks at a process' memory.
const LOOK: Duration = Duration::from_millis(2);

/// The memory of a process, in KiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
}

impl Memory {
    /// What `/proc` says; `None` when the process is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some(Self { resident: kib("VmRSS:")?, peak: kib("VmHWM:")? })
    }
}

/// As a person reads it.
pub(crate) fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

pub(crate) async fn measure(table: &mut Table) {
    if std::env::var_os("SCALEBOT_BIN").is_none() {
        for measure in
            ["the program's start", "from the start to the first card", "memory, waiting", "memory, at its peak"]
        {
            table.add(Row {
                measure: measure.to_owned(),
                figure: "SCALEBOT_BIN names no release build".to_owned(),
                compared: "–".to_owned(),
                ratio: None,
                aim: Aim::Skipped,
            });
        }
        return;
    }
    start(table).await;
    first_card(table);
    memory(table);
}

fn version() {
    let output = Command::new(program()).arg("--version").output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"scalebot "), "{output:?}");
}

async fn start(table: &mut Table) {
    let other = async || assert!(Command::new("true").output().unwrap().status.success());
    let pair = in_turns(ROUNDS, async || version(), other).await;
    table.add(Row {
        measure: "the program's start: `scalebot --version`".to_owned(),
        figure: time(pair.ours),
        compared: format!("`true`: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::None,
    });
}

/// Four at four is refused by the checks, so that the fleet stays as it is and the same can be asked again.
const ASKED: &str = "/scale up 4\n";

fn first_card(table: &mut Table) {
    let drill = Drill::new();
    let mut from_start = Vec::new();
    let mut from_request = Vec::new();
    // The first one starts the world and lets it warm up; those after it find it living.
    for round in 0..=CARDS {
        // Nothing waits for this to be typed, and the drill goes on waiting for more.
        let (input, mut typed) = pipe().unwrap();
        typed.write_all(ASKED.as_bytes()).unwrap();
        let began = Instant::now();
        let mut running = drill.start_with_input(&[], Stdio::from(input));
        running.until("requested");
        let requested = Instant::now();
        running.until("prechecked");
        let card = Instant::now();
        running.until("finished");
        kill(running.pid(), "INT");
        assert_eq!(running.end().code, Some(130));
        let alone = Instant::now();
        version();
        if round > 0 {
            from_start.push((card - began, alone.elapsed()));
            from_request.push(card - requested);
        }
    }
    let card = Pair::of(&from_start);
    table.add(Row {
        measure: "from the start of `scalebot drill` in a living world to `prechecked`".to_owned(),
        figure: time(card.ours),
        compared: format!("the program's start: {}", time(card.yardstick)),
        ratio: Some(card.ratio),
        aim: Aim::None,
    });
    table.add(Row {
        measure: "of these from `requested` to `prechecked`".to_owned(),
        figure: time(median(from_request)),
        compared: "–".to_owned(),
        ratio: None,
        aim: Aim::None,
    });
}

fn memory(table: &mut Table) {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 6 reason:\"benchmark\"", "--approve", "--monitor", MONITOR]);
    let pid = running.pid();
    let waiting = Arc::new(AtomicBool::new(false));
    let watch = thread::spawn({
        let waiting = Arc::clone(&waiting);
        move || {
            let mut idle = Vec::new();
            let mut last = None;
            while let Some(memory) = Memory::of(pid) {
                if waiting.load(Ordering::Relaxed) {
                    idle.push(memory.resident);
                }
                last = Some(memory);
                thread::sleep(LOOK);
            }
            (median(idle), last.unwrap().peak)
        }
    });
    running.until("verified");
    waiting.store(true, Ordering::Relaxed);
    running.until("monitored");
    waiting.store(false, Ordering::Relaxed);
    let ended = running.end();
    assert_eq!(ended.kinds().back().map(String::as_str), Some("finished"), "{}", ended.said);
    assert!(ended.said.contains(".png"), "no chart was drawn: {}", ended.said);
    let (idle, peak) = watch.join().unwrap();
    for (measure, kib, aim) in [
        ("memory of the bot while it watches a fleet of six", idle, 25.0),
        ("memory of the bot at its peak, with the chart drawn", peak, 64.0),
    ] {
        table.add(Row {
            measure: measure.to_owned(),
            figure: mib(kib),
            compared: "–".to_owned(),
            ratio: None,
            aim: Aim::Mib(kib as f64 / 1024.0, aim),
        });
    }
}
