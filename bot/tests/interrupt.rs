//! Ctrl-C ends a rehearsal that waits for somebody to type, whether or not anything is typed.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect should stop right there")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A machine that is busy with other tests is slow.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_interrupted_rehearsal_ends_though_its_input_stays_open() {
    let state = tempfile::tempdir().unwrap();
    let mut drill = Command::new(env!("CARGO_BIN_EXE_scalebot"))
        .args(["drill", "--state"])
        .arg(state.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Held open until the end: nobody types anything.
    let mut input = drill.stdin.take().unwrap();
    let mut said = BufReader::new(drill.stdout.take().unwrap()).lines().map(Result::unwrap);
    input.write_all(b"help\n").unwrap();
    // What it says to that shows that the warm-up is over and the next line is waited for.
    let answered = said.find(|line| line.contains("/scale up"));
    let pid = drill.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // One that hangs would end as soon as its input is closed: by then it is too late.
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(drill.wait()));
    let code = ended.recv_timeout(PATIENCE);
    drop(input);
    // The world would go on for ten minutes.
    let world = std::fs::read_to_string(state.path().join("world.lock")).unwrap();
    let world = world.trim().trim_start_matches("process ");
    let _ = Command::new("kill").args(["-TERM", world]).status();
    assert!(answered.is_some());
    assert_eq!(code.ok().and_then(Result::ok).and_then(|status| status.code()), Some(130));
}
