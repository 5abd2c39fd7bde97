//! Cards are worded for whoever types; in Discord buttons are pressed. What a card says to type is read here, said as it
//! is done in Discord, and becomes the buttons under it.

use std::time::Duration;

use scalebot_commands::card::Card;

/// What a card asks people to do, as its lines say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// To see to an escalation, by its number where it is said.
    Acknowledge(Option<u64>),
    /// To say why.
    Reason,
    /// To give their word.
    Attest,
    /// To begin a proposal, or dismiss it.
    StartOrDismiss,
    /// To stop what was begun by itself.
    Cancel,
}

const ACKNOWLEDGE: &str = "Type: acknowledge";
const REASON: &str = "Type \"reason: TEXT\".";
const ATTEST: &str = "Type \"attest: TEXT\".";
const START: &str = "Type: start. Or type: dismiss, and this stays quiet for ";
const CANCEL: &str = "To stop it, type: cancel";

/// What the card asks for.
pub(crate) fn asks(card: &Card) -> Option<Asks> {
    card.lines.iter().find_map(|line| {
        if let Some((_, number)) = line.split_once(ACKNOWLEDGE) {
            return Some(Asks::Acknowledge(number.trim().trim_end_matches('.').parse().ok()));
        }
        match line {
            line if line.contains(REASON) => Some(Asks::Reason),
            line if line.contains(ATTEST) => Some(Asks::Attest),
            line if line.contains(START) => Some(Asks::StartOrDismiss),
            line if line.contains(CANCEL) => Some(Asks::Cancel),
            _ => None,
        }
    })
}

/// A line as it is said in Discord.
pub(crate) fn line(line: &str) -> String {
    if let Some((before, _)) = line.split_once(ACKNOWLEDGE) {
        return format!("{before}Press Acknowledge.");
    }
    if let Some((before, quiet)) = line.split_once(START) {
        return format!("{before}Press Start. Or press Dismiss, and this stays quiet for {quiet}");
    }
    line.replace(REASON, "Press Say why.")
        .replace(ATTEST, "Press I attest it.")
        .replace(CANCEL, "To stop it, press Cancel.")
}

/// What somebody is answered, as it is said in Discord.
pub(crate) fn answer(text: &str) -> String {
    text.replace("Say it with your mark: override: TEXT", "Press Approve and say why.")
        .replace("Say which:\nacknowledge ", "Press which:\nacknowledge ")
}

/// Escalations that an answer offers to acknowledge, by number.
pub(crate) fn offered(text: &str) -> Vec<u64> {
    let number = |line: &str| line.strip_prefix("acknowledge ")?.split_once(':')?.0.parse().ok();
    text.lines().filter_map(number).collect()
}

/// How long a line says that somebody has from now, and where in the line that is said.
pub(crate) fn deadline(line: &str) -> Option<(usize, Duration)> {
    const BEFORE: [&str; 7] = [
        "Decide within ",
        "decides within ",
        "cknowledge it within ",
        "answer within ",
        "says so within ",
        "It holds for ",
        "For ",
    ];
    let begun = |phrase: &&str| {
        let at = line.find(*phrase)?;
        // What took too long is over; and a word that begins as one of these is another.
        let means_it = if *phrase == "For " { at == 0 } else { !line[..at].ends_with("not ") };
        means_it.then_some(at + phrase.len())
    };
    let at = BEFORE.iter().find_map(begun)?;
    let (length, taken) = spoken(&line[at..])?;
    Some((at + taken, length))
}

/// A length of time as our cards say it: "15 min", "1 h 5 min", "120 s".
fn spoken(text: &str) -> Option<(Duration, usize)> {
    let (mut total, mut taken) = (Duration::ZERO, 0);
    loop {
        let rest = text[taken..].trim_start();
        let skipped = text.len() - taken - rest.len();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = rest[..digits].parse::<u64>() else { break };
        let units = [(" min", 60), (" h", 3_600), (" s", 1)];
        let Some((unit, seconds)) = units.into_iter().find(|(unit, _)| {
            let after = rest[digits..].strip_prefix(unit);
            after.is_some_and(|after| !after.starts_with(char::is_alphanumeric))
        }) else {
            break;
        };
        total += Duration::from_secs(number.checked_mul(seconds)?);
        taken += skipped + digits + unit.len();
    }
    (taken > 0).then_some((total, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_at_a_console_is_pressed_in_discord() {
        assert_eq!(
            line("Acknowledge it within 15 min. Type: acknowledge 41"),
            "Acknowledge it within 15 min. Press Acknowledge."
        );
        assert_eq!(
            line("Type: start. Or type: dismiss, and this stays quiet for 1 h."),
            "Press Start. Or press Dismiss, and this stays quiet for 1 h."
        );
        assert_eq!(line("Going on."), "Going on.");
        assert_eq!(
            answer("Lifting a limit needs a reason. Say it with your mark: override: TEXT"),
            "Lifting a limit needs a reason. Press Approve and say why."
        );
    }

    #[test]
    fn escalations_that_are_offered_are_read_from_the_answer() {
        let text =
            "2 escalations are open. Say which:\nacknowledge 41: CRITICAL, x, operation a\nacknowledge 7: HIGH, y";
        assert_eq!(offered(text), [41, 7]);
        assert_eq!(offered("Nothing is open."), <[u64; 0]>::default());
    }

    #[test]
    fn a_time_to_decide_is_found_where_it_is_said() {
        let found = |line: &str| deadline(line).map(|(at, length)| (line[..at].to_owned(), length.as_secs()));
        assert_eq!(found("Decide within 15 min: one ✅ approves it."), Some(("Decide within 15 min".into(), 900)));
        assert_eq!(found("Acknowledge it within 1 h 5 min."), Some(("Acknowledge it within 1 h 5 min".into(), 3_900)));
        assert_eq!(found("For 2 min 30 s: ✅ halts"), Some(("For 2 min 30 s".into(), 150)));
        assert_eq!(found("op: answer within 120 s, for the record."), Some(("op: answer within 120 s".into(), 120)));
        // What is over is no deadline.
        assert_eq!(found("No governance lead decided within 15 min."), None);
        assert_eq!(found("Not ready: api-2 (the instance did not answer within 1 s)."), None);
        assert_eq!(found("They would be within every limit."), None);
        assert_eq!(found("Decide within 15 minutes"), None);
    }
}
