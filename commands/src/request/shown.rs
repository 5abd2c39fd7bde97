//! Outside text as it may be shown, in a card, a chat or a terminal: with nothing in it that acts.

/// A person's text as it may be shown: at most 60 characters, with everything escaped that is not a plain visible
/// character, so that it can neither move the cursor, nor turn the direction of the text, nor hide in it.
pub fn quoted(text: &str) -> String {
    escaped(text, 60)
}

/// Outside text as it may be shown, at most `longest` characters of it.
pub fn escaped(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == longest {
            shown.push('…');
            break;
        }
        if is_plain(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

/// Whether a character is shown as itself: neither a control, nor a format character, nor unusual white space.
fn is_plain(character: char) -> bool {
    let hidden = matches!(character,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}');
    !hidden && !character.is_control() && (character == ' ' || !character.is_whitespace())
}
