//! The capacity document (runbook step 6): what the fleet is, what an instance was seen to carry, how much is left, and
//! how it came to be so.

use std::fmt::Write as _;

use crate::card::clock;
use crate::context::Context;
use crate::event::Event;
use crate::figures::Load;
use crate::ports::{Declared, FleetState};
use crate::steps::{Ending, Finished};
use crate::units::Replicas;

/// What an instance carries, measured: its share of the load over the share of its time that it was busy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Requests per second that one instance carries when it is busy all the time.
    pub per_instance: f64,
    /// Requests per second that the fleet carries now.
    pub load: f64,
    /// Instances that carry it.
    pub instances: usize,
}

impl Capacity {
    /// Measures it; `None` when the instances do not tell how busy they are, or had nothing to do.
    pub fn measure(load: &Load) -> Option<Self> {
        let busy: Option<Vec<f64>> = load.instances.iter().map(|instance| instance.saturation).collect();
        let busy: f64 = busy?.iter().sum();
        let per_second = load.requests_per_second()?;
        let capacity = per_second / busy;
        capacity.is_normal().then_some(Self {
            per_instance: capacity,
            load: per_second,
            instances: load.instances.len(),
        })
    }

    /// The share of what the fleet could carry that is still free.
    pub fn headroom(&self) -> f64 {
        1.0 - self.load / (self.per_instance * self.instances as f64)
    }

    /// How many instances carry so many requests per second, each of them busy for at most that share of its time.
    /// `None` when that is no number of instances.
    pub fn instances_for(&self, load: f64, busy: f64) -> Option<Replicas> {
        /// A measure is no more exact than this: what fits but for a rounding error fits.
        const ROUNDING: f64 = 1e-9;
        let share = load / (self.per_instance * busy);
        let needed = (share - ROUNDING).ceil().max(1.0);
        let sound = share.is_finite() && needed <= f64::from(crate::request::MAX_REPLICAS);
        sound.then_some(Replicas(needed as u32))
    }
}

/// The document as Markdown.
pub fn document(
    cx: &Context<'_>,
    ending: &Ending,
    fleet: Option<&FleetState>,
    load: Option<&Load>,
    declared: Option<&Declared>,
    history: &[Event],
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_document(&mut text, cx, ending, fleet, load, declared, history);
    text
}

fn write_document(
    out: &mut String,
    cx: &Context<'_>,
    ending: &Ending,
    fleet: Option<&FleetState>,
    load: Option<&Load>,
    declared: Option<&Declared>,
    history: &[Event],
) -> std::fmt::Result {
    writeln!(out, "# Capacity of {}\n", cx.request.target)?;
    writeln!(out, "Written by scalebot on {}, operation {}.\n", clock(cx.ports.world.now()), cx.operation)?;
    writeln!(out, "| what | figure |\n|---|---|")?;
    match fleet {
        Some(fleet) => writeln!(out, "| instances | {} wanted, {} ready |", fleet.wanted, fleet.ready())?,
        None => writeln!(out, "| instances | not known |")?,
    }
    match declared {
        Some(declared) => writeln!(out, "| declared | {} in {} |", declared.count, declared.place)?,
        None => writeln!(out, "| declared | not known |")?,
    }
    let rate = load.and_then(Load::requests_per_second);
    writeln!(
        out,
        "| load | {} |",
        rate.map_or_else(|| "not known".to_owned(), |rate| format!("{rate:.1} requests/s"))
    )?;
    match load.and_then(Load::percentiles) {
        Some(p) => {
            writeln!(out, "| latency | p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms |", p.p50_ms, p.p95_ms, p.p99_ms)?;
        }
        None => writeln!(out, "| latency | not known |")?,
    }
    match load.and_then(Capacity::measure) {
        Some(capacity) => {
            writeln!(out, "| capacity of one instance | {:.1} requests/s, measured |", capacity.per_instance)?;
            writeln!(out, "| headroom | {:.0} % |", capacity.headroom() * 100.0)?;
        }
        None => writeln!(out, "| capacity of one instance | not measured |")?,
    }
    writeln!(
        out,
        "\n## History\n\n| when | operation | from | wanted | ended at | outcome |\n|---|---|---|---|---|---|"
    )?;
    let count = |count: Option<crate::units::Replicas>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let this = ending.plan.as_ref().map(|plan| plan.from);
    writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} |",
        clock(cx.ports.world.now()),
        cx.operation.short(),
        count(this),
        cx.request.to,
        count(fleet.map(|fleet| fleet.wanted)),
        ending.outcome.words()
    )?;
    for event in history {
        // The body carries the step's name and version beside the fields.
        let Some(finished) = finished_of(event) else { continue };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            event.time().map_or_else(|| "?".to_owned(), clock),
            event.operation.as_ref().map_or("", |operation| operation.short()),
            count(finished.from),
            finished.to,
            count(finished.ended_at),
            finished.outcome.words()
        )?;
    }
    Ok(())
}

/// Reads the body of a `finished` event.
pub fn finished_of(event: &Event) -> Option<Finished> {
    let mut body: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&event.body).ok()?;
    body.remove("step");
    body.remove("v");
    serde_json::from_value(body.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(per_instance: f64) -> Capacity {
        Capacity { per_instance, load: 38.0, instances: 4 }
    }

    #[test]
    fn a_load_needs_as_many_instances_as_keep_each_of_them_under_the_limit() {
        let needed = |load| measured(10.0).instances_for(load, 0.75).map(|count| count.0);
        assert_eq!(needed(38.0), Some(6));
        // Six at 75 % carry 45, and not a request more.
        assert_eq!((needed(45.0), needed(45.1)), (Some(6), Some(7)));
        assert_eq!((needed(0.0), needed(0.001)), (Some(1), Some(1)));
    }

    #[test]
    fn where_no_number_of_instances_carries_it_none_is_named() {
        assert_eq!(measured(10.0).instances_for(1e9, 0.75), None);
        assert_eq!(measured(10.0).instances_for(38.0, 0.0), None);
        assert_eq!(measured(10.0).instances_for(f64::NAN, 0.75), None);
    }
}
