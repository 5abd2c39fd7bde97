//! `/scale cancel`: what it means at the point at which an operation is.

use crate::authority::Action;
use crate::event::{Event, Kind};
use crate::steps::back::{WayBack, WayBackDecided};

/// How far an operation is, as far as it makes a difference to stopping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Nothing was changed yet.
    Before,
    /// The fleet was changed, or may have been.
    Changed,
    /// An instance is being taken out of service.
    Draining,
    /// It is asked whether the fleet is brought back.
    AskedBack,
    /// The fleet is brought back to the count before.
    GoingBack,
    /// Everything is done, and only the summary follows; unless what was found is taken back.
    Over,
    /// Everything is done, and a governance lead's word on the halt is awaited.
    Offered,
    /// It cannot go on by itself.
    Parked,
    /// It has ended.
    Ended,
}

impl Point {
    /// Whether the operation stops here when it is asked to.
    pub fn can_stop(self) -> bool {
        matches!(self, Self::Before | Self::Changed | Self::Draining | Self::AskedBack | Self::Offered)
    }

    /// What it takes to stop it here; `own` says whether who wants to asked for the operation. The offer to halt is
    /// ended by whoever may answer it, and by nobody else.
    pub fn action(self, own: bool) -> Action {
        match self {
            Self::Offered => Action::AnswerHaltOffer,
            _ => Action::Cancel { own },
        }
    }

    /// What stopping means here, for who asked for it.
    pub fn means(self) -> &'static str {
        match self {
            Self::Before => "It stops, and nothing is changed.",
            Self::Changed => {
                "It stops, and the fleet stays as it is.\nTo bring it back afterwards, type: /scale rollback"
            }
            Self::Draining => {
                "It stops. The instance being drained gets requests again; what is gone stays gone.\nTo bring that back afterwards, type: /scale rollback"
            }
            Self::GoingBack => {
                "Going back is not interrupted: it goes on until the fleet is at the count before, or says why it cannot."
            }
            Self::AskedBack => {
                "The question whether to go back ends unanswered, and the fleet stays as it is.\nTo bring it back afterwards, type: /scale rollback"
            }
            Self::Over => {
                "It is over: nothing is left to stop, and the summary follows.\nIf what was found is taken back, the next card says so; that is not interrupted."
            }
            Self::Offered => {
                "All else is done. The wait for a governance lead's word on the halt ends, and so does the operation."
            }
            Self::Parked => {
                "It waits for a person and does nothing, so there is nothing to stop.\nA governance lead can abandon it, which frees the fleet."
            }
            Self::Ended => "It has ended already. To bring the fleet back, type: /scale rollback",
        }
    }
}

/// How far an operation is whose last event is of that kind; `None` for a kind that can come at any time.
pub fn point(last: Kind) -> Option<Point> {
    Some(match last {
        Kind::Requested
        | Kind::Assessed
        | Kind::Prechecked
        | Kind::Rationale
        | Kind::ApprovalRequested
        | Kind::Approved
        | Kind::Rejected
        | Kind::Expired
        | Kind::Overridden
        | Kind::Quiesced
        | Kind::Holding
        | Kind::HoldingAnswered => Point::Before,
        Kind::Scaling
        | Kind::ScalingAnswered
        | Kind::Scaled
        | Kind::Attested
        | Kind::Verified
        | Kind::Terminating
        | Kind::TerminatingAnswered
        | Kind::Terminated
        | Kind::Reassessed => Point::Changed,
        Kind::Draining | Kind::DrainingAnswered | Kind::Drained | Kind::Readmitting | Kind::ReadmittingAnswered => {
            Point::Draining
        }
        Kind::WayBackAsked => Point::AskedBack,
        Kind::WayBack | Kind::LogsSaved | Kind::RollingBack | Kind::RollingBackAnswered | Kind::RolledBack => {
            Point::GoingBack
        }
        Kind::NotReady
        | Kind::Monitored
        | Kind::Releasing
        | Kind::ReleasingAnswered
        | Kind::Documented
        | Kind::HaltAnswered
        | Kind::Halting
        | Kind::HaltingAnswered => Point::Over,
        Kind::Parked => Point::Parked,
        Kind::Finished | Kind::Abandoned => Point::Ended,
        Kind::ReasonGiven
        | Kind::AttestationGiven
        | Kind::VoteCast
        | Kind::VoteWithdrawn
        | Kind::VoteRefused
        | Kind::HaltOffered
        | Kind::Interference
        | Kind::CancelRequested
        | Kind::Resumed
        | Kind::Escalated
        | Kind::Acknowledged
        | Kind::Reescalated
        | Kind::FollowUp
        | Kind::FollowUpClosed
        | Kind::Proposed
        | Kind::Dismissed
        | Kind::ClockJump
        | Kind::WitnessGap
        | Kind::CommandRefused => return None,
    })
}

/// How far an operation is, by its events. What this version does not know may have changed something.
pub fn point_of(events: &[Event]) -> Point {
    let told = |event: &Event| match Kind::parse(&event.kind) {
        Some(Kind::Verified | Kind::Attested) if is_the_end(event) => Some(Point::Over),
        Some(kind) => point(kind),
        None => Some(Point::Changed),
    };
    let at = events.iter().rev().find_map(told).unwrap_or(Point::Before);
    let has = |kind: Kind| events.iter().any(|event| event.kind == kind.as_str());
    match at {
        Point::Parked | Point::Ended => at,
        _ if has(Kind::Documented) && has(Kind::HaltOffered) && !has(Kind::HaltAnswered) => Point::Offered,
        _ if has(Kind::Documented) => Point::Over,
        // On the way back instances are drained, set to work again and verified as well, which is not to be stopped either.
        _ if way_back(events) == Some(true) => Point::GoingBack,
        Point::GoingBack if way_back(events) == Some(false) => Point::Over,
        // Between two that are ended it is waited, and asked, as before the first one.
        Point::Before if has(Kind::Terminated) => Point::Changed,
        _ => at,
    }
}

/// Whether a verification, or the word on it, is such that the fleet is not watched any more.
fn is_the_end(event: &Event) -> bool {
    let body: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
    if event.kind == Kind::Attested.as_str() {
        body.get("by").is_some_and(serde_json::Value::is_null)
    } else {
        body.get("result").is_some_and(|result| result != "passed")
    }
}

/// Whether the fleet is brought back; `None` while nothing was decided.
fn way_back(events: &[Event]) -> Option<bool> {
    let event = events.iter().rfind(|event| event.kind == Kind::WayBack.as_str())?;
    let mut body: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&event.body).ok()?;
    // The journal's own fields, which no body has.
    body.remove("step");
    body.remove("v");
    let way_back: WayBack = serde_json::from_value(body.into()).ok()?;
    Some(matches!(way_back.decided, WayBackDecided::Automatic | WayBackDecided::Agreed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hash;
    use crate::units::Epoch;

    fn event(kind: &str, body: &str) -> Event {
        Event {
            seq: 1,
            at: "2026-01-08T03:12:00Z".into(),
            operation: None,
            op_seq: 1,
            epoch: Epoch(1),
            kind: kind.into(),
            body: body.into(),
            prev: Hash::GENESIS,
            hash: Hash::GENESIS,
        }
    }

    fn at(kinds: &[Kind]) -> Point {
        point_of(&kinds.iter().map(|kind| event(kind.as_str(), "{}")).collect::<Vec<_>>())
    }

    #[test]
    fn between_two_that_are_ended_something_is_changed() {
        assert_eq!(at(&[Kind::Requested, Kind::Quiesced]), Point::Before);
        assert_eq!(at(&[Kind::Requested, Kind::Terminated, Kind::Reassessed, Kind::Quiesced]), Point::Changed);
    }

    #[test]
    fn every_kind_says_how_far_it_is_or_can_come_at_any_time() {
        let table: Vec<String> = Kind::ALL
            .iter()
            .map(|kind| {
                let point = point(*kind).map_or_else(|| "-".to_owned(), |point| format!("{point:?}"));
                format!("{:<22}{point}\n", kind.as_str())
            })
            .collect();
        insta::assert_snapshot!(table.concat(), @r"
        requested             Before
        assessed              Before
        prechecked            Before
        rationale             Before
        attested              Changed
        reason_given          -
        attestation_given     -
        approval_requested    Before
        vote_cast             -
        vote_withdrawn        -
        vote_refused          -
        approved              Before
        rejected              Before
        expired               Before
        holding               Before
        holding_answered      Before
        releasing             Over
        releasing_answered    Over
        scaling               Changed
        scaling_answered      Changed
        quiesced              Before
        reassessed            Changed
        draining              Draining
        draining_answered     Draining
        drained               Draining
        readmitting           Draining
        readmitting_answered  Draining
        terminating           Changed
        terminating_answered  Changed
        terminated            Changed
        way_back_asked        AskedBack
        way_back              GoingBack
        logs_saved            GoingBack
        rolling_back          GoingBack
        rolling_back_answered GoingBack
        rolled_back           GoingBack
        halt_offered          -
        halt_answered         Over
        halting               Over
        halting_answered      Over
        interference          -
        overridden            Before
        scaled                Changed
        not_ready             Over
        verified              Changed
        monitored             Over
        documented            Over
        finished              Ended
        cancel_requested      -
        resumed               -
        parked                Parked
        escalated             -
        acknowledged          -
        reescalated           -
        abandoned             Ended
        follow_up_closed      -
        proposed              -
        dismissed             -
        follow_up             -
        witness_gap           -
        clock_jump            -
        command_refused       -
        ");
    }

    #[test]
    fn what_it_means_is_said_at_every_point() {
        let points = [
            Point::Before,
            Point::Changed,
            Point::Draining,
            Point::AskedBack,
            Point::GoingBack,
            Point::Over,
            Point::Offered,
            Point::Parked,
            Point::Ended,
        ];
        let said = points.map(|point| format!("{point:?}: {}\n", point.means())).concat();
        insta::assert_snapshot!(said, @r"
        Before: It stops, and nothing is changed.
        Changed: It stops, and the fleet stays as it is.
        To bring it back afterwards, type: /scale rollback
        Draining: It stops. The instance being drained gets requests again; what is gone stays gone.
        To bring that back afterwards, type: /scale rollback
        AskedBack: The question whether to go back ends unanswered, and the fleet stays as it is.
        To bring it back afterwards, type: /scale rollback
        GoingBack: Going back is not interrupted: it goes on until the fleet is at the count before, or says why it cannot.
        Over: It is over: nothing is left to stop, and the summary follows.
        If what was found is taken back, the next card says so; that is not interrupted.
        Offered: All else is done. The wait for a governance lead's word on the halt ends, and so does the operation.
        Parked: It waits for a person and does nothing, so there is nothing to stop.
        A governance lead can abandon it, which frees the fleet.
        Ended: It has ended already. To bring the fleet back, type: /scale rollback
        ");
    }

    #[test]
    fn what_can_come_at_any_time_is_looked_past() {
        assert_eq!(at(&[Kind::Requested, Kind::Prechecked, Kind::VoteCast, Kind::Resumed]), Point::Before);
        assert_eq!(at(&[Kind::Scaling, Kind::CancelRequested, Kind::ClockJump]), Point::Changed);
        assert_eq!(at(&[Kind::Scaling, Kind::Prechecked]), Point::Before);
        assert_eq!(at(&[Kind::Draining, Kind::Escalated]), Point::Draining);
    }

    #[test]
    fn on_the_way_back_draining_is_part_of_it_and_is_not_stopped() {
        let decided = |how: &str| {
            let body = format!(
                r#"{{"step":"back","v":1,"decided":"{how}","by":null,"because":"b","culprits":[],"newcomers":[],"ended":[],"to":4}}"#
            );
            [event("scaled", "{}"), event("way_back", &body), event("draining", "{}")]
        };
        assert_eq!(point_of(&decided("automatic")), Point::GoingBack);
        assert_eq!(point_of(&decided("agreed")), Point::GoingBack);
        let body = r#"{"step":"back","v":1,"decided":"automatic","by":null,"because":"b","culprits":[],"newcomers":[],"ended":[],"to":4}"#;
        let mut offered = vec![
            event("way_back", body),
            event("halt_offered", "{}"),
            event("rolled_back", "{}"),
            event("verified", r#"{"result":"passed"}"#),
        ];
        assert_eq!(point_of(&offered), Point::GoingBack);
        offered.push(event("documented", "{}"));
        assert_eq!(point_of(&offered), Point::Offered);
        offered.push(event("halt_answered", "{}"));
        assert_eq!(point_of(&offered), Point::Over);
        let never = decided("never");
        assert_eq!(point_of(&never[..2]), Point::Over);
    }

    #[test]
    fn once_it_is_over_nothing_is_left_to_stop() {
        let verified = |result: &str| event("verified", &format!(r#"{{"result":"{result}"}}"#));
        assert_eq!(point_of(&[verified("passed")]), Point::Changed);
        assert_eq!(point_of(&[verified("inconsistent"), event("escalated", "{}")]), Point::Over);
        assert_eq!(point_of(&[verified("passed"), event("attested", r#"{"by":null}"#)]), Point::Over);
        assert_eq!(point_of(&[verified("passed"), event("attested", r#"{"by":"operator"}"#)]), Point::Changed);
        assert_eq!(at(&[Kind::Scaled, Kind::Monitored, Kind::FollowUp]), Point::Over);
        assert_eq!(at(&[Kind::Verified, Kind::Escalated, Kind::HaltOffered]), Point::Changed);
        // The offer is open from the first, and can be ended once all else is done.
        assert_eq!(at(&[Kind::NotReady, Kind::HaltOffered, Kind::WayBackAsked]), Point::AskedBack);
        assert_eq!(at(&[Kind::Monitored, Kind::HaltOffered, Kind::Documented, Kind::FollowUp]), Point::Offered);
        assert!(!Point::Over.can_stop() && Point::AskedBack.can_stop());
    }

    #[test]
    fn only_who_may_answer_the_offer_to_halt_may_end_it() {
        assert_eq!(Point::Offered.action(true), Action::AnswerHaltOffer);
        assert_eq!(Point::AskedBack.action(true), Action::Cancel { own: true });
    }

    #[test]
    fn a_kind_of_a_later_version_may_have_changed_something() {
        assert_eq!(point_of(&[event("requested", "{}"), event("unheard_of", "{}")]), Point::Changed);
    }
}
