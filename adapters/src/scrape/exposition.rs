//! The Prometheus text format (version 0.0.4), one line at a time. Strict: a line that is not of the format is an error,
//! never skipped, because half a page would read as less load than there is.

use std::borrow::Cow;

/// The most labels that one series may have.
const MAX_LABELS: usize = 64;

/// What one line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// A series and its value.
    Sample(Sample<'a>),
    /// `# HELP` or `# TYPE`: the name of a metric that exists, with or without series so far.
    Declared(&'a str),
    /// A comment, or nothing.
    Nothing,
}

/// One series and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// Its labels in the order in which they stand there, each name once.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Its value; the format allows every number, infinities and NaN too.
    pub value: f64,
}

impl Sample<'_> {
    /// The value of that label, if it has it.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_ref())
    }
}

/// Why a line is not of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There should be a name.
    #[error("a metric or label has no proper name")]
    Name,
    /// Quotes, commas, equals signs or braces are missing.
    #[error("the labels are malformed")]
    Labels,
    /// The same label twice.
    #[error("a label stands there twice")]
    LabelTwice,
    /// More labels than any series has.
    #[error("too many labels")]
    TooManyLabels,
    /// The value is no number, or the moment no whole number, or more follows.
    #[error("the value is no number")]
    Value,
}

/// Reads one line, without its line feed.
///
/// # Errors
/// What about it is not of the format.
pub fn parse(line: &str) -> Result<Line<'_>, Malformed> {
    let line = blank(line);
    if line.is_empty() {
        return Ok(Line::Nothing);
    }
    if let Some(comment) = line.strip_prefix('#') {
        let comment = blank(comment);
        return match comment.strip_prefix("HELP").or_else(|| comment.strip_prefix("TYPE")) {
            Some(rest) if rest.starts_with([' ', '\t']) => Ok(Line::Declared(name(blank(rest), true)?.0)),
            _ => Ok(Line::Nothing),
        };
    }
    let (name, rest) = name(line, true)?;
    let rest = blank(rest);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None if rest.len() == line.len() - name.len() => return Err(Malformed::Value),
        None => (Vec::new(), rest),
    };
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = words.next().and_then(|word| word.parse().ok()).ok_or(Malformed::Value)?;
    // A moment in milliseconds may follow: when the exporter itself took the value, of no use here.
    if words.next().is_some_and(|moment| moment.parse::<i64>().is_err()) || words.next().is_some() {
        return Err(Malformed::Value);
    }
    Ok(Line::Sample(Sample { name, labels, value }))
}

/// What stands between `{` and `}`, and what follows.
#[expect(clippy::type_complexity, reason = "used once, right above")]
fn labels(text: &str) -> Result<(Vec<(&str, Cow<'_, str>)>, &str), Malformed> {
    let mut found: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let mut rest = blank(text);
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((found, after));
        }
        let (label, after) = name(rest, false)?;
        let after = blank(after).strip_prefix('=').ok_or(Malformed::Labels)?;
        let after = blank(after).strip_prefix('"').ok_or(Malformed::Labels)?;
        let (value, after) = quoted(after)?;
        if found.iter().any(|(known, _)| *known == label) {
            return Err(Malformed::LabelTwice);
        }
        if found.len() == MAX_LABELS {
            return Err(Malformed::TooManyLabels);
        }
        found.push((label, value));
        rest = blank(after);
        match rest.strip_prefix(',') {
            Some(after) => rest = blank(after),
            None if rest.starts_with('}') => {}
            None => return Err(Malformed::Labels),
        }
    }
}

/// A label's value up to its closing quote, and what follows it.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let end = text.find(['"', '\\']).ok_or(Malformed::Labels)?;
    let (plain, rest) = text.split_at(end);
    if let Some(after) = rest.strip_prefix('"') {
        return Ok((Cow::Borrowed(plain), after));
    }
    let mut value = plain.to_owned();
    let mut characters = rest.chars();
    loop {
        match characters.next().ok_or(Malformed::Labels)? {
            '"' => return Ok((Cow::Owned(value), characters.as_str())),
            '\\' => value.push(match characters.next() {
                Some('n') => '\n',
                Some(same @ ('"' | '\\')) => same,
                _ => return Err(Malformed::Labels),
            }),
            other => value.push(other),
        }
    }
}

/// The name that the text begins with, and what follows. Only a metric's may hold colons.
fn name(text: &str, colons: bool) -> Result<(&str, &str), Malformed> {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
    let end = text.bytes().position(|byte| !letter(byte) && !byte.is_ascii_digit()).unwrap_or(text.len());
    if text.bytes().next().is_some_and(letter) { Ok(text.split_at(end)) } else { Err(Malformed::Name) }
}

fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(line: &str) -> Sample<'_> {
        match parse(line) {
            Ok(Line::Sample(sample)) => sample,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_formats_own_examples_are_read() {
        let read = sample(r#"http_requests_total{method="post",code="200"} 1027 1395066363000"#);
        assert_eq!((read.name, read.label("code")), ("http_requests_total", Some("200")));
        assert!((read.value - 1027.0).abs() < f64::EPSILON);
        let read = sample(
            r#"msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find:\n\"F\""} 1.458255915e9"#,
        );
        assert_eq!(read.label("path"), Some(r"C:\DIR\FILE.TXT"));
        assert_eq!(read.label("error"), Some("Cannot find:\n\"F\""));
        assert!(sample("something_weird{problem=\"division by zero\"} +Inf -3982045").value.is_infinite());
        assert_eq!(sample("metric_without_timestamp_and_labels 12.47").labels, []);
        assert!(sample("a:b { } NaN").value.is_nan());
        assert_eq!(parse("# HELP a_total What it counts."), Ok(Line::Declared("a_total")));
        assert_eq!(parse("#\tTYPE a_total counter"), Ok(Line::Declared("a_total")));
        assert_eq!(parse("# TYPEwriters are nice"), Ok(Line::Nothing));
        assert_eq!(parse("  "), Ok(Line::Nothing));
    }

    #[test]
    fn what_is_not_of_the_format_is_refused() {
        for (line, wrong) in [
            ("<html>", Malformed::Name),
            ("1a 1", Malformed::Name),
            ("# TYPE 1a counter", Malformed::Name),
            ("a", Malformed::Value),
            ("a{}", Malformed::Value),
            ("a one", Malformed::Value),
            ("a 1 1.5", Malformed::Value),
            ("a 1 2 3", Malformed::Value),
            ("a 1\r", Malformed::Value),
            ("a-b 1", Malformed::Value),
            ("a{b=\"c\" 1", Malformed::Labels),
            ("a{b=\"c 1", Malformed::Labels),
            ("a{b=c} 1", Malformed::Labels),
            ("a{b} 1", Malformed::Labels),
            ("a{b=\"\\x\"} 1", Malformed::Labels),
            ("a{b=\"c\"d=\"e\"} 1", Malformed::Labels),
            ("a{,} 1", Malformed::Name),
            ("a{b:c=\"d\"} 1", Malformed::Labels),
            ("a{b=\"c\",b=\"d\"} 1", Malformed::LabelTwice),
        ] {
            assert_eq!(parse(line), Err(wrong), "{line}");
        }
        let many: Vec<String> = (0..=MAX_LABELS).map(|index| format!("l{index}=\"\"")).collect();
        assert_eq!(parse(&format!("a{{{}}} 1", many.join(","))), Err(Malformed::TooManyLabels));
    }

    fn escaped(value: &str) -> String {
        value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
    }

    proptest! {
        #[test]
        fn no_text_panics(line in any::<String>()) {
            let _ = parse(&line);
        }

        #[test]
        fn no_text_that_looks_like_the_format_panics(line in "[a{}=\",\\\\ #n1.+-é\t]{0,40}") {
            let _ = parse(&line);
        }

        #[test]
        fn what_a_well_formed_line_says_is_what_is_read(
            name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}",
            labels in prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,6}", any::<String>(), 0..6),
            value in any::<f64>(),
            moment in prop::option::of(any::<i64>()),
            blank in "[ \t]{0,2}",
            comma in any::<bool>(),
        ) {
            let written: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{blank}{label}{blank}={blank}\"{}\"{blank}", escaped(value)))
                .collect();
            let inside = written.join(",") + if comma && !written.is_empty() { "," } else { "" };
            let braces = if inside.is_empty() { " ".to_owned() } else { format!("{blank}{{{inside}{blank}}}{blank}") };
            let moment = moment.map_or(String::new(), |moment| format!(" {moment}"));
            let line = format!("{blank}{name}{braces}{value}{moment}{blank}");
            let read = sample(&line);
            prop_assert_eq!(read.name, name);
            prop_assert!(read.value.to_bits() == value.to_bits() || (read.value.is_nan() && value.is_nan()));
            let read: Vec<(String, String)> =
                read.labels.iter().map(|(label, value)| ((*label).to_owned(), value.to_string())).collect();
            prop_assert_eq!(read, labels.into_iter().collect::<Vec<_>>());
        }
    }
}
