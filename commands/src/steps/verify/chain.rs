//! Whether every instance sees the same hash chain: the same hashes at the same pinned sequence numbers.

use std::collections::HashMap;

use super::Finding;
use super::instance::Answers;
use crate::checks::Status;
use crate::context::Context;
use crate::patience::within;
use crate::ports::{ChainLink, Instance};
use crate::reading::{Absence, Reading};
use crate::steps::precheck::Plan;

pub(super) const NAME: &str = "chain";

/// How many sequence numbers are compared: the head of the source of truth and those just below it. Few, because an
/// instance answers only so many such questions a minute.
const COMPARED: u64 = 3;

/// What the fleet agrees on at each sequence number.
pub(super) type Agreed = HashMap<u64, ChainLink>;

/// The sequence numbers to compare.
pub(super) async fn pinned(cx: &Context<'_>) -> Reading<Vec<u64>> {
    let Some(chain) = &cx.ports.target.chain else {
        let why = "no source of truth is configured for the hash chain".to_owned();
        return Reading::Unknown { why, absence: Absence::NotServed };
    };
    match within(&*cx.ports.world, cx.policy.time.look, "the hash chain", chain.head()).await {
        Ok(Some(head)) => Reading::Known((head.saturating_sub(COMPARED - 1).max(1)..=head).collect()),
        Ok(None) => {
            let why = "the hash chain has no events, so nothing can be compared".to_owned();
            Reading::Unknown { why, absence: Absence::Unanswered }
        }
        // It is configured: that it has no such table is no less unknown than that it does not answer.
        Err(error) => Reading::Unknown { why: error.to_string(), absence: Absence::Unanswered },
    }
}

/// What most of the instances that were there before say, at each sequence number; all instances where there was none
/// before. The old ones are the reference because they were in service together.
pub(super) fn agreed(instances: &[Instance], answers: &[Answers], plan: &Plan) -> Agreed {
    let old: Vec<&Answers> = instances
        .iter()
        .zip(answers)
        .filter(|(instance, _)| plan.present.contains(&instance.id))
        .map(|(_, answers)| answers)
        .collect();
    let witnesses = if old.is_empty() { answers.iter().collect() } else { old };
    let mut votes: HashMap<u64, Vec<(ChainLink, usize)>> = HashMap::new();
    for (sequence, link) in witnesses.iter().flat_map(|answers| &answers.links) {
        let Some(Some(link)) = link.known() else { continue };
        let counted = votes.entry(*sequence).or_default();
        match counted.iter_mut().find(|(known, _)| known == link) {
            Some((_, count)) => *count += 1,
            None => counted.push((link.clone(), 1)),
        }
    }
    votes
        .into_iter()
        .filter_map(|(sequence, counted)| {
            let (link, _) = counted.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best })?;
            Some((sequence, link))
        })
        .collect()
}

/// One instance's view against what the fleet agrees on.
pub(super) fn finding(answers: &Answers, pinned: &Reading<Vec<u64>>, agreed: &Agreed) -> Finding {
    if let Reading::Unknown { why, .. } = pinned {
        let status = if pinned.is_not_served() { Status::NotConfigured } else { Status::Unknown };
        return Finding::new(NAME, true, status, why);
    }
    let mut open = Vec::new();
    for (sequence, link) in &answers.links {
        match (link, agreed.get(sequence)) {
            (Reading::Known(Some(link)), Some(wanted)) if link == wanted => {}
            (Reading::Known(Some(_)), Some(_)) => {
                let text = format!("another event than the rest of the fleet at sequence {sequence}");
                return Finding::new(NAME, true, Status::Fail, text);
            }
            (Reading::Known(_), None) | (Reading::Known(None), _) => {
                open.push(format!("no event at sequence {sequence} yet"));
            }
            (Reading::Unknown { why, .. }, _) => open.push(why.clone()),
        }
    }
    if let Some(first) = open.into_iter().next() {
        return Finding::new(NAME, true, Status::Unknown, first);
    }
    let (first, last) = (answers.links.first(), answers.links.last());
    let range = match (first, last) {
        (Some((first, _)), Some((last, _))) if first != last => format!("{first}-{last}"),
        (Some((only, _)), _) => only.to_string(),
        _ => return Finding::new(NAME, true, Status::Unknown, "nothing was compared"),
    };
    Finding::new(NAME, true, Status::Pass, format!("same hashes at sequence {range}"))
}
