//! The connection budgets that every instance draws on: database and Redis (runbook step 2).

use futures::future::join_all;

use super::{Check, Follows, Status};
use crate::context::Context;
use crate::patience::within;
use crate::ports::{Pool, PoolBudget};
use crate::units::Replicas;

pub(super) async fn checks(cx: &Context<'_>) -> Vec<Check> {
    join_all(cx.ports.target.pools.iter().map(|pool| check(cx, &**pool))).await
}

async fn check(cx: &Context<'_>, pool: &dyn Pool) -> Check {
    let name = pool.name();
    let runbook = format!("2: verify {name} allow additional instances");
    match within(&*cx.ports.world, cx.policy.time.look, &name, pool.budget()).await {
        Err(error) => Check::unknown(&name, &runbook, &name, error.to_string(), Follows::Refusal)
            .advice("New instances may take the last connections. See that the server can be asked, then ask again."),
        Ok(budget) => judged(&name, &runbook, budget, cx.request.to),
    }
}

fn judged(name: &str, runbook: &str, budget: PoolBudget, to: Replicas) -> Check {
    let usable = u64::from(budget.limit).saturating_sub(u64::from(budget.reserved));
    let fixed = u64::from(budget.others) + u64::from(budget.surge);
    let needed = u64::from(to.0) * u64::from(budget.per_instance) + fixed;
    let surge = if budget.surge == 0 { String::new() } else { format!(" + {} while rolling out", budget.surge) };
    let figure = format!("{needed} needed: {to} × {} + {} of others{surge}", budget.per_instance, budget.others);
    let whose = budget.limit_of.as_ref().map(|whose| format!(", of {whose}")).unwrap_or_default();
    let limit = match budget.reserved {
        0 => format!("{usable}{whose}"),
        reserved => format!("{usable} = {} − {reserved} reserved{whose}", budget.limit),
    };
    let check = Check::passed(name, runbook, name, figure).limit(limit);
    if needed <= usable {
        return check;
    }
    let fits = usable.saturating_sub(fixed).checked_div(u64::from(budget.per_instance));
    let fits = match fits {
        None => String::new(),
        Some(0) => "Beside the connections of others not one instance fits. ".to_owned(),
        Some(fits) => format!("The largest count that fits is {fits}. "),
    };
    check.came_to(Status::Fail, Follows::Refusal).advice(match budget.limit_of {
        None => format!("{fits}Raise the server's limit or make each pool smaller, then ask again."),
        Some(whose) => format!("{fits}Raise the limit of {whose} or make each pool smaller, then ask again."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: PoolBudget =
        PoolBudget { limit: 100, reserved: 3, others: 7, per_instance: 15, surge: 0, limit_of: None };

    #[test]
    fn a_count_that_takes_exactly_all_connections_fits() {
        let check = judged("database connections", "2", BUDGET, Replicas(6));
        assert_eq!((check.status, check.figure.as_str()), (Status::Pass, "97 needed: 6 × 15 + 7 of others"));
    }

    #[test]
    fn one_instance_more_is_refused_with_the_largest_count_that_fits() {
        let check = judged("database connections", "2", BUDGET, Replicas(7));
        assert_eq!(check.follows, Follows::Refusal);
        assert!(check.advice.is_some_and(|advice| advice.contains("The largest count that fits is 6.")));
    }

    #[test]
    fn of_several_limits_the_one_that_holds_is_named() {
        let check = judged(
            "database connections",
            "2",
            PoolBudget { limit_of: Some("the role conclave".into()), ..BUDGET },
            Replicas(7),
        );
        assert_eq!(check.limit.as_deref(), Some("97 = 100 − 3 reserved, of the role conclave"));
        assert!(check.advice.is_some_and(|advice| advice.contains("Raise the limit of the role conclave")));
    }

    #[test]
    fn a_server_that_others_have_filled_bears_none() {
        let check = judged("database connections", "2", PoolBudget { others: 97, ..BUDGET }, Replicas(5));
        assert!(check.advice.is_some_and(|advice| advice.starts_with("Beside the connections of others not one")));
    }
}
