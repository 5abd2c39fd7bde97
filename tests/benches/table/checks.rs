//! A round of checks looks at everything at once: it should cost what its slowest look costs.

use std::time::Duration;

use scalebot_commands::checks::{self, Status};
use scalebot_commands::units::Replicas;

use super::fleet::{InMemory, Takes};
use super::measure::in_turns;
use super::surroundings::Surroundings;
use super::table::{Aim, Row, Table, time};

const ROUNDS: usize = 15;
/// On four instances with two halt sources and two pools, a round takes exactly this many looks.
const LOOKS: u32 = 20;
/// From one look to the next slower one.
const STEP: Duration = Duration::from_millis(5);
const SLOWEST: Duration = STEP.saturating_mul(LOOKS);

pub(crate) async fn measure(table: &mut Table) {
    let fleet = InMemory::new(4, Takes::InTurn((1..=LOOKS).map(|look| STEP * look).collect()));
    let surroundings = Surroundings::new(fleet.ports(), Replicas(6));
    let (cx, known) = (surroundings.context(), fleet.state());
    let pair = in_turns(
        ROUNDS,
        async || {
            let round = checks::round(&cx, &known).await;
            assert!(round.checks.iter().all(|check| check.status == Status::Pass), "{:?}", round.checks);
            assert_eq!(fleet.looks(), LOOKS as usize);
        },
        async || tokio::time::sleep(SLOWEST).await,
    )
    .await;
    table.add(Row {
        measure: format!("a round of checks with {LOOKS} looks, the slowest {}", time(SLOWEST)),
        figure: time(pair.ours),
        compared: format!("its slowest look alone: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::Ratio(1.15),
    });
}
