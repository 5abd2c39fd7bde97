//! Who somebody on the host is, as the system says.

use std::io::Read as _;

use scalebot_commands::request::quoted;
use scalebot_commands::units::Person;
use tokio::net::UnixStream;

/// The most of the list of users that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Whoever runs this process.
pub(crate) fn myself() -> Person {
    let pair = UnixStream::pair().and_then(|(one, _other)| one.peer_cred());
    person(pair.ok().map(|credentials| credentials.uid()))
}

/// The user of that number, or somebody of whom the system says nothing.
pub(super) fn person(uid: Option<u32>) -> Person {
    let mut users = String::new();
    let read = std::fs::File::open("/etc/passwd").and_then(|file| file.take(LONGEST).read_to_string(&mut users));
    if read.is_err() {
        users.clear();
    }
    Person::new(match uid {
        Some(uid) => format!("host:{}", name_in(&users, uid).unwrap_or_else(|| format!("user {uid}"))),
        None => "host:somebody".to_owned(),
    })
}

/// A user's name in a list like `/etc/passwd`.
fn name_in(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| quoted(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_name_or_else_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:7:\nda\u{202e}na:x:1000:1000::/home/dana:/bin/sh\n";
        assert_eq!(name_in(users, 0).as_deref(), Some("root"));
        assert_eq!(name_in(users, 1000).as_deref(), Some("da\\u{202e}na"));
        assert_eq!(name_in(users, 7), None);
        assert_eq!(name_in(users, 4711), None);
        assert_eq!(person(None).as_str(), "host:somebody");
        assert_eq!(person(Some(u32::MAX - 7)).as_str(), "host:user 4294967288");
    }

    #[tokio::test]
    async fn whoever_runs_this_process_is_a_user_of_the_host() {
        let me = myself();
        assert!(me.as_str().starts_with("host:") && me.as_str() != "host:somebody", "{me}");
    }
}
