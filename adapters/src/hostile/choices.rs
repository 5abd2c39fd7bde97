//! Decisions that are read off bytes, one after the other: whoever finds the bytes decides.

/// Texts that act somewhere, or that somebody might take for something else.
const TEXTS: [&str; 24] = [
    "",
    " ",
    "@everyone <@&42> <@80351110224678912> <#20>",
    "**bold** __x__ ~~y~~ ||z|| `c` ```block```\n> quote\n# head\n- list",
    "[click](https://evil.example)",
    "\u{202e}desrever\u{202c}",
    "\u{200b}\u{2060}\u{feff}",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{0}",
    "\r\n\r\n\r\n",
    "9223372036854775808",
    "-1",
    "1e999",
    "NaN",
    "+Inf",
    "0x10",
    "999999999999999999999Gi",
    "2026-01-08T03:00:00Z",
    "-009999-01-02T01:59:59Z",
    "300%",
    "a=b,c in (d",
    "{\"spec\":{\"replicas\":\"x\"}}",
    "True",
    "🏳️‍🌈 e\u{301}\u{301}\u{301}\u{301}",
];

/// Numbers at which something ends.
const NUMBERS: [f64; 12] = [
    0.0,
    -0.0,
    -1.0,
    1.0,
    0.5,
    2_147_483_648.0,
    4_294_967_296.0,
    9_007_199_254_740_993.0,
    1.844_674_407_370_955_2e19,
    1e300,
    -1e300,
    5e-324,
];

/// Bytes as decisions. Where they end, every further decision is the first of its kind.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The decisions of these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One of so many, from 0; 0 also of none.
    pub fn one_of(&mut self, many: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first).checked_rem(many).unwrap_or(0)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A text that is none of the usual.
    pub fn text(&mut self) -> String {
        match self.one_of(TEXTS.len() + 3) {
            0 => {
                let (mine, rest) = self.0.split_at(self.0.len().min(16));
                self.0 = rest;
                String::from_utf8_lossy(mine).into_owned()
            }
            1 => "x\u{202e}*".repeat(25_000),
            2 => char::from(b' '.wrapping_add(u8::try_from(self.one_of(224)).unwrap_or(0))).to_string(),
            number => TEXTS.get(number - 3).copied().unwrap_or_default().to_owned(),
        }
    }

    /// A number that is none of the usual.
    pub fn number(&mut self) -> f64 {
        NUMBERS.get(self.one_of(NUMBERS.len())).copied().unwrap_or_default()
    }
}
