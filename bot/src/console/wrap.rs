//! Text as it fits into lines: what may be printed at all, how wide it is, and where it is broken.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns the text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The text without anything that a terminal would obey instead of print, and in ASCII where it must be.
///
/// Whoever makes a card has already escaped what came from people; this is the last line of defence. It also drops what
/// reverses the direction of text or takes no room, since these make a name look like another one.
pub(super) fn printable(text: &str, unicode: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push(' '),
            // Soft hyphen, marks of direction, joiners, variation selectors, the byte order mark, tags.
            '\u{AD}'
            | '\u{61C}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{E0000}'..='\u{E0FFF}' => {}
            c if c.is_control() => {}
            c if c.is_ascii() || unicode => out.push(c),
            c => out.push_str(ascii(c)),
        }
    }
    out
}

/// What stands for a character where only ASCII can be shown.
fn ascii(c: char) -> &'static str {
    match c {
        '→' => "->",
        '←' => "<-",
        '≥' => ">=",
        '≤' => "<=",
        '≠' => "!=",
        '±' => "+/-",
        '–' | '—' | '‑' | '−' | '·' => "-",
        '•' => "*",
        '…' => "...",
        '‘' | '’' => "'",
        '“' | '”' | '„' => "\"",
        '\u{A0}' | '\u{2009}' | '\u{202F}' => " ",
        '✔' | '✓' | '✅' => "+",
        '×' | '✖' | '✗' | '❌' => "x",
        '▲' | '⚠' => "!",
        'µ' | 'μ' => "u",
        _ => "?",
    }
}

/// The text in lines of at most `width` columns, broken between words only. A word that is wider than a line (an
/// address, a hash) stays whole, so that it can be copied. Always at least one line, perhaps empty.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        if !line.is_empty() && columns(&line) + 1 + columns(&word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

/// The words of a text. A figure and its unit are one: "2" on one line and "s" on the next is hard to read.
fn words(text: &str) -> Vec<String> {
    const UNITS: [&str; 12] = ["%", "ms", "s", "min", "h", "B", "kB", "KiB", "MB", "MiB", "GB", "GiB"];
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let unit = word.trim_end_matches([',', ';', ':', '.', ')']);
        match words.last_mut() {
            Some(figure) if UNITS.contains(&unit) && figure.ends_with(|c: char| c.is_ascii_digit()) => {
                figure.push(' ');
                figure.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// The text, filled up with spaces to this many columns.
pub(super) fn padded(text: &str, width: usize) -> String {
    let mut out = text.to_owned();
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(columns(text))));
    out
}

/// How many rows of a terminal that many columns wide the drawn text takes: long lines run over. Escape codes take no
/// room.
pub(super) fn rows(drawn: &str, terminal: usize) -> usize {
    drawn.lines().map(|line| shown_columns(line).div_ceil(terminal.max(1)).max(1)).sum()
}

/// How many columns a line takes that this module's own styles went into.
fn shown_columns(line: &str) -> usize {
    let mut columns = 0;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == '\x1b' {
            // Ours are all of the form ESC [ … m.
            characters.by_ref().find(|c| *c == 'm');
        } else {
            columns += c.width().unwrap_or(0);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        assert_eq!(printable("a\x1b[2Jb\x07\u{9b}c\u{7f}", true), "a[2Jbc");
        assert_eq!(printable("one\r\ntwo\tthree", true), "one  two three");
        assert_eq!(printable("evil\u{202e}txt\u{200b}", true), "eviltxt");
    }

    #[test]
    fn in_ascii_arrows_and_signs_keep_their_meaning() {
        assert_eq!(printable("4 → 6, p99 ≤ 500 ms — “ok” 日", false), "4 -> 6, p99 <= 500 ms - \"ok\" ?");
        assert_eq!(printable("4 → 6 日", true), "4 → 6 日");
    }

    #[test]
    fn lines_break_between_words_and_never_within() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("see https://example.org/long now", 8), ["see", "https://example.org/long", "now"]);
        assert_eq!(wrap("at most 500 ms, or so", 12), ["at most", "500 ms, or", "so"]);
        assert_eq!(wrap("", 8), [""]);
        // Each of these takes two columns.
        assert_eq!(wrap("日本 語", 5), ["日本", "語"]);
    }

    #[test]
    fn a_long_line_takes_several_rows_and_escape_codes_take_none() {
        assert_eq!(rows("\x1b[1mabcdefghij\x1b[0m\n\nabcdefghijk\n", 10), 4);
    }
}
