//! What is said on the way back: that it is taken, how far it is, and what governance is offered.

use std::time::Duration;

use super::{Card, Tone, instances, sentence};
use crate::context::Context;
use crate::ports::{Draining, FleetState};
use crate::steps::back::{WayBack, WayBackDecided};
use crate::steps::finish::Trouble;
use crate::steps::halt_offer::{HaltAnswered, HaltOffered, Halted};
use crate::units::{Millis, Person};

/// That the fleet is brought back, or that it is not.
pub fn way_back(cx: &Context<'_>, trouble: &Trouble, way_back: &WayBack, draining: &Draining) -> Card {
    let to = instances(way_back.to);
    let chosen_for_us =
        trouble.plan.unnamed.as_ref().map(|why| {
            format!("{why}: an old instance may end in place of a new one. The logs of what is new are kept.")
        });
    let how = if trouble.plan.to < way_back.to {
        "As many instances are started as are missing."
    } else if let Some(chosen_for_us) = &chosen_for_us {
        chosen_for_us.as_str()
    } else if let Draining::AsItEnds { .. } = draining {
        "The logs of what is new are kept, and it is ended. It gets requests until then."
    } else {
        "What is new gets no requests, its logs are kept, and it is ended."
    };
    let (tone, title, next) = match way_back.decided {
        WayBackDecided::Automatic | WayBackDecided::Agreed => (Tone::Warn, format!("Going back to {to}"), how),
        WayBackDecided::Never => {
            (Tone::Bad, format!("Not going back to {to}"), "Policy says never. The fleet is left as it is.")
        }
        WayBackDecided::Declined => (Tone::Bad, format!("Not going back to {to}"), "The fleet is left as it is."),
        WayBackDecided::Interfered => {
            (Tone::Bad, format!("Not going back to {to}"), "Somebody else changed the fleet. It is left as it is.")
        }
        WayBackDecided::Unanswered => {
            (Tone::Bad, format!("Not going back to {to}"), "Nobody answered. The fleet is left as it is.")
        }
    };
    let mut card = Card::new(tone, title, cx).told(&way_back.because).line(next);
    if let Some(what) = &way_back.interference {
        card = card.told(what);
    }
    if let (Some(by), WayBackDecided::Agreed | WayBackDecided::Declined) = (&way_back.by, way_back.decided) {
        card = card.line(format!("Decided by {by}."));
    }
    card
}

/// Whether to go back is asked.
pub fn ask_back(cx: &Context<'_>, trouble: &Trouble, digest: &str, left: Duration) -> Card {
    let to = instances(trouble.plan.rollback_to);
    let within = Millis::from(Duration::from_secs(left.as_secs()));
    let mut card = Card::new(Tone::Bad, format!("Go back to {to}?"), cx).told(&trouble.because).line(format!(
        "An operator or a governance lead decides within {within}: ✅ goes back, ❌ leaves it as it is."
    ));
    if let Some(why) = trouble.plan.unnamed.as_ref().filter(|_| trouble.plan.to > trouble.plan.rollback_to) {
        card = card.line(sentence(&format!("{why}: an old instance may end in place of a new one")));
    }
    card.ask = Some(digest.to_owned());
    card
}

/// How far the way back is.
pub fn going_back(cx: &Context<'_>, trouble: &Trouble, fleet: &FleetState, spent: Duration) -> Card {
    let to = instances(trouble.plan.rollback_to);
    let there = fleet.instances.len();
    Card::new(Tone::Info, format!("Going back to {to}: {} ready, {there} there", fleet.ready()), cx)
        .line(format!("{} so far.", Millis::from(Duration::from_secs(spent.as_secs()))))
}

/// A governance lead is offered to halt the system.
pub fn halt_offered(cx: &Context<'_>, offered: &HaltOffered) -> Card {
    let mut card = Card::new(Tone::Bad, "Governance lead: halt the system?", cx)
        .told(&offered.because)
        .line("Whatever else is to be done about it does not wait for you.")
        .line(format!("For {}: ✅ halts the system, ❌ does not.", offered.within));
    card.ask = Some(offered.digest.clone());
    card
}

/// What became of that offer. `done` is what became of the halt, where it was wanted.
pub fn halt_answered(cx: &Context<'_>, answered: &HaltAnswered, halted: Option<&Halted>) -> Card {
    let by = answered.by.iter().map(Person::as_str).collect::<Vec<_>>().join(", ");
    match (answered.halt, halted) {
        (_, Some(Halted::Done)) => Card::new(Tone::Bad, format!("The system is halted, as {by} said"), cx)
            .line("Writes are refused until a ceremony clears it."),
        (_, Some(Halted::NotWanted(why))) => {
            Card::new(Tone::Warn, format!("{by} wanted the system halted, and it was not"), cx)
                .line(sentence(why))
                .line("Should it be needed, halt the system by hand.")
        }
        (_, Some(Halted::Failed(why))) => {
            Card::new(Tone::Bad, format!("{by} wanted the system halted, and that failed"), cx)
                .line(sentence(why))
                .line("Halt it by hand.")
        }
        (Some(false), None) => Card::new(Tone::Info, format!("No halt, as {by} said"), cx),
        (_, None) if !answered.by.is_empty() => Card::new(Tone::Info, format!("No halt: {by} ended the wait"), cx)
            .line("Should it be needed, halt the system by hand."),
        (_, None) => Card::new(Tone::Warn, "The offer to halt has lapsed", cx)
            .line("Nobody answered. Should it be needed, halt the system by hand."),
    }
}
