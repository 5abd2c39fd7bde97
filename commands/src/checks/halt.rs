//! Whether the system is halted: every source of truth, and every instance's own word.

use futures::join;

use super::{Check, Follows, Status};
use crate::context::Context;
use crate::halt::{self, Conclusion, SourceSays};
use crate::patience::{ask_all, within};
use crate::ports::{FleetState, HaltReading, Instance, InstanceState};
use crate::reading::Reading;
use crate::units::{Millis, elapsed};

const NAME: &str = "halt state";
const RUNBOOK: &str = "1: verify system is not in halt state";

pub(super) async fn check(cx: &Context<'_>, known: &FleetState) -> (Check, Vec<SourceSays>) {
    let ready = known.instances.iter().filter(|instance| instance.state == InstanceState::Ready);
    let asked = ask_all(ready.map(|instance| ask(cx, instance)));
    let (sources, instances) = join!(halt::ask(&*cx.ports.world, &cx.ports.target.halt, cx.policy.time.look), asked);
    let check = conclude(cx, &sources, &instances);
    (check, sources)
}

async fn ask(cx: &Context<'_>, instance: &Instance) -> (String, Reading<HaltReading>) {
    let what = format!("instance {}", instance.id);
    let says = within(&*cx.ports.world, cx.policy.time.look, &what, cx.ports.target.probe.halt(instance)).await;
    (what, says.into())
}

fn conclude(cx: &Context<'_>, sources: &[SourceSays], instances: &[(String, Reading<HaltReading>)]) -> Check {
    let names: Vec<&str> = sources.iter().map(|source| source.source.as_str()).collect();
    let source = match names.as_slice() {
        [] => format!("{} instances", instances.len()),
        names => format!("{} and {} instances", names.join(", "), instances.len()),
    };
    let approval = |status: Status, figure: String, advice: String| {
        Check::passed(NAME, RUNBOOK, &source, figure)
            .came_to(status, Follows::Approval)
            .limit("not halted")
            .advice(advice)
    };
    match halt::conclude(sources) {
        Conclusion::Halted(why) => {
            return approval(Status::Fail, why, "Scaling during a halt needs a governance lead's approval.".to_owned());
        }
        Conclusion::Disagree(why) => {
            let advice =
                "Sources that disagree count as halted, so a governance lead has to approve. Bring them to agree, too.";
            return approval(Status::Fail, why, advice.to_owned());
        }
        Conclusion::Unknown(why) => {
            let advice = "Without proof that there is no halt, a governance lead has to approve.";
            return approval(Status::Unknown, why, advice.to_owned());
        }
        Conclusion::NotConfigured | Conclusion::NotHalted => {}
    }
    let halted: Vec<&str> = instances
        .iter()
        .filter(|(_, says)| says.known().is_some_and(|reading| reading.halted))
        .map(|(name, _)| name.as_str())
        .collect();
    if !halted.is_empty() {
        let figure = format!(
            "{} {} halted, the sources of truth say not halted",
            halted.join(", "),
            if halted.len() == 1 { "says" } else { "say" }
        );
        return approval(
            Status::Fail,
            figure,
            "An instance that disagrees counts as halted, so a governance lead has to approve. Look at it first."
                .to_owned(),
        );
    }
    if sources.is_empty() {
        let figure = "no halt source is configured (halt.sources = [])";
        let advice = "Nothing can say that the system is not halted, so a governance lead has to approve each scaling. \
                      Name the sources of truth in the configuration.";
        return approval(Status::Unknown, figure.to_owned(), advice.to_owned());
    }
    let unknown: Vec<&str> =
        instances.iter().filter(|(_, says)| !says.is_not_served()).filter_map(|(_, says)| says.why()).collect();
    if !unknown.is_empty() {
        let advice = "Without proof that there is no halt, a governance lead has to approve.";
        return approval(Status::Unknown, unknown.join("; "), advice.to_owned());
    }
    let answered = instances.iter().filter(|(_, says)| says.known().is_some()).count();
    let figure = match (answered, instances.len()) {
        (answered, all) if answered == all => format!("not halted: {} and all {all} instances", names.join(", ")),
        (answered, all) => {
            format!("not halted: {}; {answered} of {all} instances serve their own state", names.join(", "))
        }
    };
    let check = Check::passed(NAME, RUNBOOK, &source, figure);
    let now = cx.ports.world.now();
    let cleared = sources.iter().filter_map(|source| source.says.known()?.cleared_at).max();
    match cleared.map(|cleared| elapsed(cleared, now)) {
        Some(ago) if ago < cx.policy.load.halt_caution => {
            let (ago, caution) = (Millis::from(ago), Millis::from(cx.policy.load.halt_caution));
            check
                .came_to(Status::Warn, Follows::Nothing)
                .advice(format!("The last halt was cleared {ago} ago; for {caution} after that, take care."))
        }
        _ => check,
    }
}
