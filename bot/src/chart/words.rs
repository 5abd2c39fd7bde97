//! The picture in words, for whoever does not see it: verdict first, then the figures.

use scalebot_commands::units::Timestamp;

use super::axis::{grouped, percent, small};
use super::series::{InstanceLine, Story};
use super::{Chart, Sample};

/// What a chat system takes at most.
const LONGEST: usize = 1_024;
/// How much of a title or verdict is repeated.
const LONGEST_NAME: usize = 120;

/// What the picture shows, in at most 1,024 characters.
pub(crate) fn alt_text(chart: &Chart) -> String {
    let verdict = match chart.verdict.trim() {
        "" => "none",
        verdict => verdict,
    };
    let title = shortened(&one_line(&chart.title), LONGEST_NAME);
    let mut said = vec![format!("{title}. Verdict: {}.", shortened(&one_line(verdict), LONGEST_NAME))];
    let Some(story) = Story::of(chart) else {
        said.push("Nothing was observed.".to_owned());
        return said.join(" ");
    };
    let ms = |value: f64| format!("{} ms", grouped(value));
    let limit = |limit: f64, written: String| {
        if limit.is_finite() && limit > 0.0 { format!(" (limit {written})") } else { String::new() }
    };
    for (name, figure, limit) in [
        ("p99", (|sample| sample.p99_ms) as Figure, limit(chart.limit_ms, ms(chart.limit_ms))),
        ("p50", |sample| sample.p50_ms, String::new()),
    ] {
        said.push(format!("{name} latency{limit}: {}.", before_and_after(&story, figure, ms)));
    }
    said.push(format!(
        "Errors{}: {}.",
        limit(chart.error_limit, percent(chart.error_limit)),
        before_and_after(&story, |sample| sample.error_share, percent)
    ));
    said.extend(requests(&story));
    let clock = |at: Timestamp| at.strftime("%H:%M:%S").to_string();
    said.extend(
        chart.marks.iter().take(6).map(|mark| format!("{} at {} UTC.", capital(mark.what.words()), clock(mark.at))),
    );
    let (from, to) =
        (chart.samples.iter().map(|sample| sample.at).min(), chart.samples.iter().map(|sample| sample.at).max());
    if let (Some(from), Some(to)) = (from, to) {
        let plural = if chart.samples.len() == 1 { "" } else { "s" };
        let day = from.strftime("%Y-%m-%d");
        said.push(format!("{} sample{plural}, {day} {} to {} UTC.", chart.samples.len(), clock(from), clock(to)));
    }
    shortened(&said.join(" "), LONGEST)
}

/// A figure of a sample, where it is known.
pub(super) type Figure = fn(&Sample) -> Option<f64>;

/// The medians of a figure before and after the change.
fn before_and_after(story: &Story<'_>, figure: Figure, written: fn(f64) -> String) -> String {
    let said = |samples: &[&Sample]| median(samples, figure).map_or_else(|| "not known".to_owned(), written);
    if story.marks.is_empty() {
        format!("median {}", said(&story.before))
    } else {
        format!("median {} before, {} after", said(&story.before), said(&story.after))
    }
}

/// The middle one of the figures that are known.
pub(super) fn median(samples: &[&Sample], figure: Figure) -> Option<f64> {
    let mut figures: Vec<f64> = samples
        .iter()
        .filter_map(|sample| figure(sample))
        .filter(|figure| figure.is_finite() && *figure >= 0.0)
        .collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures.get(middle).copied()
    } else {
        Some(f64::midpoint(*figures.get(middle.checked_sub(1)?)?, *figures.get(middle)?))
    }
}

/// How requests are spread, and who stands out.
fn requests(story: &Story<'_>) -> Option<String> {
    let group = |new: bool| {
        let lines: Vec<&InstanceLine> = story.instances.iter().filter(|line| line.present && line.new == new).collect();
        let rates: Vec<f64> = lines.iter().filter_map(|line| line.mean).collect();
        let (least, most) =
            rates.iter().fold((f64::MAX, f64::MIN), |(least, most), rate| (least.min(*rate), most.max(*rate)));
        let name = story.group_name(new);
        let spread =
            if small(least) == small(most) { small(most) } else { format!("{} to {}", small(least), small(most)) };
        (!rates.is_empty()).then(|| format!("{} {name} {spread}", rates.len()))
    };
    let groups: Vec<String> = [group(false), group(true)].into_iter().flatten().collect();
    if groups.is_empty() {
        return None;
    }
    let outliers: Vec<&str> =
        story.instances.iter().filter(|line| line.stands_out()).map(|line| line.instance.as_str()).collect();
    let named = outliers.iter().take(4).map(|name| shortened(&one_line(name), 40)).collect::<Vec<_>>().join(", ");
    let more = if outliers.len() > 4 { format!(" and {} more", outliers.len() - 4) } else { String::new() };
    let uneven = if outliers.is_empty() { String::new() } else { format!(" Uneven: {named}{more}.") };
    let when = if story.after.is_empty() { "" } else { " after" };
    Some(format!("Mean requests per second and instance{when}: {}.{uneven}", groups.join(", ")))
}

/// On one line, and nothing that is obeyed instead of shown.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

/// At most that many characters.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
