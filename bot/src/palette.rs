//! The four colours that cards and charts share: told apart by people who see colours differently. They never carry a
//! meaning alone: a word, a shape, a dash or a marker always says the same.

/// A colour as red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rgb(pub(crate) u8, pub(crate) u8, pub(crate) u8);

pub(crate) const BLUE: Rgb = Rgb(0x00, 0x72, 0xB2);
pub(crate) const ORANGE: Rgb = Rgb(0xE6, 0x9F, 0x00);
pub(crate) const VERMILION: Rgb = Rgb(0xD5, 0x5E, 0x00);
pub(crate) const GREEN: Rgb = Rgb(0x00, 0x9E, 0x73);
