//! Ctrl-C ends a rehearsal that waits for somebody to type, whether or not anything is typed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

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
    std::io::Write::write_all(&mut input, b"help\n").unwrap();
    // What it says to that shows that the warm-up is over and the next line is waited for.
    let answered = said.find(|line| line.contains("/scale up"));
    let pid = drill.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // Its output ends when the process does; one that hangs is ended by closing its input, and too late.
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(drill.wait()));
    let code = ended.recv_timeout(std::time::Duration::from_secs(10));
    drop(input);
    let world = std::fs::read_to_string(state.path().join("world.lock")).unwrap();
    let digits = world.chars().skip_while(|one| !one.is_ascii_digit()).take_while(char::is_ascii_digit);
    let world: String = digits.collect();
    let _ = Command::new("kill").args(["-TERM", &world]).status();
    assert!(answered.is_some());
    assert_eq!(code.ok().and_then(Result::ok).and_then(|status| status.code()), Some(130));
}
