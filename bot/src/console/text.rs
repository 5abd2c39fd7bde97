//! Draws a card as text: status and title, sentences, the table, how far it is, and small print. Readable from 40 columns
//! on, as on a phone.

use scalebot_commands::card::{Card, Row};

use super::style::Style;
use super::wrap::{columns, padded, printable, wrap};

/// With fewer columns for what was found, it goes below the name, unless all of it fits anyway.
const NARROW_TEXT: usize = 30;
/// Between two columns of a table.
const GAP: usize = 2;

/// The card as text: lines of at most the style's width (longer words excepted), each ended by a line break.
pub(crate) fn text(card: &Card, style: Style) -> String {
    let mut lines = Vec::new();
    title(card, style, &mut lines);
    for sentence in &card.lines {
        let sentence = printable(sentence, style.unicode);
        // What continues a sentence is set in further, so that the next one is seen to begin.
        for (at, line) in wrap(&sentence, style.width.saturating_sub(2 * GAP)).iter().enumerate() {
            lines.push(indented(if at == 0 { GAP } else { 2 * GAP }, line));
        }
    }
    if !card.rows.is_empty() {
        lines.push(String::new());
        table(&card.rows, style, &mut lines);
    }
    if let Some(progress) = card.progress.filter(|progress| progress.share.is_finite()) {
        lines.push(String::new());
        lines.push(indented(GAP, &bar(progress.share, style)));
    }
    let footer = printable(&card.footer, style.unicode);
    if !footer.trim().is_empty() {
        if !card.rows.is_empty() || card.progress.is_some() {
            lines.push(String::new());
        }
        lines.extend(wrap(&footer, style.width.saturating_sub(GAP)).iter().map(|line| indented(GAP, &style.dim(line))));
    }
    let mut out = lines.join("\n");
    out.push('\n');
    out
}

fn title(card: &Card, style: Style, lines: &mut Vec<String>) {
    let (shape, word) = style.status(card.tone);
    let status = format!("{shape} {word}");
    let hang = columns(&status) + GAP;
    let title = printable(&card.title, style.unicode);
    for (at, line) in wrap(&title, style.width.saturating_sub(hang)).iter().enumerate() {
        let line = style.bold(line);
        lines.push(if at == 0 {
            format!("{}{}{line}", style.in_tone(card.tone, &status), " ".repeat(GAP))
        } else {
            indented(hang, &line)
        });
    }
}

/// Three columns where they fit: status, what was looked at, what was found. Else what was found goes below the name.
fn table(rows: &[Row], style: Style, lines: &mut Vec<String>) {
    let status_width = rows.iter().map(|row| columns(style.status(row.tone).1)).max().unwrap_or(0) + 2;
    let printed = |text| printable(text, style.unicode);
    let names: Vec<String> = rows.iter().map(|row| printed(&row.name)).collect();
    let texts: Vec<String> = rows.iter().map(|row| printed(&row.text)).collect();
    let widest = |cells: &[String]| cells.iter().map(|cell| columns(cell)).max().unwrap_or(0);
    let name_width = widest(&names);
    let name_at = GAP + status_width + GAP;
    let text_at = name_at + name_width + GAP;
    let side_by_side = style.width >= text_at + NARROW_TEXT.min(widest(&texts));

    for ((row, name), text) in rows.iter().zip(&names).zip(&texts) {
        let (shape, word) = style.status(row.tone);
        let status = padded(&format!("{shape} {word}"), status_width + GAP);
        let start = indented(GAP, &style.in_tone(row.tone, &status));
        if side_by_side {
            for (at, line) in wrap(text, style.width - text_at).iter().enumerate() {
                lines.push(if at == 0 {
                    format!("{start}{}{line}", padded(name, name_width + GAP))
                } else {
                    indented(text_at, line)
                });
            }
        } else {
            let room = style.width.saturating_sub(name_at);
            for (at, line) in wrap(name, room).iter().enumerate() {
                lines.push(if at == 0 { format!("{start}{line}") } else { indented(name_at, line) });
            }
            if !text.trim().is_empty() {
                lines.extend(wrap(text, room).iter().map(|line| indented(name_at, line)));
            }
        }
        trim_last(lines);
    }
}

/// A row without text would else end in the spaces that fill its name's column.
fn trim_last(lines: &mut [String]) {
    if let Some(last) = lines.last_mut() {
        last.truncate(last.trim_end_matches(' ').len());
    }
}

/// How far it is, as a bar and as a number. Rounded down: nothing is 100 % before its end.
fn bar(share: f64, style: Style) -> String {
    // A hair more, so that 0.29 is 29 % and not 28.999.
    let share = (share + 1e-9).clamp(0.0, 1.0);
    let length = style.width.saturating_sub(12).clamp(8, 40);
    let done = (share * length as f64).floor() as usize;
    let percent = (share * 100.0).floor();
    if style.unicode {
        format!("{}{} {percent:3} %", "█".repeat(done), "░".repeat(length - done))
    } else {
        format!("[{}{}] {percent:3} %", "#".repeat(done), "-".repeat(length - done))
    }
}

fn indented(by: usize, line: &str) -> String {
    if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(by)) }
}
