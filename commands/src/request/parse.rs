//! Reading a command, and what is said of a text that is none.

use super::rate::{NoRate, Rate};
use super::{
    Direction, MAX_HISTORY, MAX_REASON, MAX_REPLICAS, MAX_TARGET, MAX_TEXT, Request, USUAL_HISTORY, Word, escaped,
    quoted,
};
use crate::units::{Replicas, TargetName};

/// Why a text is no command. Each says what was found and shows the right form of the command that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCommand {
    /// It is too long to be one.
    #[error("That is {length} characters long; a command has at most {MAX_TEXT}. Type: {}", word.form())]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The command that it seems to be.
        word: Word,
    },
    /// The reason or the name of a target is too long.
    #[error("The {what} is {length} characters long; it has at most {most}. Type: {}", word.form())]
    OptionTooLong {
        /// Which option.
        what: &'static str,
        /// Its length in characters, as it would be shown.
        length: usize,
        /// How many there may be.
        most: usize,
        /// The command.
        word: Word,
    },
    /// It does not begin as one.
    #[error("{} a command. To have six instances in all, type: {}", no_command(found), Word::Up.form())]
    NotScale {
        /// What it begins with.
        found: String,
    },
    /// `/scale` alone.
    #[error("What is to be done? Type: {} (or {} to see everything)", Word::Up.form(), Word::Help.form())]
    NoWord,
    /// `/scale` with a word that means nothing here.
    #[error("I do not know \"/scale {found}\".{}", suggestion(*nearest))]
    UnknownWord {
        /// The word.
        found: String,
        /// The word that was probably meant.
        nearest: Option<Word>,
    },
    /// The count is missing.
    #[error("How many instances in all? Type: {}", word.form())]
    NoCount {
        /// The command.
        word: Word,
    },
    /// What has to be a whole number is none.
    #[error("\"{found}\" is not a whole number of {what}. Use digits 0-9, for example: {}", word.form())]
    NotACount {
        /// What stands there.
        found: String,
        /// What is counted.
        what: &'static str,
        /// The command.
        word: Word,
    },
    /// The number is zero or absurdly large.
    #[error("{found} {what} cannot be asked for; 1 to {most} can. Type: {}", word.form())]
    OutOfRange {
        /// What stands there.
        found: String,
        /// What is counted.
        what: &'static str,
        /// The most that can be asked for.
        most: u32,
        /// The command.
        word: Word,
    },
    /// The load is no number.
    #[error(
        "\"{found}\" is not a number of requests per second. Use digits 0-9 and at most one point, for example: {}",
        Word::Capacity.form()
    )]
    NotARate {
        /// What stands there.
        found: String,
    },
    /// The load is nothing or absurdly much.
    #[error(
        "{found} requests per second cannot be asked about; more than 0 and at most {} can. Type: {}",
        Rate::MAX,
        Word::Capacity.form()
    )]
    RateOutOfRange {
        /// What stands there.
        found: String,
    },
    /// It is not said which follow-up is closed.
    #[error(
        "Which one is done? Each follow-up has a number; {} shows them. Type: {CLOSE}",
        Word::Followups.form()
    )]
    NoNumber,
    /// What has to be the number of a follow-up is none.
    #[error("\"{found}\" is not the number of a follow-up. Use digits 0-9, for example: {CLOSE}")]
    NotANumber {
        /// What stands there.
        found: String,
    },
    /// There is more than the form has.
    #[error("I do not know what \"{found}\" means here. {} Type: {}", word.rest(), word.form())]
    Extra {
        /// The first word that is too much.
        found: String,
        /// The command.
        word: Word,
    },
    /// A quotation mark is never closed.
    #[error("A quotation mark is not closed. Type: {}", quoted_form(*word))]
    OpenQuote {
        /// The command that it seems to be.
        word: Word,
    },
}

/// How a follow-up is closed.
const CLOSE: &str = "/scale followups close 41";

fn no_command(found: &str) -> String {
    if found.is_empty() { "An empty line is not".to_owned() } else { format!("\"{found}\" is not") }
}

fn suggestion(nearest: Option<Word>) -> String {
    match nearest {
        Some(word) => format!(" Did you mean \"/scale {word}\"? Type: {}", word.form()),
        None => format!(" To see what I know, type: {}", Word::Help.form()),
    }
}

fn quoted_form(word: Word) -> String {
    match word {
        Word::Followups => format!("{CLOSE} reason:\"the file is changed\""),
        word if word.takes_reason() => format!("{} reason:\"planned campaign\"", word.form()),
        word => word.form().to_owned(),
    }
}

/// Reads a command.
///
/// # Errors
/// Why it is none, in words for the person who typed it.
pub fn parse(text: &str) -> Result<Request, NoCommand> {
    let length = text.chars().count();
    if length > MAX_TEXT {
        return Err(NoCommand::TooLong { length, word: probably(text) });
    }
    let words = words(text)?;
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        Some("/scale") => {}
        found => return Err(NoCommand::NotScale { found: quoted(found.unwrap_or_default()) }),
    }
    let found = words.next().ok_or(NoCommand::NoWord)?;
    let word =
        Word::parse(found).ok_or_else(|| NoCommand::UnknownWord { found: quoted(found), nearest: nearest(found) })?;
    let words: Vec<&str> = words.collect();
    match word {
        Word::Up | Word::Down | Word::Plan => counted(word, &words),
        Word::History => history(&words),
        Word::Capacity => capacity(&words),
        Word::Followups => followups(&words),
        Word::Rollback => {
            let Options { target, reason } = options(word, &words)?;
            Ok(Request::Rollback { target, reason })
        }
        Word::Cancel => Ok(Request::Cancel { target: options(word, &words)?.target }),
        Word::Status => Ok(Request::Status { target: options(word, &words)?.target }),
        Word::Help => match words.first() {
            Some(extra) => Err(NoCommand::Extra { found: quoted(extra), word }),
            None => Ok(Request::Help),
        },
    }
}

/// The command that a text seems to be which cannot be read as a whole.
fn probably(text: &str) -> Word {
    text.split_whitespace().nth(1).and_then(Word::parse).unwrap_or(Word::Up)
}

fn counted(word: Word, words: &[&str]) -> Result<Request, NoCommand> {
    let (count, rest) = words.split_first().ok_or(NoCommand::NoCount { word })?;
    let to = Replicas(number(word, count, "instances", MAX_REPLICAS)?);
    let Options { target, reason } = options(word, rest)?;
    Ok(match word {
        Word::Up => Request::Change { direction: Direction::Up, to, target, reason },
        Word::Down => Request::Change { direction: Direction::Down, to, target, reason },
        _ => Request::Plan { to, target },
    })
}

fn history(words: &[&str]) -> Result<Request, NoCommand> {
    let word = Word::History;
    let (count, rest) = match words.split_first() {
        Some((count, rest)) if !is_option(count) => (number(word, count, "operations", MAX_HISTORY)?, rest),
        _ => (USUAL_HISTORY, words),
    };
    Ok(Request::History { count, target: options(word, rest)?.target })
}

fn capacity(words: &[&str]) -> Result<Request, NoCommand> {
    let (load, rest) = match words.split_first() {
        Some((load, rest)) if !is_option(load) => {
            let load = Rate::parse(load).map_err(|no_rate| match no_rate {
                NoRate::NotANumber => NoCommand::NotARate { found: quoted(load) },
                NoRate::OutOfRange => NoCommand::RateOutOfRange { found: quoted(load) },
            })?;
            (Some(load), rest)
        }
        _ => (None, words),
    };
    Ok(Request::Capacity { load, target: options(Word::Capacity, rest)?.target })
}

fn followups(words: &[&str]) -> Result<Request, NoCommand> {
    let (close, rest) = match words {
        ["close", number, rest @ ..] => {
            let not_a_number = || NoCommand::NotANumber { found: quoted(number) };
            if !is_digits(number) {
                return Err(not_a_number());
            }
            // The log counts from 1.
            let number: u64 = number.parse().ok().filter(|number| *number > 0).ok_or_else(not_a_number)?;
            (Some(number), rest)
        }
        ["close"] => return Err(NoCommand::NoNumber),
        rest => (None, rest),
    };
    let Options { target, reason } = options(Word::Followups, rest)?;
    if close.is_none() && reason.is_some() {
        return Err(NoCommand::Extra { found: "reason:".to_owned(), word: Word::Followups });
    }
    Ok(Request::Followups { close, target, reason })
}

#[derive(Default)]
struct Options {
    target: Option<TargetName>,
    reason: Option<String>,
}

fn is_option(word: &str) -> bool {
    word.starts_with("target:") || word.starts_with("reason:")
}

fn options(word: Word, words: &[&str]) -> Result<Options, NoCommand> {
    let mut options = Options::default();
    for found in words {
        match found.split_once(':') {
            Some(("target", name)) if options.target.is_none() && !plain(name).is_empty() => {
                let name = at_most(word, plain(name), "name of the target", MAX_TARGET)?;
                options.target = Some(TargetName::new(name));
            }
            Some(("reason", why)) if word.takes_reason() && options.reason.is_none() && !plain(why).is_empty() => {
                options.reason = Some(at_most(word, plain(why), "reason", MAX_REASON)?);
            }
            _ => return Err(NoCommand::Extra { found: quoted(found), word }),
        }
    }
    Ok(options)
}

/// A text as it is kept: nothing in it acts on a screen, now or when the log is read in a year, and reading it again
/// changes nothing. Any white space is one space.
fn plain(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_TEXT)
}

fn at_most(word: Word, text: String, what: &'static str, most: usize) -> Result<String, NoCommand> {
    match text.chars().count() {
        length if length > most => Err(NoCommand::OptionTooLong { what, length, most, word }),
        _ => Ok(text),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(word: Word, found: &str, what: &'static str, most: u32) -> Result<u32, NoCommand> {
    if !is_digits(found) {
        return Err(NoCommand::NotACount { found: quoted(found), what, word });
    }
    match found.parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(NoCommand::OutOfRange { found: quoted(found), what, most, word }),
    }
}

/// The known word that differs least from what was typed, if the difference is small.
fn nearest(typed: &str) -> Option<Word> {
    const FAR: usize = 2;
    let length = typed.chars().count();
    // Only words of a like length can be close, which also bounds the work.
    let close = Word::ALL.into_iter().filter(|word| length.abs_diff(word.as_str().len()) <= FAR);
    close
        .map(|word| (distance(&typed.to_lowercase(), word.as_str()), word))
        .filter(|(distance, word)| *distance <= FAR.min(word.as_str().len() - 1))
        .min_by_key(|(distance, _)| *distance)
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
        return Err(NoCommand::OpenQuote { word: probably(text) });
    }
    words.extend(word);
    Ok(words)
}
