//! A program of this machine that acts for us: bounded in time and in what it may say, and holding the lock for as long as
//! it lives.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a program that is told to end has for it, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How much of what it says on standard error is kept, in bytes: the last of it.
const SAID: usize = 2_000;

/// What a program is given of the bot's environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Environment {
    /// As good as nothing.
    Bare,
    /// All but what configures the bot, which holds its secrets.
    Operators,
}

/// How a program is run.
pub(super) struct Run<'a> {
    pub(super) words: Vec<OsString>,
    pub(super) environment: Environment,
    /// What it holds as its standard input.
    pub(super) lock: Option<&'a File>,
    pub(super) limit: Duration,
    /// How much of its standard output is kept, in bytes: the last of it.
    pub(super) most: usize,
}

/// A program that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) out: String,
    /// Whether more was printed than was kept.
    pub(super) cut: bool,
    pub(super) said: String,
}

/// Why it is not known how a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotRun {
    /// It could not be started.
    NotStarted(String),
    /// It took too long, and was ended.
    TooLong,
}

impl Run<'_> {
    /// Runs it to its end. Where the future is dropped, it goes on, and so does its hold of the lock.
    pub(super) async fn run_out(self) -> Result<Ran, NotRun> {
        let not_started = |error: std::io::Error| NotRun::NotStarted(error.to_string());
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(NotRun::NotStarted("no program is named".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        match self.lock {
            Some(lock) => command.stdin(lock.try_clone().map_err(not_started)?),
            None => command.stdin(Stdio::null()),
        };
        match self.environment {
            Environment::Bare => {
                command.env_clear();
                for name in ["PATH", "HOME"] {
                    command.envs(std::env::var_os(name).map(|value| (name, value)));
                }
            }
            Environment::Operators => {
                for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SCALEBOT_"))
                {
                    command.env_remove(name);
                }
            }
        }
        // What is typed at a terminal to end the bot is not meant for it.
        command.process_group(0);
        let mut child = command.spawn().map_err(not_started)?;
        let (out, said) = (child.stdout.take(), child.stderr.take());
        let ended = async { tokio::join!(last(out, self.most), last(said, SAID), child.wait()) };
        let Ok(((out, cut), (said, _), status)) = timeout(self.limit, ended).await else {
            end(&mut child).await;
            return Err(NotRun::TooLong);
        };
        Ok(Ran { code: status.map_err(not_started)?.code(), out, cut, said })
    }
}

/// Ends it, with all that it has started.
async fn end(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(group) = group else { return };
    // Fails where it has ended just now.
    let _ = kill_process_group(group, Signal::TERM);
    tokio::select! {
        _ = child.wait() => {}
        () = sleep(GRACE) => {}
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}

/// The last of what is there to read, to its end; and whether something came before it.
async fn last(from: Option<impl AsyncRead + Unpin>, most: usize) -> (String, bool) {
    let (mut kept, mut cut) = (VecDeque::new(), false);
    let mut piece = vec![0; 8 << 10];
    if let Some(mut from) = from {
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            kept.extend(&piece[..read]);
            let surplus = kept.len().saturating_sub(most);
            cut |= surplus > 0;
            kept.drain(..surplus);
        }
    }
    (String::from_utf8_lossy(kept.make_contiguous()).into_owned(), cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Run<'static> {
        Run {
            words: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            environment: Environment::Operators,
            lock: None,
            limit: Duration::from_secs(20),
            most: 100,
        }
    }

    #[tokio::test]
    async fn what_it_printed_and_how_it_ended_is_told() {
        let ran = shell("echo out; echo why >&2; exit 3").run_out().await.unwrap();
        assert_eq!(ran, Ran { code: Some(3), out: "out\n".into(), cut: false, said: "why\n".into() });
        let ran = shell("kill -9 $$").run_out().await.unwrap();
        assert_eq!(ran.code, None);
        let none = Run { words: vec!["/nowhere".into()], ..shell("") }.run_out().await;
        assert!(matches!(none, Err(NotRun::NotStarted(_))));
    }

    #[tokio::test]
    async fn of_what_it_prints_the_last_is_kept() {
        let ran = Run { most: 4, ..shell("printf 123456789") }.run_out().await.unwrap();
        assert_eq!((ran.out.as_str(), ran.cut), ("6789", true));
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        let slow = Run { lock: Some(&lock), limit: Duration::from_millis(50), ..shell("sleep 60 & sleep 60") };
        assert_eq!(slow.run_out().await, Err(NotRun::TooLong));
        drop(lock);
        // Whoever it had started held the lock as well.
        let again = File::open(folder.path().join("lock")).unwrap();
        let free = async {
            while again.try_lock().is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), free).await.unwrap();
    }

    #[tokio::test]
    async fn a_login_is_given_as_good_as_nothing_of_the_environment() {
        let ran = Run { environment: Environment::Bare, most: 4_000, ..shell("env") }.run_out().await.unwrap();
        let known = ["PATH=", "HOME=", "PWD=", "OLDPWD=", "SHLVL=", "_="];
        let strange: Vec<_> =
            ran.out.lines().filter(|line| !known.iter().any(|known| line.starts_with(known))).collect();
        assert_eq!(strange, Vec::<&str>::new());
    }
}
