//! `scalebot run`, as whoever installs it starts it: a configuration, its processes, and what the host's commands and a
//! monitoring system see of it.
//!
//! Tests wait for what is on record, never for time to pass.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::{ends_within, kill, kinds, program};
use crate::changes::until;
use crate::discord::Discord;
use crate::secrets;

/// How long anything may take, on a machine that is busy with others.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A service to be run, with a directory of its own.
pub struct Service {
    /// Where everything of it is kept.
    pub home: TempDir,
    /// Where its health is served.
    pub listen: SocketAddr,
}

/// A service that runs.
pub struct Serving {
    child: Child,
    said: PathBuf,
    listen: SocketAddr,
}

impl Service {
    /// One that serves these fleets of processes, each watched for 10 s after a scaling. `more` stands at the end of its
    /// configuration.
    pub fn with(fleets: &[&str], more: &str) -> Self {
        let home = tempfile::Builder::new().prefix("sv").tempdir().unwrap();
        // Taken for an instant, so that it is free a moment later.
        let listen = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let state = home.path().join("state");
        let mut text = format!(
            "default_target = \"{}\"\n[state]\ndirectory = \"{}\"\n[http]\nlisten = \"{listen}\"\n[log]\nformat = \"json\"\n\
             [policy.time]\nmonitor = \"10s\"\nready_within = \"1m\"\n[policy.count]\ncool_down = \"0s\"\n\
             [policy.load]\nmemory_limit = \"256MiB\"\n",
            fleets[0],
            state.display()
        );
        for name in fleets {
            text.push_str(&format!(
                "[targets.{name}]\nhalt.sources = [\"process_table\", \"process_signals\"]\nchain = \"process\"\n\
                 pools = [\"process_database\", \"process_redis\"]\n[targets.{name}.backend]\npaths.work = \
                 \"/v1/operations\"\nkeys = {{ path = {{ path = \"/v1/keys/status\", field = \"reachable\" }} }}\n\
                 [targets.{name}.fleet]\nkind = \"process\"\n"
            ));
        }
        text.push_str(more);
        std::fs::write(home.path().join("scalebot.toml"), text).unwrap();
        Self { home, listen }
    }

    /// One that serves that Discord server and one fleet, `api`. `keys` stand in its `[discord]`, `more` at the end of its
    /// configuration.
    pub fn in_discord(discord: &Discord, keys: &str, more: &str) -> Self {
        let service = Self::with(&["api"], "");
        // A scaling is waited for there, from its command to its summary.
        discord.patience(PATIENCE);
        let token = service.home.path().join("discord.token");
        std::fs::write(&token, discord.token()).unwrap();
        let (channel, role) = (|name| discord.channel_id(name), |name| discord.role(name));
        let section = format!(
            "[discord]\ntoken_file = \"{}\"\napi_base = \"{}\"\nguild = \"{}\"\n{keys}\n[discord.channels]\nops = \
             [\"{}\"]\ngovernance = \"{}\"\nlog = \"{}\"\n[discord.roles]\nviewer = [\"{}\"]\noperator = \
             [\"{}\"]\ngovernance_lead = [\"{}\"]\ninfrastructure_team = [\"{}\"]\nsystem_architect = [\"{}\"]\n",
            token.display(),
            discord.api_base(),
            discord.guild(),
            channel("ops"),
            channel("governance"),
            channel("scaling-log"),
            role("viewer"),
            role("operator"),
            role("governance lead"),
            role("infrastructure team"),
            role("system architect"),
        );
        let text = std::fs::read_to_string(service.config()).unwrap();
        std::fs::write(service.config(), format!("{text}{section}{more}")).unwrap();
        service
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.home.path().join("scalebot.toml")
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Where the world of its fleet `api` lives.
    pub fn world(&self) -> PathBuf {
        self.state().join("targets/api/world")
    }

    /// Starts it, with somebody at its standard input.
    pub fn start(&self) -> Serving {
        self.started_by(Command::new(program()))
    }

    /// Starts it so that it is told where a file may not become larger, rather than ended; and waits until it is ready.
    pub fn start_where_writing_may_fail(&self) -> Serving {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program());
        self.ready(self.started_by(shell))
    }

    fn started_by(&self, mut program: Command) -> Serving {
        let said = self.home.path().join("said.txt");
        let file = || std::fs::OpenOptions::new().create(true).append(true).open(&said).unwrap();
        let (out, errors) = (file(), file());
        let child = program
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .unwrap();
        Serving { child, said, listen: self.listen }
    }

    /// Starts it and waits until it can be asked for something.
    pub fn start_ready(&self) -> Serving {
        self.ready(self.start())
    }

    fn ready(&self, mut serving: Serving) -> Serving {
        let ready = until(self.home.path(), PATIENCE, || {
            let ended = serving.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", serving.said());
            self.http("/ready").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        assert!(ready.is_some(), "it does not become ready: {}", serving.said());
        serving
    }

    /// What it answers there, with its head; `None` while nobody listens.
    pub fn http(&self, path: &str) -> Option<String> {
        asked(self.listen, path)
    }

    /// Runs `scalebot ARGUMENTS --config …`, as somebody on the host does beside it: the exit code and what it printed.
    pub fn on_the_host(&self, arguments: &[&str]) -> (Option<i32>, String) {
        on_the_host(arguments, "--config", &self.config())
    }

    /// Waits until `scalebot check` says that.
    ///
    /// # Panics
    /// When it does not.
    pub fn until_check_says(&self, words: &str) {
        let mut said = String::new();
        let found = until(&self.state(), PATIENCE, || {
            said = self.on_the_host(&["check"]).1;
            said.contains(words).then_some(())
        });
        assert!(found.is_some(), "check never said {words}: {said}");
    }

    /// Every event of its log.
    pub fn events(&self) -> Vec<Value> {
        let output =
            Command::new(program()).args(["ledger", "export", "--config"]).arg(self.config()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// Waits until that many events of that kind are on record.
    ///
    /// # Panics
    /// When they do not come.
    pub fn until(&self, kind: &str, count: usize) -> Vec<Value> {
        let of_kind = |events: &[Value]| events.iter().filter(|event| event["kind"] == kind).count();
        let found = until(&self.state(), PATIENCE, || Some(self.events()).filter(|events| of_kind(events) >= count));
        found.unwrap_or_else(|| {
            let said = std::fs::read_to_string(self.home.path().join("said.txt")).unwrap_or_default();
            panic!("no {kind}: {:?}\n{said}", kinds(&self.events()))
        })
    }

    /// Every event is as its schema says, in a log that is in order and wholly posted.
    pub fn proved(&self) -> Vec<Value> {
        let events = self.events();
        for event in &events {
            crate::schemas::validate(event).unwrap_or_else(|error| panic!("{error}: {event}"));
        }
        let (code, said) = self.on_the_host(&["ledger", "verify"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("compared with the log channel up to seq {}", events.len())), "{said}");
        events
    }

    /// The processes beneath its directory, by their hidden subcommand.
    pub fn processes(&self, subcommand: &str) -> Vec<u32> {
        let home = self.home.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
            let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            if words.nth(1).is_some_and(|word| word == subcommand) && words.any(|word| word.starts_with(&home)) {
                found.push(pid);
            }
        }
        found
    }
}

/// What is answered there, with its head; `None` while nobody listens.
fn asked(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    secrets::none_in(path, &answer);
    Some(answer)
}

/// Runs the program as somebody on the host does: the exit code and what it printed.
pub fn on_the_host(arguments: &[&str], option: &str, path: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.args(arguments).arg(option).arg(path).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    secrets::none_in(&arguments.join(" "), &text);
    (output.status.code(), text)
}

impl Drop for Service {
    /// A service leaves its fleets as they are; they must not outlive the test. Nor does it leave a secret: not in what it
    /// said, in its log, or in its documents.
    fn drop(&mut self) {
        for pid in self.processes("drill-world") {
            kill(pid, "KILL");
        }
        secrets::none_beneath(self.home.path());
    }
}

impl Serving {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it was started with something to type on");
        writeln!(input, "{line}").unwrap();
    }

    /// What it has said until now, to people and to its log.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said that.
    pub fn until_it_says(&self, words: &str) {
        let folder = self.said.parent().unwrap();
        let said = until(folder, PATIENCE, || self.said().contains(words).then_some(()));
        assert!(said.is_some(), "it never said {words}: {}", self.said());
    }

    /// Tells it to stop, and waits for its end: the exit code.
    ///
    /// # Panics
    /// When it goes on.
    pub fn stop(mut self) -> Option<i32> {
        // What its figures are at the end is searched for secrets.
        let _ = asked(self.listen, "/metrics");
        kill(self.pid(), "TERM");
        assert!(ends_within(self.pid(), PATIENCE), "it does not stop: {}", self.said());
        self.child.wait().unwrap().code()
    }

    /// Waits for its end: the exit code.
    pub fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Kills it as a power failure would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("It had said:\n{}", std::fs::read_to_string(&self.said).unwrap_or_default());
        }
    }
}
