//! How the fleet is, and what is under way, on one screen.

use super::progress::instance_row;
use super::{Card, Row, Tone, clock};
use crate::asked::{Asker, StatusSeen, UnderWay};
use crate::card::precheck;
use crate::halt::Conclusion;
use crate::ports::InstanceState;
use crate::request::{escaped, quoted};
use crate::units::Replicas;

/// How many instances that are not ready, and how many escalations, are named one by one.
const NAMED_INSTANCES: usize = 3;
const NAMED_ESCALATIONS: usize = 2;

/// The card of `/scale status`.
pub fn status(asker: &Asker<'_>, seen: &StatusSeen) -> Card {
    let fleet = seen.fleet.known();
    let (halt_tone, halt_text) = halt(&seen.halt);
    let mut rows = instances(seen);
    rows.extend(seen.figures.iter().map(precheck::row));
    rows.push(Row::new(halt_tone, "halt state", halt_text));
    rows.push(under_way(&seen.under_way));
    rows.extend(escalations(seen));
    rows.push(match &seen.follow_ups {
        Ok(0) => Row::new(Tone::Good, "follow-ups", "none is open"),
        Ok(1) => Row::new(Tone::Warn, "follow-ups", "1 is open: /scale followups"),
        Ok(several) => Row::new(Tone::Warn, "follow-ups", format!("{several} are open: /scale followups")),
        Err(why) => Row::new(Tone::Unknown, "follow-ups", why),
    });
    let title = match fleet {
        Some(fleet) => format!("{}: {} of {} ready", asker.target, fleet.ready(), super::instances(fleet.wanted)),
        None => format!("{}: the fleet cannot be seen", asker.target),
    };
    let has = |tone: Tone| rows.iter().any(|row| row.tone == tone);
    let tone = match fleet {
        None => Tone::Unknown,
        Some(_) if has(Tone::Bad) => Tone::Bad,
        Some(_) if has(Tone::Unknown) => Tone::Unknown,
        Some(_) if has(Tone::Warn) => Tone::Warn,
        Some(_) => Tone::Good,
    };
    let mut card = Card::answer(tone, title, asker.footer());
    card.rows = rows;
    card
}

fn instances(seen: &StatusSeen) -> Vec<Row> {
    let fleet = match (seen.fleet.known(), seen.fleet.why()) {
        (Some(fleet), _) => fleet,
        (None, why) => return vec![Row::new(Tone::Unknown, "instances", why.unwrap_or("not known"))],
    };
    let tone = if fleet.ready() < fleet.wanted { Tone::Warn } else { Tone::Good };
    let mut rows = vec![Row::new(tone, "instances", format!("{} wanted, {} ready", fleet.wanted, fleet.ready()))];
    let unwell: Vec<_> = fleet.instances.iter().filter(|one| one.state != InstanceState::Ready).collect();
    rows.extend(unwell.iter().take(NAMED_INSTANCES).map(|one| instance_row(one)));
    if unwell.len() > NAMED_INSTANCES {
        rows.push(Row::new(Tone::Warn, "not ready", format!("and {} more", unwell.len() - NAMED_INSTANCES)));
    }
    // An orchestrator may know of fewer than it is to have.
    let known = Replicas(u32::try_from(fleet.instances.len()).unwrap_or(u32::MAX));
    if known < fleet.wanted {
        rows.push(Row::new(Tone::Warn, "missing", format!("{} are not there at all", fleet.wanted.0 - known.0)));
    }
    rows
}

fn halt(conclusion: &Conclusion) -> (Tone, String) {
    match conclusion {
        Conclusion::NotHalted => (Tone::Good, "not halted, as every source says".to_owned()),
        Conclusion::NotConfigured => (Tone::Info, "no halt source is configured".to_owned()),
        Conclusion::Halted(why) => (Tone::Bad, why.clone()),
        Conclusion::Disagree(why) => (Tone::Bad, format!("{why} (this counts as halted)")),
        Conclusion::Unknown(why) => (Tone::Unknown, why.clone()),
    }
}

fn under_way(under_way: &Result<Option<UnderWay>, String>) -> Row {
    const NAME: &str = "under way";
    match under_way {
        Ok(None) => Row::new(Tone::Good, NAME, "nothing"),
        Ok(Some(one)) => {
            let asked = match &one.asked {
                Some((command, by)) => format!("{} by {}", escaped(command, 80), quoted(by.as_str())),
                None => "an operation that cannot be read".to_owned(),
            };
            let id = one.operation.short();
            Row::new(Tone::Info, NAME, format!("{asked} since {}: {} ({id})", clock(one.since), one.at))
        }
        Err(why) => Row::new(Tone::Unknown, NAME, why),
    }
}

fn escalations(seen: &StatusSeen) -> Vec<Row> {
    const NAME: &str = "escalations";
    let open = match &seen.escalations {
        Ok(open) if open.is_empty() => return vec![Row::new(Tone::Good, NAME, "none is open")],
        Ok(open) => open,
        Err(why) => return vec![Row::new(Tone::Unknown, NAME, why)],
    };
    let mut rows: Vec<Row> = open
        .iter()
        .take(NAMED_ESCALATIONS)
        .map(|one| Row::new(Tone::Bad, format!("escalation {}", one.number), one.words.clone()))
        .collect();
    if open.len() > NAMED_ESCALATIONS {
        rows.push(Row::new(Tone::Bad, NAME, format!("and {} more are open", open.len() - NAMED_ESCALATIONS)));
    }
    rows
}
