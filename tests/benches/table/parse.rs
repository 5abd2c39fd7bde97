//! Reading a command.

use std::hint::black_box;

use scalebot_commands::request;
use serde::Deserialize;

use super::measure::in_turns;
use super::table::{Aim, Row, Table, time};

const ROUNDS: usize = 15;
/// In each round.
const TIMES: u32 = 20_000;

const COMMAND: &str = r#"/scale up 6 target:api reason:"planned campaign""#;
const JSON: &str = r#"{"command":"/scale up","to":6,"target":"api","reason":"planned campaign"}"#;

/// The same command, as a program would send it.
#[derive(Deserialize)]
struct Sent {
    command: String,
    to: u32,
    target: String,
    reason: String,
}

pub(crate) async fn measure(table: &mut Table) {
    let pair = in_turns(
        ROUNDS,
        async || {
            for _ in 0..TIMES {
                black_box(request::parse(black_box(COMMAND)).unwrap());
            }
        },
        async || {
            for _ in 0..TIMES {
                let Sent { command, to, target, reason } = serde_json::from_str(black_box(JSON)).unwrap();
                black_box((command, to, target, reason));
            }
        },
    )
    .await
    .each(TIMES);
    table.add(Row {
        measure: format!("reading `{COMMAND}`"),
        figure: time(pair.ours),
        compared: format!("serde_json reading the same as JSON: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::None,
    });
}
