//! Verification asks many instances at the same time: it should be near to what so many at once can be at best.

use std::time::Duration;

use scalebot_commands::steps::verify::{self, Verification};
use scalebot_commands::units::Replicas;

use super::fleet::{InMemory, Takes, id};
use super::measure::in_turns;
use super::surroundings::Surroundings;
use super::table::{Aim, Row, Table, time};

const ROUNDS: usize = 9;
const INSTANCES: u32 = 500;
const AT_ONCE: u32 = 64;

pub(crate) async fn measure(table: &mut Table) {
    let even = |_| Duration::from_millis(20);
    measured(table, "each answering in 20 ms", even).await;
    // From 5 to 55 ms, in no order.
    let uneven = |number: u32| Duration::from_millis(5 + u64::from(number * 7919 % 51));
    measured(table, "answering in 5 to 55 ms", uneven).await;
}

async fn measured(table: &mut Table, how: &str, takes: impl Fn(u32) -> Duration) {
    let times: Vec<Duration> = (1..=INSTANCES).map(takes).collect();
    let ideal = times.iter().sum::<Duration>() / AT_ONCE;
    let fleet = InMemory::new(INSTANCES, Takes::ByInstance((1..).map(id).zip(times).collect()));
    let surroundings = Surroundings::new(fleet.ports(), Replicas(INSTANCES));
    let cx = surroundings.context();
    let plan = surroundings.plan(&fleet.state(), Replicas(INSTANCES / 2));
    let pair = in_turns(
        ROUNDS,
        async || {
            let verified = verify::look(&cx, &plan, &[]).await;
            assert_eq!(verified.result, Verification::Passed, "{:?}", verified.problems);
            assert_eq!(verified.instances.len(), INSTANCES as usize);
        },
        async || tokio::time::sleep(ideal).await,
    )
    .await;
    table.add(Row {
        measure: format!("verification of {INSTANCES} instances, {how}"),
        figure: time(pair.ours),
        compared: format!("all their times over {AT_ONCE} at once: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::Ratio(2.0),
    });
}
