//! Who makes hosts and takes them back: the operator's own tool, behind a small contract, or an inventory.
//!
//! The tool is run as `COMMAND list`, and as `COMMAND set WANTED KEEP RELEASE`: so many hosts in all, among them those of
//! KEEP and none of RELEASE, both names separated by commas. Either way it prints, as JSON, the hosts that there are then:
//! `{"hosts": [{"name": "vm-1", "address": "10.0.0.1"}], "room": 4}`, where `room` is how many more could be made. `set` run
//! again with the same words changes nothing.

use std::ffi::OsString;
use std::fs::File;
use std::time::Duration;

use scalebot_commands::ports::PortError;
use serde::Deserialize;

use super::program::{Environment, NotRun, Ran, Run};
use super::quote;
use super::settings::{Limits, Listed, MAX_HOSTS, Provision, inventory};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// What the tool printed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    pub(super) hosts: Vec<Listed>,
    /// How many more could be made, where it tells.
    #[serde(default)]
    pub(super) room: Option<u32>,
}

/// The operator's tool.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    settings: Provision,
    limits: Limits,
}

impl Tool {
    pub(super) fn new(settings: &Provision, limits: &Limits) -> Self {
        Self { settings: settings.clone(), limits: limits.clone() }
    }

    /// The hosts that there are. Nothing is changed.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(super) async fn list(&self) -> Result<Answer, PortError> {
        self.run(&["list"], None, self.limits.look).await
    }

    /// So many in all, these kept and those given back.
    ///
    /// # Errors
    /// When it is not known what was done.
    pub(super) async fn set(
        &self,
        wanted: usize,
        keep: &[&str],
        release: &[&str],
        lock: &File,
    ) -> Result<Answer, PortError> {
        let words = ["set", &wanted.to_string(), &keep.join(","), &release.join(",")];
        let answer = self.run(&words, Some(lock), self.limits.provision).await?;
        let there = |name: &&&str| answer.hosts.iter().any(|host| host.name == **name);
        if let Some(lacking) = keep.iter().find(|name| !there(name)) {
            return Err(self.unreadable(format!("it was to keep {lacking}, and does not list it")));
        }
        Ok(answer)
    }

    /// How many more hosts it could make beyond those, and how that is known.
    ///
    /// # Errors
    /// When it is not known.
    pub(super) fn room(&self, answer: &Answer) -> Result<u32, PortError> {
        let there = u32::try_from(answer.hosts.len()).unwrap_or(u32::MAX);
        let by_most = self.settings.most.map(|most| most.saturating_sub(there));
        match (answer.room, by_most) {
            (Some(room), Some(most)) => Ok(room.min(most)),
            (Some(room), None) | (None, Some(room)) => Ok(room),
            (None, None) => {
                let detail = "it tells no \"room\", and provision.most is not set".to_owned();
                Err(PortError::NotServed { what: self.what(), detail })
            }
        }
    }

    /// The command by which a person does the same.
    pub(super) fn by_hand(&self, words: &str) -> String {
        format!("{} {words}", self.settings.command.join(" "))
    }

    pub(super) fn what(&self) -> String {
        format!("the provisioning command {}", self.settings.command.first().map_or("", String::as_str))
    }

    async fn run(&self, words: &[&str], lock: Option<&File>, limit: Duration) -> Result<Answer, PortError> {
        let command = self.settings.command.iter().map(OsString::from);
        let words = command.chain(words.iter().map(OsString::from)).collect();
        let run = Run { words, environment: Environment::Operators, lock, limit, most: MAX_ANSWER };
        let ran = match run.run_out().await {
            Ok(ran) => ran,
            Err(NotRun::TooLong) => return Err(PortError::TimedOut { what: self.what(), limit }),
            Err(NotRun::NotStarted(detail)) => return Err(PortError::Unreachable { what: self.what(), detail }),
        };
        self.read(&ran)
    }

    fn read(&self, ran: &Ran) -> Result<Answer, PortError> {
        if ran.code != Some(0) {
            let last = ran.said.trim().lines().last().unwrap_or("it says nothing");
            let code = ran.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
            return Err(PortError::Refused {
                what: self.what(),
                detail: format!("it ended with {code}: {}", quote(last)),
            });
        }
        if ran.cut {
            return Err(self.unreadable("it prints more than 1 MiB".to_owned()));
        }
        let answer: Answer = serde_json::from_str(&ran.out).map_err(|error| self.unreadable(error.to_string()))?;
        if answer.hosts.len() > MAX_HOSTS {
            return Err(self.unreadable(format!("it lists more than {MAX_HOSTS} hosts")));
        }
        inventory(&answer.hosts).map_err(|why| self.unreadable(why))?;
        Ok(answer)
    }

    fn unreadable(&self, detail: String) -> PortError {
        PortError::Unreadable { what: self.what(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(script: &str) -> Tool {
        let command = ["/bin/sh", "-c", script, "tool"].map(str::to_owned).to_vec();
        Tool::new(&Provision { command, most: Some(5) }, &Limits { look: Duration::from_secs(20), ..Limits::default() })
    }

    #[tokio::test]
    async fn it_is_told_how_many_and_whom_to_keep_and_to_give_back() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join("lock")).unwrap();
        let said = r#"echo "$1 $2 <$3> <$4>" >&2; printf '{"hosts":[{"name":"a","address":"10.0.0.1"}],"room":9}'"#;
        let answer = tool(said).set(2, &["a"], &["b", "c"], &lock).await.unwrap();
        assert_eq!(answer.hosts, [Listed { name: "a".into(), address: "10.0.0.1".into() }]);
        // Whichever is less.
        assert_eq!(tool(said).room(&answer), Ok(4));
        let refused = tool(r#"echo "$1 $2 <$3> <$4>" >&2; exit 7"#).set(2, &["a"], &["b", "c"], &lock).await;
        assert!(refused.unwrap_err().to_string().contains("it ended with 7: \"set 2 <a> <b,c>\""));
        // One that it was to keep is not there.
        assert!(matches!(tool(said).set(2, &["z"], &[], &lock).await, Err(PortError::Unreadable { .. })));
    }

    #[tokio::test]
    async fn what_is_no_list_of_hosts_is_never_taken_for_one() {
        for out in [
            "",
            "{}",
            r#"{"hosts":[{"name":"a"}]}"#,
            r#"{"hosts":[{"name":"-oProxyCommand=x","address":"10.0.0.1"}]}"#,
            r#"{"hosts":[{"name":"a","address":"-oProxyCommand=x"}]}"#,
            r#"{"hosts":[{"name":"a","address":"x"},{"name":"a","address":"y"}]}"#,
            r#"{"hosts":[{"name":"a","address":"x"},{"name":"b","address":"x"}]}"#,
        ] {
            let answer = tool(&format!("printf '%s' '{out}'")).list().await;
            assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{out}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn the_pool_that_is_shipped_keeps_to_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let (file, lock) = (folder.path().join("pool"), File::create(folder.path().join("lock")).unwrap());
        std::fs::write(&file, "# ours\nvm-1 10.0.0.1\nvm-2 10.0.0.2 # slow\n\nvm-3 fd00::3\n").unwrap();
        let pool = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/hosts/pool");
        let command = vec![pool.to_owned(), file.display().to_string()];
        let tool = Tool::new(
            &Provision { command, most: None },
            &Limits { look: Duration::from_secs(20), ..Limits::default() },
        );
        let names = |answer: Answer| {
            let names = answer.hosts.into_iter().map(|host| host.name).collect::<Vec<_>>();
            (names.join(" "), answer.room)
        };
        assert_eq!(names(tool.list().await.unwrap()), (String::new(), Some(3)));
        for (wanted, keep, release, there) in [
            (2, vec![], vec![], "vm-1 vm-2"),
            // The same once more, as after an answer that was lost.
            (2, vec![], vec![], "vm-1 vm-2"),
            (1, vec!["vm-2"], vec!["vm-1"], "vm-2"),
            (2, vec!["vm-2"], vec!["vm-1"], "vm-2 vm-3"),
            (3, vec!["vm-2", "vm-3"], vec![], "vm-1 vm-2 vm-3"),
            (0, vec![], vec!["vm-1", "vm-2", "vm-3"], ""),
        ] {
            let answer = tool.set(wanted, &keep, &release, &lock).await.unwrap();
            assert_eq!(
                names(answer),
                (there.to_owned(), Some(3 - u32::try_from(wanted).unwrap())),
                "{keep:?} {release:?}"
            );
        }
        tool.set(1, &[], &[], &lock).await.unwrap();
        for (wanted, keep) in [(4, vec!["vm-1"]), (2, vec!["vm-9"]), (0, vec!["vm-1"])] {
            assert!(
                matches!(tool.set(wanted, &keep, &[], &lock).await, Err(PortError::Refused { .. })),
                "{wanted} {keep:?}"
            );
        }
        assert_eq!(names(tool.list().await.unwrap()), ("vm-1".to_owned(), Some(2)));
    }
}
