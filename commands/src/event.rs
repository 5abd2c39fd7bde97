//! One event of the operational log: what it holds, the bytes that its hash covers, and how a chain of them is proved.
//!
//! The journal that the runbook resumes from *is* the operational log (runbook step 6): one record of what happened.
//! A body is kept as the exact bytes first written, because a value parsed and printed again may differ from what was
//! signed for; nothing here ever re-serialises one.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::units::{Epoch, OperationId, TargetName, Timestamp};

/// Declares the kinds once: the variant, its name in the ledger, and how weighty it is.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $weight:ident;)+) => {
        /// What an event tells. The list grows; a kind is never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every kind that this version writes.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The name it bears in the ledger and in exports.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// Whether it gets a post of its own in the log channel or is gathered in a digest line.
            pub fn weight(self) -> Weight {
                match self {
                    $(Self::$kind => Weight::$weight,)+
                }
            }
        }
    };
}

/// How an event is posted to the log channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// In a post of its own, at once.
    Weighty,
    /// Gathered with its neighbours in a digest line.
    Routine,
}

kinds! {
    /// A command was accepted and its operation began.
    Requested = "requested", Weighty;
    /// The fleet and its load, as found.
    Assessed = "assessed", Routine;
    /// Every check with its status and what follows from it.
    Prechecked = "prechecked", Weighty;
    /// Why it is done, as the operator said when asked.
    Rationale = "rationale", Routine;
    /// An operator's word on what cannot be asked of an instance.
    Attested = "attested", Weighty;
    /// Somebody answered the question why.
    ReasonGiven = "reason_given", Routine;
    /// Somebody gave their word; whether it counts is told by what follows.
    AttestationGiven = "attestation_given", Routine;
    /// A governance lead is asked.
    ApprovalRequested = "approval_requested", Weighty;
    /// Somebody put a mark on the request.
    VoteCast = "vote_cast", Routine;
    /// Somebody took a mark away again.
    VoteWithdrawn = "vote_withdrawn", Weighty;
    /// A mark that does not count, and why.
    VoteRefused = "vote_refused", Routine;
    /// Governance has approved.
    Approved = "approved", Weighty;
    /// Governance has rejected.
    Rejected = "rejected", Weighty;
    /// Nobody decided in time, or the request lapsed otherwise.
    Expired = "expired", Weighty;
    /// The intent to hold somebody still who steers the count as well, for the time of the operation.
    Holding = "holding", Routine;
    /// What became of that intent.
    HoldingAnswered = "holding_answered", Routine;
    /// The intent to put somebody back who was held still.
    Releasing = "releasing", Routine;
    /// What became of that intent.
    ReleasingAnswered = "releasing_answered", Routine;
    /// The intent to set the fleet's count: the last thing written before it is tried.
    Scaling = "scaling", Routine;
    /// What became of that intent.
    ScalingAnswered = "scaling_answered", Routine;
    /// What an instance works on that must not be cut off was waited for.
    Quiesced = "quiesced", Routine;
    /// Between two instances: whether those that stay can still carry the load.
    Reassessed = "reassessed", Routine;
    /// The intent to send an instance no new requests.
    Draining = "draining", Routine;
    /// What became of that intent.
    DrainingAnswered = "draining_answered", Routine;
    /// An instance without new requests, and whether it has answered its last.
    Drained = "drained", Routine;
    /// The intent to send an instance requests again.
    Readmitting = "readmitting", Routine;
    /// What became of that intent.
    ReadmittingAnswered = "readmitting_answered", Routine;
    /// The intent to end exactly these instances.
    Terminating = "terminating", Routine;
    /// What became of that intent.
    TerminatingAnswered = "terminating_answered", Routine;
    /// Those instances are gone.
    Terminated = "terminated", Weighty;
    /// An operator or a governance lead is asked whether the fleet is brought back.
    WayBackAsked = "way_back_asked", Weighty;
    /// What was found makes it necessary to go back to the count before.
    WayBack = "way_back", Weighty;
    /// What an instance wrote was kept.
    LogsSaved = "logs_saved", Routine;
    /// The intent to bring the count back.
    RollingBack = "rolling_back", Routine;
    /// What became of that intent.
    RollingBackAnswered = "rolling_back_answered", Routine;
    /// How far it was brought back.
    RolledBack = "rolled_back", Weighty;
    /// A governance lead is offered to halt the system.
    HaltOffered = "halt_offered", Weighty;
    /// Somebody answered that offer.
    HaltAnswered = "halt_answered", Weighty;
    /// The intent to halt the system.
    Halting = "halting", Weighty;
    /// What became of that intent.
    HaltingAnswered = "halting_answered", Weighty;
    /// Somebody else changed the fleet while an operation was under way.
    Interference = "interference", Weighty;
    /// A governance lead has lifted what a check refused.
    Overridden = "overridden", Weighty;
    /// The wanted count is reached and every instance is ready.
    Scaled = "scaled", Weighty;
    /// The wanted count was not reached, or an instance did not become ready.
    NotReady = "not_ready", Weighty;
    /// Each instance examined, operationally and constitutionally.
    Verified = "verified", Weighty;
    /// The fleet watched over the window, with the verdict.
    Monitored = "monitored", Weighty;
    /// The documents brought up to date.
    Documented = "documented", Routine;
    /// The operation's end.
    Finished = "finished", Weighty;
    /// A person asked for the operation to stop.
    CancelRequested = "cancel_requested", Weighty;
    /// A process took the operation up again.
    Resumed = "resumed", Routine;
    /// The operation cannot go on until a person decides.
    Parked = "parked", Weighty;
    /// A role is told that it is needed.
    Escalated = "escalated", Weighty;
    /// Somebody has seen an escalation and sees to it.
    Acknowledged = "acknowledged", Weighty;
    /// Nobody did in time: it is said again, or to the next role.
    Reescalated = "reescalated", Weighty;
    /// A person freed the target of an operation that could not go on.
    Abandoned = "abandoned", Weighty;
    /// A follow-up is done, or no longer needed.
    FollowUpClosed = "follow_up_closed", Weighty;
    /// A trigger condition holds: a scaling is proposed.
    Proposed = "proposed", Weighty;
    /// A proposal was dismissed.
    Dismissed = "dismissed", Weighty;
    /// Somebody has to see to something later.
    FollowUp = "follow_up", Weighty;
    /// The log channel was told of events that this log lacks, and a person says that it is so.
    WitnessGap = "witness_gap", Weighty;
    /// The wall clock stands before the last event.
    ClockJump = "clock_jump", Weighty;
    /// A command that started no operation, and why.
    CommandRefused = "command_refused", Weighty;
}

impl Kind {
    /// The kind of that name, if this version knows it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// SHA-256 of an event, in hexadecimal in every text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands as the previous hash of the first event.
    pub const GENESIS: Self = Self([0; 32]);

    /// Reads 64 hexadecimal digits; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let mut hash = [0_u8; 32];
        for (out, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
            *out = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Self(hash))
    }

    /// The first eight digits: enough to compare by eye.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// An event as it stands in the ledger. Every text field holds exactly what was written, so that its hash can be
/// computed again from it, whatever version wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Position in the ledger, from 1, without gaps.
    pub seq: u64,
    /// When it was written, RFC 3339, UTC.
    pub at: String,
    /// The operation it belongs to, if any.
    pub operation: Option<OperationId>,
    /// Position within the operation, from 1; 0 where there is no operation.
    pub op_seq: u64,
    /// The fencing epoch of the process that wrote it.
    pub epoch: Epoch,
    /// A [`Kind`]'s name, or that of a later version's kind.
    pub kind: String,
    /// The JSON object as written.
    pub body: String,
    /// The hash of the event before it.
    pub prev: Hash,
    /// The hash of this one.
    pub hash: Hash,
}

/// What somebody wants to append; the ledger gives it its place in the chain.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The operation it belongs to, if any.
    pub operation: Option<OperationId>,
    /// The place in the operation that the writer believes to be next; 0 where there is no operation.
    pub op_seq: u64,
    /// The writer's fencing epoch.
    pub epoch: Epoch,
    /// When, by the writer's clock.
    pub at: Timestamp,
    /// What it tells.
    pub kind: Kind,
    /// A JSON object, kept as these bytes.
    pub body: String,
    /// What happens to the target's claim in the same transaction.
    pub claim: Claim,
}

/// One operation at a time on a target: the claim is taken with `requested` and given back with `finished`, each in
/// the transaction of that event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The claim stays as it is.
    Keep,
    /// This operation takes the target; refused when another holds it.
    Take(TargetName),
    /// This operation gives its target back.
    Release,
}

/// The version of the hashed layout; the first field of every hash.
const FORMAT: &str = "scalebot/1";

impl Event {
    /// Gives a draft its place after `seq - 1`, whose hash is `prev`.
    pub fn place(draft: &Draft, seq: u64, prev: Hash) -> Self {
        let mut event = Self {
            seq,
            at: draft.at.to_string(),
            operation: draft.operation.clone(),
            op_seq: draft.op_seq,
            epoch: draft.epoch,
            kind: draft.kind.as_str().to_owned(),
            body: draft.body.clone(),
            prev,
            hash: Hash::GENESIS,
        };
        event.hash = event.computed_hash();
        event
    }

    /// SHA-256 over the fields, each preceded by its length as eight bytes, big-endian: format version, seq, at,
    /// operation, `op_seq`, epoch, kind, body, previous hash. Numbers are eight bytes, big-endian. A missing operation
    /// is a field of length 0, which no operation's name has.
    pub fn computed_hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(FORMAT.as_bytes());
        field(&self.seq.to_be_bytes());
        field(self.at.as_bytes());
        field(self.operation.as_ref().map_or("", OperationId::as_str).as_bytes());
        field(&self.op_seq.to_be_bytes());
        field(&self.epoch.0.to_be_bytes());
        field(self.kind.as_bytes());
        field(self.body.as_bytes());
        field(&self.prev.0);
        Hash(hasher.finalize().into())
    }

    /// When it was written; `None` when the text is not a time, which only tampering can cause.
    pub fn time(&self) -> Option<Timestamp> {
        self.at.parse().ok()
    }

    /// The compact line that `--json` and `ledger export` print: the body's bytes are embedded as they stand.
    pub fn line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            seq: u64,
            at: &'a str,
            operation: Option<&'a OperationId>,
            op_seq: u64,
            epoch: Epoch,
            kind: &'a str,
            prev: String,
            hash: String,
            body: &'a RawValue,
        }
        // A body that is no JSON, or more than one line of it, can only come from tampering; it is shown as the text it
        // is, so that it cannot pass for events of its own.
        let as_text;
        let one_line = (!self.body.contains(['\n', '\r'])).then_some(&self.body);
        let body: &RawValue = if let Some(raw) = one_line.and_then(|body| serde_json::from_str(body).ok()) {
            raw
        } else {
            as_text = serde_json::value::to_raw_value(&self.body).unwrap_or_default();
            &as_text
        };
        serde_json::to_string(&Line {
            seq: self.seq,
            at: &self.at,
            operation: self.operation.as_ref(),
            op_seq: self.op_seq,
            epoch: self.epoch,
            kind: &self.kind,
            prev: self.prev.to_string(),
            hash: self.hash.to_string(),
            body,
        })
        .unwrap_or_default()
    }
}

/// Walks a ledger from its first event and stops at the first that is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    seq: u64,
    head: Hash,
}

/// Why the chain does not hold, at the first event where it does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An event is missing before this one, or the order was changed.
    #[error("event {expected} is missing: event {found} stands in its place")]
    Gap {
        /// The sequence number that should stand here.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// The event does not continue the one before it.
    #[error("event {seq} does not continue event {}: it was inserted, swapped, or the one before it was changed", seq - 1)]
    Unlinked {
        /// The event.
        seq: u64,
    },
    /// The event's content is not what its hash was computed over.
    #[error("event {seq} was changed after it was written: its content no longer gives its hash")]
    Changed {
        /// The event.
        seq: u64,
    },
}

impl Default for Proof {
    fn default() -> Self {
        Self { seq: 0, head: Hash::GENESIS }
    }
}

impl Proof {
    /// Takes the next event.
    ///
    /// # Errors
    /// The first thing that is wrong about it.
    pub fn take(&mut self, event: &Event) -> Result<(), Broken> {
        if event.seq != self.seq + 1 {
            return Err(Broken::Gap { expected: self.seq + 1, found: event.seq });
        }
        if event.prev != self.head {
            return Err(Broken::Unlinked { seq: event.seq });
        }
        if event.computed_hash() != event.hash {
            return Err(Broken::Changed { seq: event.seq });
        }
        self.seq = event.seq;
        self.head = event.hash;
        Ok(())
    }

    /// The last event taken: its sequence number (0 for none) and its hash.
    pub fn head(&self) -> (u64, Hash) {
        (self.seq, self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(op_seq: u64, body: &str) -> Draft {
        Draft {
            operation: Some(OperationId::new("op-1")),
            op_seq,
            epoch: Epoch(1),
            at: "2026-01-08T03:00:00Z".parse().unwrap(),
            kind: Kind::Assessed,
            body: body.to_owned(),
            claim: Claim::Keep,
        }
    }

    fn chain(length: u64) -> Vec<Event> {
        let mut prev = Hash::GENESIS;
        (1..=length)
            .map(|seq| {
                let event = Event::place(&draft(seq, &format!("{{\"n\":{seq}}}")), seq, prev);
                prev = event.hash;
                event
            })
            .collect()
    }

    fn first_wrong(events: &[Event]) -> Option<Broken> {
        let mut proof = Proof::default();
        events.iter().find_map(|event| proof.take(event).err())
    }

    #[test]
    fn an_untouched_chain_holds() {
        assert_eq!(first_wrong(&chain(5)), None);
    }

    #[test]
    fn every_kind_of_tampering_is_named_at_the_first_event_it_touches() {
        let good = chain(5);

        let mut changed = good.clone();
        changed[2].body = r#"{"n":33}"#.into();
        assert_eq!(first_wrong(&changed), Some(Broken::Changed { seq: 3 }));

        let mut changed_and_rehashed = good.clone();
        changed_and_rehashed[2].body = r#"{"n":33}"#.into();
        changed_and_rehashed[2].hash = changed_and_rehashed[2].computed_hash();
        assert_eq!(first_wrong(&changed_and_rehashed), Some(Broken::Unlinked { seq: 4 }));

        let mut deleted = good.clone();
        deleted.remove(1);
        assert_eq!(first_wrong(&deleted), Some(Broken::Gap { expected: 2, found: 3 }));

        let mut swapped = good.clone();
        swapped.swap(1, 2);
        swapped[1].seq = 2;
        swapped[2].seq = 3;
        assert!(first_wrong(&swapped).is_some());

        let mut inserted = good.clone();
        let extra = Event::place(&draft(9, "{}"), 3, Hash::GENESIS);
        inserted.insert(2, extra);
        assert_eq!(first_wrong(&inserted), Some(Broken::Unlinked { seq: 3 }));
    }

    #[test]
    fn no_two_layouts_of_the_same_bytes_share_a_hash() {
        let one = Event::place(&Draft { kind: Kind::Scaled, body: "{}".into(), ..draft(1, "") }, 1, Hash::GENESIS);
        let mut two = one.clone();
        two.kind = "scaled{".into();
        two.body = "}".into();
        assert_ne!(one.computed_hash(), two.computed_hash());
    }

    #[test]
    fn the_line_embeds_the_body_as_it_was_written() {
        let event = Event::place(&draft(1, r#"{"b":1.0,"a":[1,2]}"#), 1, Hash::GENESIS);
        assert!(event.line().ends_with(r#""body":{"b":1.0,"a":[1,2]}}"#), "{}", event.line());
        assert_eq!(Hash::parse(&event.hash.to_string()), Some(event.hash));
        assert_eq!(Hash::parse("xyz"), None);
    }

    #[test]
    fn a_line_stays_one_line_whatever_was_put_into_the_body() {
        let mut event = Event::place(&draft(1, "{}"), 1, Hash::GENESIS);
        event.body = "{\"a\":1,\n\"seq\":2}".into();
        assert!(event.line().ends_with(r#""body":"{\"a\":1,\n\"seq\":2}"}"#), "{}", event.line());
    }

    #[test]
    fn each_kind_is_found_again_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
        }
    }
}
