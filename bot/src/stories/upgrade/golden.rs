//! The operations that are kept of each release, and what they had done to the fleet by any event of theirs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use scalebot_commands::event::Hash;
use scalebot_commands::policy::{Policy, TakeBack};
use scalebot_commands::units::{Epoch, InstanceId, OperationId, Replicas};
use serde_json::value::RawValue;

use super::super::fleet::easy;
use super::*;

/// One operation, or one and its undoing, as they are played.
pub(super) struct Story {
    pub(super) name: &'static str,
    commands: &'static [&'static str],
    pub(super) policy: fn() -> Policy,
    pub(super) set_up: fn(&mut Script),
    /// What has to stand in its log: else it is not the story that it is called.
    pub(super) holds: &'static [&'static str],
    /// Whether it ends as it did, wherever it is cut. One and its undoing are two, each with an end of its own.
    pub(super) ends_alike: bool,
}

const STORIES: [Story; 5] = [
    Story {
        name: "up",
        commands: &["/scale up 6 reason:\"noon\""],
        policy: rehearsal,
        set_up: |_| (),
        holds: &["scaling_answered", "verified", "monitored", "documented", "finished"],
        ends_alike: true,
    },
    Story {
        name: "up_halted_and_approved",
        commands: &["/scale up 6 reason:\"noon\""],
        policy: rehearsal,
        set_up: the_lead_approves,
        holds: &["escalated", "approval_requested", "vote_cast", "approved", "scaling_answered", "finished"],
        ends_alike: true,
    },
    Story {
        name: "down",
        commands: &["/scale down 2 reason:\"night\""],
        policy: easy,
        set_up: |_| (),
        holds: &["draining_answered", "drained", "terminating_answered", "terminated", "finished"],
        ends_alike: true,
    },
    Story {
        name: "taken_back",
        commands: &["/scale up 6 reason:\"noon\""],
        policy: taking_back,
        set_up: |script| script.ill = [("api-6", Ill::NoKeys)].into(),
        holds: &["way_back", "rolling_back", "rolling_back_answered", "rolled_back", "escalated", "finished"],
        ends_alike: true,
    },
    Story {
        name: "rollback",
        commands: &["/scale up 6 reason:\"noon\"", "/scale rollback"],
        policy: rehearsal,
        set_up: |_| (),
        holds: &["scaling_answered", "rolling_back_answered", "rolled_back", "finished"],
        ends_alike: false,
    },
];

fn rehearsal() -> Policy {
    Policy::rehearsal(Duration::from_mins(1))
}

fn taking_back() -> Policy {
    let mut policy = rehearsal();
    policy.back.rule = TakeBack::Automatic;
    policy
}

/// One of them as a release wrote it.
pub(super) struct Golden {
    pub(super) release: String,
    pub(super) story: &'static Story,
    pub(super) log: Vec<Event>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

/// Those of every release.
pub(super) fn all() -> Vec<Golden> {
    let mut all = Vec::new();
    for release in std::fs::read_dir(folder()).unwrap() {
        let release = release.unwrap().file_name().into_string().unwrap();
        for story in &STORIES {
            let path = folder().join(&release).join(format!("{}.jsonl", story.name));
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let log: Vec<Event> = text.lines().map(parsed).collect();
            let again: String = log.iter().map(|event| event.line() + "\n").collect();
            assert_eq!(again, text, "{} does not read as it was written", path.display());
            all.push(Golden { release: release.clone(), story, log });
        }
    }
    all
}

/// Reads what `Event::line` wrote, the body as its very bytes.
fn parsed(line: &str) -> Event {
    let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(line).unwrap();
    let text = |name: &str| serde_json::from_str::<Option<String>>(fields[name].get()).unwrap();
    let number = |name: &str| serde_json::from_str::<u64>(fields[name].get()).unwrap();
    let hash = |name: &str| Hash::parse(&text(name).unwrap()).unwrap();
    Event {
        seq: number("seq"),
        at: text("at").unwrap(),
        operation: text("operation").map(|name| OperationId::new(&name)),
        op_seq: number("op_seq"),
        epoch: Epoch(number("epoch")),
        kind: text("kind").unwrap(),
        body: fields["body"].get().to_owned(),
        prev: hash("prev"),
        hash: hash("hash"),
    }
}

/// Writes those of the version at hand, where that is asked for.
pub(super) async fn write_where_asked() {
    if std::env::var_os("SCALEBOT_WRITE_GOLDEN").is_none() {
        return;
    }
    let folder = folder().join(VERSION);
    std::fs::create_dir_all(&folder).unwrap();
    for story in &STORIES {
        let stage = Stage::with(story.set_up);
        for command in story.commands {
            stage.play_under(command, &(story.policy)()).await;
        }
        let lines: String = stage.script().events.iter().map(|event| event.line() + "\n").collect();
        std::fs::write(folder.join(format!("{}.jsonl", story.name)), lines).unwrap();
    }
}

/// What the fleet was told.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Count(Replicas),
    End(Vec<InstanceId>, Replicas),
    Route(InstanceId, bool),
}

/// What the fleet was told by the end of a log, by whom. An intent without an answer counts as done where that is said.
pub(super) fn orders(log: &[Event], last_is_done: bool) -> Vec<(OperationId, Order)> {
    let mut orders = Vec::new();
    let mut announced = None;
    for event in log {
        let body = super::body(event);
        if let Some(order) = order(&event.kind, &body) {
            announced = Some((event.operation.clone().unwrap(), order));
        } else if event.kind.ends_with("_answered")
            && let Some(order) = announced.take()
            && body["result"] == "done"
        {
            orders.push(order);
        }
    }
    orders.extend(announced.filter(|_| last_is_done));
    orders
}

fn order(kind: &str, body: &Value) -> Option<Order> {
    let count = || Replicas(u32::try_from(body["to"].as_u64().unwrap()).unwrap());
    let instance = |name: &Value| InstanceId::new(name.as_str().unwrap());
    let instances = || body["instances"].as_array().unwrap().iter().map(instance).collect::<Vec<_>>();
    Some(match kind {
        "scaling" => Order::Count(count()),
        "rolling_back" if instances().is_empty() => Order::Count(count()),
        "rolling_back" | "terminating" => Order::End(instances(), count()),
        "draining" => Order::Route(instance(&body["instance"]), false),
        "readmitting" => Order::Route(instance(&body["instance"]), true),
        _ => return None,
    })
}
