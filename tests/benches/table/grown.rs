//! What a long life costs: a start on a long log, memory after many operations, and how soon somebody else leads.
//!
//! `SCALEBOT_BIN` names the program, as built for release.

use std::thread;
use std::time::{Duration, Instant};

use scalebot_tests::binary::kill;
use scalebot_tests::run::{Service, Serving};
use scalebot_tests::services::postgres::Postgres;

use super::audit::generate;
use super::measure::{Pair, median};
use super::program::{Memory, mib};
use super::table::{Aim, Row, Table, time};

/// Starts that count, after one that does not.
const STARTS: usize = 9;
const MANY: u64 = 1_000_000;
const FEW: u64 = 10;
/// Operations, each refused by its checks, so that the fleet stays as it is and the same can be asked again.
const OPERATIONS: u64 = 10_000;
/// From here on memory should not grow any more.
const SETTLED: u64 = 100;
/// Takeovers of each kind, each with two processes begun anew.
const TAKEOVERS: usize = 3;
/// How long a process leads without saying so again.
const LEASE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(1);
/// One instance that has little to do takes nothing from what is measured.
const SMALL: &str = "kind = \"process\"\ninstances = 1\nload = 0.5\n";

pub(crate) async fn measure(table: &mut Table) {
    if std::env::var_os("SCALEBOT_BIN").is_none() {
        return table.add(Row {
            measure: "a long life".to_owned(),
            figure: "SCALEBOT_BIN names no release build".to_owned(),
            compared: "–".to_owned(),
            ratio: None,
            aim: Aim::Skipped,
        });
    }
    start(table).await;
    operations(table);
    for (how, signal) in [("killed", "KILL"), ("frozen", "STOP")] {
        taken_over(table, how, signal);
    }
}

fn small(service: &Service, more: &str) {
    let text = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(service.config(), text.replace("kind = \"process\"\n", SMALL) + more).unwrap();
}

/// Waits until it can be asked for something.
fn until_ready(service: &Service) -> Duration {
    let began = Instant::now();
    while !service.http("/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        assert!(began.elapsed() < Duration::from_mins(2), "it does not become ready");
        thread::sleep(LOOK);
    }
    began.elapsed()
}

async fn start(table: &mut Table) {
    let mut services = Vec::new();
    for events in [MANY, FEW] {
        let service = Service::with(&["api"], "");
        small(&service, "");
        // The first start makes all that there is, the fleet's world too.
        assert_eq!(service.start_ready().stop(), Some(0));
        let log = service.state().join("ledger.db");
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(service.state().join(format!("ledger.db{ending}")));
        }
        generate(&log, events).await;
        services.push(service);
    }
    let mut measured = Vec::new();
    for round in 0..=STARTS {
        let mut took = [Duration::ZERO; 2];
        // Whoever comes second may find a warmer machine: they take turns at that as well.
        for place in 0..2 {
            let which = (place + round) % 2;
            let began = Instant::now();
            let serving = services[which].start();
            until_ready(&services[which]);
            took[which] = began.elapsed();
            assert_eq!(serving.stop(), Some(0));
        }
        if round > 0 {
            measured.push((took[0], took[1]));
        }
    }
    let pair = Pair::of(&measured);
    table.add(Row {
        measure: "the start of `scalebot run` on a log of 1,000,000 events".to_owned(),
        figure: time(pair.ours),
        compared: format!("the same on a log of 10 events: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::Ratio(1.2),
    });
}

fn operations(table: &mut Table) {
    let service = Service::with(&["api"], "");
    small(&service, "");
    let mut serving = service.start_ready();
    let began = Instant::now();
    refused(&service, &mut serving, 0, SETTLED);
    let early = Memory::of(serving.pid()).unwrap();
    refused(&service, &mut serving, SETTLED, OPERATIONS);
    let late = Memory::of(serving.pid()).unwrap();
    let each = began.elapsed() / u32::try_from(OPERATIONS).unwrap();
    assert_eq!(serving.stop(), Some(0));
    table.add(Row {
        measure: format!("memory of `scalebot run` after 10,000 operations of {} each", time(each)),
        figure: mib(late.resident),
        compared: format!("after 100 of them: {}", mib(early.resident)),
        ratio: Some(late.resident as f64 / early.resident as f64),
        aim: Aim::Ratio(1.1),
    });
}

/// Asks for one operation after the other, until so many have ended.
fn refused(service: &Service, serving: &mut Serving, ended: u64, wanted: u64) {
    for number in ended + 1..=wanted {
        serving.types("/scale up 1 reason:\"as many as there are\"");
        let asked = Instant::now();
        let figure = format!("scalebot_operations_total{{outcome=\"refused\"}} {number}\n");
        while !service.http("/metrics").is_some_and(|page| page.contains(&figure)) {
            assert!(asked.elapsed() < Duration::from_mins(1), "{number} does not end: {}", serving.said());
            thread::sleep(LOOK);
        }
    }
}

fn taken_over(table: &mut Table, how: &str, signal: &str) {
    let mut took = Vec::new();
    for _ in 0..TAKEOVERS {
        let postgres = Postgres::new();
        let services = [Service::with(&["api"], ""), Service::with(&["api"], "")];
        let world = services[0].home.path().join("world");
        for service in &services {
            let lease = format!(
                "directory = \"{}\"\n[ledger]\nurl = \"{}\"\nlease = \"{}s\"\nrenew = \"500ms\"\n",
                world.display(),
                postgres.administrator(),
                LEASE.as_secs()
            );
            small(service, &lease);
        }
        let first = services[0].start_ready();
        let second = services[1].start();
        second.until_it_says("Standby: process ");
        kill(first.pid(), signal);
        took.push(until_ready(&services[1]));
        drop(first);
        assert_eq!(second.stop(), Some(0));
    }
    let took = median(took);
    table.add(Row {
        measure: format!("until whoever waits leads, after the leader was {how}"),
        figure: time(took),
        compared: format!("its lease: {}", time(LEASE)),
        ratio: Some(took.as_secs_f64() / LEASE.as_secs_f64()),
        aim: Aim::None,
    });
}
