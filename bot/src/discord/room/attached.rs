//! What instances wrote, as it is attached to a summary where configuration says so: the end of each file, without what
//! looks like a credential. The files on the host stay as they were written.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use scalebot_commands::units::OperationId;
use serenity::all::CreateAttachment;

/// How much of what instances wrote is attached: files, and the end of each in bytes.
const LOGS: usize = 5;
const LOG: u64 = 512 << 10;

/// The ends of what instances wrote, where they were kept: `targets` holds a directory a fleet.
pub(super) async fn logs(targets: Option<&Path>, operation: &OperationId) -> Vec<CreateAttachment> {
    let Some(targets) = targets.map(Path::to_owned) else { return Vec::new() };
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let operation: String = operation.as_str().chars().map(plain).collect();
    let read = move || {
        let fleets = std::fs::read_dir(targets).into_iter().flatten().flatten();
        // No two operations have the same name, so that there is one such directory at most.
        fleets.flat_map(|fleet| read(&fleet.path().join("logs").join(&operation))).collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

fn read(folder: &Path) -> Vec<CreateAttachment> {
    let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = found.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let attached = |path: PathBuf| {
        let text = end_of(&path, LOG).ok()?;
        let name = path.file_name()?.to_string_lossy();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
        let name: String = name.chars().map(plain).take(80).collect();
        let shows = format!("The end of what {name} holds; what looks like a credential is hidden");
        Some(CreateAttachment::bytes(masked(&text).into_owned().into_bytes(), name).description(shows))
    };
    paths.into_iter().take(LOGS).filter_map(attached).collect()
}

/// The last whole lines of a file, at most so many bytes of them. Half a line could be half a credential, which nobody
/// would know for one.
fn end_of(path: &Path, most: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let before = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if before == 0 {
        return Ok(text);
    }
    Ok(text.split_once('\n').map_or_else(String::new, |(_, whole)| whole.to_owned()))
}

/// What looks like a credential, and what is said instead; one after the other, the plainest first.
const CREDENTIALS: [(&str, &str); 6] = [
    // The end may be missing, where a line was cut.
    (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)", "[hidden]"),
    (r#"\b([a-z][a-z0-9+.-]*://)[^\s/@'"<>]*(?:/[^\s@'"<>]*)?@"#, "${1}[hidden]@"),
    (r"\beyJ[a-z0-9_-]{5,}\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?", "[hidden]"),
    (r#"\b((?:authorization|(?:set-)?cookie)['"]?\s*[:=]\s*)[^\n]*"#, "${1}[hidden]"),
    (r"\b((?:bearer|basic|bot)\s+)[a-z0-9._~+/=-]{8,}", "${1}[hidden]"),
    (
        concat!(
            r"((?:password|passwd|passphrase|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key|private[_-]?key)",
            r#"[a-z0-9_-]*['"]?\s*[:=]\s*)(?:"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|[^\s,;&'"}]+)"#,
        ),
        "${1}[hidden]",
    ),
];

/// The text without what looks like a credential.
fn masked(text: &str) -> Cow<'_, str> {
    static FORMS: LazyLock<Result<Vec<(Regex, &str)>, regex::Error>> = LazyLock::new(|| {
        let form = |(form, said): (&str, &'static str)| Ok((Regex::new(&format!("(?i){form}"))?, said));
        CREDENTIALS.into_iter().map(form).collect()
    });
    let Ok(forms) = &*FORMS else { return Cow::Borrowed("") };
    let mut text = Cow::Borrowed(text);
    for (form, said) in forms {
        if let Cow::Owned(replaced) = form.replace_all(&text, *said) {
            text = Cow::Owned(replaced);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_like_a_credential_is_hidden_and_the_rest_is_kept() {
        for (written, said) in [
            (
                "connecting to postgres://conclave:s3cr3t@db:5432/c as conclave",
                "connecting to postgres://[hidden]@db:5432/c as conclave",
            ),
            ("redis://:p/w@cache:6379 is gone", "redis://[hidden]@cache:6379 is gone"),
            ("DATABASE_PASSWORD=s3cr3t LOG_LEVEL=debug", "DATABASE_PASSWORD=[hidden] LOG_LEVEL=debug"),
            (
                r#"{"hsm_token": "s3cr3t \" and more", "level": "error"}"#,
                r#"{"hsm_token": [hidden], "level": "error"}"#,
            ),
            ("authorization: Bearer abc.DEF-123456", "authorization: [hidden]"),
            ("sent Bearer abc.DEF-123456 to the HSM", "sent Bearer [hidden] to the HSM"),
            ("set-cookie: a=b; c=d\nready", "set-cookie: [hidden]\nready"),
            ("secret: 'a b'; level=warn", "secret: [hidden]; level=warn"),
            ("token=postgres://u:p,w@h/d", "token=[hidden]"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nready", "[hidden]\nready"),
            ("-----BEGIN PRIVATE KEY-----\nMII", "[hidden]"),
            ("got eyJhbGciOi.eyJzdWIi.c2lnbg, refused", "got [hidden], refused"),
            (
                "the token of 3 instances was read from https://example.org/a",
                "the token of 3 instances was read from https://example.org/a",
            ),
            (
                "500 requests, p99 0.5 s, panicked at src/main.rs:5:1",
                "500 requests, p99 0.5 s, panicked at src/main.rs:5:1",
            ),
        ] {
            assert_eq!(masked(written), said);
        }
    }

    proptest! {
        #[test]
        fn no_text_around_a_credential_uncovers_it(before in "\\PC{0,40}", after in "\\PC{0,40}", form in 0..4_usize) {
            let credential = "Xq7-planted-Zz";
            let written = [
                format!("postgres://u:{credential}@h/d"),
                format!("password={credential}"),
                format!("\"api_key\": \"{credential}\""),
                format!("Bearer {credential}"),
            ];
            let written = format!("{before} {} {after}", written[form]);
            prop_assert!(!masked(&written).contains(credential), "{}", masked(&written));
        }
    }

    #[test]
    fn half_a_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api-5.log");
        std::fs::write(&path, "password=s3cr3t\npanicked\n").unwrap();
        assert_eq!(end_of(&path, 1000).unwrap(), "password=s3cr3t\npanicked\n");
        assert_eq!(end_of(&path, 13).unwrap(), "panicked\n");
        assert_eq!(end_of(&path, 4).unwrap(), "");
    }
}
