//! The people of a rehearsal, and what they type: `operator> /scale up 6`, `lead> approve`.

use scalebot_commands::approval::{Mark, Standing};
use scalebot_commands::ports::Role;
use scalebot_commands::units::Person;

/// Who speaks when a line names nobody.
const OPERATOR: &str = "operator";

/// Everybody there is, and whether they are a governance lead.
const PEOPLE: [(&str, bool); 4] = [(OPERATOR, false), ("lead", true), ("lead2", true), ("viewer", false)];

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
        Role::InfrastructureTeam | Role::SystemArchitect => false,
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
help                    show this
quit                    leave
People: operator, lead, lead2, viewer. A line without a name is the operator's.";

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
        text => match text.split_once(':') {
            Some(("reason", why)) => Said::Reason(why.trim().to_owned()),
            Some(("attest", word)) => Said::Attest(word.trim().to_owned()),
            _ => Said::Command(text.to_owned()),
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
    }

    #[test]
    fn only_leads_decide() {
        let holds = |name: &str| standing(&Person::new(name), Role::GovernanceLead).holds_role;
        assert_eq!(["operator", "lead", "lead2", "viewer", "mallory"].map(holds), [false, true, true, false, false]);
        assert!(!standing(&lead(), Role::SystemArchitect).holds_role);
    }
}
