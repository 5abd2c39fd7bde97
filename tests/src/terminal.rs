//! The real program at a pseudo-terminal, as a person who types sees it. `script` (util-linux) holds the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use crate::binary::{Drill, kill, program};

/// A program at a terminal.
pub struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts `scalebot drill --state … ARGUMENTS` at a terminal.
    pub fn drill(drill: &Drill, arguments: &str) -> Self {
        let command = format!("exec {} drill --state {} {arguments}", program().display(), drill.state().display());
        // Whoever waits for words that never come must not wait for ever.
        let child = Command::new("timeout")
            .args([
                "--kill-after=5",
                "150",
                "script",
                "--quiet",
                "--flush",
                "--return",
                "--command",
                &command,
                "/dev/null",
            ])
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child, seen: String::new() }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Reads until that stands on the screen, and takes it and all before it away.
    ///
    /// # Panics
    /// When the program ends without it.
    pub fn until(&mut self, words: &str) -> String {
        let mut pending = Vec::new();
        loop {
            if let Some(at) = self.seen.find(words) {
                let rest = self.seen.split_off(at + words.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let mut bytes = [0; 4096];
            let read = self.child.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
            assert!(read > 0, "it ended without {words:?}:\n{}", self.seen);
            pending.extend_from_slice(&bytes[..read]);
            // A character may come in two pieces.
            let whole = match std::str::from_utf8(&pending) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            self.seen.push_str(&String::from_utf8_lossy(&pending.drain(..whole).collect::<Vec<u8>>()));
        }
    }

    /// Waits for its end: the exit code.
    pub fn end(mut self) -> Option<i32> {
        let mut rest = Vec::new();
        self.child.stdout.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It passes that on to the terminal, with which the program ends; killed itself, it would leave both behind.
        kill(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}
