//! What an instance carries, how much is free, and how many instances a load needs.

use super::{Card, Row, Tone, instances};
use crate::asked::{Asker, CapacitySeen};
use crate::figures::percent;
use crate::policy::Policy;
use crate::units::{InstanceId, Replicas};

/// The card of `/scale capacity`.
pub fn capacity(asker: &Asker<'_>, policy: &Policy, seen: &CapacitySeen) -> Card {
    let busy = policy.load.busy;
    let measured = match &seen.measured {
        Ok(measured) => measured,
        Err(why) => {
            let mut card = Card::answer(Tone::Unknown, "Capacity: not measured", asker.footer())
                .told(why)
                .line("How many instances a load needs cannot be told without it.");
            card.rows.push(now(seen.wanted));
            return card;
        }
    };
    let rate = seen.asked.map_or(measured.load, crate::request::Rate::per_second);
    let load = seen.asked.map_or_else(|| format!("{:.1}", measured.load), |rate| rate.to_string());
    let needed = measured.instances_for(rate, busy);
    let whose = if seen.asked.is_some() { "" } else { ", the present load" };
    let title = match needed {
        Some(needed) => format!("{load} requests/s{whose}: {} needed", instances(needed)),
        None => format!("{load} requests/s{whose}: more than can be asked for"),
    };
    let tone = match (needed, seen.wanted) {
        (Some(needed), Some(wanted)) if needed <= wanted => Tone::Good,
        _ => Tone::Warn,
    };
    let mut card = Card::answer(tone, title, asker.footer());
    if let Some(needed) = needed {
        card = card.lines(next(policy, needed, seen.wanted));
    }
    if !seen.missing.is_empty() {
        let names: Vec<&str> = seen.missing.iter().map(InstanceId::as_str).collect();
        card = card.line(format!("Measured without {}, which could not be read.", names.join(", ")));
    }
    card = card.line("Reckoned from how busy the instances are; latency is not predicted.");
    let one = measured.per_instance;
    card.rows = vec![
        now(seen.wanted),
        Row::new(
            Tone::Info,
            "one instance",
            format!("{:.1} requests/s at {} busy, which is the limit; {one:.1} at most", one * busy, percent(busy)),
        ),
        Row::new(Tone::Info, "load", format!("{:.1} requests/s over {}", measured.load, seen.window)),
        Row::new(
            if 1.0 - measured.headroom() > busy { Tone::Warn } else { Tone::Good },
            "free",
            format!("{} of what {} could carry", percent(measured.headroom().max(0.0)), of(measured.instances)),
        ),
    ];
    card
}

fn now(wanted: Option<Replicas>) -> Row {
    match wanted {
        Some(wanted) => Row::new(Tone::Info, "now", instances(wanted)),
        None => Row::new(Tone::Unknown, "now", "the fleet could not be seen"),
    }
}

fn of(count: usize) -> String {
    instances(Replicas(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// What the number means beside the present count, and what to type.
fn next(policy: &Policy, needed: Replicas, wanted: Option<Replicas>) -> Vec<String> {
    let limits = &policy.count;
    if let Some(maximum) = limits.maximum.filter(|maximum| needed > *maximum) {
        let lift = "Whoever keeps the configuration can lift that limit.";
        return vec![format!("The fleet must not go beyond {maximum}. {lift}")];
    }
    let needed = needed.max(limits.minimum);
    let try_it = format!("To see whether that can be done: /scale plan {needed}");
    match wanted {
        Some(wanted) if needed == wanted => vec!["That is what there is.".to_owned()],
        Some(wanted) if needed < wanted => {
            vec![format!("There are {wanted}, so {} could go.", wanted.0 - needed.0), try_it]
        }
        Some(wanted) => vec![format!("That is {} more than there are.", needed.0 - wanted.0), try_it],
        None => vec![try_it],
    }
}
