//! The process dies at every moment: around every call of a port, around every append, and within each write of the log,
//! which is a real SQLite file. What a process that is killed leaves is what the next one begins with: the file and what
//! lies beside it, as they are at that moment, and everything outside as it was left. Nothing of the dead process runs
//! any further, no destructor either.
//!
//! However often it dies: the same fleet at the end, nothing done twice, nothing lost, the log proved, and each event in
//! the log channel once.

mod mortal;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt as _;
use scalebot_adapters::ledger::SqliteLedger;
use scalebot_commands::audit::Audit;
use scalebot_commands::desk::{Desk, Received};
use scalebot_commands::journal::Inbox;
use scalebot_commands::policy::{Policy, TakeBack};
use scalebot_commands::ports::{Announced, Ledger as _};
use scalebot_commands::request;
use scalebot_commands::supervisor::{self, Ended};
use scalebot_commands::units::TargetName;

use self::mortal::{Channel, Fate};
use super::fleet::easy;
use super::*;

/// What is asked for, one after the other, and of whom.
struct Story {
    commands: &'static [&'static str],
    policy: fn() -> Policy,
    set_up: fn(&mut Script),
    /// What has to stand in its log: else it is another story.
    holds: &'static [&'static str],
}

const UP: Story = Story {
    commands: &["/scale up 6 reason:\"noon\""],
    policy: short,
    set_up: |_| (),
    holds: &["scaling_answered", "verified", "monitored", "documented", "finished"],
};

const UP_DURING_A_HALT: Story = Story {
    commands: &["/scale up 6 reason:\"noon\""],
    policy: short,
    set_up: the_lead_approves,
    holds: &["approval_requested", "vote_cast", "approved", "scaling_answered", "finished"],
};

const DOWN: Story = Story {
    commands: &["/scale down 2 reason:\"night\""],
    policy: || watched_shortly(easy()),
    set_up: |_| (),
    holds: &["draining_answered", "drained", "terminating_answered", "terminated", "finished"],
};

const DOWN_UNNAMED: Story = Story {
    commands: &["/scale down 2 reason:\"night\""],
    policy: || watched_shortly(unnamed::policy()),
    set_up: |script| unnamed::chooses(script, &["api-2"]),
    holds: &["quiesced", "terminating_answered", "terminated", "reassessed", "finished"],
};

const TAKEN_BACK_UNNAMED: Story = Story {
    commands: &["/scale up 6 reason:\"noon\""],
    policy: || {
        let mut policy = short();
        (policy.back.rule, policy.drain.unmeasured) = (TakeBack::Automatic, unnamed::policy().drain.unmeasured);
        policy
    },
    set_up: |script| {
        unnamed::chooses(script, &["api-1", "api-6"]);
        script.ill = [("api-6", Ill::NoKeys)].into();
    },
    holds: &["way_back", "rolling_back_answered", "rolled_back", "finished"],
};

const TAKEN_BACK: Story = Story {
    commands: &["/scale up 6 reason:\"noon\""],
    policy: || {
        let mut policy = short();
        policy.back.rule = TakeBack::Automatic;
        policy
    },
    set_up: |script| script.ill = [("api-6", Ill::NoKeys)].into(),
    holds: &["way_back", "draining_answered", "rolling_back_answered", "rolled_back", "finished"],
};

const UNDONE: Story = Story {
    commands: &["/scale up 6 reason:\"noon\"", "/scale rollback"],
    policy: short,
    set_up: |_| (),
    holds: &["scaling_answered", "rolling_back_answered", "rolled_back", "finished"],
};

fn short() -> Policy {
    watched_shortly(Policy::rehearsal(Duration::from_mins(1)))
}

/// Ten looks say what a thousand say.
fn watched_shortly(mut policy: Policy) -> Policy {
    policy.time.monitor = Duration::from_secs(20);
    policy
}

/// One telling of a story: the world that outlives its processes, and what they leave.
struct Telling {
    story: &'static Story,
    stage: Stage,
    channel: Arc<Channel>,
    home: tempfile::TempDir,
    /// How many processes have died.
    deaths: usize,
}

/// What it came to.
#[derive(Debug, PartialEq)]
struct Came {
    /// Who is there, what count is wanted, how often that was changed, who is out of the balancer.
    fleet: (Vec<String>, u32, u64, Vec<String>),
    /// How each operation ended.
    outcomes: Vec<String>,
}

impl Telling {
    fn new(story: &'static Story) -> Self {
        // In memory where that can be had: it is the same SQLite and the same bytes, and a disk's syncs are waited for
        // thousands of times.
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let (stage, channel) = (Stage::with(story.set_up), Arc::default());
        let telling = Self { story, stage, channel, home: home.unwrap(), deaths: 0 };
        std::fs::create_dir(telling.files_of(0)).unwrap();
        telling
    }

    /// Where the process after so many deaths finds its files.
    fn files_of(&self, deaths: usize) -> PathBuf {
        self.home.path().join(deaths.to_string())
    }

    /// A process lives, until it dies at that moment or everything is done: whether it lived that long.
    fn lives_until(&mut self, moment: usize) -> bool {
        let (from, to) = (self.files_of(self.deaths), self.files_of(self.deaths + 1));
        let lived = self.lives(&Fate::dies_at(moment, move || copy(&from, &to)));
        if !lived {
            self.deaths += 1;
            passes(&self.stage, 1);
        }
        lived
    }

    /// A process lives until everything is done.
    fn lives_on(&self) {
        assert!(self.lives(&Fate::lives(|| 0)));
    }

    /// The same; what one that dies would leave, at each of its moments.
    fn is_watched(&self) -> Vec<u64> {
        let (files, channel, stage) = (self.files_of(self.deaths), Arc::clone(&self.channel), self.stage.clone());
        let fate = Fate::lives(move || left(&files, &channel, &stage));
        assert!(self.lives(&fate));
        fate.left()
    }

    /// A process lives as long as its fate lets it; whether it did what there was to do.
    fn lives(&self, fate: &Fate) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        fate.rules_the_log();
        // With the runtime everything ends that the process had begun.
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = fate.died() => false,
                () = self.life(fate) => true,
            }
        })
    }

    /// Takes up what is unfinished, and does whatever was not asked for yet.
    async fn life(&self, fate: &Fate) {
        let policy = (self.story.policy)();
        let ledger = SqliteLedger::open(&self.files_of(self.deaths).join("ledger.db")).await.unwrap();
        // One that cannot begin is started again.
        let epoch = loop {
            if let Ok(epoch) = ledger.take_over().await {
                break epoch;
            }
        };
        let ledger = Arc::new(ledger);
        let (ports, log) = mortal::ports(self.stage.ports(), &ledger, &self.channel, fate);
        loop {
            let held = ports.ledger.claims().await.unwrap().into_iter().next();
            let operation = if let Some(held) = held {
                held.operation
            } else {
                let asked = ports.ledger.latest("requested", 10).await.unwrap().len();
                let Some(command) = self.story.commands.get(asked) else { break };
                let (ledger, world, room) = (&*ports.ledger, &*ports.world, &*ports.room);
                let targets = [TargetName::new("api")];
                let desk = Desk { ledger, world, room, policy: &policy, epoch, targets: &targets };
                // Whoever is told that it could not be recorded looks whether it was, and asks once more.
                match desk.take(&request::parse(command).unwrap(), &Person::new("operator")).await {
                    Ok(Received::Opened(operation)) => operation,
                    Ok(otherwise) => panic!("{otherwise:?}"),
                    Err(_) => continue,
                }
            };
            let (signals, mut inbox) = Inbox::new();
            self.stage.script().signals = Some(signals);
            let ended = Box::pin(supervisor::carry_out(&ports, &policy, &operation, epoch, &mut inbox)).await;
            assert!(matches!(ended, Ended::Finished(_)), "{ended:?}");
        }
        while !log.tell(true).await {}
        ledger.close().await;
    }

    /// Everything is done: what it came to, with what must hold however often it died.
    fn came(&self, case: &str) -> Came {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let log: Vec<Event> = runtime.block_on(async {
            let file = self.files_of(self.deaths).join("ledger.db");
            let ledger = SqliteLedger::open_existing_read_only(&file).await.unwrap().unwrap();
            assert_eq!(ledger.claims().await.unwrap(), [], "{case}: a fleet is still held");
            ledger.events().try_collect().await.unwrap()
        });
        assert_in_order(&log, self.channel.posts(), case);
        for kind in self.story.holds {
            assert!(log.iter().any(|event| event.kind == *kind), "{case}: {kind} is not in its log");
        }
        let script = self.stage.script();
        assert_eq!(script.ordered_again, [""; 0], "{case}: something was ordered that was so already");
        let fleet = script.fleet.as_ref().unwrap();
        let names = fleet.instances.iter().map(|one| one.id.to_string()).collect();
        let drained = script.drained.iter().map(ToString::to_string).collect();
        let finished = log.iter().filter(|event| event.kind == "finished").map(body);
        let outcomes = finished.map(|body| body["outcome"].as_str().unwrap().to_owned()).collect();
        Came { fleet: (names, fleet.wanted.0, fleet.generation, drained), outcomes }
    }
}

/// The log is one chain, every operation whole, and each event in exactly one post.
fn assert_in_order(log: &[Event], posts: Vec<Announced>, case: &str) {
    let mut told = 0;
    for post in &posts {
        assert_eq!(post.first, told + 1, "{case}: told twice or not at all: {posts:?}");
        told = post.last;
    }
    assert_eq!(told, log.len() as u64, "{case}: {posts:?}");
    let mut audit = Audit::against(posts);
    for event in log {
        audit.take(event).unwrap_or_else(|wrong| panic!("{case}: {wrong}"));
    }
    let audited = audit.finish().unwrap_or_else(|(wrong, _)| panic!("{case}: {wrong}"));
    assert_eq!((audited.compared, audited.unfinished), (Some(told), 0), "{case}");
    assert!(audited.unposted.is_empty() && audited.suspects.is_empty(), "{case}: {:?}", audited.suspects);
}

/// The files of a process as they are now, as another one would find them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The files and everything outside as they are now, as one number. The log grows with every write of it.
fn left(files: &Path, channel: &Channel, stage: &Stage) -> u64 {
    let mut all = DefaultHasher::new();
    for name in ["ledger.db", "ledger.db-wal"] {
        std::fs::metadata(files.join(name)).map_or(0, |found| found.len()).hash(&mut all);
    }
    channel.posts().len().hash(&mut all);
    let script = stage.script();
    (script.clock, format!("{:?}", (&script.fleet, &script.drained, &script.halt, &script.touched))).hash(&mut all);
    (script.shown.len(), script.told.len()).hash(&mut all);
    all.finish()
}

/// The moments at which something else would be left than at the moment before: to die at any other one is to die at the
/// one before it.
fn that_differ(left: &[u64]) -> Vec<usize> {
    (1..=left.len()).filter(|moment| *moment == 1 || left[moment - 1] != left[moment - 2]).collect()
}

/// One death at every moment there is, and then lives of several deaths.
fn is_the_same_however_often_it_dies(story: &'static Story) {
    let undisturbed = Telling::new(story);
    let left = undisturbed.is_watched();
    let as_ever = undisturbed.came("undisturbed");
    let moments = that_differ(&left);
    println!("{} moments, of which {} differ", left.len(), moments.len());
    assert!(left.len() > 200 && moments.len() > 40, "{} moments are not all there are", left.len());

    for moment in moments {
        let case = format!("{:?}, dead at moment {moment}", story.commands);
        let mut telling = Telling::new(story);
        assert!(!telling.lives_until(moment), "{case}: it ended before");
        telling.lives_on();
        assert_eq!(telling.came(&case), as_ever, "{case}");
    }
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut telling = Telling::new(story);
        let mut died_at = Vec::new();
        for _ in 0..random.usize(2..=4) {
            let moment = random.usize(1..=left.len() / 2);
            if telling.lives_until(moment) {
                break;
            }
            died_at.push(moment);
        }
        let case = format!("{:?}, seed {seed}, dead at moments {died_at:?}", story.commands);
        telling.lives_on();
        assert_eq!(telling.came(&case), as_ever, "{case}");
    }
}

/// How many lives of several deaths.
const SEEDS: u64 = 12;

/// The log takes nothing for a while, from every second moment of its writes on: one cannot be begun, is undone, or is
/// committed and nobody learns of it. Then it takes everything again.
fn is_the_same_whenever_the_log_fails(story: &'static Story) {
    let undisturbed = Telling::new(story);
    let fate = Fate::lives(|| 0);
    assert!(undisturbed.lives(&fate), "nothing ends it");
    let (as_ever, written) = (undisturbed.came("undisturbed"), fate.written());
    println!("{written} moments of writes");
    assert!(written > 60, "{written} moments are not all there are");
    for moment in (1..=written).step_by(2) {
        let length = [1, 2, 5][moment % 3];
        let case = format!("{:?}, its log fails at {length} moments from {moment} on", story.commands);
        let telling = Telling::new(story);
        assert!(telling.lives(&Fate::lives(|| 0).whose_log_fails(moment..moment + length)));
        assert_eq!(telling.came(&case), as_ever, "{case}");
    }
}

#[test]
fn where_the_log_fails_on_the_way_up() {
    is_the_same_whenever_the_log_fails(&UP_DURING_A_HALT);
}

#[test]
fn where_the_log_fails_on_the_way_down() {
    is_the_same_whenever_the_log_fails(&DOWN);
}

#[test]
fn where_the_log_fails_on_the_way_back() {
    is_the_same_whenever_the_log_fails(&TAKEN_BACK);
}

#[test]
fn on_the_way_up() {
    is_the_same_however_often_it_dies(&UP);
}

#[test]
fn on_the_way_up_during_a_halt() {
    is_the_same_however_often_it_dies(&UP_DURING_A_HALT);
}

#[test]
fn on_the_way_down() {
    is_the_same_however_often_it_dies(&DOWN);
}

#[test]
fn on_the_way_down_where_nobody_is_named() {
    is_the_same_however_often_it_dies(&DOWN_UNNAMED);
}

#[test]
fn on_the_way_back_where_nobody_is_named() {
    is_the_same_however_often_it_dies(&TAKEN_BACK_UNNAMED);
}

#[test]
fn on_the_way_back_from_what_went_wrong() {
    is_the_same_however_often_it_dies(&TAKEN_BACK);
}

#[test]
fn on_the_way_back_that_was_asked_for() {
    is_the_same_however_often_it_dies(&UNDONE);
}
