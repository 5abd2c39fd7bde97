//! `/scale cancel`: what it means at the point at which an operation is.

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
    /// The fleet is brought back to the count before.
    GoingBack,
    /// The fleet is back, and a governance lead's word on the halt is awaited.
    Offered,
    /// It cannot go on by itself.
    Parked,
    /// It has ended.
    Ended,
}

impl Point {
    /// Whether the operation stops here when it is asked to.
    pub fn can_stop(self) -> bool {
        matches!(self, Self::Before | Self::Changed | Self::Draining | Self::Offered)
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
            Self::Offered => {
                "The fleet is back already. The wait for a governance lead's word on the halt ends, and so does the operation."
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
        | Kind::Quiesced => Point::Before,
        Kind::Scaling
        | Kind::ScalingAnswered
        | Kind::Scaled
        | Kind::NotReady
        | Kind::Attested
        | Kind::Verified
        | Kind::Monitored
        | Kind::Documented
        | Kind::Terminating
        | Kind::TerminatingAnswered
        | Kind::Terminated
        | Kind::Reassessed => Point::Changed,
        Kind::Draining | Kind::DrainingAnswered | Kind::Drained | Kind::Readmitting | Kind::ReadmittingAnswered => {
            Point::Draining
        }
        Kind::WayBack
        | Kind::LogsSaved
        | Kind::RollingBack
        | Kind::RollingBackAnswered
        | Kind::RolledBack
        | Kind::HaltOffered
        | Kind::HaltAnswered
        | Kind::Halting
        | Kind::HaltingAnswered => Point::GoingBack,
        Kind::Parked => Point::Parked,
        Kind::Finished | Kind::Abandoned => Point::Ended,
        Kind::ReasonGiven
        | Kind::AttestationGiven
        | Kind::VoteCast
        | Kind::VoteWithdrawn
        | Kind::VoteRefused
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
        | Kind::CommandRefused => return None,
    })
}

/// How far an operation is, by its events. What this version does not know may have changed something.
pub fn point_of(events: &[Event]) -> Point {
    let told = |event: &Event| match Kind::parse(&event.kind) {
        Some(kind) => point(kind),
        None => Some(Point::Changed),
    };
    let at = events.iter().rev().find_map(told).unwrap_or(Point::Before);
    // On the way back instances are drained and set to work again as well, which is not to be stopped either.
    match at {
        Point::Parked | Point::Ended => at,
        Point::GoingBack if way_back(events) == Some(false) => Point::Changed,
        _ if way_back(events) == Some(true) => {
            let has = |kind: Kind| events.iter().any(|event| event.kind == kind.as_str());
            let offered = has(Kind::RolledBack) && has(Kind::HaltOffered) && !has(Kind::HaltAnswered);
            if offered { Point::Offered } else { Point::GoingBack }
        }
        _ => at,
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
        way_back              GoingBack
        logs_saved            GoingBack
        rolling_back          GoingBack
        rolling_back_answered GoingBack
        rolled_back           GoingBack
        halt_offered          GoingBack
        halt_answered         GoingBack
        halting               GoingBack
        halting_answered      GoingBack
        interference          -
        overridden            Before
        scaled                Changed
        not_ready             Changed
        verified              Changed
        monitored             Changed
        documented            Changed
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
            Point::GoingBack,
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
        GoingBack: Going back is not interrupted: it goes on until the fleet is at the count before, or says why it cannot.
        Offered: The fleet is back already. The wait for a governance lead's word on the halt ends, and so does the operation.
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
            event("verified", "{}"),
        ];
        assert_eq!(point_of(&offered), Point::Offered);
        offered.push(event("halt_answered", "{}"));
        assert_eq!(point_of(&offered), Point::GoingBack);
        let never = decided("never");
        assert_eq!(point_of(&never[..2]), Point::Changed);
    }

    #[test]
    fn a_kind_of_a_later_version_may_have_changed_something() {
        assert_eq!(point_of(&[event("requested", "{}"), event("unheard_of", "{}")]), Point::Changed);
    }
}
