//! Where a configuration comes from: one TOML file, and the environment over it. Whatever is wrong is said with its line
//! or its variable, and with what would be right; a value is never repeated, since it may be a secret.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::DeserializeOwned;
use toml_edit::{ImDocument, Item, TableLike};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What the variables begin with that stand over the file.
const PREFIX: &str = "SCALEBOT_";

/// What stands between the parts of a variable's name. Every key is in a section, so a name without it is none of ours.
const BETWEEN: &str = "__";

/// Keys whose values are taken from the environment as they are, whatever they look like.
const LITERAL: [&str; 4] = ["token", "password", "url", "bearer_token"];

/// How alike two names have to be for the one to be meant by the other.
const ALIKE: f64 = 0.75;

/// The longest list of names that is shown.
const LISTED: usize = 20;

/// A configuration's text, with what the environment says over it.
pub(super) struct Source {
    file: PathBuf,
    text: String,
    document: ImDocument<String>,
    pub(super) figment: Figment,
}

/// What is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    place: String,
    why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:\n{}", self.place, self.why)
    }
}

impl std::error::Error for Wrong {}

impl From<Wrong> for String {
    fn from(wrong: Wrong) -> Self {
        wrong.to_string()
    }
}

impl Source {
    /// Reads the file, and puts the environment's variables over it.
    pub(super) fn read(file: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Wrong> {
        let unreadable = |why: String| Wrong { place: file.display().to_string(), why };
        let mut bytes = Vec::new();
        File::open(file).and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(|error| {
            unreadable(format!("It cannot be read: {error}. Name the configuration with --config FILE."))
        })?;
        if bytes.len() as u64 > LARGEST {
            return Err(unreadable(format!("It is larger than {} MiB, and no configuration.", LARGEST >> 20)));
        }
        let text = String::from_utf8(bytes).map_err(|_| unreadable("It is no text in UTF-8.".to_owned()))?;
        Self::parse(file, text, environment)
    }

    /// The same of a text.
    pub(super) fn parse(
        file: &Path,
        text: String,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Wrong> {
        let document = ImDocument::parse(text.clone()).map_err(|error| {
            let line = error.span().map(|span| line_of(&text, span.start));
            // The parser's own sentence names what it expected, and repeats nothing of the line.
            Wrong { place: place(file, line), why: format!("It is no TOML here: {}.", sentence(error.message())) }
        })?;
        let mut figment = Figment::from(Toml::string(&text));
        for (name, value) in environment {
            if let Some(variable) = Variable::of(name, &value) {
                figment = figment.merge(variable);
            }
        }
        Ok(Self { file: file.to_owned(), text, document, figment })
    }

    /// Reads what is configured.
    pub(super) fn extract<T: DeserializeOwned>(&self) -> Result<T, Wrong> {
        self.figment.extract().map_err(|error| self.explain(&error))
    }

    /// Something is wrong with what this key says.
    pub(super) fn wrong(&self, key: &str, why: impl Into<String>) -> Wrong {
        let variable = self.figment.find_metadata(key).map(|found| &*found.name).filter(|name| name.contains(PREFIX));
        let path: Vec<&str> = key.split('.').collect();
        let place = variable.map_or_else(|| place(&self.file, self.line(&path)), str::to_owned);
        Wrong { place, why: format!("{key}: {}.", sentence(&why.into())) }
    }

    fn explain(&self, error: &figment::Error) -> Wrong {
        let mut path: Vec<&str> = error.path.iter().map(String::as_str).collect();
        let variable = error.metadata.as_ref().map(|found| found.name.to_string());
        let variable = variable.filter(|name| name.contains(PREFIX));
        let unknown = match &error.kind {
            Kind::UnknownField(name, _) => Some(name.as_str()),
            _ => None,
        };
        if let Some(name) = unknown
            && path.last() != Some(&name)
        {
            path.push(name);
        }
        let key = path.join(".");
        let named = if key.is_empty() { String::new() } else { format!("{key}: ") };
        let why = match &error.kind {
            Kind::UnknownField(_, known) => format!("{key} is not known. {}", nearest(unknown.unwrap_or(""), known)),
            Kind::UnknownVariant(found, known) => format!("{named}{found:?} is not known. {}", nearest(found, known)),
            Kind::MissingField(field) => missing(&key, field),
            Kind::InvalidType(found, wanted) => {
                format!("{named}it is {}, and must be {}.", kind(found), expected(wanted))
            }
            Kind::InvalidValue(_, wanted) => format!("{named}it must be {}.", expected(wanted)),
            Kind::InvalidLength(length, wanted) => {
                format!("{named}it has {length} parts, and must have {}.", expected(wanted))
            }
            Kind::Message(said) => format!("{named}{}.", sentence(said)),
            Kind::DuplicateField(field) => format!("{named}{field} stands there twice."),
            Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => format!("{named}the number is out of range."),
            Kind::Unsupported(_) | Kind::UnsupportedKey(..) => format!("{named}this cannot be written here."),
        };
        let place = variable.unwrap_or_else(|| place(&self.file, self.line(&path)));
        Wrong { place, why }
    }

    /// The line of a key, or of the deepest table above it that is written down.
    fn line(&self, path: &[&str]) -> Option<usize> {
        let at = deepest(self.document.as_table(), path)?;
        Some(line_of(&self.text, at))
    }
}

/// Where the deepest part of a path that is written down begins.
fn deepest(table: &dyn TableLike, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, item) = table.get_key_value(first)?;
    let here = key.span().or_else(|| item.span()).map(|span| span.start);
    let below = match (item, rest.split_first()) {
        (Item::ArrayOfTables(tables), Some((at, rest))) => {
            at.parse().ok().and_then(|at: usize| tables.get(at)).and_then(|table| deepest(table, rest))
        }
        (Item::Value(toml_edit::Value::Array(list)), Some((at, rest))) => {
            at.parse().ok().and_then(|at: usize| list.get(at)?.as_inline_table()).and_then(|table| deepest(table, rest))
        }
        _ => item.as_table_like().and_then(|table| deepest(table, rest)),
    };
    below.or(here)
}

/// One variable of the environment that stands over a key.
struct Variable {
    name: String,
    path: Vec<String>,
    value: Value,
}

impl Variable {
    /// `None` for one that is not about the configuration.
    fn of(name: String, value: &str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX).filter(|rest| rest.contains(BETWEEN))?;
        let path: Vec<String> = rest.split(BETWEEN).map(str::to_ascii_lowercase).collect();
        let literal = path.last().is_some_and(|last| LITERAL.contains(&last.as_str()));
        // As TOML writes it where it is that; else a text, which needs no quotes here.
        let value = if literal { Value::from(value) } else { value.parse().unwrap_or_else(|_| Value::from(value)) };
        Some(Self { name, path, value })
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("Environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        let mut parts = self.path.iter().rev();
        if let Some(last) = parts.next() {
            dict.insert(last.clone(), self.value.clone());
        }
        for part in parts {
            dict = Dict::from([(part.clone(), Value::from(dict))]);
        }
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

fn place(file: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}, line {line}", file.display()),
        None => file.display().to_string(),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The known name that is meant, or else all of them.
fn nearest(found: &str, known: &[&str]) -> String {
    let like = |name: &&str| strsim::jaro_winkler(found, name);
    let best = known.iter().map(|name| (like(name), name)).max_by(|(one, _), (other, _)| one.total_cmp(other));
    match best {
        Some((alike, name)) if alike >= ALIKE => format!("Did you mean {name}?"),
        _ if known.is_empty() => "Nothing can be set here.".to_owned(),
        _ => {
            let mut names: Vec<&str> = known.iter().take(LISTED).copied().collect();
            if known.len() > LISTED {
                names.push("…");
            }
            format!("Known here: {}.", names.join(", "))
        }
    }
}

/// What must be written down, and is not.
fn missing(within: &str, field: &str) -> String {
    let key = if within.is_empty() { field.to_owned() } else { format!("{within}.{field}") };
    let how = match field {
        "sources" => {
            "Name every source of truth about the halt.\nWhere there is none, write an empty list: sources = []. Nothing \
             can say then that the system is not halted, so every scaling needs governance's approval."
        }
        "halt" => "Write halt.sources = [\"…\"]; an empty list where there is none.",
        "state" => "Write directory = \"/var/lib/scalebot\" below [state].",
        "targets" => "Describe at least one fleet, below [targets.NAME].",
        "fleet" => {
            "Say what runs the instances: fleet = { kind = \"kubernetes\", … }, { kind = \"compose\", … }, { kind = \"swarm\", … } or { kind = \"process\" }."
        }
        "kind" => "Say which kind: kind = \"…\".",
        _ => "It has no default: write it down.",
    };
    format!("{key} is missing. {how}")
}

/// What was found, as people call it. Never what it says: it may be a secret.
fn kind(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

/// What was wanted, as people call it.
fn expected(wanted: &str) -> String {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "string" | "path string" => "a text in quotes".to_owned(),
        "a boolean" | "bool" => "true or false".to_owned(),
        "a timestamp string" => "a time in quotes, such as \"2026-12-24T12:00:00Z\"".to_owned(),
        "a sequence" => "a list in [ ]".to_owned(),
        wanted if wanted.starts_with("struct ") || wanted == "a map" => "a table".to_owned(),
        wanted if wanted.contains("enum") => "one of the names that are known here, in quotes".to_owned(),
        wanted => wanted.to_owned(),
    }
}

/// The beginning of somebody else's sentence made ours.
fn sentence(said: &str) -> String {
    said.trim().trim_end_matches('.').replace('\n', ", ")
}
