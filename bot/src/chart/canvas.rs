//! Something to draw on, measured in the picture's pixels. Everything is drawn at twice the size and averaged, which
//! smooths edges without knowing what they belong to.

use std::borrow::Cow;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{Circle, Polygon, Rectangle};
use plotters::style::{Color as _, RGBColor};

use super::ChartError;
use super::typeface::{Typeface, Weight};
use crate::palette::Rgb;

/// How many times larger it is drawn than shown, each way.
const OVERSAMPLING: u32 = 2;

/// A place in the picture: from the left, from the top.
pub(super) type Point = (f64, f64);

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    pub(super) colour: Rgb,
    pub(super) width: f64,
    /// Lengths of dash and gap.
    pub(super) dash: Option<(f64, f64)>,
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lettering {
    /// Pixels an em.
    pub(super) size: f64,
    pub(super) weight: Weight,
    pub(super) colour: Rgb,
}

/// Which part of a text is at the given place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// The picture, larger than it is shown.
pub(super) struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Pixels {
    /// A white picture that is shown in that size.
    pub(super) fn new(width: u32, height: u32) -> Self {
        let count = 3 * width as usize * height as usize * (OVERSAMPLING * OVERSAMPLING) as usize;
        Self { width, height, rgb: vec![0xFF; count] }
    }

    /// To draw on it.
    pub(super) fn canvas(&mut self) -> Result<Canvas<'_>, ChartError> {
        let size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING);
        let area = BitMapBackend::with_buffer(&mut self.rgb, size).into_drawing_area();
        Ok(Canvas { area, typeface: Typeface::built_in()? })
    }

    /// The picture as a PNG that carries what it shows in words.
    pub(super) fn png(&self, description: &str) -> Result<Vec<u8>, ChartError> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.add_itxt_chunk("Description".to_owned(), description.to_owned())?;
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.averaged())?;
        writer.finish()?;
        Ok(out)
    }

    /// Every pixel as it is shown: the mean of those that it was drawn with.
    fn averaged(&self) -> Vec<u8> {
        let factor = OVERSAMPLING as usize;
        let width = 3 * self.width as usize;
        let mut out = Vec::with_capacity(width * self.height as usize);
        let mut sums = vec![0_u16; width];
        for rows in self.rgb.chunks_exact(width * factor * factor) {
            sums.fill(0);
            for row in rows.chunks_exact(width * factor) {
                for (sums, block) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * factor)) {
                    for pixel in block.chunks_exact(3) {
                        for (sum, channel) in sums.iter_mut().zip(pixel) {
                            *sum += u16::from(*channel);
                        }
                    }
                }
            }
            out.extend(sums.iter().map(|sum| (sum / (factor * factor) as u16) as u8));
        }
        out
    }
}

/// Draws on a picture.
pub(super) struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
    typeface: Typeface,
}

impl Canvas<'_> {
    /// Fills what the points enclose.
    pub(super) fn fill(&mut self, points: &[Point], colour: Rgb) -> Result<(), ChartError> {
        let points: Vec<_> = points.iter().copied().map(enlarged).collect();
        self.area.draw(&Polygon::new(points, rgb(colour).filled())).map_err(|error| failed(&error))
    }

    /// Fills a rectangle between two corners.
    pub(super) fn rectangle(
        &mut self,
        (left, top): Point,
        (right, bottom): Point,
        colour: Rgb,
    ) -> Result<(), ChartError> {
        let corners = [enlarged((left, top)), enlarged((right, bottom))];
        self.area.draw(&Rectangle::new(corners, rgb(colour).filled())).map_err(|error| failed(&error))
    }

    /// Fills a circle.
    pub(super) fn dot(&mut self, centre: Point, radius: f64, colour: Rgb) -> Result<(), ChartError> {
        let radius = enlarged((radius, 0.0)).0;
        self.area.draw(&Circle::new(enlarged(centre), radius, rgb(colour).filled())).map_err(|error| failed(&error))
    }

    /// Draws a line through the points, with round joints. Dashes go on around corners.
    pub(super) fn line(&mut self, points: &[Point], stroke: Stroke) -> Result<(), ChartError> {
        let pieces = match stroke.dash {
            Some((dash, gap)) => dashes(points, dash, gap),
            None => vec![points.to_vec()],
        };
        for piece in pieces {
            for pair in piece.windows(2) {
                if let [from, to] = *pair {
                    self.segment(from, to, stroke)?;
                }
            }
            let inner = piece.len().saturating_sub(1);
            for joint in piece.iter().take(inner).skip(1) {
                self.dot(*joint, stroke.width / 2.0, stroke.colour)?;
            }
        }
        Ok(())
    }

    fn segment(&mut self, from: Point, to: Point, stroke: Stroke) -> Result<(), ChartError> {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if length <= 0.0 {
            return Ok(());
        }
        let (x, y) = (-dy / length * stroke.width / 2.0, dx / length * stroke.width / 2.0);
        let corners = [(from.0 + x, from.1 + y), (to.0 + x, to.1 + y), (to.0 - x, to.1 - y), (from.0 - x, from.1 - y)];
        self.fill(&corners, stroke.colour)
    }

    /// Writes a text; the middle of its capitals is at the point's height.
    pub(super) fn text(&mut self, at: Point, align: Align, text: &str, how: Lettering) -> Result<(), ChartError> {
        let width = self.text_width(text, how);
        let left = match align {
            Align::Left => at.0,
            Align::Centre => at.0 - width / 2.0,
            Align::Right => at.0 - width,
        };
        let factor = f64::from(OVERSAMPLING);
        let start = ((left * factor) as f32, (at.1 * factor) as f32);
        let colour = rgb(how.colour);
        let mut result = Ok(());
        self.typeface.draw(text, start, ((how.size * factor) as f32, how.weight), |x, y, covered| {
            if result.is_ok() {
                result = self.area.draw_pixel((x, y), &colour.mix(f64::from(covered)));
            }
        });
        result.map_err(|error| failed(&error))
    }

    /// How wide a text is.
    pub(super) fn text_width(&self, text: &str, how: Lettering) -> f64 {
        let factor = f64::from(OVERSAMPLING);
        f64::from(self.typeface.width(text, (how.size * factor) as f32, how.weight)) / factor
    }

    /// The text, or as much of its beginning as fits into the width, with an ellipsis.
    pub(super) fn fitted<'t>(&self, text: &'t str, width: f64, how: Lettering) -> Cow<'t, str> {
        if self.text_width(text, how) <= width {
            return Cow::Borrowed(text);
        }
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        // The longest beginning that fits, by halving: a title may be long.
        let fits = |end: &usize| self.text_width(&format!("{}…", &text[..*end]), how) <= width;
        let count = ends.partition_point(fits);
        let end = count.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        Cow::Owned(format!("{}…", text[..end].trim_end()))
    }
}

/// Cuts a line into dashes.
fn dashes(points: &[Point], dash: f64, gap: f64) -> Vec<Vec<Point>> {
    let (dash, gap) = (dash.max(1.0), gap.max(1.0));
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    let mut current: Vec<Point> = points.first().copied().into_iter().collect();
    let (mut drawing, mut left) = (true, dash);
    for pair in points.windows(2) {
        let [from, to] = *pair else { continue };
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let share = done / length;
            let at = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            if drawing {
                current.push(at);
                pieces.push(std::mem::take(&mut current));
            } else {
                current = vec![at];
            }
            drawing = !drawing;
            left = if drawing { dash } else { gap };
        }
        left -= length - done;
        if drawing {
            current.push(to);
        }
    }
    if drawing {
        pieces.push(current);
    }
    pieces
}

fn enlarged((x, y): Point) -> (i32, i32) {
    let factor = f64::from(OVERSAMPLING);
    ((x * factor).round() as i32, (y * factor).round() as i32)
}

fn rgb(Rgb(red, green, blue): Rgb) -> RGBColor {
    RGBColor(red, green, blue)
}

fn failed(error: &impl ToString) -> ChartError {
    ChartError::Drawing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_on_around_corners() {
        let corner = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)];
        assert_eq!(dashes(&corner, 4.0, 2.0), [vec![(0.0, 0.0), (4.0, 0.0)], vec![(5.0, 1.0), (5.0, 5.0)]]);
        assert_eq!(dashes(&[(0.0, 0.0), (3.0, 0.0)], 4.0, 2.0), [vec![(0.0, 0.0), (3.0, 0.0)]]);
    }
}
