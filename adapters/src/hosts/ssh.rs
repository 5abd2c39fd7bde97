//! The way to a host: the system's own SSH client, one login a command. Nothing of the user's configuration counts, a host
//! whose key is not known is not spoken to, and nothing is forwarded.
//!
//! No connection is shared or kept: a client that outlived the bot would carry out orders that nobody waits for. This way
//! each order is a program that holds the lock until it has ended.

use std::ffi::OsString;
use std::fs::File;
use std::time::Duration;

use scalebot_commands::ports::PortError;

use super::program::{Environment, NotRun, Ran, Run};
use super::quote;
use super::settings::{Commands, INSTANCE, Limits, Login, SERVICE, Settings};

/// How much a command may print where only its first word counts, in bytes.
const WORD: usize = 4 << 10;

/// What the client ends with where it is the client that failed.
const CLIENT_FAILED: i32 = 255;

/// What is asked of a host, or done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Deploy,
    Start,
    Stop,
}

/// Whether a host's service runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It does, or is about to.
    Runs,
    /// It does not, in the host's word for it.
    Stopped(String),
}

/// Why an order was not carried out, or that it is not known whether it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The host says no: the command ended with a failure, in these words.
    Failed(String),
    /// It is not known whether it was carried out.
    Unknown(PortError),
}

/// The hosts, by SSH.
#[derive(Clone, Debug)]
pub(super) struct Ssh {
    login: Login,
    commands: Commands,
    limits: Limits,
    service: String,
}

impl Ssh {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            login: settings.ssh.clone(),
            commands: settings.commands.clone(),
            limits: settings.limits.clone(),
            service: settings.service.clone(),
        }
    }

    /// Whether the service runs there.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(super) async fn status(&self, name: &str, address: &str) -> Result<Status, PortError> {
        let ran = self.run(name, address, &self.commands.status, None, self.limits.look, WORD).await?;
        let word = ran.out.split_whitespace().next().unwrap_or_default();
        match word {
            "active" | "activating" | "reloading" | "deactivating" => Ok(Status::Runs),
            "inactive" | "failed" => Ok(Status::Stopped(word.to_owned())),
            _ => {
                let detail = format!("its status command printed {} {}", quote(word), said(&ran));
                Err(PortError::Unreadable { what: of(name, address), detail })
            }
        }
    }

    /// Whether something is to be deployed at all.
    pub(super) fn deploys(&self) -> bool {
        !self.commands.deploy.is_empty()
    }

    /// Carries it out, once.
    pub(super) async fn order(&self, order: Order, name: &str, address: &str, lock: &File) -> Result<(), Lost> {
        let (words, limit) = match order {
            Order::Deploy => (&self.commands.deploy, self.limits.deploy),
            Order::Start => (&self.commands.start, self.limits.service),
            Order::Stop => (&self.commands.stop, self.limits.service),
        };
        let ran = self.run(name, address, words, Some(lock), limit, WORD).await.map_err(Lost::Unknown)?;
        if ran.code == Some(0) { Ok(()) } else { Err(Lost::Failed(said(&ran))) }
    }

    /// The last of what the service wrote.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(super) async fn logs(&self, name: &str, address: &str, most: usize) -> Result<String, PortError> {
        let ran = self.run(name, address, &self.commands.logs, None, self.limits.look, most).await?;
        if ran.code == Some(0) {
            return Ok(ran.out);
        }
        Err(PortError::Refused { what: format!("the logs command on {}", of(name, address)), detail: said(&ran) })
    }

    /// The command by which a person does the same.
    pub(super) fn by_hand(&self, order: Order, name: &str, address: &str) -> String {
        let words = match order {
            Order::Deploy => &self.commands.deploy,
            Order::Start => &self.commands.start,
            Order::Stop => &self.commands.stop,
        };
        let Login { user, port, .. } = &self.login;
        format!("ssh -p {port} {user}@{address} {}", self.line(name, words))
    }

    /// Whether the commands that begin with `sudo -n` are allowed there, without running them.
    ///
    /// # Errors
    /// Which one is not, or why that is not known, in words.
    pub(super) async fn may(&self, name: &str, address: &str) -> Result<(), String> {
        for words in self.by_sudo() {
            let asked: Vec<String> =
                ["sudo", "-n", "-l"].map(str::to_owned).into_iter().chain(words[2..].to_vec()).collect();
            let ran = self.run(name, address, &asked, None, self.limits.look, WORD).await;
            let ran = ran.map_err(|error| error.to_string())?;
            if ran.code != Some(0) {
                return Err(format!("not allowed: {}", self.line(name, words)));
            }
        }
        Ok(())
    }

    /// What [`Self::may`] can tell, in words.
    pub(super) fn tried(&self) -> String {
        match self.by_sudo().count() {
            0 => "no command begins with sudo -n, so none can be asked for without running it".to_owned(),
            asked => format!("{asked} commands by sudo are allowed"),
        }
    }

    fn by_sudo(&self) -> impl Iterator<Item = &[String]> {
        let Commands { deploy, start, stop, .. } = &self.commands;
        [deploy, start, stop]
            .into_iter()
            .map(Vec::as_slice)
            .filter(|words| words.starts_with(&["sudo".into(), "-n".into()]))
    }

    async fn run(
        &self,
        name: &str,
        address: &str,
        words: &[String],
        lock: Option<&File>,
        limit: Duration,
        most: usize,
    ) -> Result<Ran, PortError> {
        let what = of(name, address);
        let words = self.client(address, &self.line(name, words), limit);
        match (Run { words, environment: Environment::Bare, lock, limit, most }).run_out().await {
            Ok(Ran { code: Some(CLIENT_FAILED), said, .. }) => Err(failed(what, &said)),
            Ok(Ran { code: None, .. }) => {
                Err(PortError::Unreachable { what, detail: "the SSH client was ended by a signal".to_owned() })
            }
            Ok(ran) => Ok(ran),
            Err(NotRun::TooLong) => Err(PortError::TimedOut { what, limit }),
            Err(NotRun::NotStarted(detail)) => {
                let program = self.login.program.display();
                Err(PortError::Unreachable { what: format!("the SSH client {program}"), detail })
            }
        }
    }

    /// The client with its options.
    fn client(&self, address: &str, line: &str, limit: Duration) -> Vec<OsString> {
        let Login { user, key_file, known_hosts, port, program } = &self.login;
        let mut words: Vec<OsString> = vec![program.into()];
        words.extend(["-F", "none", "-T", "-a", "-x", "-l", user, "-p"].map(OsString::from));
        words.push(port.to_string().into());
        let options = [
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            format!("UserKnownHostsFile={}", known_hosts.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            format!("IdentityFile={}", key_file.display()),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
            "ForwardAgent=no".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "PermitLocalCommand=no".to_owned(),
            "ControlMaster=no".to_owned(),
            "ControlPath=none".to_owned(),
            "LogLevel=ERROR".to_owned(),
            format!("ConnectTimeout={}", limit.as_secs().clamp(1, 10)),
            "ServerAliveInterval=5".to_owned(),
            "ServerAliveCountMax=3".to_owned(),
        ];
        for option in options {
            words.extend([OsString::from("-o"), option.into()]);
        }
        words.extend(["--", address, line].map(OsString::from));
        words
    }

    /// The words as the login shell of the host reads them: each as one word, whatever is in it.
    fn line(&self, name: &str, words: &[String]) -> String {
        let words = words.iter().map(|word| quoted(&word.replace(SERVICE, &self.service).replace(INSTANCE, name)));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Within single quotes, where nothing but their end means anything; plain words are left as they are.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@=,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How people know a host.
pub(super) fn of(name: &str, address: &str) -> String {
    format!("host {name} ({address})")
}

/// How a command ended that did not succeed.
fn said(ran: &Ran) -> String {
    let words = [ran.said.trim(), ran.out.trim()].into_iter().find(|words| !words.is_empty()).unwrap_or("nothing");
    let last = words.lines().last().unwrap_or_default();
    let code = ran.code.map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
    format!("(it ended {code} and said {})", quote(last))
}

/// What the client's words mean for whoever can do something about it.
fn failed(what: String, said: &str) -> PortError {
    let detail = quote(said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim());
    if said.contains("Host key verification failed") {
        let detail = format!("its host key is not the one in known_hosts: {detail}");
        PortError::Refused { what, detail }
    } else if said.contains("Permission denied") {
        PortError::Refused { what, detail: format!("it lets the bot's user and key not in: {detail}") }
    } else {
        PortError::Unreachable { what, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh() -> Ssh {
        let settings = serde_json::json!({
            "service": "api", "port": 8000, "hosts": [],
            "ssh": { "user": "scalebot", "key_file": "/k", "known_hosts": "/h", "port": 2222 },
            "commands": { "deploy": ["deploy", "--to", "{instance}", "a b", "it's", "$(id)", ""] },
        });
        Ssh::new(&serde_json::from_value(settings).unwrap())
    }

    #[test]
    fn each_word_arrives_as_one_and_means_nothing_to_a_shell() {
        let ssh = ssh();
        let line = ssh.line("vm-1", &ssh.commands.deploy);
        assert_eq!(line, r"deploy --to vm-1 'a b' 'it'\''s' '$(id)' ''");
        let echoed = std::process::Command::new("/bin/sh")
            .args(["-c", &line.replacen("deploy", "printf '<%s>'", 1)])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&echoed.stdout), "<--to><vm-1><a b><it's><$(id)><>");
        assert_eq!(
            ssh.by_hand(Order::Stop, "vm-1", "10.0.0.1"),
            "ssh -p 2222 scalebot@10.0.0.1 sudo -n /usr/bin/systemctl stop api"
        );
    }

    #[test]
    fn the_client_checks_the_host_and_forwards_nothing() {
        let words = ssh().client("10.0.0.1", "true", Duration::from_secs(4));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        for wanted in
            ["StrictHostKeyChecking=yes", "UserKnownHostsFile=/h", "IdentityAgent=none", "ForwardAgent=no", "-a"]
        {
            assert!(words.iter().any(|word| word == wanted), "{wanted}");
        }
        assert_eq!(words[words.len() - 3..], ["--", "10.0.0.1", "true"]);
    }

    #[test]
    fn what_the_client_says_becomes_what_a_person_can_do() {
        let refused = failed("host a".into(), "No ED25519 host key is known\nHost key verification failed.\n");
        assert!(matches!(&refused, PortError::Refused { detail, .. } if detail.contains("known_hosts")), "{refused}");
        let denied = failed("host a".into(), "scalebot@a: Permission denied (publickey).\n");
        assert!(matches!(denied, PortError::Refused { .. }));
        let away = failed("host a".into(), "ssh: connect to host a port 22: Connection refused\n");
        assert!(away.may_pass(), "{away}");
    }

    #[test]
    fn the_rights_that_are_shipped_are_for_exactly_what_is_run() {
        let settings = serde_json::json!({
            "service": "archon72-api", "port": 8000, "hosts": [],
            "ssh": { "user": "scalebot", "key_file": "/k", "known_hosts": "/h" },
        });
        let mut ssh = Ssh::new(&serde_json::from_value(settings).unwrap());
        ssh.commands.deploy = ["sudo", "-n", "/usr/local/sbin/deploy-api"].map(str::to_owned).to_vec();
        let Commands { deploy, start, stop, status, logs } = ssh.commands.clone();
        let mut run: Vec<String> =
            [&deploy, &start, &stop, &status, &logs].map(|words| ssh.line("vm-1", words)).to_vec();
        run.extend([&deploy, &start, &stop].map(|words| {
            let asked: Vec<String> =
                ["sudo", "-n", "-l"].map(str::to_owned).into_iter().chain(words[2..].to_vec()).collect();
            ssh.line("vm-1", &asked)
        }));
        let gate = include_str!("../../../deploy/hosts/gate");
        let mut let_through: Vec<&str> =
            gate.lines().filter_map(|line| line.strip_prefix('\'')?.split('\'').next()).collect();
        let_through.sort_unstable();
        run.sort_unstable();
        assert_eq!(let_through, run);
        for line in gate.lines().filter(|line| line.starts_with('\'') && line.contains("exec")) {
            let words: Vec<&str> = line.split('\'').collect();
            assert_eq!(words[2], format!(") exec {} ;;", words[1]));
        }
        let sudoers = include_str!("../../../deploy/hosts/sudoers");
        let allowed: Vec<&str> =
            sudoers.lines().filter_map(|line| line.split_once("NOPASSWD: ")).map(|it| it.1).collect();
        let by_root = [&start, &stop, &deploy].map(|words| ssh.line("vm-1", &words[2..]));
        assert_eq!(allowed, [by_root[0].clone(), by_root[1].clone(), format!("{} \"\"", by_root[2])]);
    }
}
