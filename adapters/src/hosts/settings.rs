//! Which hosts there are, how they are reached, and what is done on them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::settings::{Unusable, length};

/// Stands for the unit's name in a command's words.
pub(super) const SERVICE: &str = "{service}";

/// Stands for the host's name in a command's words.
pub(super) const INSTANCE: &str = "{instance}";

/// The longest name of a host, in characters: that of a label in DNS.
const MAX_NAME: usize = 63;

/// How many hosts an inventory may name.
pub(super) const MAX_HOSTS: usize = 1_000;

/// Hosts, each of which runs the backend as one service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The service that is the instance, by its unit's name.
    pub service: String,
    /// The port at which an instance is asked.
    pub port: u16,
    /// Every host that may be used. Either this or `provision`.
    #[serde(default)]
    pub hosts: Vec<Listed>,
    /// The tool that makes hosts and takes them back. Either this or `hosts`.
    #[serde(default)]
    pub provision: Option<Provision>,
    /// Where it is written down what is wanted, and how far each host is. `None`: beneath the bot's state directory.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// How a host is logged in to.
    pub ssh: Login,
    /// What is run on a host.
    #[serde(default)]
    pub commands: Commands,
    /// How much at once, and how long.
    #[serde(default)]
    pub limits: Limits,
    /// The file in which the count is written down.
    #[serde(default)]
    pub declared: Option<DeclaredIn>,
}

/// A host of the inventory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name, which is the instance's.
    pub name: String,
    /// Its address: an IP address or a name in DNS, without a port.
    pub address: String,
}

/// The operator's own tool that makes hosts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provision {
    /// The program, an absolute path, and its first arguments.
    pub command: Vec<String>,
    /// How many hosts it may be asked for in all, where the tool itself tells no room.
    #[serde(default)]
    pub most: Option<u32>,
}

/// How a host is logged in to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// As whom.
    pub user: String,
    /// The private key, a file that nobody but the bot can read.
    pub key_file: PathBuf,
    /// The hosts' own keys. A host whose key is not there is not spoken to.
    pub known_hosts: PathBuf,
    /// The port.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// The program.
    #[serde(default = "ssh_program")]
    pub program: PathBuf,
}

fn ssh_port() -> u16 {
    22
}

fn ssh_program() -> PathBuf {
    PathBuf::from("/usr/bin/ssh")
}

/// What is run on a host, word by word. No shell of the bot's sees it, and each word arrives as one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Commands {
    /// Puts the application there, and may be run again at any time. Empty: hosts come with it.
    pub deploy: Vec<String>,
    /// Starts the service; one that runs already is left as it is.
    pub start: Vec<String>,
    /// Ends the service by its shutdown order, and returns once it has ended.
    pub stop: Vec<String>,
    /// Prints `active` or `inactive`, as `systemctl is-active` does.
    pub status: Vec<String>,
    /// Prints the last of what the service wrote.
    pub logs: Vec<String>,
}

impl Default for Commands {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            deploy: Vec::new(),
            start: words(&["sudo", "-n", "/usr/bin/systemctl", "start", SERVICE]),
            stop: words(&["sudo", "-n", "/usr/bin/systemctl", "stop", SERVICE]),
            status: words(&["/usr/bin/systemctl", "is-active", SERVICE]),
            logs: words(&["/usr/bin/journalctl", "--unit", SERVICE, "--lines", "2000", "--no-pager"]),
        }
    }
}

/// How much at once, and how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How many hosts are worked on, and asked, at the same time.
    pub at_once: usize,
    /// How long a look at a host by SSH may take, the login included.
    #[serde(with = "length")]
    pub look: Duration,
    /// How long one question about readiness may take, of those that tell how the fleet is.
    #[serde(with = "length")]
    pub ready: Duration,
    /// How long starting and stopping the service may take.
    #[serde(with = "length")]
    pub service: Duration,
    /// How long deploying may take.
    #[serde(with = "length")]
    pub deploy: Duration,
    /// How long the tool that makes hosts may take.
    #[serde(with = "length")]
    pub provision: Duration,
    /// Between two looks at what is left to be done.
    #[serde(with = "length")]
    pub every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 8,
            look: Duration::from_secs(4),
            ready: Duration::from_millis(700),
            service: Duration::from_secs(150),
            deploy: Duration::from_mins(10),
            provision: Duration::from_mins(15),
            every: Duration::from_secs(2),
        }
    }
}

/// The file in which the count is written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredIn {
    /// A file of lines `key = number`, as `terraform.tfvars`.
    pub file: PathBuf,
    /// The key that holds the count.
    pub key: String,
}

impl Settings {
    /// Whether the keys can be used, as far as that can be told without the hosts.
    ///
    /// # Errors
    /// Which one cannot, and what would be right.
    pub fn usable(&self) -> Result<(), Unusable> {
        if !is_name(&self.service) {
            return Err(Unusable::new("service", "write the unit's name: letters, digits, - _ . and @ within"));
        }
        for (key, port) in [("port", self.port), ("ssh.port", self.ssh.port)] {
            if port == 0 {
                return Err(Unusable::new(key, "it must be from 1 to 65535"));
            }
        }
        match (&self.hosts[..], &self.provision) {
            ([], None) => {
                return Err(Unusable::new("hosts", "name the hosts, or the provision.command that makes them"));
            }
            ([_, ..], Some(_)) => return Err(Unusable::new("provision", "name either hosts or provision, not both")),
            _ => {}
        }
        if self.hosts.len() > MAX_HOSTS {
            return Err(Unusable::new("hosts", format!("{MAX_HOSTS} at most")));
        }
        inventory(&self.hosts).map_err(|why| Unusable::new("hosts", why))?;
        if let Some(provision) = &self.provision {
            let program = provision.command.first().map(Path::new);
            if !program.is_some_and(Path::is_absolute) {
                return Err(Unusable::new("provision.command", "its first word is the program, an absolute path"));
            }
        }
        self.ssh.usable()?;
        for (key, words) in self.commands.named() {
            if words.is_empty() && key != "deploy" {
                return Err(Unusable::new(format!("commands.{key}"), "it needs at least one word"));
            }
            if words.iter().any(|word| word.chars().any(char::is_control)) {
                return Err(Unusable::new(format!("commands.{key}"), "a word holds a line feed or the like"));
            }
        }
        let files = [("directory", self.directory.as_ref()), ("declared", self.declared.as_ref().map(|it| &it.file))];
        for (key, path) in files.into_iter().filter_map(|(key, path)| Some((key, path?))) {
            if !path.is_absolute() {
                return Err(Unusable::new(key, "it must be an absolute path"));
            }
        }
        self.limits.usable()
    }

    /// Where it is written down how far each host is, beneath what a service keeps of the fleet unless it is named.
    pub fn kept_in(&self, of_fleet: &Path) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| of_fleet.join("hosts"))
    }
}

impl Login {
    fn usable(&self) -> Result<(), Unusable> {
        if !is_name(&self.user) {
            return Err(Unusable::new("ssh.user", "write the name of a user on the hosts"));
        }
        for (key, path) in
            [("ssh.key_file", &self.key_file), ("ssh.known_hosts", &self.known_hosts), ("ssh.program", &self.program)]
        {
            // It becomes a value of one of the client's options, which has signs of its own.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | '@');
            if !path.is_absolute() || !path.to_str().is_some_and(|path| path.chars().all(plain)) {
                return Err(Unusable::new(key, "it must be an absolute path of letters, digits and / . - _ + @"));
            }
        }
        Ok(())
    }
}

impl Commands {
    fn named(&self) -> [(&'static str, &[String]); 5] {
        let Self { deploy, start, stop, status, logs } = self;
        [("deploy", deploy), ("start", start), ("stop", stop), ("status", status), ("logs", logs)]
    }
}

impl Limits {
    fn usable(&self) -> Result<(), Unusable> {
        if !(1..=64).contains(&self.at_once) {
            return Err(Unusable::new("limits.at_once", "it must be from 1 to 64"));
        }
        let bounds = [
            ("limits.look", self.look, Duration::from_millis(100), Duration::from_secs(30)),
            ("limits.ready", self.ready, Duration::from_millis(50), Duration::from_secs(10)),
            ("limits.service", self.service, Duration::from_secs(1), Duration::from_mins(30)),
            ("limits.deploy", self.deploy, Duration::from_secs(1), Duration::from_hours(2)),
            ("limits.provision", self.provision, Duration::from_secs(1), Duration::from_hours(2)),
            ("limits.every", self.every, Duration::from_millis(100), Duration::from_mins(1)),
        ];
        for (key, length, least, most) in bounds {
            if length < least || length > most {
                return Err(Unusable::new(key, format!("it must be from {least:?} to {most:?}")));
            }
        }
        Ok(())
    }
}

/// Whether each can be used, and none is there twice.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn inventory(hosts: &[Listed]) -> Result<(), String> {
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for Listed { name, address } in hosts {
        let shown = crate::hosts::quote(name);
        if !is_name(name) || name.contains('@') || name.starts_with(super::state::PLACE) {
            return Err(format!("{shown} is no name of a host: letters, digits, - _ and . within"));
        }
        if !is_address(address) {
            return Err(format!("the address of {shown} is neither an IP address nor a name"));
        }
        if !names.insert(name) || !addresses.insert(address) {
            return Err(format!("{shown} or its address is there twice"));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    name.len() <= MAX_NAME && name.bytes().all(plain) && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

fn is_address(address: &str) -> bool {
    let dns = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let begins = address.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    address.parse::<IpAddr>().is_ok() || (begins && address.len() <= 253 && address.bytes().all(dns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut serde_json::Value)) -> Result<(), Unusable> {
        let mut settings = serde_json::json!({
            "service": "archon72-api", "port": 8000,
            "hosts": [{ "name": "vm-1", "address": "10.0.0.1" }, { "name": "vm-2", "address": "fd00::2" }],
            "ssh": { "user": "scalebot", "key_file": "/etc/scalebot/hosts.key", "known_hosts": "/etc/scalebot/known" },
        });
        change(&mut settings);
        serde_json::from_value::<Settings>(settings).unwrap().usable()
    }

    #[test]
    fn what_would_become_an_option_or_another_word_is_no_setting() {
        assert_eq!(with(|_| ()), Ok(()));
        for (pointer, value) in [
            ("/service", "-x"),
            ("/service", "a b"),
            ("/hosts/0/name", "-oProxyCommand=id"),
            ("/hosts/0/name", "vm-2"),
            ("/hosts/0/name", "place-1"),
            ("/hosts/0/address", "-oProxyCommand=id"),
            ("/hosts/0/address", "10.0.0.1;id"),
            ("/ssh/user", "-l"),
            ("/ssh/key_file", "key"),
            ("/ssh/key_file", "/k %h"),
            ("/ssh/known_hosts", "/known hosts"),
        ] {
            let refused = with(|settings| *settings.pointer_mut(pointer).unwrap() = value.into());
            assert!(refused.is_err(), "{pointer} = {value}");
        }
    }

    #[test]
    fn hosts_come_from_one_place_and_everything_has_bounds() {
        assert_eq!(with(|settings| settings["hosts"] = serde_json::json!([])).unwrap_err().key, "hosts");
        let both = with(|settings| settings["provision"] = serde_json::json!({ "command": ["/t"] }));
        assert_eq!(both.unwrap_err().key, "provision");
        let relative = with(|settings| {
            settings["hosts"] = serde_json::json!([]);
            settings["provision"] = serde_json::json!({ "command": ["tool"] });
        });
        assert_eq!(relative.unwrap_err().key, "provision.command");
        for (key, value) in [("at_once", serde_json::json!(0)), ("look", "1h".into()), ("every", "0s".into())] {
            let refused = with(|settings| settings["limits"] = serde_json::json!({ key: value }));
            assert_eq!(refused.unwrap_err().key, format!("limits.{key}"));
        }
        let no_words = with(|settings| settings["commands"] = serde_json::json!({ "stop": [] }));
        assert_eq!(no_words.unwrap_err().key, "commands.stop");
        assert_eq!(with(|settings| settings["commands"] = serde_json::json!({ "deploy": [] })), Ok(()));
    }
}
