//! Whether the operational log can be believed: its chain, the order of what it tells, and what its witness says.
//!
//! The chain shows that no event was changed, inserted, removed or moved among its neighbours. It cannot show that the
//! log's end was cut off, or that all of it was written anew: the log channel can, because it holds the hashes that
//! were posted there. And a chain can be whole and still tell what cannot have happened.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::card::clock;
use crate::event::{Broken, Event, Hash, Kind, Proof};
use crate::ports::Announced;
use crate::units::{Epoch, Millis, OperationId, Timestamp, elapsed};
use crate::witness::{self, WitnessGap};

/// Why the log cannot be believed, at the first event where that shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The chain does not hold.
    #[error(transparent)]
    Chain(#[from] Broken),
    /// An event that belongs to no operation has a place in one.
    #[error("event {seq} belongs to no operation, and says to be number {op_seq} of one")]
    Stray {
        /// The event.
        seq: u64,
        /// Its place.
        op_seq: u64,
    },
    /// The events of an operation have a gap, or one stands there twice.
    #[error("event {seq} says to be number {found} of operation {}, where number {expected} belongs", operation.short())]
    Place {
        /// The event.
        seq: u64,
        /// Its operation.
        operation: OperationId,
        /// The place that comes next.
        expected: u64,
        /// The place that it has.
        found: u64,
    },
    /// An operation that began without a request.
    #[error("event {seq} ({kind}) is the first of operation {}, which was never requested", operation.short())]
    NeverRequested {
        /// The event.
        seq: u64,
        /// Its operation.
        operation: OperationId,
        /// Its kind.
        kind: String,
    },
    /// An operation that was requested while it was under way.
    #[error("event {seq} requests operation {}, which had already begun", operation.short())]
    RequestedAgain {
        /// The event.
        seq: u64,
        /// Its operation.
        operation: OperationId,
    },
    /// Something happened in an operation after its end.
    #[error("event {seq} belongs to operation {}, which was finished with event {finished}", operation.short())]
    AfterTheEnd {
        /// The event.
        seq: u64,
        /// Its operation.
        operation: OperationId,
        /// The event that finished it.
        finished: u64,
    },
    /// A process wrote that had lost the right to.
    #[error("event {seq} was written under epoch {}, after epoch {} had begun", found.0, before.0)]
    EpochFell {
        /// The event.
        seq: u64,
        /// Its epoch.
        found: Epoch,
        /// The epoch of the event before.
        before: Epoch,
    },
    /// The log channel was told another hash.
    #[error(
        "event {last} is not the one that was posted to the log channel: an event up to it was changed after it was \
         posted, or the post was (posted hash {}, found {})", posted.short(), found.short()
    )]
    Rewritten {
        /// The last event of the post.
        last: u64,
        /// The hash in the log channel.
        posted: Hash,
        /// The hash in the log.
        found: Hash,
    },
    /// The log channel was told of events that the log does not hold.
    #[error("event {} is missing: the log ends with event {head}, and events up to {last} were posted to the log channel", head + 1)]
    CutOff {
        /// The log's last event.
        head: u64,
        /// The last event of the first post beyond it.
        last: u64,
    },
    /// A post that no log could have given rise to.
    #[error("the log channel has a post of \"events {first} to {last}\", which cannot be: the post was changed")]
    Senseless {
        /// Its first event.
        first: u64,
        /// Its last event.
        last: u64,
    },
}

/// What an audit that found nothing wrong can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// How many events there are.
    pub events: u64,
    /// The last one's hash.
    pub head: Hash,
    /// Operations that have not ended.
    pub unfinished: usize,
    /// Up to which event the log channel was compared; `None` without a single post.
    pub compared: Option<u64>,
    /// Events up to there that no post covers: the posts were removed.
    pub unposted: Vec<RangeInclusive<u64>>,
    /// Posts that are not as they should be, though what they say of the log holds.
    pub suspects: Vec<Suspect>,
}

/// A post that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The first event that it names.
    pub first: u64,
    /// The last event that it names; 0 where no seal can be read.
    pub last: u64,
    /// When it was posted, by the channel's own word.
    pub posted: Option<Timestamp>,
    /// What about it.
    pub why: Doubt,
}

/// What is not as it should be about a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It was changed after it was posted.
    Edited,
    /// Somebody else wrote it.
    Foreign,
    /// It was posted so long after what it tells.
    Late(Millis),
    /// It was posted so long before what it tells.
    Early(Millis),
    /// What it tells was lost, as a person put on record.
    Lost,
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, posted, why } = self;
        match (last, posted) {
            (0, Some(posted)) => write!(f, "the message of {} ", clock(*posted))?,
            (0, None) => f.write_str("a message ")?,
            _ => write!(f, "the post of events {first} to {last} ")?,
        }
        match why {
            Doubt::Edited => f.write_str("was changed after it was posted: read the log itself, not the post"),
            Doubt::Foreign => f.write_str(
                "was not written by the bot: it was not compared; nobody else should be able to write there",
            ),
            Doubt::Lost => {
                f.write_str("tells of events that this log never held: they were lost, as was put on record")
            }
            Doubt::Late(by) => {
                write!(f, "came {by} after its last event: the channel was away, or the log was written anew")
            }
            Doubt::Early(by) => {
                write!(f, "came {by} before its last event: one of both clocks is wrong, or the log is")
            }
        }
    }
}

/// How long after its last event a post may come, and how far before it by the clocks of both.
const LATE: Duration = Duration::from_hours(1);
const EARLY: Duration = Duration::from_mins(2);

/// How many suspects are kept.
const SUSPECTS: usize = 100;

/// Walks the log from its first event.
#[derive(Debug)]
pub struct Audit {
    proof: Proof,
    epoch: Epoch,
    operations: HashMap<OperationId, Course>,
    /// By their last event, the greatest first, so that the next to be met is taken from the end; each with its place in
    /// the channel.
    posts: Vec<(usize, Announced)>,
    witnessed: bool,
    compared: u64,
    unposted: Vec<RangeInclusive<u64>>,
    suspects: Vec<Suspect>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    op_seq: u64,
    finished: Option<u64>,
}

impl Audit {
    /// An audit against what the log channel was told; without a post, of the log alone.
    pub fn against(posts: Vec<Announced>) -> Self {
        let mut posts: Vec<_> = posts.into_iter().enumerate().collect();
        posts.sort_by_key(|(_, post)| std::cmp::Reverse((post.last, post.first)));
        let foreign = posts.iter().filter(|(_, post)| post.foreign).map(|(_, post)| Suspect::of(post, Doubt::Foreign));
        let suspects = foreign.take(SUSPECTS).collect();
        posts.retain(|(_, post)| !post.foreign);
        Self {
            proof: Proof::default(),
            epoch: Epoch(0),
            operations: HashMap::new(),
            witnessed: !posts.is_empty(),
            posts,
            compared: 0,
            unposted: Vec::new(),
            suspects,
        }
    }

    /// Up to which event the log channel has been compared so far; `None` without a single post.
    pub fn compared(&self) -> Option<u64> {
        self.witnessed.then_some(self.compared)
    }

    /// The last event that was in order; 0 for none.
    pub fn in_order(&self) -> u64 {
        self.proof.head().0
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The first thing that is wrong about it. Nothing that comes after it means anything.
    pub fn take(&mut self, event: &Event) -> Result<(), Wrong> {
        let seq = event.seq;
        // On a copy, so that a later objection leaves the event out of what was in order.
        let mut proof = self.proof;
        proof.take(event)?;
        if let Some(gap) = witness::of(event) {
            self.leave_out_what_is_lost(&gap, event.seq);
        }
        self.witness(event)?;
        if event.epoch < self.epoch {
            return Err(Wrong::EpochFell { seq, found: event.epoch, before: self.epoch });
        }
        match &event.operation {
            Some(operation) => self.follow(event, operation)?,
            None if event.op_seq != 0 => return Err(Wrong::Stray { seq, op_seq: event.op_seq }),
            None => {}
        }
        self.epoch = event.epoch;
        self.proof = proof;
        Ok(())
    }

    /// The log has no more events.
    ///
    /// # Errors
    /// When the log channel was told of more. The audit is given back with it: it knows how far the log was in order.
    pub fn finish(self) -> Result<Audited, (Wrong, Box<Self>)> {
        let (events, head) = self.proof.head();
        if let Some((_, post)) = self.posts.last() {
            let wrong = match *post {
                Announced { first, last, .. } if first == 0 || first > last => Wrong::Senseless { first, last },
                Announced { last, .. } => Wrong::CutOff { head: events, last },
            };
            return Err((wrong, Box::new(self)));
        }
        let unfinished = self.operations.values().filter(|course| course.finished.is_none()).count();
        let compared = self.compared();
        let Self { unposted, suspects, .. } = self;
        Ok(Audited { events, head, unfinished, compared, unposted, suspects })
    }

    /// A person has put on record that events are lost: what the channel was told of them until then, from the event on
    /// that says so, is no witness against this log.
    fn leave_out_what_is_lost(&mut self, gap: &WitnessGap, from: u64) {
        let Some(until) = self.posts.iter().filter(|(_, post)| gap.newest.is(post)).map(|(at, _)| *at).max() else {
            return;
        };
        let room = SUSPECTS.saturating_sub(self.suspects.len());
        let lost = self.posts.extract_if(.., |(at, post)| *at <= until && post.last >= from);
        let lost: Vec<_> = lost.map(|(_, post)| Suspect::of(&post, Doubt::Lost)).collect();
        self.suspects.extend(lost.into_iter().take(room));
    }

    /// Compares the event with every post that ends with it.
    fn witness(&mut self, event: &Event) -> Result<(), Wrong> {
        while let Some((_, post)) = self.posts.last() {
            let Announced { first, last, hash, .. } = *post;
            if first == 0 || first > last {
                return Err(Wrong::Senseless { first, last });
            }
            if last > event.seq {
                break;
            }
            if hash != event.hash {
                return Err(Wrong::Rewritten { last, posted: hash, found: event.hash });
            }
            if first > self.compared + 1 {
                self.unposted.push(self.compared + 1..=first - 1);
            }
            self.compared = self.compared.max(last);
            if let Some((_, post)) = self.posts.pop() {
                let doubts = Doubt::about(&post, event).into_iter().map(|why| Suspect::of(&post, why));
                let room = SUSPECTS.saturating_sub(self.suspects.len());
                self.suspects.extend(doubts.take(room));
            }
        }
        Ok(())
    }

    fn follow(&mut self, event: &Event, operation: &OperationId) -> Result<(), Wrong> {
        let seq = event.seq;
        // The name is copied once an operation, not once an event.
        let course = match self.operations.get_mut(operation) {
            Some(course) => course,
            None => self.operations.entry(operation.clone()).or_default(),
        };
        let operation = || operation.clone();
        if let Some(finished) = course.finished {
            return Err(Wrong::AfterTheEnd { seq, operation: operation(), finished });
        }
        let expected = course.op_seq + 1;
        if event.op_seq != expected {
            return Err(Wrong::Place { seq, operation: operation(), expected, found: event.op_seq });
        }
        match (expected == 1, event.kind == Kind::Requested.as_str()) {
            (true, false) => {
                return Err(Wrong::NeverRequested { seq, operation: operation(), kind: event.kind.clone() });
            }
            (false, true) => return Err(Wrong::RequestedAgain { seq, operation: operation() }),
            _ => {}
        }
        course.op_seq = expected;
        if event.kind == Kind::Finished.as_str() {
            course.finished = Some(seq);
        }
        Ok(())
    }
}

impl Suspect {
    fn of(post: &Announced, why: Doubt) -> Self {
        Self { first: post.first, last: post.last, posted: post.posted, why }
    }
}

impl Doubt {
    /// What is not as it should be about a post that ends with that event.
    fn about(post: &Announced, event: &Event) -> Vec<Self> {
        let mut doubts = Vec::new();
        if post.edited {
            doubts.push(Self::Edited);
        }
        if let (Some(posted), Some(at)) = (post.posted, event.time()) {
            match (elapsed(at, posted), elapsed(posted, at)) {
                (late, _) if late > LATE => doubts.push(Self::Late(whole_seconds(late))),
                (_, early) if early > EARLY => doubts.push(Self::Early(whole_seconds(early))),
                _ => {}
            }
        }
        doubts
    }
}

fn whole_seconds(length: Duration) -> Millis {
    Duration::from_secs(length.as_secs()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Claim, Draft};

    /// A log of the given events: operation ("" for none), its `op_seq`, epoch, kind.
    fn log(events: &[(&str, u64, u64, Kind)]) -> Vec<Event> {
        let mut prev = Hash::GENESIS;
        let place = |(index, (operation, op_seq, epoch, kind)): (usize, &(&str, u64, u64, Kind))| {
            let draft = Draft {
                operation: (!operation.is_empty()).then(|| OperationId::new(*operation)),
                op_seq: *op_seq,
                epoch: Epoch(*epoch),
                at: "2026-01-08T03:00:00Z".parse().unwrap(),
                kind: *kind,
                body: "{}".to_owned(),
                claim: Claim::Keep,
            };
            let event = Event::place(&draft, index as u64 + 1, prev);
            prev = event.hash;
            event
        };
        events.iter().enumerate().map(place).collect()
    }

    /// Two operations, one under way while a command is refused.
    fn good() -> Vec<Event> {
        log(&[
            ("op-a", 1, 1, Kind::Requested),
            ("op-a", 2, 1, Kind::Assessed),
            ("", 0, 1, Kind::CommandRefused),
            ("op-a", 3, 2, Kind::Finished),
            ("op-b", 1, 2, Kind::Requested),
        ])
    }

    fn post(events: &[Event], first: u64, last: u64) -> Announced {
        Announced::plain(first, last, events[usize::try_from(last).unwrap() - 1].hash)
    }

    fn audit(events: &[Event], posts: Vec<Announced>) -> Result<Audited, Wrong> {
        let mut audit = Audit::against(posts);
        for event in events {
            audit.take(event)?;
        }
        audit.finish().map_err(|(wrong, _)| wrong)
    }

    #[test]
    fn a_log_that_nobody_touched_is_in_order_with_and_without_a_witness() {
        let events = good();
        let found = audit(&events, Vec::new()).unwrap();
        assert_eq!((found.events, found.unfinished, found.compared), (5, 1, None));
        assert_eq!(found.head, events[4].hash);

        let posts = vec![post(&events, 1, 1), post(&events, 2, 4), post(&events, 2, 4)];
        let found = audit(&events, posts).unwrap();
        assert_eq!((found.compared, found.unposted), (Some(4), Vec::new()));
        assert_eq!(audit(&[], Vec::new()).unwrap().events, 0);
    }

    /// The log up to its second event, and what a person then put on record of a log that had three more.
    fn put_back(newest: &Announced) -> Vec<Event> {
        let mut events = good();
        events.truncate(2);
        let gap = WitnessGap {
            newest: witness::Lacking { first: newest.first, last: newest.last, hash: newest.hash.to_string() },
            by: crate::units::Person::new("host:dana"),
            reason: "the disk is gone".to_owned(),
        };
        let draft = |kind: Kind, body: String| Draft {
            operation: None,
            op_seq: 0,
            epoch: Epoch(2),
            at: "2026-01-08T04:00:00Z".parse().unwrap(),
            kind,
            body,
            claim: Claim::Keep,
        };
        let said = draft(Kind::WitnessGap, serde_json::to_string(&gap).unwrap());
        events.push(Event::place(&said, 3, events[1].hash));
        events.push(Event::place(&draft(Kind::CommandRefused, "{}".to_owned()), 4, events[2].hash));
        events
    }

    #[test]
    fn what_was_lost_accuses_nobody_once_a_person_has_put_that_on_record_and_everything_after_it_does() {
        let lost = good();
        let newest = post(&lost, 5, 5);
        let events = put_back(&newest);
        let posts = || vec![post(&lost, 1, 2), post(&lost, 3, 4), newest.clone(), post(&events, 3, 3)];
        let found = audit(&events, posts()).unwrap();
        assert_eq!((found.events, found.compared, found.unposted.len()), (4, Some(3), 0));
        let whys: Vec<_> = found.suspects.iter().map(|suspect| (suspect.last, suspect.why)).collect();
        assert_eq!(whys.len(), 2);
        assert!(whys.contains(&(4, Doubt::Lost)) && whys.contains(&(5, Doubt::Lost)), "{whys:?}");

        // Not on record, and posted after it was.
        assert!(matches!(audit(&events[..2], posts()), Err(Wrong::CutOff { head: 2, .. })));
        let mut posts = posts();
        posts.push(post(&lost, 4, 4));
        assert!(matches!(audit(&events, posts), Err(Wrong::Rewritten { last: 4, .. })));
    }

    #[test]
    fn posts_that_are_missing_in_between_are_named_and_accuse_nobody() {
        let events = good();
        let found = audit(&events, vec![post(&events, 5, 5), post(&events, 2, 2)]).unwrap();
        assert_eq!((found.compared, found.unposted), (Some(5), vec![1..=1, 3..=4]));
    }

    #[test]
    fn a_post_that_is_not_as_it_should_be_is_a_suspect_and_somebody_elses_is_no_witness() {
        let events = good();
        let at = |minute: i64| {
            Some(
                "2026-01-08T03:00:00Z".parse::<crate::units::Timestamp>().unwrap()
                    + Duration::from_mins(minute.unsigned_abs()),
            )
        };
        let posts = vec![
            Announced { edited: true, posted: at(59), ..post(&events, 1, 1) },
            Announced { posted: at(61), ..post(&events, 2, 2) },
            Announced { posted: Some("2026-01-08T02:57:00Z".parse().unwrap()), ..post(&events, 3, 3) },
            Announced { foreign: true, hash: Hash([9; 32]), ..post(&events, 4, 4) },
        ];
        let found = audit(&events, posts).unwrap();
        let said: Vec<String> = found.suspects.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(said.join("\n"), @"
        the post of events 4 to 4 was not written by the bot: it was not compared; nobody else should be able to write there
        the post of events 1 to 1 was changed after it was posted: read the log itself, not the post
        the post of events 2 to 2 came 1 h 1 min after its last event: the channel was away, or the log was written anew
        the post of events 3 to 3 came 3 min before its last event: one of both clocks is wrong, or the log is
        ");
        assert_eq!(found.compared, Some(3));
        let foreign = Announced { foreign: true, ..post(&events, 1, 1) };
        assert_eq!(audit(&events, vec![foreign]).unwrap().compared, None);
    }

    #[test]
    fn a_log_whose_end_was_cut_off_is_found_by_its_witness() {
        let events = good();
        let posts = vec![post(&events, 1, 2), post(&events, 3, 5)];
        assert_eq!(audit(&events[..4], posts.clone()), Err(Wrong::CutOff { head: 4, last: 5 }));
        assert_eq!(audit(&[], posts), Err(Wrong::CutOff { head: 0, last: 2 }));
    }

    #[test]
    fn a_log_that_was_written_anew_is_found_by_its_witness() {
        let events = good();
        let posts = vec![post(&events, 1, 2), post(&events, 3, 4)];
        let mut forged = events.clone();
        forged[2].body = r#"{"by":"somebody else"}"#.into();
        let mut prev = forged[1].hash;
        for event in &mut forged[2..] {
            event.prev = prev;
            event.hash = event.computed_hash();
            prev = event.hash;
        }
        let wrong = audit(&forged, posts).unwrap_err();
        assert_eq!(wrong, Wrong::Rewritten { last: 4, posted: events[3].hash, found: forged[3].hash });
        assert!(audit(&forged, Vec::new()).is_ok(), "the chain alone cannot tell");
    }

    #[test]
    fn a_post_that_cannot_be_is_named() {
        let events = good();
        let senseless = Announced { first: 4, ..post(&events, 1, 2) };
        assert_eq!(audit(&events, vec![senseless]), Err(Wrong::Senseless { first: 4, last: 2 }));
        let zero = Announced::plain(0, 0, Hash::GENESIS);
        assert_eq!(audit(&[], vec![zero]), Err(Wrong::Senseless { first: 0, last: 0 }));
    }

    #[test]
    fn what_a_whole_chain_cannot_have_told_is_named_at_its_event() {
        let op = || OperationId::new("op-a");
        let cases = [
            (
                log(&[("op-a", 1, 1, Kind::Requested), ("op-a", 3, 1, Kind::Assessed)]),
                Wrong::Place { seq: 2, operation: op(), expected: 2, found: 3 },
            ),
            (
                log(&[("op-a", 1, 1, Kind::Assessed)]),
                Wrong::NeverRequested { seq: 1, operation: op(), kind: "assessed".into() },
            ),
            (
                log(&[("op-a", 1, 1, Kind::Requested), ("op-a", 2, 1, Kind::Requested)]),
                Wrong::RequestedAgain { seq: 2, operation: op() },
            ),
            (
                log(&[
                    ("op-a", 1, 1, Kind::Requested),
                    ("op-a", 2, 1, Kind::Finished),
                    ("", 0, 1, Kind::CommandRefused),
                    ("op-a", 3, 1, Kind::Scaling),
                ]),
                Wrong::AfterTheEnd { seq: 4, operation: op(), finished: 2 },
            ),
            (
                log(&[("op-a", 1, 2, Kind::Requested), ("op-a", 2, 1, Kind::Assessed)]),
                Wrong::EpochFell { seq: 2, found: Epoch(1), before: Epoch(2) },
            ),
            (log(&[("", 7, 1, Kind::CommandRefused)]), Wrong::Stray { seq: 1, op_seq: 7 }),
        ];
        for (events, wrong) in cases {
            let said = wrong.to_string();
            assert!(said.contains(&format!("event {}", events.last().unwrap().seq)), "{said}");
            assert_eq!(audit(&events, Vec::new()), Err(wrong));
        }
    }

    #[test]
    fn what_was_in_order_before_the_first_wrong_event_is_known() {
        let events = log(&[("op-a", 1, 2, Kind::Requested), ("op-a", 2, 1, Kind::Assessed)]);
        let mut audit = Audit::against(vec![post(&events, 1, 1)]);
        audit.take(&events[0]).unwrap();
        audit.take(&events[1]).unwrap_err();
        assert_eq!((audit.in_order(), audit.compared()), (1, Some(1)));
    }
}
