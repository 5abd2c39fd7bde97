//! Where everything stands in the picture: the header, three panels over one axis of time, and the names at the ends of
//! the lines.

use scalebot_commands::card::Tone;

use super::axis::{grouped, moment, moments, percent, small, steps};
use super::canvas::{Align, Canvas, Lettering, Point, Stroke};
use super::series::{Line, Story};
use super::typeface::Weight;
use super::words::{Figure, median, one_line};
use scalebot_commands::card::Milestone;

use super::{Chart, ChartError, WIDTH};
use crate::palette::{BLUE, GREEN, ORANGE, Rgb, VERMILION};

const INK: Rgb = Rgb(0x1A, 0x1A, 0x1A);
const GREY: Rgb = Rgb(0x55, 0x55, 0x55);
const GRID: Rgb = Rgb(0xE0, 0xE0, 0xE0);
const WHITE: Rgb = Rgb(0xFF, 0xFF, 0xFF);
/// Behind everything that is over a limit.
const OVER: Rgb = Rgb(0xFC, 0xEE, 0xE4);

const MARGIN: f64 = 24.0;
const LEFT: f64 = 88.0;
const RIGHT: f64 = 606.0;
/// Where the names of lines begin, and how far apart they are.
const NAMES: f64 = 624.0;
const NAME_HEIGHT: f64 = 30.0;

const TITLE: Lettering = Lettering { size: 36.0, weight: Weight::Bold, colour: INK };
const VERDICT: Lettering = Lettering { size: 32.0, weight: Weight::Bold, colour: INK };
const HEADING: Lettering = Lettering { size: 26.0, weight: Weight::Bold, colour: INK };
const NAME: Lettering = Lettering { size: 26.0, weight: Weight::Regular, colour: INK };
const SMALL: Lettering = Lettering { size: 24.0, weight: Weight::Regular, colour: GREY };

const P99: Stroke = Stroke { colour: BLUE, width: 5.0, dash: None };
const P50: Stroke = Stroke { colour: GREEN, width: 4.5, dash: Some((9.0, 6.0)) };
const LIMIT: Stroke = Stroke { colour: VERMILION, width: 3.5, dash: Some((16.0, 8.0)) };
const OLD: Stroke = Stroke { colour: BLUE, width: 4.0, dash: None };
const NEW: Stroke = Stroke { colour: ORANGE, width: 4.0, dash: Some((12.0, 6.0)) };
const PALE_OLD: Stroke = Stroke { colour: Rgb(0xA6, 0xCD, 0xE6), width: 2.0, dash: None };
const PALE_NEW: Stroke = Stroke { colour: Rgb(0xF4, 0xD0, 0x8A), width: 2.0, dash: None };
const ERRORS: Stroke = Stroke { colour: VERMILION, width: 4.0, dash: None };
const MARK: Stroke = Stroke { colour: GREY, width: 2.0, dash: Some((3.0, 4.0)) };
const HAIR: Stroke = Stroke { colour: GRID, width: 2.0, dash: None };
const AXIS: Stroke = Stroke { colour: GREY, width: 2.0, dash: None };

/// A panel's place, and its scales.
pub(super) struct Panel {
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// How far above its top its heading stands.
    pub(super) heading: f64,
    /// The first and last second.
    pub(super) time: (f64, f64),
    /// The figure at the top.
    pub(super) highest: f64,
}

/// The name of a line, beside its end.
struct Name {
    text: String,
    /// The height where its line ends.
    end: f64,
}

/// Draws everything.
pub(super) fn draw(canvas: &mut Canvas<'_>, chart: &Chart, story: &Story<'_>) -> Result<(), ChartError> {
    header(canvas, chart, story)?;
    let panels = Layout::of(chart, story);
    latency(canvas, &panels.latency, chart, story)?;
    requests(canvas, &panels.requests, story)?;
    errors(canvas, &panels.errors, chart, story)?;
    marks(canvas, &panels, story)?;
    time(canvas, &panels.errors)
}

/// The three panels.
pub(super) struct Layout {
    pub(super) latency: Panel,
    pub(super) requests: Panel,
    pub(super) errors: Panel,
}

impl Layout {
    pub(super) fn of(chart: &Chart, story: &Story<'_>) -> Self {
        // A single moment still needs a stretch of time to stand in.
        let time =
            if story.to - story.from < 1.0 { (story.from - 30.0, story.to + 30.0) } else { (story.from, story.to) };
        let panel = |top, bottom, heading, highest: f64| Panel { top, bottom, heading, time, highest };
        let rates = story.instances.iter().map(|instance| instance.line.highest()).fold(0.0, f64::max);
        let latency = story.p99.highest().max(story.p50.highest()).max(sound(chart.limit_ms));
        let errors = story.errors.highest().max(sound(chart.error_limit)).max(0.001);
        Self {
            latency: panel(202.0, 426.0, 56.0, headroom(latency)),
            requests: panel(490.0, 666.0, 28.0, headroom(rates)),
            errors: panel(730.0, 868.0, 28.0, headroom(errors)),
        }
    }
}

/// A limit that is none counts as zero, and is not drawn.
fn sound(limit: f64) -> f64 {
    if limit.is_finite() { limit.max(0.0) } else { 0.0 }
}

/// A little more than the highest figure, so that its line does not touch the top.
fn headroom(highest: f64) -> f64 {
    if highest > 0.0 { highest * 1.12 } else { 1.0 }
}

impl Panel {
    pub(super) fn x(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * ((seconds - self.time.0) / (self.time.1 - self.time.0)).clamp(0.0, 1.0)
    }

    pub(super) fn y(&self, figure: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (figure / self.highest).clamp(0.0, 1.0)
    }

    /// The heading, the scale and its lines.
    fn frame(&self, canvas: &mut Canvas<'_>, heading: &str, written: fn(f64) -> String) -> Result<(), ChartError> {
        canvas.text((MARGIN, self.top - self.heading), Align::Left, heading, HEADING)?;
        let most = if self.bottom - self.top > 200.0 { 4 } else { 3 };
        for step in steps(self.highest, most) {
            let y = self.y(step);
            canvas.line(&[(LEFT, y), (RIGHT, y)], if step > 0.0 { HAIR } else { AXIS })?;
            canvas.text((LEFT - 12.0, y), Align::Right, &written(step), SMALL)?;
        }
        Ok(())
    }

    /// What became of a figure, across from the heading.
    fn change(
        &self,
        canvas: &mut Canvas<'_>,
        story: &Story<'_>,
        name: &str,
        figure: Figure,
        written: fn(f64) -> String,
    ) -> Result<(), ChartError> {
        let (Some(before), Some(after)) = (median(&story.before, figure), median(&story.after, figure)) else {
            return Ok(());
        };
        let text = format!("{name} {} → {}", written(before), written(after));
        canvas.text((f64::from(WIDTH) - MARGIN, self.top - self.heading), Align::Right, &text, SMALL)
    }

    /// Tints what is over the limit.
    fn tint(&self, canvas: &mut Canvas<'_>, limit: f64) -> Result<(), ChartError> {
        if sound(limit) > 0.0 { canvas.rectangle((LEFT, self.top), (RIGHT, self.y(limit)), OVER) } else { Ok(()) }
    }

    fn limit(&self, canvas: &mut Canvas<'_>, limit: f64, written: &str) -> Result<Option<Name>, ChartError> {
        if sound(limit) <= 0.0 {
            return Ok(None);
        }
        let y = self.y(limit);
        canvas.line(&[(LEFT, y), (RIGHT, y)], LIMIT)?;
        Ok(Some(Name { text: format!("limit {written}"), end: y }))
    }

    /// Draws a line; a reading that stands alone is a dot.
    fn line(&self, canvas: &mut Canvas<'_>, line: &Line, stroke: Stroke) -> Result<(), ChartError> {
        for piece in &line.pieces {
            let points: Vec<Point> = piece.iter().map(|(at, figure)| (self.x(*at), self.y(*figure))).collect();
            canvas.line(&points, stroke)?;
            if let [alone] = *points {
                canvas.dot(alone, stroke.width + 1.0, stroke.colour)?;
            }
        }
        Ok(())
    }

    /// The name of a line where it ends, with a dot at the end.
    fn name(
        &self,
        canvas: &mut Canvas<'_>,
        line: &Line,
        stroke: Stroke,
        text: String,
    ) -> Result<Option<Name>, ChartError> {
        let Some((at, figure)) = line.last() else { return Ok(None) };
        let (x, end) = (self.x(at), self.y(figure));
        if x < RIGHT - 2.0 {
            canvas.line(&[(x, end), (RIGHT, end)], Stroke { width: 1.5, ..AXIS })?;
        }
        canvas.dot((x, end), stroke.width + 1.5, stroke.colour)?;
        Ok(Some(Name { text, end }))
    }

    /// Writes the names at the right, each as near to its line's end as the others allow.
    fn names(&self, canvas: &mut Canvas<'_>, mut names: Vec<Name>) -> Result<(), ChartError> {
        names.sort_by(|one, other| one.end.total_cmp(&other.end));
        let ends: Vec<f64> = names.iter().map(|name| name.end).collect();
        for (name, y) in names.iter().zip(apart(&ends, self.top + 6.0, self.bottom - 4.0)) {
            if (y - name.end).abs() > 4.0 {
                canvas.line(&[(RIGHT + 4.0, name.end), (NAMES - 6.0, y)], Stroke { width: 1.5, ..AXIS })?;
            }
            let text = canvas.fitted(&name.text, f64::from(WIDTH) - NAMES - 8.0, NAME);
            canvas.text((NAMES, y), Align::Left, &text, NAME)?;
        }
        Ok(())
    }

    /// Beads on a line, evenly spaced: it is told from another one without its colour.
    fn beads(&self, canvas: &mut Canvas<'_>, line: &Line, stroke: Stroke) -> Result<(), ChartError> {
        let mut next = f64::MIN;
        for (at, figure) in line.readings() {
            let x = self.x(at);
            if x >= next {
                canvas.dot((x, self.y(figure)), stroke.width + 1.5, stroke.colour)?;
                next = x + 48.0;
            }
        }
        Ok(())
    }

    fn nothing(&self, canvas: &mut Canvas<'_>) -> Result<(), ChartError> {
        canvas.text(
            (f64::midpoint(LEFT, RIGHT), f64::midpoint(self.top, self.bottom)),
            Align::Centre,
            "not observed",
            NAME,
        )
    }
}

/// Heights for names that end at these, from the top down, so that none covers another: names that would are moved
/// apart around their middle, and stay between top and bottom.
fn apart(ends: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    // Each group stands together: its first name's height, and how many there are.
    let mut groups: Vec<(f64, usize, f64)> = Vec::new();
    for end in ends {
        let mut group = (end.clamp(top, bottom), 1, *end);
        while let Some((first, count, sum)) = groups.last().copied()
            && first + count as f64 * NAME_HEIGHT > group.0
        {
            groups.pop();
            let (count, sum) = (count + group.1, sum + group.2);
            let length = (count - 1) as f64 * NAME_HEIGHT;
            let first = (sum / count as f64 - length / 2.0).min(bottom - length).max(top);
            group = (first, count, sum);
        }
        groups.push(group);
    }
    groups.iter().flat_map(|(first, count, _)| (0..*count).map(move |at| first + at as f64 * NAME_HEIGHT)).collect()
}

fn header(canvas: &mut Canvas<'_>, chart: &Chart, story: &Story<'_>) -> Result<(), ChartError> {
    let room = f64::from(WIDTH) - 2.0 * MARGIN;
    let title = one_line(&chart.title);
    // A long title is set smaller before it is cut.
    let sizes = [TITLE.size, 30.0, 26.0].map(|size| Lettering { size, ..TITLE });
    let how = sizes.into_iter().find(|how| canvas.text_width(&title, *how) <= room).unwrap_or(sizes[2]);
    let title = canvas.fitted(&title, room, how);
    canvas.text((MARGIN, 38.0), Align::Left, &title, how)?;

    let scaled = story.marks.iter().any(|(_, what)| *what == Milestone::Scaled);
    let zero = format!("{} {} UTC", if scaled { "scaled at" } else { "from" }, story.zero.strftime("%H:%M:%S"));
    let zero_width = canvas.text_width(&zero, SMALL);
    canvas.text((f64::from(WIDTH) - MARGIN, 90.0), Align::Right, &zero, SMALL)?;

    shape(canvas, chart.tone, (MARGIN + 18.0, 90.0))?;
    let verdict = one_line(&chart.verdict);
    let verdict = canvas.fitted(&verdict, room - zero_width - 70.0, VERDICT);
    canvas.text((MARGIN + 50.0, 90.0), Align::Left, &verdict, VERDICT)
}

/// The shape before the verdict: different in outline, so that it needs no colour.
fn shape(canvas: &mut Canvas<'_>, tone: Tone, (x, y): Point) -> Result<(), ChartError> {
    let white = |width| Stroke { colour: WHITE, width, dash: None };
    match tone {
        Tone::Good => {
            canvas.dot((x, y), 18.0, GREEN)?;
            canvas.line(&[(x - 9.0, y + 1.0), (x - 2.5, y + 8.0), (x + 9.0, y - 7.0)], white(4.5))
        }
        Tone::Warn => {
            canvas.fill(&[(x, y - 18.0), (x + 20.0, y + 16.0), (x - 20.0, y + 16.0)], ORANGE)?;
            canvas.rectangle((x - 2.5, y - 8.0), (x + 2.5, y + 4.0), INK)?;
            canvas.rectangle((x - 2.5, y + 7.0), (x + 2.5, y + 12.0), INK)
        }
        Tone::Bad => {
            canvas.rectangle((x - 17.0, y - 17.0), (x + 17.0, y + 17.0), VERMILION)?;
            canvas.line(&[(x - 9.0, y - 9.0), (x + 9.0, y + 9.0)], white(4.5))?;
            canvas.line(&[(x - 9.0, y + 9.0), (x + 9.0, y - 9.0)], white(4.5))
        }
        Tone::Unknown => {
            canvas.fill(&[(x, y - 21.0), (x + 21.0, y), (x, y + 21.0), (x - 21.0, y)], ORANGE)?;
            canvas.text((x, y), Align::Centre, "?", Lettering { size: 28.0, ..VERDICT })
        }
        Tone::Info => {
            canvas.dot((x, y), 18.0, BLUE)?;
            canvas.dot((x, y), 6.0, WHITE)
        }
    }
}

fn latency(canvas: &mut Canvas<'_>, panel: &Panel, chart: &Chart, story: &Story<'_>) -> Result<(), ChartError> {
    panel.tint(canvas, chart.limit_ms)?;
    panel.frame(canvas, "Latency, ms", grouped)?;
    panel.change(canvas, story, "median p99", |sample| sample.p99_ms, grouped)?;
    let mut names: Vec<Name> = panel.limit(canvas, chart.limit_ms, &grouped(chart.limit_ms))?.into_iter().collect();
    if story.p50.pieces.is_empty() && story.p99.pieces.is_empty() {
        panel.nothing(canvas)?;
    }
    for (line, stroke, name) in [(&story.p50, P50, "p50"), (&story.p99, P99, "p99")] {
        panel.line(canvas, line, stroke)?;
        let figure = line.last().map_or_else(String::new, |last| grouped(last.1));
        names.extend(panel.name(canvas, line, stroke, format!("{name} {figure}"))?);
    }
    panel.names(canvas, names)
}

fn requests(canvas: &mut Canvas<'_>, panel: &Panel, story: &Story<'_>) -> Result<(), ChartError> {
    panel.frame(canvas, "Requests per second, each instance", small)?;
    if story.instances.is_empty() {
        panel.nothing(canvas)?;
    }
    // Each instance thin and pale; bold the mean of the old and of the new ones, and whoever stands out.
    for instance in &story.instances {
        let pale = if instance.new { PALE_NEW } else { PALE_OLD };
        panel.line(canvas, &instance.line, pale)?;
    }
    let mut names = Vec::new();
    for (new, mean, stroke) in [(false, &story.old_mean, OLD), (true, &story.new_mean, NEW)] {
        let name = story.group_name(new);
        panel.line(canvas, mean, stroke)?;
        if new {
            panel.beads(canvas, mean, stroke)?;
        }
        let present = || story.instances.iter().filter(|line| line.new == new && line.present);
        let count = present().filter(|line| !line.stands_out()).count();
        if count > 0 {
            let figure = mean.last().map_or_else(String::new, |last| small(last.1));
            names.extend(panel.name(canvas, mean, stroke, format!("{count} {name} {figure}"))?);
        }
        for (count, odd) in present().filter(|line| line.stands_out()).enumerate() {
            panel.line(canvas, &odd.line, stroke)?;
            if new {
                panel.beads(canvas, &odd.line, stroke)?;
            }
            let figure = odd.line.last().map_or_else(String::new, |last| small(last.1));
            let label = panel.name(
                canvas,
                &odd.line,
                stroke,
                format!("{} {figure}", tail(&one_line(odd.instance.as_str()))),
            )?;
            // As many as there is room for: the words beside the picture name more.
            names.extend(label.filter(|_| count < 2));
        }
    }
    panel.names(canvas, names)
}

/// The end of a name: it is what tells instances apart.
fn tail(name: &str) -> String {
    const SHOWN: usize = 9;
    let length = name.chars().count();
    if length <= SHOWN {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(length - SHOWN + 1).collect::<String>())
    }
}

fn errors(canvas: &mut Canvas<'_>, panel: &Panel, chart: &Chart, story: &Story<'_>) -> Result<(), ChartError> {
    panel.tint(canvas, chart.error_limit)?;
    panel.frame(canvas, "Errors, share of requests", percent)?;
    panel.change(canvas, story, "median", |sample| sample.error_share, percent)?;
    let mut names: Vec<Name> =
        panel.limit(canvas, chart.error_limit, &percent(chart.error_limit))?.into_iter().collect();
    if story.errors.pieces.is_empty() {
        panel.nothing(canvas)?;
    }
    panel.line(canvas, &story.errors, ERRORS)?;
    let figure = story.errors.last().map_or_else(String::new, |last| percent(last.1));
    names.extend(panel.name(canvas, &story.errors, ERRORS, format!("errors {figure}"))?);
    panel.names(canvas, names)
}

/// What happened when, as lines through all panels with a word above the first.
fn marks(canvas: &mut Canvas<'_>, panels: &Layout, story: &Story<'_>) -> Result<(), ChartError> {
    let first = &panels.latency;
    let mut free = LEFT;
    for (count, (at, what)) in story.marks.iter().enumerate() {
        let x = first.x(*at);
        for panel in [&panels.latency, &panels.requests, &panels.errors] {
            canvas.line(&[(x, panel.top), (x, panel.bottom)], MARK)?;
        }
        let width = canvas.text_width(what.words(), SMALL);
        let follower = story.marks.get(count + 1).map_or(RIGHT + 160.0, |next| first.x(next.0));
        // Two moments that lie close together: one word goes to the left of its line, the other to the right.
        let left = if follower - x < width + 16.0 { x - width - 6.0 } else { x - 8.0 }.max(free);
        canvas.text((left, first.top - 14.0), Align::Left, what.words(), SMALL)?;
        free = left + width + 14.0;
    }
    Ok(())
}

fn time(canvas: &mut Canvas<'_>, panel: &Panel) -> Result<(), ChartError> {
    for at in moments(panel.time.0, panel.time.1, 5) {
        let x = panel.x(at);
        canvas.line(&[(x, panel.bottom), (x, panel.bottom + 8.0)], AXIS)?;
        canvas.text((x, panel.bottom + 28.0), Align::Centre, &moment(at), SMALL)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_cover_each_other() {
        assert_eq!(apart(&[100.0, 104.0, 300.0], 0.0, 400.0), [87.0, 117.0, 300.0]);
        assert_eq!(apart(&[390.0, 396.0], 0.0, 400.0), [370.0, 400.0]);
        assert_eq!(apart(&[0.0, 0.0, 35.0], 0.0, 400.0), [0.0, 30.0, 60.0]);
        assert!(apart(&[], 0.0, 400.0).is_empty());
    }

    #[test]
    fn a_long_name_keeps_the_end_that_tells_instances_apart() {
        assert_eq!(tail("api-6"), "api-6");
        assert_eq!(tail("archon72-api-7d9f8b6c5-x2x9z"), "…c5-x2x9z");
    }
}
