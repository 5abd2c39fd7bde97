//! The picture of an operation: latency, who was asked, and errors, over the time before and after a change of scale.
//!
//! It must be read on a phone, in grey, by somebody who has not seen it before: few lines, large letters, each line named
//! where it ends and told from the others by its dash or marker too. What was not observed is a gap, never a line
//! through it.

mod axis;
mod canvas;
mod panels;
mod series;
#[cfg(test)]
mod tests;
mod typeface;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scalebot_commands::card::{self, ChartMark, Tone};
use scalebot_commands::figures::Load;
use scalebot_commands::units::{InstanceId, Timestamp};

pub(crate) use self::words::alt_text;

/// The picture's width in pixels. Half of it is still legible.
pub(crate) const WIDTH: u32 = 800;
/// The picture's height in pixels.
pub(crate) const HEIGHT: u32 = 920;

/// What is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// What was done, in a few words: `api 4 → 6`.
    pub(crate) title: String,
    /// What came of it, in a word: `improved`.
    pub(crate) verdict: String,
    /// What that word amounts to.
    pub(crate) tone: Tone,
    /// What was observed, before and after, in any order.
    pub(crate) samples: Vec<Sample>,
    /// What the 99th percentile of latency may be at most, in milliseconds.
    pub(crate) limit_ms: f64,
    /// What share of requests may fail at most, from 0 to 1.
    pub(crate) error_limit: f64,
    /// The instances that the change added.
    pub(crate) new: BTreeSet<InstanceId>,
    /// What happened when.
    pub(crate) marks: Vec<ChartMark>,
}

impl Chart {
    /// The picture of what a card says is to be shown, in that card's tone.
    pub(crate) fn of(shown: &card::Chart, tone: Tone) -> Self {
        Self {
            title: shown.title.clone(),
            verdict: shown.verdict.clone(),
            tone,
            samples: shown.before.iter().chain(&shown.samples).map(Sample::from).collect(),
            limit_ms: shown.limit_ms,
            error_limit: shown.error_limit,
            new: shown.newcomers.iter().cloned().collect(),
            marks: shown.marks.clone(),
        }
    }
}

/// What was observed over one interval. What could not be told is `None`, and so is a figure that is no number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The interval's end.
    pub(crate) at: Timestamp,
    /// The interval's length.
    pub(crate) window: Duration,
    /// Half of the requests were no slower, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    /// 99 % of the requests were no slower, in milliseconds.
    pub(crate) p99_ms: Option<f64>,
    /// The share of requests that failed, from 0 to 1.
    pub(crate) error_share: Option<f64>,
    /// Requests that each instance answered. One that could not be asked is absent.
    pub(crate) requests: BTreeMap<InstanceId, u64>,
}

/// The figures are those of the instances that answered. Who did not is for the verdict to weigh, not for the picture.
impl From<&Load> for Sample {
    fn from(load: &Load) -> Self {
        let percentiles = load.percentiles();
        Self {
            at: load.until,
            window: load.window.duration(),
            p50_ms: percentiles.map(|percentiles| percentiles.p50_ms),
            p99_ms: percentiles.map(|percentiles| percentiles.p99_ms),
            error_share: load.error_share(),
            requests: load.instances.iter().map(|load| (load.instance.clone(), load.requests)).collect(),
        }
    }
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChartError {
    /// Nothing was observed, so there is nothing to show: leave the picture out.
    #[error("there is no chart: nothing was observed")]
    NoSamples,
    /// The built-in fonts cannot be read: the program was built wrongly.
    #[error("there is no chart: a built-in font cannot be read")]
    Font,
    /// The picture could not be drawn.
    #[error("there is no chart: drawing failed ({0})")]
    Drawing(String),
    /// The picture could not be made a PNG.
    #[error("there is no chart: writing the PNG failed ({0})")]
    Encoding(#[from] png::EncodingError),
}

/// Draws it as a PNG of [`WIDTH`] x [`HEIGHT`] pixels.
///
/// This computes for tens to hundreds of milliseconds and awaits nothing: async code calls it within
/// `tokio::task::spawn_blocking`.
pub(crate) fn draw(chart: &Chart) -> Result<Vec<u8>, ChartError> {
    let story = series::Story::of(chart).ok_or(ChartError::NoSamples)?;
    let mut pixels = canvas::Pixels::new(WIDTH, HEIGHT);
    panels::draw(&mut pixels.canvas()?, chart, &story)?;
    pixels.png(&alt_text(chart))
}
