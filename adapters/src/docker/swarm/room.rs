//! How many more tasks of the service find a node: what the nodes have, less what is reserved for all that is to run there,
//! as Swarm itself counts it. What a task really uses plays no part in that.

use scalebot_commands::ports::{Headroom, PortError};
use scalebot_commands::units::Replicas;

use super::Inner;
use super::Seen;
use super::cluster::{Node, Reserved, Task};
use super::instances;
use super::placing::Placing;

/// How many fit on one node, by each thing that can run out.
struct Fits {
    cpu: u32,
    memory: u32,
    places: u32,
}

impl Fits {
    fn all(&self) -> u32 {
        self.cpu.min(self.memory).min(self.places)
    }
}

impl Inner {
    /// How many more fit, and what runs out first.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(super) async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        let (seen, to_run) = futures::try_join!(self.seen(), self.engine.tasks_to_run())?;
        let placing = Placing::of(&seen.service).map_err(|detail| self.cannot_tell(detail))?;
        let each = seen.service.reserves();
        if !each.generic_resources.is_empty() {
            return Err(self.cannot_tell("it reserves generic resources, which are not counted here".to_owned()));
        }
        Ok(room(&seen, &to_run, &placing, &each, wanted, self.engine.what()))
    }

    fn cannot_tell(&self, detail: String) -> PortError {
        PortError::NotServed { what: self.describe(), detail }
    }
}

fn room(seen: &Seen, to_run: &[Task], placing: &Placing, each: &Reserved, wanted: Replicas, asked: &str) -> Headroom {
    let nodes: Vec<&Node> = seen.nodes.iter().filter(|node| placing.allows(node)).collect();
    let fixed = seen.service.host_ports().into_iter().find_map(|(_, published)| published);
    let most = if fixed.is_some() { Some(1) } else { placing.most };
    let fits: Vec<Fits> = nodes.iter().map(|node| on(node, to_run, each, (&seen.service.id, most))).collect();
    // Those that are wanted already and have no node yet come first.
    let before = instances::not_placed(&seen.tasks).0;
    let sum = |of: fn(&Fits) -> u32| fits.iter().map(of).fold(0_u32, u32::saturating_add).saturating_sub(before);
    let all = sum(Fits::all);
    let mebibytes = |bytes: u64| bytes >> 20;
    let reserved: Vec<String> = [
        (each.cpu > 0).then(|| format!("{:.2} CPU", each.cpu as f64 / 1e9)),
        (each.memory > 0).then(|| format!("{} MiB", mebibytes(each.memory))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let source = match reserved.as_slice() {
        [] => format!("{asked}; the service reserves nothing, so that Swarm places any number of it"),
        some => format!("{asked}; one reserves {}", some.join(" and ")),
    };
    let runs_out = (all < wanted.0).then(|| {
        if nodes.is_empty() {
            let words = placing.words();
            let fitting = if words.is_empty() { String::new() } else { format!(" and fits {words}") };
            return format!("the place (no node of {} is ready, active{fitting})", seen.nodes.len());
        }
        let [cpu, memory, places] = [sum(|fits| fits.cpu), sum(|fits| fits.memory), sum(|fits| fits.places)];
        let waiting = if before > 0 { format!(" ({before} wanted before have no node yet)") } else { String::new() };
        let on = match nodes.len() {
            1 => "the only node".to_owned(),
            several => format!("each of {several} nodes"),
        };
        let why = if places <= cpu && places <= memory {
            match fixed {
                Some(port) => format!("the place (port {port} is published once on {on})"),
                None => format!("the place (at most {} on {on})", most.unwrap_or(0)),
            }
        } else if memory <= cpu {
            format!("memory that is not reserved on {on}")
        } else {
            format!("CPU that is not reserved on {on}")
        };
        why + &waiting
    });
    Headroom { fits: Replicas(all.min(wanted.0)), runs_out, source }
}

/// How many fit on that node.
fn on(node: &Node, to_run: &[Task], each: &Reserved, (service, most): (&str, Option<u32>)) -> Fits {
    let here = || to_run.iter().filter(|task| task.node == node.id);
    let reserved = |of: fn(&Reserved) -> u64| {
        let of_each =
            here().map(|task| task.spec.resources.as_ref().and_then(|it| it.reservations.as_ref()).map_or(0, of));
        of_each.fold(0_u64, u64::saturating_add)
    };
    let fit = |has: u64, taken: u64, one: u64| match has.saturating_sub(taken).checked_div(one) {
        None => u32::MAX,
        Some(fit) => u32::try_from(fit).unwrap_or(u32::MAX),
    };
    let ours = u32::try_from(here().filter(|task| task.service == service).count()).unwrap_or(u32::MAX);
    let has = &node.description.resources;
    Fits {
        cpu: fit(has.cpu, reserved(|it| it.cpu), each.cpu),
        memory: fit(has.memory, reserved(|it| it.memory), each.memory),
        places: most.map_or(u32::MAX, |most| most.saturating_sub(ours)),
    }
}
