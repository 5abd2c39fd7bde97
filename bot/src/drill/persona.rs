//! The people of a rehearsal, and what they type: `operator> /scale up 6`, `lead> approve`.

use scalebot_commands::approval::{Mark, Standing};
use scalebot_commands::ports::Role;
use scalebot_commands::request::{self, Request, Word};
use scalebot_commands::units::Person;

/// Who speaks when a line names nobody.
const OPERATOR: &str = "operator";

/// Everybody there is, and the roles that they hold.
const PEOPLE: [(&str, &[Role]); 7] = [
    (OPERATOR, &[Role::Operator]),
    ("operator2", &[Role::Operator]),
    ("lead", &[Role::GovernanceLead]),
    // An operator as well: even so, nobody approves their own request.
    ("lead2", &[Role::GovernanceLead, Role::Operator]),
    ("architect", &[Role::SystemArchitect]),
    ("infra", &[Role::InfrastructureTeam]),
    ("viewer", &[]),
];

/// The lead who decides for `--approve` and `--reject`.
pub(crate) fn lead() -> Person {
    Person::new("lead")
}

/// Who asks when the command stands on the command line.
pub(crate) fn operator() -> Person {
    Person::new(OPERATOR)
}

/// Who somebody is in the rehearsal.
pub(crate) fn standing(person: &Person, role: Role) -> Standing {
    let known = PEOPLE.iter().find(|(name, _)| *name == person.as_str());
    Standing { is_person: known.is_some(), holds_role: known.is_some_and(|(_, held)| held.contains(&role)) }
}

/// A line as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Who speaks.
    pub(crate) by: Person,
    /// What they want.
    pub(crate) said: Said,
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing: an empty line.
    Nothing,
    /// To leave.
    Quit,
    /// To put a mark on the request that is open, and why.
    Vote(Mark, Option<String>),
    /// To take the mark back.
    Withdraw,
    /// To have the system halted, or not, where that is offered.
    Halt(bool),
    /// To stop the operation under way.
    Cancel,
    /// To say why it is done.
    Reason(String),
    /// To give their word on what they were asked.
    Attest(String),
    /// To see to an escalation; without a number, to the only one.
    Acknowledge(Option<u64>),
    /// To begin what was proposed.
    Start,
    /// To dismiss what was proposed.
    Dismiss,
    /// Whatever else: a command, or no command.
    Command(String),
    /// More than a line may hold: nothing of it is done.
    TooLong,
}

/// The longest line, in characters.
pub(crate) const LONGEST: usize = 2_000;

/// What whoever says more is told.
pub(crate) const TOO_LONG: &str =
    "That line has more than 2,000 characters, so nothing of it was done. Say it shorter.";

/// What can be typed here beside the commands.
pub(crate) const HELP: &str = "\
At this console, too:
lead> approve           decide, as a governance lead; also: reject, withdraw
lead> override: TEXT    approve, and say why; also: approve: TEXT, reject: TEXT
lead> halt              answer the offer to halt the system; also: no halt
operator> cancel        stop the operation under way
operator> reason: TEXT  say why it is done, when asked
operator> attest: TEXT  give your word that keys are reached, when asked
operator> acknowledge   see to an escalation; with its number if several
operator> start         begin what was proposed; also: dismiss
quit                    leave
People: operator, operator2, lead, lead2, architect, infra, viewer.
A line without a name is the operator's. /scale may be left out of a question.";

/// The commands of which `/scale` may be left out: those that change nothing, or stop.
const WITHOUT_SLASH: [Word; 7] =
    [Word::Plan, Word::Status, Word::History, Word::Capacity, Word::Followups, Word::Help, Word::Cancel];

/// Reads a line. A name that is nobody's is part of the text, so that it is answered as no command.
pub(crate) fn read(line: &str) -> Line {
    let trimmed = line.trim();
    let (by, text) = match trimmed.split_once('>') {
        Some((name, rest)) if PEOPLE.iter().any(|(known, _)| *known == name.trim()) => {
            (Person::new(name.trim()), rest.trim())
        }
        _ => (operator(), trimmed),
    };
    let is_too_long = line.chars().nth(LONGEST).is_some();
    Line { by, said: if is_too_long { Said::TooLong } else { said(text) } }
}

fn said(text: &str) -> Said {
    match text {
        "" => Said::Nothing,
        "quit" | "exit" => Said::Quit,
        "approve" | "✅" => Said::Vote(Mark::Approve, None),
        "reject" | "❌" => Said::Vote(Mark::Reject, None),
        "withdraw" => Said::Withdraw,
        "halt" => Said::Halt(true),
        "no halt" => Said::Halt(false),
        "cancel" | "/scale cancel" => Said::Cancel,
        "acknowledge" => Said::Acknowledge(None),
        "start" => Said::Start,
        "dismiss" => Said::Dismiss,
        text => other(text),
    }
}

fn other(text: &str) -> Said {
    if let Some(number) = text.strip_prefix("acknowledge ").and_then(|number| number.trim().parse().ok()) {
        return Said::Acknowledge(Some(number));
    }
    let why = |why: &str| Some(why.trim().to_owned()).filter(|why| !why.is_empty());
    match text.split_once(':') {
        Some(("reason", text)) => return Said::Reason(text.trim().to_owned()),
        Some(("attest", text)) => return Said::Attest(text.trim().to_owned()),
        Some(("approve" | "override", text)) => return Said::Vote(Mark::Approve, why(text)),
        Some(("reject", text)) => return Said::Vote(Mark::Reject, why(text)),
        _ => {}
    }
    let first = text.split_whitespace().next().and_then(Word::parse);
    let command = match first {
        Some(word) if WITHOUT_SLASH.contains(&word) => format!("/scale {text}"),
        _ => text.to_owned(),
    };
    // However it is written, it is for the operation under way.
    match request::parse(&command) {
        Ok(Request::Cancel { target: None }) => Said::Cancel,
        _ => Said::Command(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_named_persons_or_else_the_operators() {
        let said = |text: &str| {
            let line = read(text);
            (line.by.to_string(), line.said)
        };
        assert_eq!(said("lead> approve"), ("lead".to_owned(), Said::Vote(Mark::Approve, None)));
        assert_eq!(said(" operator>/scale up 6 "), ("operator".to_owned(), Said::Command("/scale up 6".to_owned())));
        assert_eq!(said("/scale up 6"), ("operator".to_owned(), Said::Command("/scale up 6".to_owned())));
        assert_eq!(said("mallory> approve"), ("operator".to_owned(), Said::Command("mallory> approve".to_owned())));
        assert_eq!(said(""), ("operator".to_owned(), Said::Nothing));
    }

    #[test]
    fn a_question_is_understood_with_and_without_its_slash_and_a_change_only_with_it() {
        let said = |text: &str| read(text).said;
        let command = |text: &str| Said::Command(text.to_owned());
        assert_eq!(said("status"), command("/scale status"));
        assert_eq!(said("viewer> history 5"), command("/scale history 5"));
        assert_eq!(said("help"), command("/scale help"));
        assert_eq!(said("up 6"), command("up 6"));
        assert_eq!(said("rollback"), command("rollback"));
        for cancel in ["cancel", "/scale cancel", "/scale  cancel", "lead> /scale cancel"] {
            assert_eq!(said(cancel), Said::Cancel, "{cancel}");
        }
        // One that names a target is answered like any command.
        assert_eq!(said("cancel target:web"), command("/scale cancel target:web"));
    }

    #[test]
    fn a_line_that_is_too_long_is_its_speakers_and_nothing_of_it_is_done() {
        let line = |length: usize| format!("{:é<length$}", "lead> reason: ");
        assert!(matches!(read(&line(LONGEST)), Line { said: Said::Reason(_), .. }));
        assert_eq!(read(&line(LONGEST + 1)), Line { by: lead(), said: Said::TooLong });
        assert_eq!(read(&format!("approve{:LONGEST$}", "")).said, Said::TooLong);
        assert!(TOO_LONG.contains("2,000"), "it names the limit: {LONGEST}");
    }

    #[test]
    fn a_mark_may_say_why() {
        let said = |text: &str| read(text).said;
        let why = |mark| Said::Vote(mark, Some("we need it".to_owned()));
        assert_eq!(said("lead> override: we need it"), why(Mark::Approve));
        assert_eq!(said("lead> approve: we need it "), why(Mark::Approve));
        assert_eq!(said("lead> reject: we need it"), why(Mark::Reject));
        assert_eq!(said("lead> approve:"), Said::Vote(Mark::Approve, None));
        assert_eq!((said("lead> halt"), said("lead> no halt")), (Said::Halt(true), Said::Halt(false)));
        assert_eq!(said("architect> acknowledge 41"), Said::Acknowledge(Some(41)));
        assert_eq!(said("architect> acknowledge"), Said::Acknowledge(None));
        assert_eq!(said("acknowledge x"), Said::Command("acknowledge x".to_owned()));
    }

    #[test]
    fn everybody_holds_the_roles_of_their_name_and_no_others() {
        use Role::{GovernanceLead, InfrastructureTeam, Operator, SystemArchitect};
        let held = |name: &str| {
            let all = [Operator, GovernanceLead, InfrastructureTeam, SystemArchitect];
            all.into_iter().filter(|role| standing(&Person::new(name), *role).holds_role).collect::<Vec<_>>()
        };
        assert_eq!(["operator", "operator2"].map(held), [[Operator], [Operator]]);
        assert_eq!((held("lead"), held("lead2")), (vec![GovernanceLead], vec![Operator, GovernanceLead]));
        assert_eq!((held("architect"), held("infra")), (vec![SystemArchitect], vec![InfrastructureTeam]));
        assert_eq!(["viewer", "mallory"].map(held), [[], []]);
        assert!(standing(&Person::new("viewer"), Operator).is_person);
        assert!(!standing(&Person::new("mallory"), Operator).is_person);
    }
}
