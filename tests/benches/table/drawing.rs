//! Drawing what people see: a card with every check on it as text, and the chart of an operation.

use std::hint::black_box;

use scalebot::drawing::{card_as_text, chart_as_png};
use scalebot_commands::card::{self, Chart, ChartMark, Milestone, Tone};
use scalebot_commands::checks;
use scalebot_commands::figures::Load;
use scalebot_commands::steps::precheck::Prechecked;
use scalebot_commands::units::{Millis, Replicas, Timestamp};

use super::fleet::{InMemory, Takes, id, load_of};
use super::measure::in_turns;
use super::surroundings::Surroundings;
use super::table::{Aim, Row, Table, time};

const ROUNDS: usize = 15;
/// Cards in each round.
const CARDS: u32 = 500;
/// As wide as a phone.
const COLUMNS: usize = 40;

pub(crate) async fn measure(table: &mut Table) {
    text(table).await;
    picture(table).await;
}

async fn text(table: &mut Table) {
    let fleet = InMemory::new(4, Takes::InTurn(vec![std::time::Duration::ZERO]));
    let surroundings = Surroundings::new(fleet.ports(), Replicas(6));
    let cx = surroundings.context();
    let round = checks::round(&cx, &fleet.state()).await;
    let found = Prechecked {
        decision: round.decide(),
        reasons: Vec::new(),
        lifts: Vec::new(),
        policy: String::new(),
        checks: round.checks,
        halt: round.halt,
        plan: Some(surroundings.plan(&fleet.state(), Replicas(4))),
    };
    let card = card::precheck(&cx, &found);
    let pair = in_turns(
        ROUNDS,
        async || {
            for _ in 0..CARDS {
                black_box(card_as_text(black_box(&card), COLUMNS));
            }
        },
        async || {
            for _ in 0..CARDS {
                black_box(serde_json::to_string(black_box(&card)).unwrap());
            }
        },
    )
    .await
    .each(CARDS);
    table.add(Row {
        measure: format!("a precheck's card with {} checks as text, {COLUMNS} columns", card.rows.len()),
        figure: time(pair.ours),
        compared: format!("serde_json writing the same card: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::None,
    });
}

async fn picture(table: &mut Table) {
    let chart = chart();
    let drawn = chart_as_png(&chart, Tone::Good).unwrap();
    let shown = Pixels::of(&drawn);
    let pair = in_turns(
        ROUNDS,
        async || drop(black_box(chart_as_png(black_box(&chart), Tone::Good).unwrap())),
        async || drop(black_box(black_box(&shown).png())),
    )
    .await;
    table.add(Row {
        measure: format!(
            "a chart of 15 min, {} × {} pixels, {} KiB of PNG",
            shown.width,
            shown.height,
            drawn.len() >> 10
        ),
        figure: time(pair.ours),
        compared: format!("only compressing its pixels: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::None,
    });
}

/// Fifteen minutes of six instances, a sample every fifteen seconds.
fn chart() -> Chart {
    const SAMPLES: i64 = 60;
    let began: Timestamp = "2026-01-08T03:12:05Z".parse().unwrap();
    let moment = |seconds: i64| began + std::time::Duration::from_secs(seconds.try_into().unwrap());
    let sample = |number: i64| Load {
        until: moment(15 * number),
        window: Millis(15_000),
        instances: (1..=6).map(|instance| load_of(&id(instance), 90 + number.unsigned_abs() * 7 % 13)).collect(),
        missing: Vec::new(),
    };
    let before =
        Load { window: Millis(240_000), instances: (1..=4).map(|one| load_of(&id(one), 2_400)).collect(), ..sample(0) };
    Chart {
        title: "Completed, improved: 4 → 6 (2 more)".to_owned(),
        before: Some(before),
        samples: (1..=SAMPLES).map(sample).collect(),
        newcomers: vec![id(5), id(6)],
        limit_ms: 500.0,
        error_limit: 0.01,
        marks: vec![
            ChartMark { at: moment(4), what: Milestone::Scaled },
            ChartMark { at: moment(10), what: Milestone::Verified },
        ],
        verdict: "improved".to_owned(),
    }
}

/// A picture as it is shown.
struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Pixels {
    fn of(picture: &[u8]) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!(info.color_type, png::ColorType::Rgb);
        Self { width: info.width, height: info.height, rgb }
    }

    fn png(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&self.rgb).unwrap();
        writer.finish().unwrap();
        out
    }
}
