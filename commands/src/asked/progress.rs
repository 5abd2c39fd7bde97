//! What an operation is doing, in words, by what it did last.

use crate::event::{Event, Kind};

/// What is done after an event of that kind; `None` for one that can come at any time and tells nothing of it.
pub fn after(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Requested => "looking at the fleet",
        Kind::Assessed | Kind::Rationale => "checking whether it may be done",
        Kind::Prechecked => "checked, about to go on",
        Kind::ApprovalRequested => "waiting for a governance lead",
        Kind::Approved => "approved, checking once more",
        Kind::Overridden => "lifted by a governance lead, checking once more",
        Kind::Quiesced => "about to take instances out of service",
        Kind::Holding | Kind::HoldingAnswered => "holding still who else steers the count",
        Kind::Releasing | Kind::ReleasingAnswered => "putting back who was held still",
        Kind::Scaling => "setting the count",
        Kind::ScalingAnswered => "waiting for new instances to become ready",
        Kind::Scaled => "verifying every instance",
        Kind::NotReady => "not every instance became ready, deciding what follows",
        Kind::Attested | Kind::Verified => "watching the fleet",
        Kind::Monitored => "watched, writing down what was done",
        Kind::Reassessed => "about to take the next instance out of service",
        Kind::Draining | Kind::DrainingAnswered => "letting an instance answer its last requests",
        Kind::Drained => "an instance has no requests left, going on",
        Kind::Readmitting => "sending an instance requests again",
        Kind::ReadmittingAnswered => "an instance gets requests again, stopping",
        Kind::Terminating | Kind::TerminatingAnswered => "waiting for instances to be gone",
        Kind::Terminated => "instances are gone, verifying the others",
        Kind::WayBackAsked => "waiting for a word on going back",
        Kind::WayBack => "the way back is decided on",
        Kind::LogsSaved => "going back: logs are saved",
        Kind::HaltAnswered | Kind::Halting | Kind::HaltingAnswered => "the halt was decided on, ending",
        Kind::RollingBack | Kind::RollingBackAnswered => "going back to the count before",
        Kind::RolledBack => "back at the count before, verifying it",
        Kind::Rejected | Kind::Expired | Kind::Documented => "ending",
        Kind::Finished | Kind::Abandoned => "ended",
        Kind::Parked => "waiting for a person: it cannot go on by itself",
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

/// What an operation is doing, by its events.
pub fn of(events: &[Event]) -> &'static str {
    let told = |event: &Event| after(Kind::parse(&event.kind)?);
    events.iter().rev().find_map(told).unwrap_or("under way, where exactly cannot be told")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_either_tells_what_is_done_next_or_can_come_at_any_time() {
        let table: Vec<String> =
            Kind::ALL.iter().map(|kind| format!("{:<22}{}\n", kind.as_str(), after(*kind).unwrap_or("-"))).collect();
        insta::assert_snapshot!(table.concat(), @r"
        requested             looking at the fleet
        assessed              checking whether it may be done
        prechecked            checked, about to go on
        rationale             checking whether it may be done
        attested              watching the fleet
        reason_given          -
        attestation_given     -
        approval_requested    waiting for a governance lead
        vote_cast             -
        vote_withdrawn        -
        vote_refused          -
        approved              approved, checking once more
        rejected              ending
        expired               ending
        holding               holding still who else steers the count
        holding_answered      holding still who else steers the count
        releasing             putting back who was held still
        releasing_answered    putting back who was held still
        scaling               setting the count
        scaling_answered      waiting for new instances to become ready
        quiesced              about to take instances out of service
        reassessed            about to take the next instance out of service
        draining              letting an instance answer its last requests
        draining_answered     letting an instance answer its last requests
        drained               an instance has no requests left, going on
        readmitting           sending an instance requests again
        readmitting_answered  an instance gets requests again, stopping
        terminating           waiting for instances to be gone
        terminating_answered  waiting for instances to be gone
        terminated            instances are gone, verifying the others
        way_back_asked        waiting for a word on going back
        way_back              the way back is decided on
        logs_saved            going back: logs are saved
        rolling_back          going back to the count before
        rolling_back_answered going back to the count before
        rolled_back           back at the count before, verifying it
        halt_offered          -
        halt_answered         the halt was decided on, ending
        halting               the halt was decided on, ending
        halting_answered      the halt was decided on, ending
        interference          -
        overridden            lifted by a governance lead, checking once more
        scaled                verifying every instance
        not_ready             not every instance became ready, deciding what follows
        verified              watching the fleet
        monitored             watched, writing down what was done
        documented            ending
        finished              ended
        cancel_requested      -
        resumed               -
        parked                waiting for a person: it cannot go on by itself
        escalated             -
        acknowledged          -
        reescalated           -
        abandoned             ended
        follow_up_closed      -
        proposed              -
        dismissed             -
        follow_up             -
        witness_gap           -
        clock_jump            -
        command_refused       -
        ");
    }
}
