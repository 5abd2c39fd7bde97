//! Who may do what: the one function that decides it, for every command and every mark, in chat and at a console.
//!
//! Roles are asked of the chat system at the moment they are needed. What could not be told is not permitted.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;

use crate::approval::Standing;
use crate::patience::within;
use crate::ports::{PortError, Role, Room, World};
use crate::request::Request;
use crate::units::Person;

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        /// Every role that was told of it.
        told: Vec<Role>,
    },
    /// Say why it is done, for the record.
    SayWhy {
        /// Whether they asked for it themselves.
        own: bool,
    },
    /// Give their word on what nothing tells.
    Attest,
    /// Approve, reject or override.
    Decide,
    /// Say whether the fleet is brought back, where policy asks.
    DecideWayBack,
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
    pub fn roles(&self) -> Vec<Role> {
        match self {
            // Whoever asked for an operation was one who may, and knows why.
            Self::Plan | Self::Status | Self::History | Self::Capacity | Self::Help | Self::SayWhy { own: true } => {
                vec![]
            }
            Self::Change
            | Self::Rollback
            | Self::Followups
            | Self::CloseFollowUp
            | Self::StartProposal
            | Self::DismissProposal
            | Self::Attest => vec![Role::Operator],
            Self::Cancel { own: true } | Self::SayWhy { own: false } | Self::DecideWayBack => {
                vec![Role::Operator, Role::GovernanceLead]
            }
            Self::Acknowledge { told } => {
                let others = told.iter().copied().filter(|role| *role != Role::Operator);
                std::iter::once(Role::Operator).chain(others).collect()
            }
            Self::Cancel { own: false } | Self::Decide | Self::AnswerHaltOffer | Self::Abandon => {
                vec![Role::GovernanceLead]
            }
        }
    }

    /// As it stands after "may".
    fn words(&self) -> &'static str {
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
            Self::SayWhy { .. } => "say why it is done",
            Self::Attest => "attest that keys are reached",
            Self::Decide => "decide on this request",
            Self::DecideWayBack => "decide whether the fleet is brought back",
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
    let (roles, untold) = roles(room, world, limit, person, &action).await;
    match (may(&roles, action.clone()), untold) {
        (Err(_), Some(error)) => Err(Refusal::Untold { action, why: error.to_string() }),
        (decided, _) => decided,
    }
}

/// The same for whoever weighs several people's words: who somebody is now, as far as it matters to that.
///
/// # Errors
/// When it could not be told whether they may.
pub async fn standing(
    room: &dyn Room,
    world: &dyn World,
    limit: Duration,
    person: &Person,
    action: &Action,
) -> Result<Standing, PortError> {
    let (roles, untold) = roles(room, world, limit, person, action).await;
    let holds_role = may(&roles, action.clone()).is_ok();
    match untold.filter(|_| !holds_role) {
        Some(error) => Err(error),
        None => Ok(Standing { is_person: roles.is_person, holds_role }),
    }
}

/// Which of the roles that matter to it somebody holds, all asked for at once; and why that could not be told of one.
async fn roles(
    room: &dyn Room,
    world: &dyn World,
    limit: Duration,
    person: &Person,
    action: &Action,
) -> (Roles, Option<PortError>) {
    let mut wanted = action.roles();
    if wanted.is_empty() {
        // Whether it is a person is told with any role.
        wanted.push(Role::Operator);
    }
    let asked =
        join_all(wanted.into_iter().map(|role| async move {
            (role, within(world, limit, "the chat system", room.standing(person, role)).await)
        }));
    let (mut roles, mut untold) = (Roles::default(), None);
    for (role, standing) in asked.await {
        match standing {
            Ok(standing) => {
                roles.is_person |= standing.is_person;
                if standing.holds_role {
                    roles.held.insert(role);
                }
            }
            Err(error) => untold = Some(error),
        }
    }
    (roles, untold)
}

/// "an operator, a system architect or a governance lead".
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
    match named.as_slice() {
        [] => "everybody".to_owned(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
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
