//! The program that Compose is: `docker compose` where it is, else `docker-compose`. Both take the same words here. It is
//! given an environment of its own, so that nothing of the bot's gets into a file's variables or into a container.

use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;
use scalebot_commands::units::Replicas;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout};

use super::Place;
use super::settings::Settings;

/// How long a question to it may take at most: `docker-compose` is slow to start. Whoever asks mostly waits for less.
const QUESTION: Duration = Duration::from_secs(30);

/// A question about the files that was put so long ago is one with whoever puts it now: the checks of one round.
const ONE_ROUND: Duration = Duration::from_millis(500);

/// What of the bot's environment it is given.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "DOCKER_CONFIG", "XDG_CONFIG_HOME"];

/// How much of its words is repeated, in characters.
const QUOTED: usize = 300;

/// From here on the second line ends the highest numbers first (docker/compose 11473).
const SORTED: (Option<u32>, Option<u32>, Option<u32>) = (Some(2), Some(24), Some(7));

/// Where it is looked for.
const USUAL: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];

/// Compose, for one project.
#[derive(Clone, Debug)]
pub(super) struct Program {
    settings: Settings,
    docker_host: String,
    found: Arc<OnceCell<Found>>,
    /// What was answered last about the files, and when it was asked.
    configuration: Arc<Mutex<Option<Configured>>>,
}

/// When the files were asked about, and the hash that was answered.
type Configured = (Instant, Option<String>);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The program and its first arguments.
    pub(super) words: Vec<String>,
    /// As it says itself.
    pub(super) version: String,
}

impl Found {
    /// Whether it is of the line that is written in Python.
    fn is_first_line(&self) -> bool {
        self.version.starts_with("1.")
    }

    /// Whether it ends the highest numbers first. The second line did so by accident at first, and in its own order for a
    /// while; what cannot be told does not.
    pub(super) fn ends_the_highest(&self) -> bool {
        let mut numbers = self.version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next(), numbers.next(), numbers.next());
        self.is_first_line() || version >= SORTED
    }

    /// What is said where it does not.
    pub(super) fn too_old_to_end(&self) -> PortError {
        PortError::NotServed {
            what: format!("{} {}", self.words.join(" "), escaped(&self.version, QUOTED)),
            detail: "it cannot be told whom it ends when there are to be fewer; going down takes 2.24.7 or later"
                .to_owned(),
        }
    }
}

impl Program {
    pub(super) fn new(settings: &Settings, orders: &Place) -> Self {
        Self {
            settings: settings.clone(),
            docker_host: orders.as_docker_host(),
            found: Arc::default(),
            configuration: Arc::default(),
        }
    }

    /// Finds it, once.
    ///
    /// # Errors
    /// When neither is there.
    pub(super) async fn found(&self) -> Result<&Found, PortError> {
        if self.found.get().is_none() {
            // It goes on when whoever asks cannot wait for it: a guard has less time than a slow program takes to start.
            let program = self.clone();
            let looking =
                tokio::spawn(async move { program.found.get_or_try_init(|| program.look()).await.map(|_| ()) });
            looking.await.map_err(|error| not_found(error.to_string()))??;
        }
        self.found.get().ok_or_else(|| not_found("it was not looked for".to_owned()))
    }

    async fn look(&self) -> Result<Found, PortError> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let candidates = match &self.settings.command {
            Some(configured) => vec![configured.clone()],
            None => USUAL.iter().map(|usual| words(usual)).collect(),
        };
        let mut why = Vec::new();
        for words in candidates {
            let mut asked = self.command(&words);
            asked.args(["version", "--short"]);
            let name = words.join(" ");
            match self.answer(&name, asked).await {
                Ok(said) => {
                    let version = said.trim().trim_start_matches('v').to_owned();
                    if version.starts_with(|first: char| first.is_ascii_digit()) && version.len() < 40 {
                        return Ok(Found { words, version });
                    }
                    why.push(format!("{name} says that its version is {}", escaped(&version, QUOTED)));
                }
                Err(error) => why.push(error.to_string()),
            }
        }
        Err(not_found(why.join("; ")))
    }

    /// The hash of the service's configuration as its files have it now; `None` where Compose cannot be asked for the one
    /// that it writes at containers: the second line resolves more before it writes it.
    ///
    /// # Errors
    /// When the files cannot be used, in its words.
    pub(super) async fn configuration(&self) -> Result<Option<String>, PortError> {
        let found = self.found().await?;
        let asked_at = Instant::now();
        // One at a time: whoever asked together gets the same answer.
        let mut last = self.configuration.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(began, _)| asked_at < *began + ONE_ROUND) {
            return Ok(answer.clone());
        }
        let began = Instant::now();
        let mut asked = self.of_the_project(found);
        asked.arg("config");
        let first_line = found.is_first_line();
        if first_line {
            asked.arg(format!("--hash={}", self.settings.service));
        } else {
            asked.arg("--quiet");
        }
        let said = self.answer(&found.words.join(" "), asked).await?;
        let hash = said.split_whitespace().last().map(ToOwned::to_owned).filter(|_| first_line);
        *last = Some((began, hash.clone()));
        Ok(hash)
    }

    /// Gives the order. Its child holds `lock`, writes to `output`, and outlives the bot.
    ///
    /// # Errors
    /// When it was not given.
    pub(super) async fn order(&self, to: Replicas, lock: File, output: File) -> Result<Child, String> {
        let found = self.found().await.map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let mut command = self.of_the_project(found);
        command
            .args(["up", "-d", "--no-recreate", "--no-deps", "--no-build", "--scale"])
            .arg(format!("{}={to}", self.settings.service))
            .arg(&self.settings.service)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(errors))
            // What is typed at the bot's terminal is not meant for it.
            .process_group(0);
        command.spawn().map_err(|error| format!("{} cannot be started: {error}", found.words.join(" ")))
    }

    fn of_the_project(&self, found: &Found) -> Command {
        let mut command = self.command(&found.words);
        command.args(["--ansi", "never", "--project-name", &self.settings.project, "--project-directory"]);
        command.arg(self.settings.directory());
        for file in &self.settings.files {
            command.arg("--file").arg(file);
        }
        command
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(words.first().map_or("", String::as_str));
        command.args(words.iter().skip(1)).env_clear().env("DOCKER_HOST", &self.docker_host);
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command
    }

    /// What it prints to a question.
    async fn answer(&self, name: &str, mut asked: Command) -> Result<String, PortError> {
        let what = name.to_owned();
        asked.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(QUESTION, asked.output()).await;
        let output = output.map_err(|_| PortError::TimedOut { what: what.clone(), limit: QUESTION })?;
        let output =
            output.map_err(|error| PortError::Unreachable { what: what.clone(), detail: error.to_string() })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        Err(PortError::Refused { what, detail: format!("{}: {}", ended(output.status), escaped(&said, QUOTED)) })
    }
}

fn not_found(detail: String) -> PortError {
    PortError::Unreachable { what: "Docker Compose".to_owned(), detail }
}

/// How it ended, in words.
pub(super) fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(|| "it was ended by a signal".to_owned(), |code| format!("it ended with {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_version_ends_is_known_of_the_first_line_and_from_one_of_the_second_on() {
        let ends = |version: &str| Found { words: Vec::new(), version: version.to_owned() }.ends_the_highest();
        for known in ["1.29.2", "2.24.7", "2.24.7-desktop.1", "2.40.0", "5.0.1"] {
            assert!(ends(known), "{known}");
        }
        for unknown in ["2.24.6", "2.3.3", "2", "2.24", "0.9", "2.x.9", ""] {
            assert!(!ends(unknown), "{unknown}");
        }
    }
}
