//! The backend's hash chain of events, as the world's store keeps it and its instances serve it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use scalebot_commands::event::Hash;

/// An event, with the backend's names for its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    /// A UUID.
    pub(crate) event_id: String,
    /// Its place in the chain, from 1.
    pub(crate) sequence: u64,
    /// What it tells.
    pub(crate) event_type: String,
    /// Its content.
    pub(crate) payload: Value,
    /// SHA-256 of the payload.
    pub(crate) content_hash: String,
    /// The `content_hash` of the event before it; zeros for the first.
    pub(crate) prev_hash: String,
    /// The agent's signature.
    pub(crate) signature: String,
    /// Who wrote it.
    pub(crate) agent_id: String,
    /// Who saw it written.
    pub(crate) witness_id: String,
    /// The witness' signature.
    pub(crate) witness_signature: String,
    /// When, by the writer's clock.
    pub(crate) local_timestamp: String,
    /// When, by the database's clock.
    pub(crate) authority_timestamp: String,
    /// Which hash.
    pub(crate) hash_algorithm_version: String,
    /// Which signature.
    pub(crate) sig_alg_version: String,
}

/// The event that continues `previous`, or begins the chain.
pub(crate) fn next(previous: Option<&StoredEvent>, event_type: &str, payload: Value, now: Timestamp) -> StoredEvent {
    let content_hash = hash_of(&payload);
    StoredEvent {
        event_id: uuid::Uuid::now_v7().to_string(),
        sequence: previous.map_or(1, |event| event.sequence + 1),
        event_type: event_type.to_owned(),
        payload,
        prev_hash: previous.map_or_else(|| Hash::GENESIS.to_string(), |event| event.content_hash.clone()),
        // There are no keys in a rehearsal; a signature stands for its place only, and nothing reads it.
        signature: format!("rehearsal:{content_hash}"),
        agent_id: "archon-rehearsal".to_owned(),
        witness_id: "witness-rehearsal".to_owned(),
        witness_signature: format!("rehearsal:{content_hash}"),
        content_hash,
        local_timestamp: backend_time(now),
        authority_timestamp: backend_time(now),
        hash_algorithm_version: "SHA256".to_owned(),
        sig_alg_version: "Ed25519".to_owned(),
    }
}

/// The same event in a history that forked at `fork`: from there on every content is another, and every hash follows.
/// `previous` is the event before it, as the true history has it.
pub(crate) fn forked(event: &StoredEvent, previous: Option<&StoredEvent>, fork: u64) -> StoredEvent {
    let content = |event: &StoredEvent| {
        let mut payload = event.payload.clone();
        if event.sequence >= fork
            && let Some(fields) = payload.as_object_mut()
        {
            fields.insert("branch".to_owned(), Value::from("diverged"));
        }
        payload
    };
    let payload = content(event);
    StoredEvent {
        content_hash: hash_of(&payload),
        prev_hash: previous.map_or_else(|| event.prev_hash.clone(), |previous| hash_of(&content(previous))),
        payload,
        ..event.clone()
    }
}

/// The first event, of consecutive ones, whose hash is not its content's or that does not continue the one before.
pub(crate) fn first_invalid(before: Option<&StoredEvent>, events: &[StoredEvent]) -> Option<u64> {
    let mut expected = before.map(|event| event.content_hash.clone());
    for event in events {
        let genesis = event.sequence == 1 && event.prev_hash != Hash::GENESIS.to_string();
        let unlinked = expected.is_some_and(|expected| expected != event.prev_hash);
        if genesis || unlinked || hash_of(&event.payload) != event.content_hash {
            return Some(event.sequence);
        }
        expected = Some(event.content_hash.clone());
    }
    None
}

fn hash_of(payload: &Value) -> String {
    Hash(Sha256::digest(payload.to_string()).into()).to_string()
}

/// A time as the backend writes it: both an offset and a `Z`, which RFC 3339 does not know.
pub(crate) fn backend_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: u64) -> Vec<StoredEvent> {
        let mut events: Vec<StoredEvent> = Vec::new();
        for n in 1..=count {
            let event = next(events.last(), "vote.cast", serde_json::json!({ "n": n }), Timestamp::UNIX_EPOCH);
            events.push(event);
        }
        events
    }

    #[test]
    fn a_changed_payload_or_a_broken_link_is_found_at_its_place() {
        let good = events(5);
        assert_eq!(first_invalid(None, &good), None);
        assert_eq!(first_invalid(Some(&good[1]), &good[2..]), None);
        let mut changed = good.clone();
        changed[2].payload = serde_json::json!({ "n": 33 });
        assert_eq!(first_invalid(None, &changed), Some(3));
        let mut cut = good;
        cut.remove(1);
        assert_eq!(first_invalid(None, &cut), Some(3));
    }

    #[test]
    fn each_branch_of_a_fork_is_valid_by_itself_and_they_differ_from_the_fork_on() {
        let good = events(6);
        let other: Vec<StoredEvent> = good
            .iter()
            .enumerate()
            .map(|(at, event)| forked(event, at.checked_sub(1).and_then(|at| good.get(at)), 4))
            .collect();
        assert_eq!(first_invalid(None, &other), None);
        assert_eq!(other[..3], good[..3]);
        for (other, good) in other.iter().zip(&good).skip(3) {
            assert_ne!(other.content_hash, good.content_hash);
        }
        assert_eq!(other[3].prev_hash, good[3].prev_hash);
        assert_ne!(other[4].prev_hash, good[4].prev_hash);
    }

    #[test]
    fn times_end_as_the_backends_do() {
        let time: Timestamp = "2026-01-08T03:00:00.25Z".parse().unwrap();
        assert_eq!(backend_time(time), "2026-01-08T03:00:00.250000+00:00Z");
    }
}
