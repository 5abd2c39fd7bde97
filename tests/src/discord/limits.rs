//! Every bound of a message. Lengths are counted in Unicode code points, after the blanks around have been taken off.

/// Characters in a message.
pub const CONTENT: usize = 2000;
/// Embeds in a message.
pub const EMBEDS: usize = 10;
/// Characters in an embed's title.
pub const EMBED_TITLE: usize = 256;
/// Characters in an embed's description.
pub const EMBED_DESCRIPTION: usize = 4096;
/// Fields of an embed.
pub const EMBED_FIELDS: usize = 25;
/// Characters in a field's name.
pub const FIELD_NAME: usize = 256;
/// Characters in a field's value.
pub const FIELD_VALUE: usize = 1024;
/// Characters in a footer.
pub const EMBED_FOOTER: usize = 2048;
/// Characters in an author's name.
pub const EMBED_AUTHOR: usize = 256;
/// Characters over all embeds of a message.
pub const EMBED_TOTAL: usize = 6000;
/// Characters in a link.
pub const URL: usize = 2048;
/// Rows of buttons, and buttons in a row.
pub const ROWS: usize = 5;
/// Characters in a component's own identifier.
pub const CUSTOM_ID: usize = 100;
/// Characters on a button.
pub const BUTTON_LABEL: usize = 80;
/// Choices of a select menu.
pub const SELECT_OPTIONS: usize = 25;
/// Characters in a choice's label, value, description.
pub const SELECT_TEXT: usize = 100;
/// Characters in a placeholder of a select menu.
pub const SELECT_PLACEHOLDER: usize = 150;
/// Characters of an attachment's alternative text.
pub const ATTACHMENT_DESCRIPTION: usize = 1024;
/// Files in a message.
pub const FILES: usize = 10;
/// Bytes of one file, in a server that nobody boosts.
pub const FILE_BYTES: usize = 10 * 1024 * 1024;
/// Characters in a nonce.
pub const NONCE: usize = 25;
/// Distinct reactions on a message.
pub const REACTIONS: usize = 20;
/// Roles or people that may be named as mentionable.
pub const ALLOWED_MENTIONS: usize = 100;

/// Flag of a message: only the person who asked sees it.
pub const EPHEMERAL: u64 = 1 << 6;
/// Flag of a message: "is thinking…".
pub const LOADING: u64 = 1 << 7;
/// Flag of a message: a thread was started from it.
pub const HAS_THREAD: u64 = 1 << 5;
/// Flags that a sender may set.
pub(crate) const SETTABLE: u64 = (1 << 2) | EPHEMERAL | (1 << 12);
