//! The one line of a YAML file that says a number under a key, found as it stands there. A parser would tell the number,
//! and not the line that a person is to change; so the text itself is looked through, and whatever could be read in two
//! ways is refused in words.

use std::path::Path;

use scalebot_commands::request::{escaped, quoted};
use tokio::io::AsyncReadExt as _;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// How much of a line is repeated, in characters.
const SHOWN: usize = 120;

/// A line that says a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Which line it is, counted from one.
    pub(crate) number: usize,
    /// The line as it stands there.
    pub(crate) text: String,
    /// What it says.
    pub(crate) count: u32,
}

/// A key with a value or with keys beneath it.
#[derive(Clone, Debug)]
struct Entry<'a> {
    number: usize,
    text: &'a str,
    /// Its own name and those above it, from the top.
    path: Vec<String>,
    value: &'a str,
}

/// The line that says a number under `key` (`spec.replicas`), in the document of that kind and name where the documents
/// say what they are, else in any.
///
/// # Errors
/// In words, when there is none, or more than one, or it cannot be read for certain.
pub(crate) fn line(text: &str, key: &str, kind: &str, name: &str) -> Result<Line, String> {
    let wanted: Vec<&str> = key.split('.').collect();
    if wanted.iter().any(|part| part.is_empty()) {
        return Err(format!("{} is no key: write it from the top, with dots between", quoted(key)));
    }
    let mut found: Vec<Entry<'_>> = Vec::new();
    let mut others = 0;
    for document in documents(text) {
        let entries = entries(&document)?;
        let at = |path: &[&str]| -> Vec<Entry<'_>> {
            entries.iter().filter(|entry| entry.path.iter().eq(path)).cloned().collect()
        };
        let says = |path: &[&str], wanted: &str| {
            let said = at(path);
            !said.is_empty() && said.iter().all(|entry| plain(entry.value) == Some(wanted))
        };
        // A file of values says neither.
        let is_manifest = !at(&["kind"]).is_empty();
        if is_manifest && !(says(&["kind"], kind) && says(&["metadata", "name"], name)) {
            others += usize::from(!at(&wanted).is_empty());
            continue;
        }
        if let Some(around) = entries.iter().find(|entry| hides(entry, &wanted)) {
            return Err(format!(
                "line {} may hold {} in a way that cannot be read for certain: write it in lines of its own",
                around.number,
                quoted(key)
            ));
        }
        found.extend(at(&wanted));
    }
    match found.as_slice() {
        [] if others > 0 => Err(format!("it has {}, but not for {kind} {}", quoted(key), quoted(name))),
        [] => Err(format!("it has no line for {}", quoted(key))),
        [one] => {
            let count = plain(one.value).and_then(|value| value.parse().ok());
            let count = count.ok_or_else(|| format!("line {} does not say a number of instances", one.number))?;
            Ok(Line { number: one.number, text: escaped(one.text.trim_end(), SHOWN), count })
        }
        [one, two, ..] => Err(format!("lines {} and {} both say how many instances", one.number, two.number)),
    }
}

/// Every line at which a key from the top has a value or keys beneath it, by its number and as it stands there.
///
/// # Errors
/// In words, when that cannot be read for certain.
pub(crate) fn standing(text: &str, key: &[&str]) -> Result<Vec<(usize, String)>, String> {
    let mut found = Vec::new();
    for document in documents(text) {
        let entries = entries(&document)?;
        if let Some(around) = entries.iter().find(|entry| hides(entry, key)) {
            let key = key.join(".");
            return Err(format!(
                "line {} may hold {} in a way that cannot be read for certain: write it in lines of its own",
                around.number,
                quoted(&key)
            ));
        }
        let here = entries.iter().filter(|entry| entry.path.iter().eq(key));
        found.extend(here.map(|entry| (entry.number, escaped(entry.text.trim_end(), SHOWN))));
    }
    Ok(found)
}

/// The number that a line says after its colon; `None` where it says something else.
pub(crate) fn number(line: &str) -> Option<u32> {
    plain(split(line.trim_start())?.1)?.parse().ok()
}

/// A file as a whole, where it is one, is text and is not too large.
///
/// # Errors
/// In words, when it is not.
pub(crate) async fn contents(file: &Path) -> Result<String, String> {
    let unread = |error: std::io::Error| format!("it cannot be read: {error}");
    let opened = tokio::fs::File::open(file).await.map_err(unread)?;
    // A pipe or a device would be waited on.
    if !opened.metadata().await.map_err(unread)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut bytes).await.map_err(unread)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())
}

/// The numbered lines of each document.
fn documents(text: &str) -> Vec<Vec<(usize, &str)>> {
    let mut documents = vec![Vec::new()];
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line == "---" || line == "..." || line.starts_with("--- ") {
            documents.push(Vec::new());
        } else if let Some(document) = documents.last_mut() {
            document.push((index + 1, line));
        }
    }
    documents
}

/// Every key of a document's mappings, those within lists left out.
fn entries<'a>(lines: &[(usize, &'a str)]) -> Result<Vec<Entry<'a>>, String> {
    let mut entries = Vec::new();
    // The keys above, each with how far it is indented.
    let mut above: Vec<(usize, String)> = Vec::new();
    // Whatever is further in than this is text, or a list.
    let mut skipped: Option<usize> = None;
    for &(number, line) in lines {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        if content.trim().is_empty() || content.starts_with('#') || content.starts_with('%') {
            continue;
        }
        if skipped.is_some_and(|least| indent > least) {
            continue;
        }
        skipped = None;
        if content.starts_with('\t') {
            return Err(format!("line {number} is indented by a tab, which YAML does not allow"));
        }
        if content.starts_with("- ") || content.trim_end() == "-" {
            // A list may stand as far out as the key that it belongs to; what is in it is further in.
            skipped = Some(indent);
            continue;
        }
        let Some((key, value)) = split(content) else {
            // The text of a value that goes on, or a template's own line.
            continue;
        };
        above.retain(|(other, _)| *other < indent);
        above.push((indent, key));
        let path = above.iter().map(|(_, key)| key.clone()).collect();
        if value.starts_with(['|', '>']) {
            skipped = Some(indent);
        }
        entries.push(Entry { number, text: line, path, value });
    }
    Ok(entries)
}

/// A key, and what follows its colon.
fn split(content: &str) -> Option<(String, &str)> {
    if let Some(quote @ ('"' | '\'')) = content.chars().next() {
        let (key, rest) = content[1..].split_once(quote)?;
        let value = rest.trim_start().strip_prefix(':')?;
        return (!key.contains('\\')).then(|| (key.to_owned(), value.trim()));
    }
    let (key, value) = match content.split_once(": ") {
        Some(halves) => halves,
        None => (content.trim_end().strip_suffix(':')?, ""),
    };
    let is_plain = !key.contains(['{', '}', '[', ']', '#', '"', '\'']);
    is_plain.then(|| (key.trim().to_owned(), value.trim()))
}

/// A value without the comment behind it and without quotes; `None` where it is more than one plain word.
fn plain(value: &str) -> Option<&str> {
    let value = match value.find(" #") {
        Some(at) => value[..at].trim_end(),
        None if value.starts_with('#') => "",
        None => value,
    };
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    let is_plain = !value.is_empty() && !value.contains(['"', '\'', '{', '}', '[', ']', '&', '*', '!', ' ']);
    is_plain.then_some(value)
}

/// Whether a key above the wanted one has a value of its own: braces, an alias, a merge of another mapping.
fn hides(entry: &Entry<'_>, wanted: &[&str]) -> bool {
    let merges = entry.path.last().is_some_and(|key| key == "<<");
    let depth = entry.path.len() - usize::from(merges);
    let is_above = depth < wanted.len() && entry.path.iter().take(depth).eq(&wanted[..depth]);
    let value = entry.value;
    let is_elsewhere = value.starts_with(['{', '*', '[']) && value != "{}";
    is_above && (merges || is_elsewhere)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANIFEST: &str = "\
# The fleet.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  annotations:
    note: |
      spec:
        replicas: 9
spec:
  # See the runbook.
  replicas: 4   # four
  template:
    spec:
      replicas: 8
      containers:
      - name: api
        replicas: 7
";

    fn found(text: &str, key: &str) -> Result<(usize, String, u32), String> {
        line(text, key, "Deployment", "api").map(|Line { number, text, count }| (number, text, count))
    }

    fn refused(text: &str) -> String {
        found(text, "spec.replicas").unwrap_err()
    }

    #[test]
    fn the_line_is_found_as_it_stands_and_nothing_in_a_text_or_list_is_taken_for_it() {
        assert_eq!(found(MANIFEST, "spec.replicas"), Ok((12, "  replicas: 4   # four".to_owned(), 4)));
    }

    #[test]
    fn a_text_within_the_file_is_no_yaml() {
        let text = "note: |\n  a table:\n  \tof tabs\n  <<: *x\nspec:\n  replicas: 4\n";
        assert_eq!(found(text, "spec.replicas").map(|(number, ..)| number), Ok(6));
    }

    #[test]
    fn of_several_documents_the_one_of_that_kind_and_name_counts() {
        let other = MANIFEST.replace("name: api\n  ann", "name: web\n  ann").replace("replicas: 4", "replicas: 3");
        let both = format!("---\n{other}---\n{MANIFEST}");
        assert_eq!(found(&both, "spec.replicas").unwrap().2, 4);
        assert_eq!(refused(&other), "it has spec.replicas, but not for Deployment api");
        let twice = format!("{MANIFEST}---\n{MANIFEST}");
        assert_eq!(refused(&twice), "lines 12 and 31 both say how many instances");
    }

    #[test]
    fn a_chart_s_values_say_neither_kind_nor_name() {
        let values = "web:\n  replicaCount: 2\napi:\n  \"replicaCount\": '6'\n";
        assert_eq!(found(values, "api.replicaCount"), Ok((4, "  \"replicaCount\": '6'".to_owned(), 6)));
    }

    #[test]
    fn a_declaration_that_says_nothing_or_two_things_is_never_a_guess() {
        assert_eq!(refused("spec:\n  paused: true\n"), "it has no line for spec.replicas");
        assert_eq!(refused(""), "it has no line for spec.replicas");
        assert_eq!(refused("spec:\n  replicas: four\n"), "line 2 does not say a number of instances");
        assert_eq!(refused("spec:\n  replicas: -4\n"), "line 2 does not say a number of instances");
        assert_eq!(refused("spec:\n  replicas:\n"), "line 2 does not say a number of instances");
        assert_eq!(refused("spec:\n  replicas: {{ .Values.n }}\n"), "line 2 does not say a number of instances");
        assert_eq!(refused("spec:\n  replicas: *count\n"), "line 2 does not say a number of instances");
        assert_eq!(refused("spec:\n  replicas: 4\n  replicas: 6\n"), "lines 2 and 3 both say how many instances");
        assert_eq!(refused("spec:\n\treplicas: 4\n"), "line 2 is indented by a tab, which YAML does not allow");
    }

    #[test]
    fn what_is_written_in_braces_or_elsewhere_is_refused_with_what_to_do() {
        let said =
            "line 1 may hold spec.replicas in a way that cannot be read for certain: write it in lines of its own";
        assert_eq!(refused("spec: {replicas: 4}\n"), said);
        assert_eq!(refused("spec: *shared\n"), said);
        assert_eq!(refused("<<: *shared\nspec:\n  replicas: 4\n"), said);
        assert!(refused("spec:\n  <<: *shared\n").starts_with("line 2 may hold"));
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        assert_eq!(found("a: 1\n", "a..b").unwrap_err(), "a..b is no key: write it from the top, with dots between");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([ a-z:#\\-'\"|{}*\t]{0,12}\n){0,12}") {
            let _ = found(&text, "a.b");
        }

        #[test]
        fn the_line_is_found_at_any_depth_and_among_any_comments(depth in 1_usize..6, count in 0_u32..1000, before in 0_usize..20) {
            let keys: Vec<String> = (0..depth).map(|level| format!("k{level}")).collect();
            let mut text = "# k0: 1\n\n".repeat(before);
            for (level, key) in keys.iter().enumerate() {
                let value = if level + 1 == depth { format!(" {count}") } else { String::new() };
                text.push_str(&format!("{}{key}:{value}\n{0}# a remark\n", "  ".repeat(level)));
            }
            let (number, _, read) = found(&text, &keys.join(".")).unwrap();
            prop_assert_eq!(read, count);
            prop_assert_eq!(number, before * 2 + depth * 2 - 1);
        }
    }
}
