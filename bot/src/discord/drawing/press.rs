//! What can be pressed under a card, and what a button's identifier carries. It carries all that is needed, so that a
//! button works after any restart, and in at most 100 characters.

use scalebot_commands::units::{OperationId, TargetName};

/// The longest name of an operation that a button can carry.
const OPERATION: usize = 40;

/// The longest name of a fleet that a button can carry, in bytes.
const TARGET: usize = 80;

/// What is pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Press {
    /// ✅ on a request.
    Approve(Request),
    /// ❌ on a request.
    Reject(Request),
    /// ✅ with a reason, which is asked for.
    ApproveWithReason(Request),
    /// Takes the ✅ back.
    Withdraw(Request),
    /// Says why it is done, which is asked for.
    Reason(OperationId),
    /// Gives their word on the keys, in words that are asked for.
    Attest(OperationId),
    /// Sees to an escalation; without a number, to the only one that is open.
    Acknowledge(Option<u64>),
    /// Begins what is proposed.
    Start,
    /// Dismisses what is proposed.
    Dismiss,
    /// Stops what is under way on that fleet; without one, on the first.
    Cancel(Option<TargetName>),
}

/// What is asked of people, in which operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) operation: OperationId,
    /// SHA-256 in hexadecimal.
    pub(crate) digest: String,
}

/// What every identifier of ours begins with. The number rises when the form changes.
const OURS: &str = "s1";

impl Press {
    /// The button's identifier; `None` when it cannot carry what is needed.
    pub(crate) fn id(&self) -> Option<String> {
        let on = |word: &str, Request { operation, digest }: &Request| {
            Some(format!("{OURS}:{word}:{}:{}", name(operation)?, pack(digest)?))
        };
        match self {
            Self::Approve(request) => on("approve", request),
            Self::Reject(request) => on("reject", request),
            Self::ApproveWithReason(request) => on("why", request),
            Self::Withdraw(request) => on("undo", request),
            Self::Reason(operation) => Some(format!("{OURS}:reason:{}", name(operation)?)),
            Self::Attest(operation) => Some(format!("{OURS}:attest:{}", name(operation)?)),
            Self::Acknowledge(None) => Some(format!("{OURS}:ack")),
            Self::Acknowledge(Some(number)) => Some(format!("{OURS}:ack:{number}")),
            Self::Start => Some(format!("{OURS}:start")),
            Self::Dismiss => Some(format!("{OURS}:dismiss")),
            Self::Cancel(None) => Some(format!("{OURS}:cancel")),
            Self::Cancel(Some(target)) => {
                let name = target.as_str();
                let plain = !name.is_empty() && name.len() <= TARGET && !name.contains(':');
                plain.then(|| format!("{OURS}:cancel:{name}"))
            }
        }
    }

    /// Reads an identifier; `None` for one that is not ours.
    pub(crate) fn read(id: &str) -> Option<Self> {
        let mut parts = id.split(':');
        if parts.next() != Some(OURS) {
            return None;
        }
        let word = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let operation = |name: &str| (!name.is_empty()).then(|| OperationId::new(name));
        let request = |name: &str, packed: &str| Some(Request { operation: operation(name)?, digest: unpack(packed)? });
        match (word, rest.as_slice()) {
            ("approve", [name, packed]) => request(name, packed).map(Self::Approve),
            ("reject", [name, packed]) => request(name, packed).map(Self::Reject),
            ("why", [name, packed]) => request(name, packed).map(Self::ApproveWithReason),
            ("undo", [name, packed]) => request(name, packed).map(Self::Withdraw),
            ("reason", [name]) => operation(name).map(Self::Reason),
            ("attest", [name]) => operation(name).map(Self::Attest),
            ("ack", []) => Some(Self::Acknowledge(None)),
            ("ack", [number]) => number.parse().ok().map(|number| Self::Acknowledge(Some(number))),
            ("start", []) => Some(Self::Start),
            ("dismiss", []) => Some(Self::Dismiss),
            ("cancel", []) => Some(Self::Cancel(None)),
            ("cancel", [name]) if !name.is_empty() => Some(Self::Cancel(Some(TargetName::new(*name)))),
            _ => None,
        }
    }
}

fn name(operation: &OperationId) -> Option<&str> {
    let name = operation.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!name.is_empty() && name.len() <= OPERATION && name.bytes().all(plain)).then_some(name)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Hexadecimal digits, three in two characters of six bits each.
fn pack(digest: &str) -> Option<String> {
    let digits: Option<Vec<u32>> = digest.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 64 && digest.bytes().all(|byte| !byte.is_ascii_uppercase()))?;
    let pairs = digits.chunks(3).flat_map(|three| {
        let bits = three.iter().fold(0, |bits, digit| bits << 4 | digit) << (4 * (3 - three.len()));
        [bits >> 6, bits & 63]
    });
    Some(pairs.map(|six| char::from(ALPHABET[six as usize])).collect())
}

fn unpack(packed: &str) -> Option<String> {
    let position = |byte: u8| ALPHABET.iter().position(|known| *known == byte).map(|at| at as u32);
    let six: Option<Vec<u32>> = packed.bytes().map(position).collect();
    let six = six.filter(|six| six.len() == 44)?;
    let digits = six.chunks(2).flat_map(|two| {
        let bits = two[0] << 6 | two[1];
        [bits >> 8, bits >> 4 & 15, bits & 15]
    });
    let mut digest: String = digits.filter_map(|digit| char::from_digit(digit, 16)).collect();
    digest.truncate(64);
    // What could be written in two ways would be two buttons for one.
    (pack(&digest)? == packed).then_some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::discord::drawing::limits::{CUSTOM_ID, length};

    fn all(operation: &str, digest: &str) -> Vec<Press> {
        let operation = OperationId::new(operation);
        let request = || Request { operation: operation.clone(), digest: digest.to_owned() };
        vec![
            Press::Approve(request()),
            Press::Reject(request()),
            Press::ApproveWithReason(request()),
            Press::Withdraw(request()),
            Press::Reason(operation.clone()),
            Press::Attest(operation.clone()),
            Press::Acknowledge(None),
            Press::Acknowledge(Some(u64::MAX)),
            Press::Start,
            Press::Dismiss,
            Press::Cancel(None),
            Press::Cancel(Some(TargetName::new("web"))),
        ]
    }

    proptest! {
        #[test]
        fn what_a_button_carries_is_read_again_and_fits(operation in "[0-9a-f-]{1,40}", digest in "[0-9a-f]{64}") {
            for press in all(&operation, &digest) {
                let id = press.id().unwrap();
                prop_assert!(length(&id) <= CUSTOM_ID, "{id}");
                prop_assert_eq!(Press::read(&id), Some(press));
            }
        }

        #[test]
        fn what_is_not_ours_is_nothing(id in ".{0,100}") {
            if let Some(press) = Press::read(&id) {
                // A number may be written with zeros before it; nothing else twice.
                prop_assert!(press.id().as_deref() == Some(&id) || matches!(press, Press::Acknowledge(Some(_))));
            }
        }
    }

    #[test]
    fn what_cannot_be_carried_has_no_button() {
        let digest = "0".repeat(64);
        let approve = |operation: &str, digest: &str| all(operation, digest)[0].id();
        assert!(approve("op", &digest).is_some());
        assert_eq!(approve("op:x", &digest), None);
        assert_eq!(approve("", &digest), None);
        assert_eq!(approve(&"x".repeat(41), &digest), None);
        assert_eq!(approve("op", "abc"), None);
        assert_eq!(approve("op", &"A".repeat(64)), None);
    }
}
