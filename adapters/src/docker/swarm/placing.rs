//! On which nodes Swarm would place a task of the service, by its constraints and by the platforms of its image.

use serde_json::Value;

use super::cluster::{Node, Platform, Service};

/// What holds for a node that a task may be placed on.
pub(super) struct Placing {
    constraints: Vec<Constraint>,
    platforms: Vec<Platform>,
    /// How many tasks of the service one node has at most.
    pub(super) most: Option<u32>,
}

struct Constraint {
    key: String,
    is: bool,
    value: String,
}

impl Placing {
    /// As the service says.
    ///
    /// # Errors
    /// In words, when it says something that is not known here: then nobody can tell where its tasks go.
    pub(super) fn of(service: &Service) -> Result<Self, String> {
        let placement = &service.spec["TaskTemplate"]["Placement"];
        let list = |key: &str| placement[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let constraints = list("Constraints").iter().map(constraint).collect::<Result<_, _>>()?;
        let platforms = list("Platforms").iter().map(|platform| serde_json::from_value(platform.clone()));
        let platforms = platforms.collect::<Result<_, _>>().map_err(|_| "one of its platforms cannot be read")?;
        let most = placement["MaxReplicas"].as_u64().filter(|most| *most > 0);
        Ok(Self { constraints, platforms, most: most.map(|most| u32::try_from(most).unwrap_or(u32::MAX)) })
    }

    /// Whether a task may be placed there, as far as resources are left.
    pub(super) fn allows(&self, node: &Node) -> bool {
        let fits = |wanted: &Platform| {
            let same = |wanted: &str, is: &str| wanted.is_empty() || architecture(wanted) == architecture(is);
            same(&wanted.os, &node.description.platform.os)
                && same(&wanted.architecture, &node.description.platform.architecture)
        };
        let platform = self.platforms.is_empty() || self.platforms.iter().any(fits);
        node.takes_tasks() && platform && self.constraints.iter().all(|constraint| constraint.holds(node))
    }

    /// The constraints, as they are written.
    pub(super) fn words(&self) -> String {
        let word = |one: &Constraint| format!("{} {} {}", one.key, if one.is { "==" } else { "!=" }, one.value);
        self.constraints.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

/// The names that images and nodes have for the same.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn constraint(text: &Value) -> Result<Constraint, String> {
    let text = text.as_str().unwrap_or_default();
    let (is, parts) = match (text.split_once("=="), text.split_once("!=")) {
        (Some(parts), _) => (true, Some(parts)),
        (None, parts) => (false, parts),
    };
    let unknown = || format!("its constraint {} is none that this bot knows", scalebot_commands::request::quoted(text));
    let (key, value) = parts.ok_or_else(unknown)?;
    let constraint = Constraint { key: key.trim().to_owned(), is, value: value.trim().to_owned() };
    // Whether it is known does not depend on the node.
    let known = matches!(
        constraint.key.to_ascii_lowercase().as_str(),
        "node.id" | "node.hostname" | "node.role" | "node.platform.os" | "node.platform.arch"
    ) || constraint.key.starts_with("node.labels.")
        || constraint.key.starts_with("engine.labels.");
    if known { Ok(constraint) } else { Err(unknown()) }
}

impl Constraint {
    /// Swarm compares without regard to case, except labels' keys.
    fn holds(&self, node: &Node) -> bool {
        let key = self.key.as_str();
        let description = &node.description;
        let found = if let Some(label) = key.strip_prefix("node.labels.") {
            node.spec.labels.get(label).map_or("", String::as_str)
        } else if let Some(label) = key.strip_prefix("engine.labels.") {
            description.engine.labels.get(label).map_or("", String::as_str)
        } else {
            match key.to_ascii_lowercase().as_str() {
                "node.id" => &node.id,
                "node.hostname" => &description.hostname,
                "node.role" => &node.spec.role,
                "node.platform.os" => &description.platform.os,
                _ => return (architecture(&self.value) == architecture(&description.platform.architecture)) == self.is,
            }
        };
        found.eq_ignore_ascii_case(&self.value) == self.is
    }
}
