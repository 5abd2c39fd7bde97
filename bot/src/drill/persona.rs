//! The people of a rehearsal, and what they type: `operator> /scale up 6`, `lead> approve`.

use scalebot_commands::approval::{Mark, Standing};
use scalebot_commands::ports::Role;
use scalebot_commands::units::Person;

/// Who speaks when a line names nobody.
const OPERATOR: &str = "operator";

/// Everybody there is, and whether they are a governance lead.
const PEOPLE: [(&str, bool); 6] = [
    (OPERATOR, false),
    ("lead", true),
    ("lead2", true),
    (ARCHITECT, false),
    (INFRASTRUCTURE, false),
    ("viewer", false),
];

/// Who holds the role of the system architect.
const ARCHITECT: &str = "architect";

/// Who is the infrastructure team.
const INFRASTRUCTURE: &str = "infra";

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
    let holds_role = match role {
        Role::Operator => person.as_str() == OPERATOR,
        Role::GovernanceLead => known.is_some_and(|(_, leads)| *leads),
        Role::InfrastructureTeam => person.as_str() == INFRASTRUCTURE,
        Role::SystemArchitect => person.as_str() == ARCHITECT,
    };
    Standing { is_person: known.is_some(), holds_role }
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
    /// To know what can be typed.
    Help,
    /// To put a mark on the request that is open.
    Vote(Mark),
    /// To take the mark back.
    Withdraw,
    /// To stop the operation under way.
    Cancel,
    /// To say why it is done.
    Reason(String),
    /// To give their word on what they were asked.
    Attest(String),
    /// To see to an escalation: the one of that number, or the only one.
    Acknowledge(Option<u64>),
    /// To begin what is proposed.
    Start,
    /// Not to do what is proposed.
    Dismiss,
    /// Whatever else: a command, or no command.
    Command(String),
}

/// What can be typed.
pub(crate) const HELP: &str = "\
/scale up 6             have six instances in all; add reason:\"…\" to say why
lead> approve           decide, as a governance lead; also: reject, withdraw
operator> cancel        stop the operation under way
operator> reason: TEXT  say why it is done, when asked
operator> attest: TEXT  give your word that keys are reached, when asked
architect> acknowledge  see to an escalation; with its number where several are
operator> start         do what is proposed; or: dismiss
help                    show this
quit                    leave
People: operator, lead, lead2, architect, infra, viewer.
A line without a name is the operator's.";

/// Reads a line. A name that is nobody's is part of the text, so that it is answered as no command.
pub(crate) fn read(line: &str) -> Line {
    let trimmed = line.trim();
    let (by, text) = match trimmed.split_once('>') {
        Some((name, rest)) if PEOPLE.iter().any(|(known, _)| *known == name.trim()) => {
            (Person::new(name.trim()), rest.trim())
        }
        _ => (operator(), trimmed),
    };
    let said = match text {
        "" => Said::Nothing,
        "quit" | "exit" => Said::Quit,
        "help" | "/scale help" => Said::Help,
        "approve" | "✅" => Said::Vote(Mark::Approve),
        "reject" | "❌" => Said::Vote(Mark::Reject),
        "withdraw" => Said::Withdraw,
        "cancel" | "/scale cancel" => Said::Cancel,
        "acknowledge" => Said::Acknowledge(None),
        "start" => Said::Start,
        "dismiss" => Said::Dismiss,
        text => match text.split_once(':') {
            Some(("reason", why)) => Said::Reason(why.trim().to_owned()),
            Some(("attest", word)) => Said::Attest(word.trim().to_owned()),
            _ => match text.strip_prefix("acknowledge ").map(|number| number.trim().parse()) {
                Some(Ok(number)) => Said::Acknowledge(Some(number)),
                _ => Said::Command(text.to_owned()),
            },
        },
    };
    Line { by, said }
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
        assert_eq!(said("lead> approve"), ("lead".to_owned(), Said::Vote(Mark::Approve)));
        assert_eq!(said(" operator>/scale up 6 "), ("operator".to_owned(), Said::Command("/scale up 6".to_owned())));
        assert_eq!(said("/scale up 6"), ("operator".to_owned(), Said::Command("/scale up 6".to_owned())));
        assert_eq!(said("mallory> approve"), ("operator".to_owned(), Said::Command("mallory> approve".to_owned())));
        assert_eq!(said(""), ("operator".to_owned(), Said::Nothing));
        assert_eq!(said("architect> acknowledge"), ("architect".to_owned(), Said::Acknowledge(None)));
        assert_eq!(said("infra> acknowledge 14"), ("infra".to_owned(), Said::Acknowledge(Some(14))));
        assert_eq!(said("acknowledge it"), ("operator".to_owned(), Said::Command("acknowledge it".to_owned())));
    }

    #[test]
    fn only_leads_decide() {
        let holds = |name: &str| standing(&Person::new(name), Role::GovernanceLead).holds_role;
        assert_eq!(["operator", "lead", "lead2", "viewer", "mallory"].map(holds), [false, true, true, false, false]);
        assert!(!standing(&lead(), Role::SystemArchitect).holds_role);
    }
}
