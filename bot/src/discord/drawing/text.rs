//! Text as Discord shows it: nothing in it acts as markup, mentions anybody, hides or turns direction, and a length that
//! is given is kept, with what was left out said.

use std::collections::BTreeMap;
use std::time::Duration;

use scalebot_commands::units::Timestamp;
use serenity::all::UserId;

use super::limits::length;

/// What stands where a text was cut.
const CUT: &str = "…";

/// The longest name of a person that is shown, in characters.
const NAME: usize = 32;

/// What people are called, by their identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(BTreeMap<UserId, String>);

impl Names {
    /// Somebody is called that.
    pub(crate) fn learn(&mut self, user: UserId, name: &str) {
        let name = visible(name.trim(), NAME);
        if !name.is_empty() {
            self.0.insert(user, name);
        }
    }

    /// What somebody is called, as far as it is known.
    pub(crate) fn of(&self, user: UserId) -> Option<&str> {
        self.0.get(&user).map(String::as_str)
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A text as markup that shows exactly it, of at most `most` units. People appear as mentions, which Discord shows by
/// name, and which notify nobody, because no message allows it to.
pub(crate) fn marked(text: &str, most: usize) -> String {
    cut(pieces(text).map(|piece| piece.marked()), most)
}

/// The same for places that show no mentions: people appear by name.
pub(crate) fn marked_by_name(text: &str, names: &Names, most: usize) -> String {
    cut(pieces(text).map(|piece| piece.marked_by_name(names)), most)
}

/// A text for places without markup, with people by name.
pub(crate) fn plain(text: &str, names: &Names, most: usize) -> String {
    cut(pieces(text).map(|piece| piece.plain(names)), most)
}

/// The people that a text names.
pub(crate) fn people(text: &str) -> impl Iterator<Item = UserId> + '_ {
    pieces(text).filter_map(|piece| match piece {
        Piece::Person(user) => Some(user),
        _ => None,
    })
}

/// The beginning of a row of pieces, and a mark where it was cut. No piece is ever cut in two.
fn cut(pieces: impl Iterator<Item = String>, most: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    // Up to here there is room for the mark.
    let mut safe = 0;
    for piece in pieces {
        let next = length(&piece);
        if used + next > most {
            out.truncate(safe);
            if length(CUT) <= most {
                out.push_str(CUT);
            }
            return out;
        }
        out.push_str(&piece);
        used += next;
        if used + length(CUT) <= most {
            safe = out.len();
        }
    }
    out
}

/// One visible thing in a text.
enum Piece<'a> {
    Character(char, Place),
    /// The number of a person.
    Person(UserId),
    /// A moment, with what it is as Discord counts.
    Moment(&'a str, i64),
    /// An address that can be followed.
    Address(&'a str),
}

/// Where in its line a character stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// With nothing but space before it.
    Beginning,
    /// With nothing but a number before it.
    AfterNumber,
    /// Anywhere else.
    Inside,
}

impl Place {
    /// Where the next character stands.
    fn after(self, character: char) -> Self {
        match (self, character) {
            (_, '\n') => Self::Beginning,
            (place, character) if place != Self::Inside && character.is_ascii_digit() => Self::AfterNumber,
            (Self::Beginning, character) if character.is_whitespace() => Self::Beginning,
            _ => Self::Inside,
        }
    }
}

impl Piece<'_> {
    fn marked(&self) -> String {
        match self {
            Self::Person(user) => format!("<@{user}>"),
            Self::Moment(text, seconds) => format!("{text} (<t:{seconds}:R>)"),
            Self::Address(address) => (*address).to_owned(),
            Self::Character(character, place) => escaped(*character, *place),
        }
    }

    fn marked_by_name(&self, names: &Names) -> String {
        match self {
            Self::Person(user) => match names.of(*user) {
                Some(name) => name.chars().map(|character| escaped(character, Place::Inside)).collect(),
                None => user.to_string(),
            },
            Self::Moment(text, _) => (*text).to_owned(),
            other => other.marked(),
        }
    }

    fn plain(&self, names: &Names) -> String {
        match self {
            Self::Person(user) => names.of(*user).map_or_else(|| user.to_string(), ToOwned::to_owned),
            Self::Moment(text, _) => (*text).to_owned(),
            Self::Address(address) => (*address).to_owned(),
            Self::Character(character, _) => shown(*character).map(String::from).unwrap_or_default(),
        }
    }
}

/// A character that Discord shows as itself.
fn escaped(character: char, place: Place) -> String {
    match shown(character) {
        Some(character) if is_markup(character, place) => format!("\\{character}"),
        Some(character) => character.to_string(),
        None => String::new(),
    }
}

/// Whether a character may begin or end markup there: some anywhere, some only where a line begins.
fn is_markup(character: char, place: Place) -> bool {
    match place {
        Place::Beginning if matches!(character, '#' | '>' | '-' | '+') => true,
        Place::AfterNumber if matches!(character, '.' | ')') => true,
        _ => matches!(character, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '[' | ']' | '@'),
    }
}

/// The character, a space for what is white, and nothing for what hides, joins, turns or is no character.
fn shown(character: char) -> Option<char> {
    match character {
        '\n' => Some('\n'),
        character if character.is_whitespace() => Some(' '),
        character => (!scalebot_commands::request::escaped(character.encode_utf8(&mut [0; 4]), 1).starts_with("\\u"))
            .then_some(character),
    }
}

/// At most so many visible characters of a name, in one line.
fn visible(text: &str, most: usize) -> String {
    text.chars().filter_map(shown).map(|character| if character == '\n' { ' ' } else { character }).take(most).collect()
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    // What stands before the place at hand, so that part of a word is no number or address of its own.
    let mut before = ' ';
    let mut place = Place::Beginning;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        let begins = !before.is_alphanumeric();
        let found = begins.then(|| person(rest).or_else(|| moment(rest)).or_else(|| address(rest))).flatten();
        let (piece, taken) = found.unwrap_or((Piece::Character(first, place), first.len_utf8()));
        let piece = match piece {
            // "14.2" begins no list.
            Piece::Character(mark, Place::AfterNumber)
                if !rest[taken..].starts_with([' ', '\n']) && taken < rest.len() =>
            {
                Piece::Character(mark, Place::Inside)
            }
            piece => piece,
        };
        place = if taken == first.len_utf8() { place.after(first) } else { Place::Inside };
        before = rest[..taken].chars().next_back().unwrap_or(' ');
        at += taken;
        Some(piece)
    })
}

fn person(rest: &str) -> Option<(Piece<'_>, usize)> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let ends = !rest[digits..].starts_with(char::is_alphanumeric);
    let user = (17..=20).contains(&digits).then(|| rest[..digits].parse().ok()).flatten()?;
    ends.then_some((Piece::Person(user), digits))
}

fn moment(rest: &str) -> Option<(Piece<'_>, usize)> {
    const LENGTH: usize = "2026-01-08 02:41:00 UTC".len();
    let text =
        rest.get(..LENGTH).filter(|text| text.ends_with(" UTC") && text.starts_with(|c: char| c.is_ascii_digit()))?;
    let at: Timestamp = format!("{}T{}Z", &text.get(..10)?, &text.get(11..19)?).parse().ok()?;
    Some((Piece::Moment(text, at.as_second()), LENGTH))
}

/// An address of plain characters is left as it is: escaped, it would lead elsewhere. It has nothing that is markup
/// within an address.
fn address(rest: &str) -> Option<(Piece<'_>, usize)> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme))?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-~:?&=%+#,;".contains(c);
    let length = rest.find(|c: char| !is_plain(c)).unwrap_or(rest.len());
    // What ends a sentence is no part of an address.
    let length = rest[..length].trim_end_matches(['.', ',', ';', ':', '?']).len();
    (length > scheme.len()).then_some((Piece::Address(&rest[..length]), length))
}

/// A length of time from now as Discord counts down to it.
pub(crate) fn until(now: Timestamp, left: Duration) -> String {
    format!("<t:{}:R>", (now + left).as_second())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.learn(UserId::new(80_351_110_224_678_912), "Ada *L*\u{202e}");
        names
    }

    #[test]
    fn no_text_acts_as_markup_or_mentions_anybody() {
        let said = |text: &str| marked(text, 4_000);
        assert_eq!(said("**bold** _it_ `x` ~~y~~ ||z||"), r"\*\*bold\*\* \_it\_ \`x\` \~\~y\~\~ \|\|z\|\|");
        assert_eq!(said("@everyone <@&42> <#1> [a](b)"), r"\@everyone \<\@&42> \<#1> \[a\](b)");
        assert_eq!(said("# head\n> quote\n- item\n -# small"), "\\# head\n\\> quote\n\\- item\n \\-# small");
        assert_eq!(
            said("1. item\n20) item\np99: 2.5 of #3 - 1\n14.2 x"),
            "1\\. item\n20\\) item\np99: 2.5 of #3 - 1\n14.2 x"
        );
        assert_eq!(said("zero\u{200b}width \u{202e}turned\u{2066} \u{7}bell"), "zerowidth turned bell");
        assert_eq!(said("a\r\nb\tc\u{a0}d"), "a \nb c d");
    }

    #[test]
    fn a_person_is_a_mention_where_that_is_shown_and_a_name_elsewhere() {
        let text = "asked by 80351110224678912.";
        assert_eq!(marked(text, 100), "asked by <@80351110224678912>.");
        assert_eq!(marked_by_name(text, &names(), 100), r"asked by Ada \*L\*.");
        assert_eq!(plain(text, &names(), 100), "asked by Ada *L*.");
        assert_eq!(plain("by 80351110224678913", &names(), 100), "by 80351110224678913");
        assert_eq!(marked("x80351110224678912 803511102246789123456", 100), "x80351110224678912 803511102246789123456");
        assert_eq!(people(text).collect::<Vec<_>>(), [UserId::new(80_351_110_224_678_912)]);
    }

    #[test]
    fn a_moment_is_told_in_utc_and_from_now() {
        assert_eq!(
            marked("halted since 2026-01-08 02:41:00 UTC.", 100),
            "halted since 2026-01-08 02:41:00 UTC (<t:1767840060:R>)."
        );
        assert_eq!(marked("2026-13-08 02:41:00 UTC", 100), "2026-13-08 02:41:00 UTC");
    }

    #[test]
    fn an_address_can_be_followed() {
        let said = |text: &str| marked(text, 100);
        assert_eq!(said("See https://grafana.example/d/api_p99?x=1."), "See https://grafana.example/d/api_p99?x=1.");
        assert_eq!(said("https://a.example/*x*"), r"https://a.example/\*x\*");
        assert_eq!(said("xhttps://a"), "xhttps://a");
    }

    #[test]
    fn what_is_too_long_is_cut_between_pieces_and_says_so() {
        assert_eq!(marked("abcdef", 6), "abcdef");
        assert_eq!(marked("abcdefg", 6), "abcde…");
        assert_eq!(marked("abc***", 6), r"abc\*…");
        assert_eq!(marked("by 80351110224678912", 10), "by …");
        assert_eq!(marked("abc", 0), "");
    }

    /// Pieces of texts that somebody means to act.
    fn mischief() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "@everyone",
                "@here",
                "<@&42>",
                "<#20>",
                "<:x:1>",
                "</scale:1>",
                "*",
                "_",
                "~",
                "`",
                "|",
                "\\",
                "\n",
                "> ",
                "# ",
                "- ",
                "[a](https://b)",
                "\u{202e}",
                "\u{200b}",
                "\u{1b}[2J",
                "80351110224678912",
                " ",
                "https://a.example/",
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_in_a_text_hides_turns_or_mentions_anybody_but_by_number(text in mischief()) {
            for out in [marked(&text, 4_000), marked_by_name(&text, &names(), 4_000)] {
                let line = out.replace('\n', " ");
                prop_assert_eq!(scalebot_commands::request::escaped(&line, 4_000), line.clone());
                for mention in ["@everyone", "@here", "<@&", "<#", "<:", "</"] {
                    for (at, _) in out.match_indices(mention) {
                        let before = out[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
                        prop_assert!(before % 2 == 1, "{mention} acts: {out:?}");
                    }
                }
            }
            let shown = plain(&text, &names(), 4_000).replace('\n', " ");
            prop_assert_eq!(scalebot_commands::request::escaped(&shown, 4_000), shown);
        }

        #[test]
        fn a_length_is_never_passed(text in ".{0,80}", most in 0_usize..100) {
            for out in [marked(&text, most), marked_by_name(&text, &names(), most), plain(&text, &names(), most)] {
                prop_assert!(length(&out) <= most, "{out:?}");
            }
        }
    }
}
