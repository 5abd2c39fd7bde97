//! Letters: the built-in fonts, so that a picture looks the same on every machine, and needs none installed.

use ab_glyph::{Font as _, FontRef, Glyph, PxScale, ScaleFont as _, point};

use super::ChartError;

/// The height of a capital letter, in ems.
const CAPITAL: f32 = 0.69;

/// How heavy letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

impl Weight {
    /// How much each stroke is widened, in ems. The built-in face is a light one: at half size on a phone it would fade.
    fn spread(self) -> f32 {
        match self {
            Self::Regular => 0.03,
            Self::Bold => 0.075,
        }
    }
}

/// The faces that a text is set in: the first one, and what it lacks from the next.
pub(super) struct Typeface {
    faces: [FontRef<'static>; 3],
}

impl Typeface {
    /// The built-in one.
    pub(super) fn built_in() -> Result<Self, ChartError> {
        let face = |bytes| FontRef::try_from_slice(bytes).map_err(|_| ChartError::Font);
        Ok(Self {
            faces: [
                face(epaint_default_fonts::UBUNTU_LIGHT)?,
                face(epaint_default_fonts::HACK_REGULAR)?,
                face(epaint_default_fonts::NOTO_EMOJI_REGULAR)?,
            ],
        })
    }

    /// How wide the text is, in pixels, at `size` pixels an em.
    pub(super) fn width(&self, text: &str, size: f32, weight: Weight) -> f32 {
        self.set(text, size, weight).1
    }

    /// Calls `put` with every pixel that the text touches and how much of it is covered, from 0 to 1. The text begins at
    /// `x`, and the middle of its capitals is at `y`.
    pub(super) fn draw(
        &self,
        text: &str,
        (x, y): (f32, f32),
        (size, weight): (f32, Weight),
        mut put: impl FnMut(i32, i32, f32),
    ) {
        let baseline = y + size * CAPITAL / 2.0;
        let spread = (size * weight.spread()).round() as usize;
        for (face, glyph) in self.set(text, size, weight).0 {
            let Glyph { id, scale, position } = glyph;
            let placed = id.with_scale_and_position(scale, point(position.x + x, baseline));
            let Some(face) = self.faces.get(face) else { continue };
            let Some(outline) = face.outline_glyph(placed) else { continue };
            let bounds = outline.px_bounds();
            // Widened to the right, and half as much downwards, as a bolder face would be.
            let width = bounds.width().ceil() as usize + spread;
            let height = bounds.height().ceil() as usize + spread / 2;
            let mut cover = vec![0.0_f32; width * height];
            if cover.is_empty() {
                continue;
            }
            outline.draw(|column, row, covered| {
                if covered <= 0.0 {
                    return;
                }
                for line in cover.chunks_mut(width).skip(row as usize).take(spread / 2 + 1) {
                    for pixel in line.iter_mut().skip(column as usize).take(spread + 1) {
                        *pixel = pixel.max(covered.min(1.0));
                    }
                }
            });
            for (row, line) in (bounds.min.y as i32..).zip(cover.chunks(width)) {
                for (column, covered) in (bounds.min.x as i32..).zip(line) {
                    if *covered > 0.0 {
                        put(column, row, *covered);
                    }
                }
            }
        }
    }

    /// The text's glyphs, each with its face and its place from the text's beginning, and its width.
    fn set(&self, text: &str, size: f32, weight: Weight) -> (Vec<(usize, Glyph)>, f32) {
        let mut glyphs: Vec<(usize, Glyph)> = Vec::new();
        let mut x = 0.0;
        for c in text.chars() {
            let at = self.faces.iter().position(|face| face.glyph_id(c).0 != 0);
            let (at, c) = at.map_or((0, '?'), |at| (at, c));
            let face = &self.faces[at];
            let scale = face.units_per_em().map_or(size, |em| size * face.height_unscaled() / em);
            let scaled = face.as_scaled(PxScale::from(scale));
            let id = scaled.glyph_id(c);
            if let Some((before_at, before)) = glyphs.last()
                && *before_at == at
            {
                x += scaled.kern(before.id, id);
            }
            glyphs.push((at, id.with_scale_and_position(scale, point(x, 0.0))));
            x += scaled.h_advance(id) + size * weight.spread() * 0.6;
        }
        (glyphs, x)
    }
}
