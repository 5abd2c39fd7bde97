//! Where a card goes. The channel gets what somebody has to know: what the checks found, what is asked, what is taken
//! back, and the verdict. The thread at the first card gets the detail: how far it is, and each verification. What
//! governance is asked goes to its own channel, an escalation to where those are who are told. What cannot be posted
//! there, or in the thread, goes to the ops channel.
//!
//! | card | where | notifies |
//! |---|---|---|
//! | precheck | ops; the thread begins here | – |
//! | question, proposal | ops | – |
//! | approval | governance | governance lead |
//! | whether to go back | ops, because operators decide on it too | operator |
//! | escalation | governance for a governance lead, else ops; a new message each time it is said | the role told |
//! | offer to halt | governance | governance lead |
//! | progress, verification | thread | – |
//! | way back, summary | ops | – |

use scalebot_commands::card::Card;
use scalebot_commands::ports::{Role, Slot};

use crate::discord::drawing::wording::{self, Asks};

/// Where a card goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) room: Where,
    /// Which of several in its place.
    pub(crate) part: String,
    /// Said anew each time, so that people are notified again.
    pub(crate) anew: bool,
    /// Who is notified when it is posted.
    pub(crate) notifies: Option<Role>,
}

/// Which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Where the command was given.
    Ops,
    /// Where governance is asked.
    Governance,
    /// The operation's thread.
    Thread,
}

/// Where the card in that place goes.
pub(crate) fn of(slot: Slot, card: &Card) -> Spot {
    let in_place = |room| Spot { room, part: String::new(), anew: false, notifies: None };
    match slot {
        Slot::Precheck | Slot::WayBack | Slot::Summary => in_place(Where::Ops),
        Slot::Progress | Slot::Verification => in_place(Where::Thread),
        Slot::Question => {
            let part = match wording::asks(card) {
                Some(Asks::Reason) => "why",
                Some(Asks::Attest) => "keys",
                _ => "",
            };
            Spot { part: part.to_owned(), ..in_place(Where::Ops) }
        }
        Slot::Approval
            if card.lines.iter().any(|line| line.starts_with("An operator or a governance lead decides")) =>
        {
            Spot { part: part_of(card), notifies: Some(Role::Operator), ..in_place(Where::Ops) }
        }
        Slot::Approval | Slot::HaltOffer => {
            let notifies = card.ask.as_ref().map(|_| Role::GovernanceLead);
            Spot { part: part_of(card), notifies, ..in_place(Where::Governance) }
        }
        Slot::Escalation => {
            let told = told(&card.title);
            let room = if told == Some(Role::GovernanceLead) { Where::Governance } else { Where::Ops };
            Spot { part: condition(&card.title).to_owned(), anew: told.is_some(), notifies: told, room }
        }
    }
}

/// Enough of a request's digest to tell two apart, as it stands in the small print.
pub(crate) fn part_of(card: &Card) -> String {
    card.ask.as_deref().map(|digest| digest.chars().take(8).collect()).unwrap_or_default()
}

/// The role that an escalation's title names: "HIGH for the infrastructure team: …".
fn told(title: &str) -> Option<Role> {
    let (_, after) = title.split_once(" for the ")?;
    let all = [Role::Operator, Role::GovernanceLead, Role::InfrastructureTeam, Role::SystemArchitect];
    all.into_iter().find(|role| after.strip_prefix(role.words()).is_some_and(|rest| rest.starts_with(": ")))
}

/// What an escalation is about, as its title says, whoever is told and whoever sees to it.
pub(crate) fn condition(title: &str) -> &str {
    title.rsplit_once(": ").map_or(title, |(_, condition)| condition)
}

/// The word for a card's place, in the small print and in the file.
pub(crate) fn word(slot: Slot) -> &'static str {
    match slot {
        Slot::Precheck => "precheck",
        Slot::Question => "question",
        Slot::Approval => "approval",
        Slot::Escalation => "escalation",
        Slot::Progress => "progress",
        Slot::Verification => "verification",
        Slot::WayBack => "way back",
        Slot::HaltOffer => "halt offer",
        Slot::Summary => "summary",
    }
}

/// The place that a word stands for.
pub(crate) fn slot(word: &str) -> Option<Slot> {
    let all = [
        Slot::Precheck,
        Slot::Question,
        Slot::Approval,
        Slot::Escalation,
        Slot::Progress,
        Slot::Verification,
        Slot::WayBack,
        Slot::HaltOffer,
        Slot::Summary,
    ];
    all.into_iter().find(|slot| self::word(*slot) == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ill, Script, Stage, halted};

    async fn spots(slot: Slot, set_up: impl FnOnce(&mut Script)) -> Vec<(Where, Option<Role>, bool)> {
        let stage = Stage::with(set_up);
        stage.play("/scale up 6").await;
        stage.cards(slot).iter().map(|card| of(slot, card)).map(|spot| (spot.room, spot.notifies, spot.anew)).collect()
    }

    fn both_halted(script: &mut Script) {
        script.halt = [Ok(halted(true)), Ok(halted(true))];
    }

    #[tokio::test]
    async fn the_channel_gets_the_verdicts_and_the_thread_the_detail() {
        let nobody = |room| (room, None, false);
        assert_eq!(spots(Slot::Precheck, |_| ()).await, [nobody(Where::Ops)]);
        assert_eq!(spots(Slot::Summary, |_| ()).await, [nobody(Where::Ops)]);
        assert!(spots(Slot::Progress, |_| ()).await.iter().all(|spot| *spot == nobody(Where::Thread)));
        assert_eq!(spots(Slot::Verification, |_| ()).await, [nobody(Where::Thread)]);
    }

    #[tokio::test]
    async fn governance_is_asked_in_its_own_channel_and_notified_once() {
        let lead = Some(Role::GovernanceLead);
        let asked_and_expired = [(Where::Governance, lead, false), (Where::Governance, None, false)];
        assert_eq!(spots(Slot::Approval, both_halted).await, asked_and_expired);
        assert_eq!(spots(Slot::Escalation, both_halted).await, [(Where::Governance, lead, true)]);
        let forked = |script: &mut Script| _ = script.ill.insert("api-5", Ill::OtherChain);
        assert_eq!(spots(Slot::HaltOffer, forked).await, asked_and_expired);
        assert_eq!(spots(Slot::Escalation, forked).await, [(Where::Ops, Some(Role::SystemArchitect), true)]);
    }

    #[test]
    fn an_acknowledgement_changes_the_message_that_it_is_about() {
        let said = "CRITICAL for the system architect: consistency issues after scaling";
        assert_eq!(condition(said), condition("80351110224678912 sees to it: consistency issues after scaling"));
        assert_eq!(told(said), Some(Role::SystemArchitect));
        assert_eq!(told("80351110224678912 sees to it: x"), None);
        assert_eq!(told("A halt began while the fleet is watched"), None);
    }

    #[test]
    fn every_place_has_a_word_that_is_read_again() {
        for place in [
            "precheck",
            "question",
            "approval",
            "escalation",
            "progress",
            "verification",
            "way back",
            "halt offer",
            "summary",
        ] {
            assert_eq!(slot(place).map(word), Some(place));
        }
        assert_eq!(slot("elsewhere"), None);
    }
}
