//! Private servers of the real systems: each on a free port of this machine, with a data folder of its own, ended with
//! the test, and also when the test's process is killed.
//!
//! A server is started by a shell that ends it as soon as its standard input ends, which it does when the test's process
//! is gone, in whatever way.

pub mod certificates;
pub mod haproxy;
pub mod orders;
pub mod postgres;
pub mod prometheus;
pub mod redis;
pub mod sshd;
pub mod trouble;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a server may take to be ready, and to end, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at a server that says nothing.
const TICK: Duration = Duration::from_millis(20);

/// How many lines of a server's log are kept, to be shown when it does not start.
const KEPT: usize = 50;

/// How often a start is tried anew because somebody else took the port in between.
const PORTS: usize = 5;

/// Starts the server, ends it when its standard input does.
const GUARD: &str = r#"
signal=$1; shift
"$@" </dev/null 2>&1 &
echo "guarded process $!"
cat >/dev/null
kill -s "$signal" $! 2>/dev/null
kill -s CONT $! 2>/dev/null
wait $!
"#;

/// A server to be started.
#[derive(Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// What it is given.
    pub arguments: Vec<OsString>,
    /// The signal that ends it at once.
    pub ended_by: &'static str,
    /// What its log says once it is ready; `None` for one that says nothing.
    pub says: Option<&'static str>,
    /// Where it takes connections once it is ready.
    pub listens: SocketAddr,
    /// Who runs it; `None` for whoever runs the test.
    pub user: Option<&'static str>,
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    guard: Child,
    pid: u32,
    log: Receiver<String>,
}

impl Launch {
    /// Starts it and waits until it takes connections.
    ///
    /// # Errors
    /// When it ends instead, or is not ready in time: the end of its log.
    pub fn start(self) -> Result<Running, String> {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard", self.ended_by]);
        if let Some(user) = self.user.filter(|_| is_root()) {
            command.args(["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]);
        }
        let mut guard = command
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A shell that is told to end nothing any more says so; nobody needs to read that.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(guard.stdout.take().unwrap());
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                // Read to its end also when nobody listens any more: a full pipe would hold the server up.
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let mut running = Running { guard, pid: 0, log };
        running.until_ready(self.says, self.listens)?;
        Ok(running)
    }
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        crate::binary::kill(self.pid, signal);
    }

    /// Makes it stand still, until it is sent `CONT`. Returns once each of its threads does.
    ///
    /// # Panics
    /// When it goes on.
    pub fn stand_still(&self) {
        self.signal("STOP");
        let stands = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        let began = Instant::now();
        while !std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap().all(stands) {
            assert!(began.elapsed() < PATIENCE, "it goes on");
            std::thread::yield_now();
        }
    }

    /// Ends it in its own way by that signal, and waits for that.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end_by(mut self, signal: &str) {
        self.signal(signal);
        let began = Instant::now();
        while !ended(self.pid) {
            assert!(began.elapsed() < PATIENCE, "it does not end by {signal}");
            let _ = self.log.recv_timeout(TICK);
        }
        self.finish();
    }

    fn until_ready(&mut self, mut says: Option<&str>, listens: SocketAddr) -> Result<(), String> {
        let began = Instant::now();
        let mut said: VecDeque<String> = VecDeque::new();
        loop {
            // A server that says nothing is asked again and again; each line that it says is a reason to ask at once.
            match self.log.recv_timeout(TICK) {
                Ok(line) => {
                    if let Some(pid) = line.strip_prefix("guarded process ") {
                        self.pid = pid.parse().unwrap();
                    }
                    if says.is_some_and(|wanted| line.contains(wanted)) {
                        says = None;
                    }
                    said.truncate(KEPT - 1);
                    said.push_front(line);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(format!("it ended: {}", shown(said))),
            }
            if self.pid != 0 && says.is_none() && TcpStream::connect(listens).is_ok() {
                return Ok(());
            }
            if ended(self.pid) {
                // Its last words may still be on their way; the guard's end is theirs.
                drop(self.guard.stdin.take());
                while let Ok(line) = self.log.recv_timeout(PATIENCE) {
                    said.push_front(line);
                }
                return Err(format!("it ended: {}", shown(said)));
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("it was not ready within {} s: {}", PATIENCE.as_secs(), shown(said)));
            }
        }
    }

    fn finish(&mut self) {
        // The guard reads the end of its input, and ends the server.
        drop(self.guard.stdin.take());
        while self.log.recv_timeout(PATIENCE).is_ok() {}
        if !ended(self.pid) && self.guard.try_wait().is_ok_and(|guard| guard.is_none()) {
            self.signal("KILL");
        }
        let _ = self.guard.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

fn shown(said: VecDeque<String>) -> String {
    let lines: Vec<String> = said.into_iter().rev().collect();
    lines.join("\n")
}

/// Whether the process has ended, collected or not. One that was never started has not.
fn ended(pid: u32) -> bool {
    match (pid, std::fs::read_to_string(format!("/proc/{pid}/stat"))) {
        (0, _) => false,
        (_, Err(_)) => true,
        (_, Ok(stat)) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
    }
}

/// Starts a server on a port that is free, and on another when somebody else took that one in between.
///
/// # Panics
/// When it does not start.
pub fn on_free_port<T>(name: &str, mut start: impl FnMut(u16) -> Result<T, String>) -> T {
    let mut why = String::new();
    for _ in 0..PORTS {
        match start(free_port()) {
            Ok(started) => return started,
            Err(error) => why = error,
        }
        if !why.contains("in use") {
            break;
        }
    }
    panic!("{name} did not start: {why}")
}

/// A port of 127.0.0.1 at which nobody listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of a Debian package, looked for where programs are and in `folders`.
///
/// # Panics
/// When it is not there, naming the package: a test that cannot run has not passed.
pub fn program(name: &str, package: &str, folders: &[PathBuf]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: install the package {package} (./tests/run does)"))
}

/// Whether the test runs as root.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Gives a folder and what is in it to a user, when the test runs as root.
fn give(path: &Path, user: &str) {
    if is_root() {
        let given = Command::new("chown").arg("-R").arg(format!("{user}:")).arg(path).status().unwrap();
        assert!(given.success(), "chown {user}: {}", path.display());
    }
}

/// Runs a program to its end.
fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success(), "{command:?}: {said}");
}
