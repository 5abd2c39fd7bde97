//! The example in `deploy/` holds every key that the types know, and every default that it states is the real one.

use std::collections::{BTreeMap, BTreeSet};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Value};

use super::super::Sections;
use super::*;

const EXAMPLE: &str = include_str!("../../../../deploy/scalebot.example.toml");

/// Tables whose keys are names that an operator chooses, or one of several kinds.
const FREE: [&str; 3] = ["targets", "policy.escalation.next", "targets.api.backend.keys"];

/// The keys that stand there in place of another one, and cannot be used beside it.
const INSTEAD: [&str; 2] = ["stateful_set = ", "provision = "];

/// A key as it stands in the example.
#[derive(Debug)]
struct Stated {
    /// Its lines, by number.
    lines: std::ops::Range<usize>,
    /// What stands before the equals sign.
    name: String,
    /// The text above it.
    said: String,
}

/// The example with every key switched on.
fn everything() -> String {
    let on = |line: &str| {
        let off = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()));
        off.unwrap_or(line).to_owned()
    };
    EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
}

fn keys(text: &str) -> Vec<Stated> {
    let lines: Vec<&str> = text.lines().collect();
    let mut keys = Vec::new();
    let mut said = String::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(comment) = line.strip_prefix("# ") {
            said.push_str(comment);
            said.push('\n');
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| line.starts_with(char::is_alphabetic)) {
            // A list goes on to its closing bracket.
            let end = lines[at + 1..].iter().take_while(|line| line.starts_with([' ', ']'])).count();
            let said = std::mem::take(&mut said);
            keys.push(Stated { lines: at..at + 1 + end, name: name.to_owned(), said });
        } else {
            said.clear();
        }
    }
    keys
}

fn sections(text: &str) -> Result<String, String> {
    let sections = Figment::from(Toml::string(text)).extract::<Sections>();
    sections.map(|sections| format!("{sections:?}")).map_err(|error| error.to_string())
}

fn without(text: &str, stated: &Stated) -> String {
    replaced(text, stated, None)
}

fn replaced(text: &str, stated: &Stated, by: Option<&str>) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.splice(stated.lines.clone(), by);
    lines.join("\n")
}

#[test]
fn it_can_be_used_as_it_stands_and_with_every_key_switched_on() {
    let config = read(EXAMPLE).unwrap();
    assert_eq!(config.targets()[0].2.time.monitor, Duration::from_mins(1));
    assert!(config.sections.discord.is_none(), "it is for trying the service out without any chat");
    let all = everything();
    assert_eq!(all.lines().count(), EXAMPLE.lines().count());
    let kept = all.lines().filter(|line| !INSTEAD.iter().any(|instead| line.starts_with(instead)));
    let all = kept.collect::<Vec<_>>().join("\n");
    for switched_on in [
        "targets.cluster.fleet",
        "targets.machines.fleet.ssh",
        "targets.containers.fleet",
        "targets.swarm.fleet",
        "discord",
        "discord.channels",
        "discord.roles",
        "targets.api.postgres",
        "targets.api.redis",
    ] {
        assert!(all.contains(&format!("\n[{switched_on}]\n")), "{switched_on}");
    }
    assert!(read(&all).unwrap().sections.discord.is_some());
}

#[test]
fn every_key_says_what_it_means_and_every_default_is_the_real_one() {
    let all = everything();
    let whole = sections(&all).unwrap();
    for stated in keys(&all) {
        let Stated { name, said, .. } = &stated;
        assert!(said.len() > 8, "{name}: what does it mean?");
        let left_out = sections(&without(&all, &stated)).ok();
        if let Some((_, default)) = said.split_once("Default: `") {
            let default = default.split_once('`').unwrap().0;
            let line = format!("{name} = {default}");
            let as_stated = sections(&replaced(&all, &stated, Some(&line))).unwrap();
            assert_eq!(Some(as_stated), left_out, "{name}: {default} is not its default");
            assert_ne!(left_out.as_ref(), Some(&whole), "{name}: the value that stands there is the default");
        } else if said.contains("No default") {
            assert_ne!(left_out.as_ref(), Some(&whole), "{name} has a default");
        } else {
            assert_eq!(left_out.as_ref(), Some(&whole), "{name}: the value that stands there is not its default");
        }
    }
}

#[test]
fn every_key_that_the_types_know_is_in_it() {
    let root: Dict = Figment::from(Toml::string(&everything())).extract().unwrap();
    let mut tables = Vec::new();
    walk(&Value::from(root), &mut Vec::new(), &mut tables);
    let mut missing = BTreeSet::new();
    let mut asked = 0;
    for (path, written) in &tables {
        let key = path.join(".");
        // The same keys as in [policy] and in [targets.api], which are all there.
        if key.starts_with("targets.api.policy")
            || [
                "targets.cluster",
                "targets.containers",
                "targets.machines",
                "targets.machines.haproxy",
                "targets.swarm",
            ]
            .contains(&&*key)
        {
            continue;
        }
        match known(path) {
            Some(known) => {
                asked += 1;
                missing
                    .extend(known.iter().filter(|name| !written.contains(**name)).map(|name| format!("{key}.{name}")));
            }
            None => assert!(FREE.contains(&key.as_str()), "{key} takes whatever is written there"),
        }
    }
    assert!(asked > 25, "{asked} tables were looked at");
    assert_eq!(missing, BTreeSet::new());
}

/// What may be written in that table, by what is said of a key that nobody knows.
fn known(path: &[String]) -> Option<&'static [&'static str]> {
    let mut root: Dict = Figment::from(Toml::string(&everything())).extract().unwrap();
    enter(&mut root, path).insert("nobody_knows_this".to_owned(), Value::from(1));
    match Figment::from(figment::providers::Serialized::defaults(root)).extract::<Sections>() {
        Err(error) => match error.kind {
            Kind::UnknownField(name, known) if name == "nobody_knows_this" => Some(known),
            _ => None,
        },
        Ok(_) => None,
    }
}

fn enter<'a>(mut dict: &'a mut Dict, path: &[String]) -> &'a mut Dict {
    for part in path {
        dict = match dict.get_mut(part) {
            Some(Value::Dict(_, below)) => below,
            Some(Value::Array(_, list)) => match &mut list[0] {
                Value::Dict(_, below) => below,
                other => panic!("{other:?}"),
            },
            other => panic!("{part}: {other:?}"),
        };
    }
    dict
}

/// Every table with the keys that are written in it; of a list of tables, the first.
fn walk(value: &Value, path: &mut Vec<String>, tables: &mut Vec<(Vec<String>, BTreeSet<String>)>) {
    let Value::Dict(_, dict) = value else { return };
    tables.push((path.clone(), dict.keys().cloned().collect()));
    let below: BTreeMap<&String, &Value> = dict.iter().collect();
    for (name, value) in below {
        path.push(name.clone());
        match value {
            Value::Array(_, list) => list.first().into_iter().for_each(|first| walk(first, path, tables)),
            value => walk(value, path, tables),
        }
        path.pop();
    }
}
