//! What verification found: a row an instance.

use super::{Card, Row, Tone, instances, sentence};
use crate::checks::Status;
use crate::context::Context;
use crate::steps::verify::{Examined, Verification, Verified};
use crate::units::Replicas;

/// The card of a finished verification.
pub fn verification(cx: &Context<'_>, found: &Verified) -> Card {
    let all = Replicas(u32::try_from(found.instances.len()).unwrap_or(u32::MAX));
    let new = found.instances.iter().filter(|examined| examined.new).count();
    let (tone, title) = match found.result {
        Verification::Passed => (Tone::Good, format!("Verified: {} consistent, {new} of them new", instances(all))),
        Verification::Inconclusive => {
            (Tone::Unknown, "Verification inconclusive: not everything could be told".to_owned())
        }
        Verification::Failing => (Tone::Bad, "Verification failed: an instance does not do its work".to_owned()),
        Verification::Inconsistent => (Tone::Bad, "Verification failed: instances contradict each other".to_owned()),
    };
    let mut card = Card::new(tone, title, cx).lines(found.problems.iter().map(|problem| sentence(problem)));
    card.rows = found.instances.iter().map(row).collect();
    card
}

fn row(examined: &Examined) -> Row {
    let grave = |status: Status| match status {
        Status::Pass => 0,
        Status::NotConfigured => 1,
        Status::Warn => 2,
        Status::Unknown => 3,
        Status::Fail => 4,
    };
    let worst = examined.findings.iter().map(|finding| finding.status).max_by_key(|status| grave(*status));
    let tone = match worst {
        None | Some(Status::Unknown) => Tone::Unknown,
        Some(Status::Pass | Status::NotConfigured) => Tone::Good,
        Some(Status::Warn) => Tone::Warn,
        Some(Status::Fail) => Tone::Bad,
    };
    // What is wrong comes first; in what way stands in the lines above.
    let named = |status: Status, word: &str| {
        let findings = examined.findings.iter().filter(|finding| finding.status == status);
        let names: Vec<&str> = findings.map(|finding| &*finding.name).collect();
        (!names.is_empty()).then(|| format!("{word}: {}", names.join(", ")))
    };
    let texts: Vec<String> = [
        named(Status::Fail, "fails"),
        named(Status::Unknown, "not known"),
        named(Status::Warn, "remarks"),
        named(Status::Pass, "ok"),
        named(Status::NotConfigured, "cannot be asked here"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let new = if examined.new { " (new)" } else { "" };
    Row::new(tone, format!("{}{new}", examined.instance), texts.join("; "))
}
