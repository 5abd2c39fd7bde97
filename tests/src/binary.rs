//! The real program, as a person starts it: its exit code, what it prints, its processes, its state directory.
//!
//! Tests wait for events on its standard output and for processes to end, never for time to pass.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::changes::until;
use crate::secrets;

/// The program under test: `SCALEBOT_BIN`, which `tests/run` sets after building it.
///
/// # Panics
/// When it is not set: then there is nothing to test.
pub fn program() -> PathBuf {
    let path =
        std::env::var_os("SCALEBOT_BIN").expect("SCALEBOT_BIN names the program under test; ./tests/run sets it");
    PathBuf::from(path)
}

/// A rehearsal to be run, in a state directory of its own.
pub struct Drill {
    /// Where everything of it is kept.
    pub state: TempDir,
    environment: Vec<(String, String)>,
}

/// A rehearsal that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// Every event that it printed.
    pub events: Vec<Value>,
    /// What it said to people.
    pub said: String,
}

/// A process that does nothing for now. It goes on when this is dropped: one that is stopped would outlive its test.
pub struct Stopped {
    pid: u32,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.pid, "CONT");
    }
}

/// A rehearsal under way.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: PathBuf,
    events: Vec<Value>,
    _watched: mpsc::Sender<()>,
}

/// How long a rehearsal of a test may take, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(4);

impl Default for Drill {
    fn default() -> Self {
        Self::new()
    }
}

impl Drill {
    /// With a new state directory.
    pub fn new() -> Self {
        Self::with_environment(&[])
    }

    /// The same, where these variables are set.
    ///
    /// # Panics
    /// When there can be no directory.
    pub fn with_environment(variables: &[(&str, &str)]) -> Self {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { state: tempfile::Builder::new().prefix("sb").tempdir().unwrap(), environment }
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Runs `scalebot drill --json --state … ARGUMENTS` to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    /// Starts `scalebot drill --json --state … ARGUMENTS`, with nothing to read on its standard input.
    pub fn start(&self, arguments: &[&str]) -> Running {
        // A pipe that nobody writes to, not `/dev/null`: a machine on which that had become a common file, with words
        // in it, had these taken for commands.
        let (nothing, _) = std::io::pipe().unwrap();
        self.start_with_input(arguments, Stdio::from(nothing))
    }

    /// Starts it with something on its standard input.
    pub fn start_with_input(&self, arguments: &[&str], input: Stdio) -> Running {
        // What people read goes to a file, so that no full pipe ever holds the program up.
        let said = self.state().join("said.txt");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&said).unwrap();
        let mut child = Command::new(program())
            .args(["drill", "--json", "--state"])
            .arg(self.state())
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { said, lines, events: Vec::new(), _watched: ends_it_after(PATIENCE, child.id()), child }
    }

    /// It has ended as every drill must: each event is as its schema says, the log is proved, and nothing runs any more.
    pub fn proved(&self, events: &[Value]) {
        for event in events {
            crate::schemas::validate(event).unwrap_or_else(|error| panic!("{error}: {event}"));
        }
        let (code, said) = self.ledger("verify");
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(self.world(), None);
    }

    /// Somebody else sets the fleet's count.
    pub fn a_colleague_sets(&self, from: u32, to: u32) {
        let fleet: Value = serde_json::from_str(&self.world_says("GET", "/fleet", &Value::Null)).unwrap();
        let order = serde_json::json!({
            "identity": fleet["identity"], "from": from, "to": to, "version": fleet["version"],
            "operation": "a colleague"
        });
        self.world_says("POST", "/fleet/scale", &order);
    }

    /// Runs `scalebot ledger WHAT --state …`: the exit code and what it printed.
    pub fn ledger(&self, what: &str) -> (Option<i32>, String) {
        let output = Command::new(program()).args(["ledger", what, "--state"]).arg(self.state()).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), text)
    }

    /// Runs `scalebot ARGUMENTS --state …`, as somebody on the host does beside it: the exit code and what it printed.
    pub fn on_the_host(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(program())
            .args(arguments)
            .arg("--state")
            .arg(self.state())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), text)
    }

    /// Every event of its log, by `scalebot ledger export`.
    pub fn exported(&self) -> Vec<Value> {
        let output = Command::new(program()).args(["ledger", "export", "--state"]).arg(self.state()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(event).collect()
    }

    /// Asks the rehearsal's world, or tells it what is to happen: the answer's body.
    pub fn world_says(&self, method: &str, path: &str, body: &Value) -> String {
        world_says(self.state(), method, path, body)
    }

    /// What each instance of its fleet answers itself, by name. Who has no process answers nothing and is left out.
    pub fn each_instance_says(&self, path: &str) -> Vec<(String, Value)> {
        let fleet: Value = serde_json::from_str(&self.world_says("GET", "/fleet", &Value::Null)).unwrap();
        let alive = fleet["instances"].as_array().unwrap().iter().filter(|one| one["state"] != "failed");
        let says = alive.map(|one| {
            let address = one["address"].as_str().unwrap();
            let host = address.strip_prefix("http://").unwrap_or(address);
            let mut stream = TcpStream::connect(host).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{path} of {one}: {answer}");
            (one["id"].as_str().unwrap().to_owned(), serde_json::from_str(body).unwrap())
        });
        says.collect()
    }

    /// Makes something happen in the rehearsal's world.
    pub fn happen(&self, what: &str, how: &Value) {
        self.world_says("POST", &format!("/happen/{what}"), how);
    }

    /// The processes that belong to this state directory, by their hidden subcommand.
    pub fn processes(&self, subcommand: &str) -> Vec<u32> {
        let state = self.state().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
            let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            if words.nth(1).is_some_and(|word| word == subcommand) && words.any(|word| word.starts_with(&state)) {
                found.push(pid);
            }
        }
        found
    }

    /// Stops an instance's process, so that it hears and answers nothing, until what is returned is dropped.
    pub fn stops(&self, instance: &str) -> Stopped {
        let is_it = |pid: &&u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == instance.as_bytes())
        };
        let pid = self.instances().iter().find(is_it).copied().expect("it has a process");
        kill(pid, "STOP");
        Stopped { pid }
    }

    /// The instances' processes.
    pub fn instances(&self) -> Vec<u32> {
        self.processes("drill-instance")
    }

    /// The world's process.
    pub fn world(&self) -> Option<u32> {
        self.processes("drill-world").first().copied()
    }
}

impl Drop for Drill {
    /// A test that failed leaves a world behind; it must not outlive the test.
    fn drop(&mut self) {
        for pid in self.processes("drill-world") {
            kill(pid, "KILL");
        }
        secrets::none_beneath(self.state());
    }
}

impl Running {
    /// The program's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next event; `None` when it printed its last.
    pub fn next_event(&mut self) -> Option<Value> {
        let line = self.lines.next()?.unwrap();
        let event = event(line.as_bytes());
        self.events.push(event.clone());
        Some(event)
    }

    /// Types a line on its standard input.
    pub fn types(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it was started with something to type on");
        writeln!(input, "{line}").unwrap();
    }

    /// Types nothing further.
    pub fn hangs_up(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for an event of that kind.
    ///
    /// # Panics
    /// When the program ends without it.
    pub fn until(&mut self, kind: &str) -> Value {
        loop {
            match self.next_event() {
                Some(event) if event["kind"] == kind => return event,
                Some(_) => {}
                None => panic!("it ended without {kind}: {:?}\n{}", kinds(&self.events), self.said_so_far()),
            }
        }
    }

    /// Waits until its world is ready and load runs: from then on there are ten seconds before the first command.
    pub fn until_it_warms_up(&self) {
        let folder = self.said.parent().unwrap();
        let warms_up = until(folder, PATIENCE, || self.said_so_far().contains("Warming up").then_some(()));
        assert!(warms_up.is_some(), "{}", self.said_so_far());
    }

    /// What it has said to people until now.
    pub fn said_so_far(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Kills it as a power failure would.
    pub fn kill(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What it had printed before may still be in the pipe.
        while self.next_event().is_some() {}
        std::mem::take(&mut self.events)
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        while self.next_event().is_some() {}
        let status: ExitStatus = self.child.wait().unwrap();
        Ended { code: status.code(), said: self.said_so_far(), events: std::mem::take(&mut self.events) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The kinds of its events, in order.
    pub fn kinds(&self) -> VecDeque<String> {
        kinds(&self.events)
    }

    /// The body of the only event of that kind.
    ///
    /// # Panics
    /// When there is none, or more than one.
    pub fn only(&self, kind: &str) -> &Value {
        only(&self.events, kind)
    }
}

/// Asks the world that lives in that directory, or tells it what is to happen: the answer's body.
pub fn world_says(directory: &Path, method: &str, path: &str, body: &Value) -> String {
    let mut stream = UnixStream::connect(directory.join("world.sock")).unwrap();
    let body = body.to_string();
    // All of it at once: who is asked for something may answer and hang up before it has read a body.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: world\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
    body.to_owned()
}

/// Every event of the log in that state directory is in exactly one post of its log channel.
///
/// # Panics
/// When one is told twice, or not at all.
pub fn told_once(state: &Path, events: usize) {
    let transcript = std::fs::read_to_string(state.join("log-channel.txt")).unwrap();
    let mut posted = BTreeSet::new();
    for line in transcript.lines().filter(|line| line.starts_with("sealed post")) {
        let (range, _) = line.split_once("events ").unwrap().1.split_once(',').unwrap();
        let (first, last) = range.split_once(" to ").unwrap();
        for seq in first.parse::<usize>().unwrap()..=last.parse().unwrap() {
            assert!(posted.insert(seq), "event {seq} is posted twice:\n{transcript}");
        }
    }
    assert_eq!(posted.into_iter().collect::<Vec<_>>(), (1..=events).collect::<Vec<_>>(), "{transcript}");
}

/// The body of the only event of that kind.
///
/// # Panics
/// When there is none, or more than one.
pub fn only<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = events.iter().filter(|event| event["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind} in {:?}", kinds(events));
    &found[0]["body"]
}

/// The bodies of the events of that kind, in order.
pub fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).map(|event| &event["body"]).collect()
}

/// How the last operation ended.
///
/// # Panics
/// When none did.
pub fn last_finished(events: &[Value]) -> &Value {
    of_kind(events, "finished").last().expect("an operation ended")
}

/// The kinds of events, in order.
pub fn kinds(events: &[Value]) -> VecDeque<String> {
    events.iter().filter_map(|event| event["kind"].as_str().map(ToOwned::to_owned)).collect()
}

fn event(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
}

/// Sends a signal to one process.
pub fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
}

/// Ends a process that takes too long, as long as the sender lives: one that waits for input while the test waits for its
/// output would wait for ever.
fn ends_it_after(limit: Duration, pid: u32) -> mpsc::Sender<()> {
    let (sender, watched) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            kill(pid, "KILL");
        }
    });
    sender
}

/// Whether the process ends before that long has passed.
pub fn ends_within(pid: u32, limit: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    // Ended, and perhaps not collected yet by whoever inherited it.
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).unwrap() > 0
}
