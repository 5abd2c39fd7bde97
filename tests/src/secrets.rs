//! Planted secrets, and the search for them in everything that is written, said or sent.
//!
//! Each has the same beginning, whatever system it is for, so that whatever holds one is found without knowing which. A
//! [`Service`](crate::run::Service) and a [`Drill`](crate::binary::Drill) search all that they leave behind as they are
//! dropped, Discord's double and the cluster's all that was sent to them; so every scenario does.

use std::fs;
use std::path::{Path, PathBuf};

/// What every planted secret begins with.
pub const PLANTED: &str = "hidden-in-";

/// Where an operator writes secrets down, by the end of the file's name.
const BELONGS_IN: [&str; 3] = [".toml", ".token", ".password"];

/// The files beneath a directory that hold a planted secret and are not where an operator writes it down.
fn holding_one(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What goes away meanwhile is nobody's leak.
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => found.extend(holding_one(&path)),
            Ok(kind) if !kind.is_file() || belongs(&entry.file_name().to_string_lossy()) => {}
            _ if fs::read(&path).is_ok_and(|bytes| says_one(&bytes)) => found.push(path),
            _ => {}
        }
    }
    found
}

/// Whether a planted secret stands there.
pub fn says_one(text: impl AsRef<[u8]>) -> bool {
    says(text, PLANTED)
}

/// Whether that word stands there.
pub fn says(text: impl AsRef<[u8]>, word: &str) -> bool {
    memchr::memmem::find(text.as_ref(), word.as_bytes()).is_some()
}

/// No planted secret stands there.
///
/// # Panics
/// When one does; it is shown, with what is around it.
pub(crate) fn none_in(what: &str, text: &str) {
    if let Some(at) = text.find(PLANTED) {
        let (before, after) = (text[..at].chars().rev().take(80), text[at..].chars().take(120));
        let before: String = before.collect::<Vec<_>>().into_iter().rev().collect();
        panic!("a secret in {what}: …{before}{}…", after.collect::<String>());
    }
}

fn belongs(name: &str) -> bool {
    BELONGS_IN.iter().any(|end| name.ends_with(end))
}

/// No file that a test leaves behind holds a planted secret, unless it belongs there. Where a test fails already it is
/// only said.
///
/// # Panics
/// When one does.
pub(crate) fn none_beneath(directory: &Path) {
    let found = holding_one(directory);
    if std::thread::panicking() {
        if !found.is_empty() {
            eprintln!("A secret stands in {found:?}");
        }
        return;
    }
    assert!(found.is_empty(), "a secret stands in {found:?}");
}
