//! The contract's matrix, crossed: every action with every role, with none, and with what is no person.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::*;
use crate::approval::Standing;
use crate::card::Card;
use crate::ports::{PortError, Slot};
use crate::units::{OperationId, Timestamp};

const ROLES: [Role; 4] = [Role::Operator, Role::GovernanceLead, Role::InfrastructureTeam, Role::SystemArchitect];

fn actions() -> Vec<Action> {
    use Action::*;
    let mut actions = vec![
        Change,
        Rollback,
        Plan,
        Status,
        History,
        Capacity,
        Followups,
        CloseFollowUp,
        Help,
        Cancel { own: true },
        Cancel { own: false },
        SayWhy { own: true },
        SayWhy { own: false },
        Attest,
        Decide,
        DecideWayBack,
        AnswerHaltOffer,
        Abandon,
        StartProposal,
        DismissProposal,
    ];
    actions.extend(ROLES.map(|role| Acknowledge { told: vec![role] }));
    actions.push(Acknowledge { told: vec![Role::InfrastructureTeam, Role::SystemArchitect] });
    actions
}

fn holding(held: &[Role]) -> Roles {
    Roles { is_person: true, held: held.iter().copied().collect() }
}

#[test]
fn every_action_is_for_exactly_the_roles_of_the_matrix() {
    let table: Vec<String> = actions()
        .into_iter()
        .map(|action| {
            let mark = |roles: &Roles| if may(roles, action.clone()).is_ok() { "yes" } else { "-" };
            let each: Vec<String> = ROLES.iter().map(|role| format!("{:<9}", mark(&holding(&[*role])))).collect();
            let line = format!("{:<60} {:<7} {}", format!("{action:?}"), mark(&holding(&[])), each.concat());
            format!("{}\n", line.trim_end())
        })
        .collect();
    // none, operator, governance lead, infrastructure team, system architect
    insta::assert_snapshot!(table.concat(), @r"
    Change                                                       -       yes      -        -        -
    Rollback                                                     -       yes      -        -        -
    Plan                                                         yes     yes      yes      yes      yes
    Status                                                       yes     yes      yes      yes      yes
    History                                                      yes     yes      yes      yes      yes
    Capacity                                                     yes     yes      yes      yes      yes
    Followups                                                    -       yes      -        -        -
    CloseFollowUp                                                -       yes      -        -        -
    Help                                                         yes     yes      yes      yes      yes
    Cancel { own: true }                                         -       yes      yes      -        -
    Cancel { own: false }                                        -       -        yes      -        -
    SayWhy { own: true }                                         yes     yes      yes      yes      yes
    SayWhy { own: false }                                        -       yes      yes      -        -
    Attest                                                       -       yes      -        -        -
    Decide                                                       -       -        yes      -        -
    DecideWayBack                                                -       yes      yes      -        -
    AnswerHaltOffer                                              -       -        yes      -        -
    Abandon                                                      -       -        yes      -        -
    StartProposal                                                -       yes      -        -        -
    DismissProposal                                              -       yes      -        -        -
    Acknowledge { told: [Operator] }                             -       yes      -        -        -
    Acknowledge { told: [GovernanceLead] }                       -       yes      yes      -        -
    Acknowledge { told: [InfrastructureTeam] }                   -       yes      -        yes      -
    Acknowledge { told: [SystemArchitect] }                      -       yes      -        -        yes
    Acknowledge { told: [InfrastructureTeam, SystemArchitect] }  -       yes      -        yes      yes
    ");
}

#[test]
fn what_is_no_person_may_nothing_whatever_it_holds() {
    for action in actions() {
        for held in [vec![], ROLES.to_vec()] {
            let bot = Roles { is_person: false, held: held.into_iter().collect() };
            assert_eq!(may(&bot, action.clone()), Err(Refusal::NoPerson), "{action:?}");
        }
    }
}

#[test]
fn another_role_never_takes_anything_away() {
    for action in actions() {
        for role in ROLES {
            let alone = may(&holding(&[role]), action.clone()).is_ok();
            assert!(!alone || may(&holding(&ROLES), action.clone()).is_ok(), "{action:?}");
            assert!(may(&holding(&[]), action.clone()).is_err() || alone, "{action:?} {role:?}");
        }
    }
}

/// A chat system that knows one role of a person, or nothing.
struct Chat {
    holds: Option<Role>,
    silent_on: Option<Role>,
    is_person: bool,
    asked: Mutex<Vec<Role>>,
}

impl Chat {
    fn of(holds: Option<Role>) -> Self {
        Self { holds, silent_on: None, is_person: true, asked: Mutex::default() }
    }
}

#[async_trait]
impl Room for Chat {
    async fn show(&self, _: &OperationId, _: Slot, _: &Card) -> Result<(), PortError> {
        Ok(())
    }

    async fn standing(&self, _: &Person, role: Role) -> Result<Standing, PortError> {
        self.asked.lock().unwrap().push(role);
        if self.silent_on == Some(role) {
            return Err(PortError::Unreachable { what: "the chat system".into(), detail: "no route".into() });
        }
        Ok(Standing { is_person: self.is_person, holds_role: self.holds == Some(role) })
    }

    fn attended(&self) -> bool {
        false
    }

    async fn answer(&self, _: &Person, _: &str) -> Result<(), PortError> {
        Ok(())
    }

    async fn reply(&self, _: &Person, _: &Card) -> Result<(), PortError> {
        Ok(())
    }
}

#[derive(Default)]
struct Clock(AtomicU64);

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }

    fn unique_id(&self) -> String {
        String::new()
    }

    fn random(&self) -> u64 {
        0
    }
}

fn asked(chat: &Chat, action: Action) -> Result<(), Refusal> {
    let (clock, person) = (Clock::default(), Person::new("mara"));
    ask(chat, &clock, Duration::from_secs(5), &person, action).now_or_never().expect("nothing here waits")
}

#[test]
fn the_chat_system_decides_and_only_the_roles_that_matter_are_asked_for() {
    let chat = Chat::of(Some(Role::SystemArchitect));
    assert_eq!(asked(&chat, Action::Acknowledge { told: vec![Role::SystemArchitect] }), Ok(()));
    assert_eq!(*chat.asked.lock().unwrap(), [Role::Operator, Role::SystemArchitect]);
    assert_eq!(asked(&chat, Action::Status), Ok(()));
    assert_eq!(asked(&chat, Action::Change), Err(Refusal::Missing(Action::Change)));
    let bot = Chat { is_person: false, ..Chat::of(Some(Role::Operator)) };
    assert_eq!(asked(&bot, Action::Help), Err(Refusal::NoPerson));
}

#[test]
fn what_the_chat_system_does_not_tell_is_refused_unless_another_role_suffices() {
    let silent = Chat { silent_on: Some(Role::Operator), ..Chat::of(Some(Role::GovernanceLead)) };
    for action in [Action::Change, Action::Status] {
        let refusal = asked(&silent, action).unwrap_err();
        assert!(refusal.to_string().contains("could not be told"), "{refusal}");
    }
    assert_eq!(asked(&silent, Action::Cancel { own: true }), Ok(()));
}

#[test]
fn a_refusal_says_what_is_missing_and_whom_to_ask() {
    let untold = Refusal::Untold { action: Action::Change, why: "the chat system cannot be reached (no route)".into() };
    let said = [
        Refusal::NoPerson,
        Refusal::Missing(Action::Change),
        Refusal::Missing(Action::Cancel { own: false }),
        Refusal::Missing(Action::Acknowledge { told: vec![Role::InfrastructureTeam] }),
        Refusal::Missing(Action::Acknowledge { told: vec![Role::InfrastructureTeam, Role::GovernanceLead] }),
        Refusal::Missing(Action::SayWhy { own: false }),
        Refusal::Missing(Action::Attest),
        Refusal::Missing(Action::DecideWayBack),
        untold,
    ]
    .map(|refusal| format!("{refusal}\n"))
    .concat();
    insta::assert_snapshot!(said, @r"
    Only a person may ask for something here. Nothing was done.
    Only an operator may change the count. Nothing was done.
    Ask an operator.
    Only a governance lead may cancel what somebody else asked for. Nothing was done.
    Ask a governance lead.
    Only an operator or somebody of the infrastructure team may acknowledge this escalation. Nothing was done.
    Ask an operator or somebody of the infrastructure team.
    Only an operator, somebody of the infrastructure team or a governance lead may acknowledge this escalation. Nothing was done.
    Ask an operator, somebody of the infrastructure team or a governance lead.
    Only an operator or a governance lead may say why it is done. Nothing was done.
    Ask an operator or a governance lead.
    Only an operator may attest that keys are reached. Nothing was done.
    Ask an operator.
    Only an operator or a governance lead may decide whether the fleet is brought back. Nothing was done.
    Ask an operator or a governance lead.
    Only an operator may change the count, and it could not be told whether you are one: the chat system cannot be reached (no route).
    Nothing was done. Try again in a moment.
    ");
}
