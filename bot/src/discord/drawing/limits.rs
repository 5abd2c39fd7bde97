//! Discord's limits, each a named constant, the library's where it has one. Lengths are counted in UTF-16 units: whatever
//! Discord counts, it is no more than that.

#[cfg(test)]
mod beyond;

use serenity::constants;

#[cfg(test)]
pub(crate) use self::beyond::{CUSTOM_ID, beyond};

pub(crate) const CONTENT: usize = constants::MESSAGE_CODE_LIMIT;
pub(crate) const TITLE: usize = 256;
pub(crate) const DESCRIPTION: usize = 4_096;
pub(crate) const FOOTER: usize = 2_048;
pub(crate) const ALL_EMBEDS: usize = constants::EMBED_MAX_LENGTH;
pub(crate) const ROWS: usize = 5;
pub(crate) const BUTTONS_IN_A_ROW: usize = 5;
pub(crate) const LABEL: usize = 80;
pub(crate) const ALT_TEXT: usize = 1_024;
pub(crate) const FILES: usize = 10;
pub(crate) const THREAD_NAME: usize = 100;
pub(crate) const CHOICE: usize = 100;
pub(crate) const CHOICES: usize = 25;
pub(crate) const FORM_TITLE: usize = 45;
pub(crate) const FORM_LABEL: usize = 45;
pub(crate) const FORM_HINT: usize = 100;

/// How long Discord may find a text.
pub(crate) fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}
