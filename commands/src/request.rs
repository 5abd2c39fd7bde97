//! What an operator asks for: one grammar for console text and, word for word, for chat options.
//!
//! `/scale up N [target:NAME] [reason:"…"]`, where N is the wanted total. Whatever does not fit gets an answer that
//! shows the right form, and nothing is done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{Millis, OperationId, Person, Replicas, TargetName};

/// The longest text that is read at all, in characters.
pub const MAX_TEXT: usize = 500;

/// The most instances that can be asked for, far beyond what any limit would allow.
pub const MAX_REPLICAS: u32 = 10_000;

/// The longest reason, in characters as they are shown. It leaves room for the rest of the command.
pub const MAX_REASON: usize = 300;

/// The longest name of a target, in characters as they are shown.
pub const MAX_TARGET: usize = 60;

/// The right form, shown with every refusal to understand.
pub const FORM: &str = "/scale up 6";

/// A command that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Set the fleet to more instances than it has.
    Up(ScaleTo),
}

/// Which way the count is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More instances.
    Up,
    /// Fewer instances.
    Down,
}

/// The body of `requested`: what was asked for, by whom, under which rules. It opens an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Requested {
    /// The version of the runbook that carries it out.
    pub runbook: u32,
    /// The command in its canonical form.
    pub command: String,
    /// Who asked.
    pub by: Person,
    /// The fleet.
    pub target: TargetName,
    /// Which way.
    pub direction: Direction,
    /// The wanted total.
    pub to: Replicas,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// The operation that it takes back; `None` for a request of its own.
    pub undoes: Option<OperationId>,
    /// SHA-256 of the limits in force, in hexadecimal.
    pub policy: String,
    /// How long the fleet is to be watched afterwards.
    pub monitor: Millis,
}

/// A wanted count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleTo {
    /// The wanted total.
    pub to: Replicas,
    /// The fleet, where it was named.
    pub target: Option<TargetName>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

impl fmt::Display for Request {
    /// The command in its canonical form: safe to show, and the same request when it is read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Up(scale) = self;
        write!(f, "/scale up {}", scale.to)?;
        // Both were made plain and short when they were read.
        match &scale.target {
            Some(target) if target.as_str().contains(' ') => write!(f, " target:\"{target}\"")?,
            Some(target) => write!(f, " target:{target}")?,
            None => {}
        }
        if let Some(reason) = &scale.reason {
            write!(f, " reason:\"{reason}\"")?;
        }
        Ok(())
    }
}

/// Why a text is no command. Each says what was found and shows the right form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCommand {
    /// It is too long to be one.
    #[error("That is {length} characters long; a command has at most {MAX_TEXT}. Type: {FORM}")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// The reason or the name of a target is too long.
    #[error("The {what} is {length} characters long; it has at most {most}. Type: {FORM}")]
    OptionTooLong {
        /// Which option.
        what: &'static str,
        /// Its length in characters, as it would be shown.
        length: usize,
        /// How many there may be.
        most: usize,
    },
    /// It does not begin as one.
    #[error("{} a command. To have six instances in all, type: {FORM}", no_command(found))]
    NotScale {
        /// What it begins with.
        found: String,
    },
    /// `/scale` with a word that means nothing here.
    #[error("I do not know \"/scale {found}\".{} Type: {FORM}", suggestion(*nearest))]
    UnknownWord {
        /// The word.
        found: String,
        /// The word that was probably meant.
        nearest: Option<&'static str>,
    },
    /// Scaling down is not part of this version.
    #[error("Scaling down is not in this version. Nothing was done. What there is: {FORM}")]
    NotYet,
    /// The count is missing.
    #[error("How many instances in all? Type: {FORM}")]
    NoCount,
    /// The count is no whole number.
    #[error("\"{found}\" is not a whole number of instances. Use digits 0-9, for example: {FORM}")]
    NotACount {
        /// What stands there.
        found: String,
    },
    /// The count is zero or absurdly large.
    #[error("{found} instances cannot be asked for; 1 to {MAX_REPLICAS} can. Type: {FORM}")]
    OutOfRange {
        /// What stands there.
        found: String,
    },
    /// There is more than the form has.
    #[error(
        "I do not know what \"{found}\" means here. After the count come only target:NAME and reason:\"why it is done\", each once. Type: {FORM}"
    )]
    Extra {
        /// The first word that is too much.
        found: String,
    },
    /// A quotation mark is never closed.
    #[error("A quotation mark is not closed. Type: {FORM} reason:\"planned campaign\"")]
    OpenQuote,
}

/// The words that may follow `/scale`.
const WORDS: [&str; 1] = ["up"];

fn no_command(found: &str) -> String {
    if found.is_empty() { "An empty line is not".to_owned() } else { format!("\"{found}\" is not") }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| " I know: /scale up N.".to_owned(), |word| format!(" Did you mean \"/scale {word}\"?"))
}

/// The known word that differs least from what was typed, if the difference is small.
fn nearest(typed: &str, known: &[&'static str]) -> Option<&'static str> {
    const FAR: usize = 2;
    // Only words of a like length can be close, which also bounds the work.
    let close = known.iter().filter(|word| typed.chars().count().abs_diff(word.len()) <= FAR);
    close
        .map(|word| (distance(&typed.to_lowercase(), word), *word))
        .filter(|(distance, word)| *distance <= FAR.min(word.len() - 1))
        .min()
        .map(|(_, word)| word)
}

/// How many letters have to be changed, added or taken away (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            let best = changed.min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[to.len()]
}

/// Reads a command.
///
/// # Errors
/// Why it is none, in words for the person who typed it.
pub fn parse(text: &str) -> Result<Request, NoCommand> {
    let length = text.chars().count();
    if length > MAX_TEXT {
        return Err(NoCommand::TooLong { length });
    }
    let words = words(text)?;
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        Some("/scale") => {}
        found => return Err(NoCommand::NotScale { found: quoted(found.unwrap_or_default()) }),
    }
    match words.next() {
        Some("up") => {}
        Some("down") => return Err(NoCommand::NotYet),
        None => return Err(NoCommand::NoCount),
        Some(found) => return Err(NoCommand::UnknownWord { found: quoted(found), nearest: nearest(found, &WORDS) }),
    }
    let to = count(words.next().ok_or(NoCommand::NoCount)?)?;
    let mut scale = ScaleTo { to, target: None, reason: None };
    for word in words {
        let extra = || NoCommand::Extra { found: quoted(word) };
        match word.split_once(':') {
            Some(("target", name)) if scale.target.is_none() && !plain(name).is_empty() => {
                scale.target = Some(TargetName::new(at_most(plain(name), "name of the target", MAX_TARGET)?));
            }
            Some(("reason", why)) if scale.reason.is_none() && !plain(why).is_empty() => {
                scale.reason = Some(at_most(plain(why), "reason", MAX_REASON)?);
            }
            _ => return Err(extra()),
        }
    }
    Ok(Request::Up(scale))
}

/// A text as it is kept: nothing in it acts on a screen, now or when the log is read in a year, and reading it again
/// changes nothing. Any white space is one space.
fn plain(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_TEXT)
}

fn at_most(text: String, what: &'static str, most: usize) -> Result<String, NoCommand> {
    let length = text.chars().count();
    if length > most { Err(NoCommand::OptionTooLong { what, length, most }) } else { Ok(text) }
}

fn count(word: &str) -> Result<Replicas, NoCommand> {
    let found = || quoted(word);
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoCommand::NotACount { found: found() });
    }
    match word.parse() {
        Ok(count @ 1..=MAX_REPLICAS) => Ok(Replicas(count)),
        _ => Err(NoCommand::OutOfRange { found: found() }),
    }
}

/// Splits at white space, except within quotation marks, which are taken off.
fn words(text: &str) -> Result<Vec<String>, NoCommand> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in text.chars() {
        if character == '"' {
            quoted = !quoted;
            word.get_or_insert_default();
        } else if character.is_whitespace() && !quoted {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(character);
        }
    }
    if quoted {
        return Err(NoCommand::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

/// A person's text as it may be shown: at most 60 characters, with everything escaped that is not a plain visible
/// character, so that it can neither move the cursor, nor turn the direction of the text, nor hide in it.
pub fn quoted(text: &str) -> String {
    escaped(text, 60)
}

/// Outside text as it may be shown, at most `longest` characters of it.
pub fn escaped(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == longest {
            shown.push('…');
            break;
        }
        if is_plain(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

/// Whether a character is shown as itself: neither a control, nor a format character, nor unusual white space.
fn is_plain(character: char) -> bool {
    let hidden = matches!(character,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}');
    !hidden && !character.is_control() && (character == ' ' || !character.is_whitespace())
}

#[cfg(test)]
mod tests;
