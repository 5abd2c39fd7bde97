//! Who may do what: the one function that decides it, for every command and every mark, in chat and at a console.
//!
//! Roles are asked of the chat system at the moment they are needed. What could not be told is not permitted.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::patience::within;
use crate::ports::{Role, Room, World};
use crate::request::Request;
use crate::units::Person;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change the count, up or down.
    Change,
    /// Undo the latest operation.
    Rollback,
    /// See every check for a wanted count.
    Plan,
    /// See how the fleet is.
    Status,
    /// See the last operations.
    History,
    /// See what an instance carries.
    Capacity,
    /// See what has to be done later.
    Followups,
    /// Say that something of it is done.
    CloseFollowUp,
    /// See what can be asked.
    Help,
    /// Stop the operation under way.
    Cancel {
        /// Whether they asked for it themselves.
        own: bool,
    },
    /// Say that they see to an escalation.
    Acknowledge {
        /// The role that is told of it.
        role: Role,
    },
    /// Approve, reject or override.
    Decide,
    /// Answer the offer to halt the system.
    AnswerHaltOffer,
    /// Free the target of an operation that cannot go on.
    Abandon,
    /// Begin a scaling that was proposed.
    StartProposal,
    /// Dismiss a scaling that was proposed.
    DismissProposal,
}

/// Which roles a person holds at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Whether it is a person at all, and no bot.
    pub is_person: bool,
    /// The roles.
    pub held: BTreeSet<Role>,
}

/// Why somebody may not do something, in words for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They are no person.
    NoPerson,
    /// They hold none of the roles that may.
    Missing(Action),
    /// What they are could not be told.
    Untold {
        /// What they wanted to do.
        action: Action,
        /// Why it could not be.
        why: String,
    },
}

impl Action {
    /// What a command wants. A cancel is another's until it is known whose operation that is.
    pub fn of(request: &Request) -> Self {
        match request {
            Request::Change { .. } => Self::Change,
            Request::Rollback { .. } => Self::Rollback,
            Request::Plan { .. } => Self::Plan,
            Request::Status { .. } => Self::Status,
            Request::History { .. } => Self::History,
            Request::Cancel { .. } => Self::Cancel { own: false },
            Request::Capacity { .. } => Self::Capacity,
            Request::Followups { close: None, .. } => Self::Followups,
            Request::Followups { close: Some(_), .. } => Self::CloseFollowUp,
            Request::Help => Self::Help,
        }
    }

    /// The roles of which any one suffices; none means that every person may.
    pub fn roles(self) -> Vec<Role> {
        match self {
            Self::Plan | Self::Status | Self::History | Self::Capacity | Self::Help => vec![],
            Self::Change
            | Self::Rollback
            | Self::Followups
            | Self::CloseFollowUp
            | Self::StartProposal
            | Self::DismissProposal
            | Self::Acknowledge { role: Role::Operator } => vec![Role::Operator],
            Self::Cancel { own: true } => vec![Role::Operator, Role::GovernanceLead],
            Self::Acknowledge { role } => vec![Role::Operator, role],
            Self::Cancel { own: false } | Self::Decide | Self::AnswerHaltOffer | Self::Abandon => {
                vec![Role::GovernanceLead]
            }
        }
    }

    /// As it stands after "may".
    fn words(self) -> &'static str {
        match self {
            Self::Change => "change the count",
            Self::Rollback => "undo an operation",
            Self::Plan => "ask for a plan",
            Self::Status => "ask how the fleet is",
            Self::History => "ask for the last operations",
            Self::Capacity => "ask for the capacity",
            Self::Followups => "see the follow-ups",
            Self::CloseFollowUp => "close a follow-up",
            Self::Help => "ask for help",
            Self::Cancel { own: true } => "cancel an operation",
            Self::Cancel { own: false } => "cancel what somebody else asked for",
            Self::Acknowledge { .. } => "acknowledge this escalation",
            Self::Decide => "decide on this request",
            Self::AnswerHaltOffer => "answer the offer to halt the system",
            Self::Abandon => "abandon an operation",
            Self::StartProposal => "begin what was proposed",
            Self::DismissProposal => "dismiss what was proposed",
        }
    }
}

/// Whether somebody with these roles may do that. Every way in which something can be asked leads here.
///
/// # Errors
/// Why not.
pub fn may(roles: &Roles, action: Action) -> Result<(), Refusal> {
    let wanted = action.roles();
    match roles.is_person {
        false => Err(Refusal::NoPerson),
        true if wanted.is_empty() || wanted.iter().any(|role| roles.held.contains(role)) => Ok(()),
        true => Err(Refusal::Missing(action)),
    }
}

/// Asks the chat system who somebody is, each question within `limit`, and decides.
///
/// # Errors
/// Why not. What could not be told is refused.
pub async fn ask(
    room: &dyn Room,
    world: &dyn World,
    limit: Duration,
    person: &Person,
    action: Action,
) -> Result<(), Refusal> {
    let mut wanted = action.roles();
    if wanted.is_empty() {
        // Whether it is a person is told with any role.
        wanted.push(Role::Operator);
    }
    let mut roles = Roles::default();
    let mut untold = None;
    for role in wanted {
        match within(world, limit, "the chat system", room.standing(person, role)).await {
            Ok(standing) => {
                roles.is_person |= standing.is_person;
                if standing.holds_role {
                    roles.held.insert(role);
                }
            }
            Err(error) => untold = Some(error.to_string()),
        }
    }
    match (may(&roles, action), untold) {
        (Err(_), Some(why)) => Err(Refusal::Untold { action, why }),
        (decided, _) => decided,
    }
}

/// "an operator or a governance lead".
pub fn any_of(roles: &[Role]) -> String {
    let named: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Operator => "an operator",
            Role::GovernanceLead => "a governance lead",
            Role::InfrastructureTeam => "somebody of the infrastructure team",
            Role::SystemArchitect => "a system architect",
        })
        .collect();
    if named.is_empty() { "everybody".to_owned() } else { named.join(" or ") }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPerson => f.write_str("Only a person may ask for something here. Nothing was done."),
            Self::Missing(action) => {
                let who = any_of(&action.roles());
                write!(f, "Only {who} may {}. Nothing was done.\nAsk {who}.", action.words())
            }
            Self::Untold { action, why } => write!(
                f,
                "Only {} may {}, and it could not be told whether you are one: {why}.\nNothing was done. Try again in a moment.",
                any_of(&action.roles()).replace("everybody", "a person"),
                action.words()
            ),
        }
    }
}

#[cfg(test)]
mod tests;
