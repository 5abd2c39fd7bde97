//! Draws a card as Discord shows it: an embed, buttons, files. Pure, and within Discord's limits by construction: what
//! does not fit is cut where it can be, said to be left out, and put whole into a file.
//!
//! What a card comes to is a word and a shape before it is a colour. The table stands in the embed's text, a line a row:
//! fields would take two lines each on a phone, and there are at most 25 of them.

pub(crate) mod limits;
pub(crate) mod press;
pub(crate) mod text;
#[cfg(test)]
mod texts;
pub(crate) mod wording;

use scalebot_commands::card::{Card, Row, Tone};
use scalebot_commands::ports::Slot;
use scalebot_commands::units::{OperationId, TargetName, Timestamp};
use serenity::all::{
    ButtonStyle, Colour, CreateActionRow, CreateAttachment, CreateButton, CreateEmbed, CreateEmbedFooter, RoleId,
};

use self::limits::{CONTENT, DESCRIPTION, FOOTER, LABEL, TITLE, length};
use self::press::{Press, Request};
use self::text::{Names, marked, marked_by_name, plain};
use self::wording::Asks;
use super::rest::Posted;
use crate::console;
use crate::palette::{self, Rgb};

/// How many rows are shown before they are summarised.
const ALL_ROWS: usize = 25;

/// How many rows of many are shown: those that are not as they should be, first.
const SOME_ROWS: usize = 12;

/// How much of the description the card's sentences may take, so that the table has room as well.
const SENTENCES: usize = 2_600;

/// The longest small print that is kept of a card's own.
const CARDS_FOOTER: usize = 400;

/// The largest text that is attached, in bytes.
const FILE: usize = 1 << 20;

/// The name of the chart's file.
const CHART: &str = "chart.png";

/// A picture and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) png: Vec<u8>,
    pub(crate) alt_text: String,
}

/// What a card is drawn with, apart from itself.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    /// What people are called.
    pub(crate) names: &'a Names,
    /// Now.
    pub(crate) now: Timestamp,
    /// What is at the end of the small print, by which the message is found again.
    pub(crate) tag: Option<&'a str>,
    /// What can be pressed.
    pub(crate) presses: Vec<CreateButton>,
    /// The one role that is notified.
    pub(crate) notify: Option<RoleId>,
    /// The chart.
    pub(crate) picture: Option<&'a Picture>,
}

impl<'a> View<'a> {
    /// Without anything that goes beyond the card.
    pub(crate) fn new(names: &'a Names, now: Timestamp) -> Self {
        Self { names, now, tag: None, presses: vec![], notify: None, picture: None }
    }
}

/// Something that can be pressed. What an identifier cannot carry has no button; marks do the same.
fn button(label: &str, style: ButtonStyle, press: &Press) -> Option<CreateButton> {
    Some(CreateButton::new(press.id()?).label(label.chars().take(LABEL).collect::<String>()).style(style))
}

/// Draws a card as a message.
pub(crate) fn card(card: &Card, view: &View<'_>) -> Posted {
    let (shape, word) = status(card.tone);
    let title = format!("{shape} {word}  ");
    let title = format!("{title}{}", marked_by_name(&card.title, view.names, TITLE - length(&title)));
    let mut files: Vec<CreateAttachment> = Vec::new();
    let mut left_out = false;

    let tag = view.tag.map(|tag| format!(" · {tag}")).unwrap_or_default();
    let footer = format!("{}{}", plain(&card.footer, view.names, CARDS_FOOTER), plain(&tag, view.names, 100));
    let content = view.notify.map(|role| {
        let mention = format!("<@&{role}> ");
        format!("{mention}{}", marked(&card.title, CONTENT.min(300) - length(&mention)))
    });

    // 40 for what is said of a file, which comes last.
    let room = (DESCRIPTION - 40).min(limits::ALL_EMBEDS - length(&title) - length(&footer));
    let mut description = Description::within(room);
    for sentence in &card.lines {
        left_out |= !description.push(&sentence_of(sentence, view.now), SENTENCES);
    }
    let bar = card.progress.map(|progress| bar(progress.share)).unwrap_or_default();
    if !card.rows.is_empty() {
        description.gap();
        left_out |= rows(&card.rows, view, &mut description, length(&bar) + 2);
    }
    if !bar.is_empty() {
        description.gap();
        description.push(&bar, room);
    }
    if left_out {
        description.gap();
        description.force("Everything is in the attached text.");
        files.push(whole(card, view.names));
    }

    let mut embed = CreateEmbed::new().title(title).colour(colour(card.tone));
    if !description.text.is_empty() {
        embed = embed.description(description.text);
    }
    if !footer.is_empty() {
        embed = embed.footer(CreateEmbedFooter::new(marked_footer(&footer)));
    }
    if let Some(picture) = view.picture {
        embed = embed.attachment(CHART);
        let shows = plain(&picture.alt_text, view.names, limits::ALT_TEXT);
        files.push(CreateAttachment::bytes(&*picture.png, CHART).description(shows));
    }
    let rows = rows_of(&view.presses);
    Posted { content, embed: Some(embed), rows, notifies: view.notify, files, ..Posted::default() }
}

/// Attaches further files.
pub(crate) fn attach(message: &mut Posted, files: Vec<CreateAttachment>) {
    message.files.extend(files);
    message.files.truncate(limits::FILES);
}

/// A text of the bot's own, with what people said in it shown as it is.
pub(crate) fn say(text: &str, presses: &[CreateButton]) -> Posted {
    let content = Some(marked(&wording::answer(text), CONTENT));
    Posted { content, rows: rows_of(presses), ..Posted::default() }
}

/// The buttons under a card. `request` is the digest of what was asked and is decided by now, where it may still be
/// taken back.
pub(crate) fn buttons(card: &Card, slot: Slot, operation: &OperationId, request: Option<&str>) -> Vec<CreateButton> {
    use ButtonStyle::{Danger, Secondary, Success};
    let on = |digest: &str| Request { operation: operation.clone(), digest: digest.to_owned() };
    let drawn = if let Some(digest) = &card.ask {
        let goes_back = card.lines.iter().any(|line| line.contains("✅ goes back"));
        let (approve, reject) = (Press::Approve(on(digest)), Press::Reject(on(digest)));
        match slot {
            Slot::HaltOffer => {
                vec![button("Halt the system", Danger, &approve), button("Do not halt", Secondary, &reject)]
            }
            _ if goes_back => {
                vec![button("Go back", Success, &approve), button("Leave it as it is", Secondary, &reject)]
            }
            _ => vec![
                button("Approve", Success, &approve),
                button("Reject", Danger, &reject),
                button("Approve and say why", Secondary, &Press::ApproveWithReason(on(digest))),
            ],
        }
    } else if let (Slot::Approval, Tone::Good, Some(digest)) = (slot, card.tone, request) {
        vec![button("Withdraw my approval", Secondary, &Press::Withdraw(on(digest)))]
    } else {
        match wording::asks(card) {
            Some(Asks::Acknowledge(number)) => vec![button("Acknowledge", Secondary, &Press::Acknowledge(number))],
            Some(Asks::Reason) => vec![button("Say why", Secondary, &Press::Reason(operation.clone()))],
            Some(Asks::Attest) => vec![button("I attest it", Secondary, &Press::Attest(operation.clone()))],
            Some(Asks::StartOrDismiss) => {
                vec![button("Start", Success, &Press::Start), button("Dismiss", Secondary, &Press::Dismiss)]
            }
            Some(Asks::Cancel) => vec![button("Cancel", Danger, &Press::Cancel(target_of(card)))],
            None => vec![],
        }
    };
    drawn.into_iter().flatten().collect()
}

/// The fleet that a card is about, which its small print begins with.
fn target_of(card: &Card) -> Option<TargetName> {
    card.footer.split_once(" · ").map(|(target, _)| TargetName::new(target)).filter(|name| !name.as_str().is_empty())
}

/// The buttons under an answer that offers several escalations to choose from.
pub(crate) fn choices(text: &str) -> Vec<CreateButton> {
    let choice = |number: u64| {
        button(&format!("Acknowledge {number}"), ButtonStyle::Secondary, &Press::Acknowledge(Some(number)))
    };
    wording::offered(text).into_iter().filter_map(choice).collect()
}

fn rows_of(presses: &[CreateButton]) -> Vec<CreateActionRow> {
    let rows = presses.chunks(limits::BUTTONS_IN_A_ROW).take(limits::ROWS);
    rows.map(|row| CreateActionRow::Buttons(row.to_vec())).collect()
}

/// The text of an embed, which is never longer than it may be.
struct Description {
    text: String,
    used: usize,
    most: usize,
}

impl Description {
    fn within(most: usize) -> Self {
        Self { text: String::new(), used: 0, most }
    }

    /// How much fits still, on a new line.
    fn left(&self, most: usize) -> usize {
        let line_end = usize::from(!self.text.is_empty() && !self.text.ends_with('\n'));
        most.min(self.most).saturating_sub(self.used + line_end)
    }

    /// Adds a line, if it fits within `most` from the beginning. Whether it did.
    fn push(&mut self, line: &str, most: usize) -> bool {
        let fits = length(line) <= self.left(most);
        if fits {
            self.force(line);
        }
        fits
    }

    fn force(&mut self, line: &str) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.used = length(&self.text);
    }

    /// An empty line between what is there and what follows.
    fn gap(&mut self) {
        if !self.text.is_empty() && self.left(self.most) > 2 {
            self.text.push_str("\n\n");
            self.used += 2;
        }
    }
}

/// A sentence as it is shown: what a console would have typed is pressed, and the time that is left runs down.
fn sentence_of(sentence: &str, now: Timestamp) -> String {
    let sentence = wording::line(sentence);
    match wording::deadline(&sentence) {
        Some((at, left)) => {
            let (before, after) = sentence.split_at(at);
            let until = text::until(now, left);
            format!("{} ({until}){}", marked(before, SENTENCES), marked(after, SENTENCES))
        }
        None => marked(&sentence, SENTENCES),
    }
}

/// Puts the rows in, or of many those that matter with how many there are of each kind. Whether something was left out.
fn rows(rows: &[Row], view: &View<'_>, description: &mut Description, kept_free: usize) -> bool {
    let most = description.most.saturating_sub(kept_free);
    let mut left_out = false;
    let shown: Vec<&Row> = if rows.len() <= ALL_ROWS {
        rows.iter().collect()
    } else {
        left_out = true;
        description.push(&summary(rows), most);
        let mut some: Vec<&Row> = rows.iter().collect();
        some.sort_by_key(|row| std::cmp::Reverse(gravity(row.tone)));
        some.truncate(SOME_ROWS);
        some
    };
    // 60 for the line that says how many were left out.
    let before = most.saturating_sub(60);
    let fitted = shown.iter().take_while(|row| description.push(&row_line(row, view), before)).count();
    let missing = rows.len() - fitted;
    if missing > 0 {
        description.push(&format!("… and {missing} more of {} rows", rows.len()), most);
    }
    left_out || missing > 0
}

fn row_line(row: &Row, view: &View<'_>) -> String {
    let (shape, word) = status(row.tone);
    let name = marked_by_name(&row.name, view.names, 120);
    let text = marked(&row.text, 700);
    if text.is_empty() { format!("{shape} {word}  **{name}**") } else { format!("{shape} {word}  **{name}**  {text}") }
}

/// "494 ✔ pass, 4 ▲ warn, 2 ✖ fail".
fn summary(rows: &[Row]) -> String {
    let tones = [Tone::Bad, Tone::Unknown, Tone::Warn, Tone::Good, Tone::Info];
    let counted: Vec<String> = tones
        .into_iter()
        .filter_map(|tone| {
            let count = rows.iter().filter(|row| row.tone == tone).count();
            let (shape, word) = status(tone);
            (count > 0).then(|| format!("{count} {shape} {word}"))
        })
        .collect();
    format!("{} rows: {}", rows.len(), counted.join(", "))
}

/// The card as a text that has all of it.
fn whole(card: &Card, names: &Names) -> CreateAttachment {
    let variable = |name: &str| (name == "LC_ALL").then(|| "C.UTF-8".to_owned());
    let text = console::text(card, console::Style::detect(false, Some(100), variable));
    let mut text = plain(&text, names, usize::MAX);
    if text.len() > FILE {
        let end = (0..=FILE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n… the rest was too long to be attached\n");
    }
    CreateAttachment::bytes(text, "everything.txt").description("The whole card as text")
}

/// How far it is, as a bar and as a number. Rounded down: nothing is 100 % before its end.
fn bar(share: f64) -> String {
    const LENGTH: usize = 16;
    if !share.is_finite() {
        return String::new();
    }
    let share = (share + 1e-9).clamp(0.0, 1.0);
    let done = (share * LENGTH as f64).floor() as usize;
    format!("{}{} {:.0} %", "█".repeat(done), "░".repeat(LENGTH - done), (share * 100.0).floor())
}

/// Small print shows no markup, so nothing in it is escaped.
fn marked_footer(footer: &str) -> String {
    debug_assert!(length(footer) <= FOOTER);
    footer.replace('\n', " ")
}

/// The shape and the word for a tone.
pub(crate) fn status(tone: Tone) -> (&'static str, &'static str) {
    match tone {
        Tone::Good => ("✔", "pass"),
        Tone::Warn => ("▲", "warn"),
        Tone::Bad => ("✖", "fail"),
        Tone::Unknown => ("?", "unknown"),
        Tone::Info => ("·", "info"),
    }
}

fn gravity(tone: Tone) -> u8 {
    match tone {
        Tone::Bad => 4,
        Tone::Unknown => 3,
        Tone::Warn => 2,
        Tone::Info => 1,
        Tone::Good => 0,
    }
}

fn colour(tone: Tone) -> Colour {
    let Rgb(red, green, blue) = match tone {
        Tone::Good => palette::GREEN,
        // Unknown is never good news: it asks for the same attention as a warning, in its own shape and word.
        Tone::Warn | Tone::Unknown => palette::ORANGE,
        Tone::Bad => palette::VERMILION,
        Tone::Info => palette::BLUE,
    };
    Colour::from_rgb(red, green, blue)
}
