//! The book by itself: no process, and the receivers of the orders in the test's hands.

use super::*;
use scalebot_commands::units::OperationId;

fn now() -> Timestamp {
    "2026-01-08T03:00:00Z".parse().unwrap()
}

/// A world with four ready instances, and what their processes are told.
fn four() -> (Book, Vec<Starting>) {
    let mut book = Book::new("boot-1".to_owned(), 8, now());
    let started = book.begin(4, now());
    for (port, Starting { id, .. }) in (9001..).zip(&started) {
        book.reached_at(id, format!("127.0.0.1:{port}"));
        book.see(id, InstanceState::Ready, None);
    }
    (book, started)
}

fn order(book: &Book, from: u32, to: u32, operation: &str) -> Scale {
    Scale {
        identity: "boot-1".to_owned(),
        from: Replicas(from),
        to: Replicas(to),
        version: book.state().version,
        operation: OperationId::new(operation),
    }
}

fn names(book: &Book) -> Vec<String> {
    book.state().instances.iter().map(|instance| instance.id.to_string()).collect()
}

fn state(book: &Book, id: &InstanceId) -> Option<InstanceState> {
    book.member(id).map(|member| member.seen.state)
}

/// An order to end exactly these of four.
fn ending(book: &Book, named: &[&str], operation: &str) -> Remove {
    Remove {
        identity: "boot-1".to_owned(),
        from: Replicas(4),
        to: Replicas(4 - u32::try_from(named.len()).unwrap()),
        version: book.state().version,
        instances: named.iter().map(|name| InstanceId::new(*name)).collect(),
        operation: OperationId::new(operation),
    }
}

#[test]
fn the_same_order_twice_is_one_change() {
    let (mut book, _started) = four();
    let up = order(&book, 4, 6, "op-1");
    assert_eq!(book.scale(&up, now()).unwrap().starting.len(), 2);
    let after = book.state();
    assert_eq!((after.wanted, after.generation, after.changed_by.as_deref()), (Replicas(6), 2, Some("op-1")));

    assert!(book.scale(&up, now()).unwrap().starting.is_empty());
    assert_eq!(book.state(), after);
}

#[test]
fn an_order_repeated_after_somebody_elses_is_a_conflict() {
    let (mut book, _started) = four();
    let mine = order(&book, 4, 6, "op-1");
    let mut running = book.scale(&mine, now()).unwrap().starting;
    let theirs = order(&book, 6, 5, "op-2");
    running.extend(book.scale(&theirs, now()).unwrap().starting);
    assert_eq!(
        book.scale(&mine, now()).unwrap_err(),
        Declined::Conflict("The count is 5, set by op-2, not 4.".to_owned())
    );
    assert_eq!(book.state().wanted, Replicas(5));
}

#[test]
fn whatever_differs_from_the_order_is_a_conflict_and_changes_nothing() {
    let (mut book, started) = four();
    let good = order(&book, 4, 6, "op-1");
    let before = book.state();
    for wrong in [
        Scale { identity: "boot-0".to_owned(), ..good.clone() },
        Scale { from: Replicas(3), ..good.clone() },
        Scale { version: "0.0".to_owned(), ..good.clone() },
    ] {
        assert!(matches!(book.scale(&wrong, now()), Err(Declined::Conflict(_))), "{wrong:?}");
    }
    assert_eq!(book.state(), before);

    // An instance that is no longer ready is a change of something.
    book.see(&started[0].id, InstanceState::NotReady, None);
    assert!(matches!(book.scale(&good, now()), Err(Declined::Conflict(_))));
}

#[test]
fn there_is_no_room_beyond_the_limit_and_no_fleet_of_none() {
    let (mut book, _started) = four();
    assert_eq!(book.room().free, Replicas(4));
    let declined = |book: &mut Book, to| {
        let order = order(book, 4, to, "op-1");
        book.scale(&order, now()).unwrap_err()
    };
    assert_eq!(declined(&mut book, 9), Declined::Refused("the rehearsal's room for 8 instances is used up".to_owned()));
    assert!(matches!(declined(&mut book, 0), Declined::Refused(_)));
    book.close();
    assert!(matches!(declined(&mut book, 5), Declined::Refused(_)));
}

#[test]
fn lowering_the_count_ends_the_newest_and_takes_the_dead_ones_out_at_once() {
    let (mut book, mut started) = four();
    // The fourth one's process has died.
    let fourth = started.pop().unwrap();
    drop(fourth.orders);
    book.see(&fourth.id, InstanceState::Failed, Some("exited".to_owned()));

    let down = order(&book, 4, 2, "op-1");
    assert_eq!(book.scale(&down, now()).unwrap().taken_out, [fourth.id]);
    assert_eq!(names(&book), ["api-1", "api-2", "api-3"]);
    assert_eq!(state(&book, &started[2].id), Some(InstanceState::Terminating));
    assert_eq!(started[2].orders.try_recv(), Ok(Order::Stop));
    assert!(started[1].orders.try_recv().is_err());
    // What is leaving does not become ready again.
    book.see(&started[2].id, InstanceState::Ready, None);
    assert_eq!(state(&book, &started[2].id), Some(InstanceState::Terminating));
}

#[test]
fn exactly_the_named_are_told_to_end_and_the_same_order_twice_is_one_change() {
    let (mut book, mut started) = four();
    let down = ending(&book, &["api-2", "api-3"], "op-1");
    assert!(book.end_exactly(&down, now()).unwrap().taken_out.is_empty());
    let told: Vec<Option<Order>> = started.iter_mut().map(|one| one.orders.try_recv().ok()).collect();
    assert_eq!(told, [None, Some(Order::Stop), Some(Order::Stop), None]);
    let after = book.state();
    assert_eq!((after.wanted, after.generation, after.changed_by.as_deref()), (Replicas(2), 2, Some("op-1")));
    // They are there until their processes are gone.
    assert_eq!(names(&book), ["api-1", "api-2", "api-3", "api-4"]);
    assert_eq!(state(&book, &started[1].id), Some(InstanceState::Terminating));

    book.end_exactly(&down, now()).unwrap();
    assert_eq!(book.state(), after);
    assert!(started.iter_mut().all(|one| one.orders.try_recv().is_err()));
    book.remove(&started[1].id);
    assert_eq!(names(&book), ["api-1", "api-3", "api-4"]);
}

#[test]
fn an_instance_whose_process_has_died_is_taken_out_at_once_when_it_is_named() {
    let (mut book, mut started) = four();
    let second = started.remove(1);
    drop(second.orders);
    book.see(&second.id, InstanceState::Failed, Some("exited".to_owned()));
    let down = ending(&book, &["api-2"], "op-1");
    assert_eq!(book.end_exactly(&down, now()).unwrap().taken_out, std::slice::from_ref(&second.id));
    assert_eq!(names(&book), ["api-1", "api-3", "api-4"]);
    assert!(book.knew(&second.id) && !book.knew(&InstanceId::new("api-5")));
}

#[test]
fn an_order_to_end_that_does_not_fit_ends_nobody() {
    let (mut book, mut started) = four();
    book.see(&started[0].id, InstanceState::NotReady, None);
    let first = ending(&book, &["api-4"], "op-0");
    book.end_exactly(&first, now()).unwrap();
    assert_eq!(started.remove(3).orders.try_recv(), Ok(Order::Stop));
    let before = book.state();
    let good = Remove { from: Replicas(3), to: Replicas(2), ..ending(&book, &["api-2"], "op-1") };
    let ids = |names: &[&str]| -> Vec<InstanceId> { names.iter().map(|name| InstanceId::new(*name)).collect() };

    for wrong in [
        Remove { identity: "boot-0".to_owned(), ..good.clone() },
        Remove { from: Replicas(4), to: Replicas(3), ..good.clone() },
        Remove { version: "1.1".to_owned(), ..good.clone() },
        Remove { instances: ids(&["api-9"]), ..good.clone() },
        // On its way out already.
        Remove { instances: ids(&["api-4"]), ..good.clone() },
        Remove { instances: ids(&["api-2", "api-4"]), to: Replicas(1), ..good.clone() },
    ] {
        assert!(matches!(book.end_exactly(&wrong, now()), Err(Declined::Conflict(_))), "{wrong:?}");
    }
    for wrong in [
        Remove { instances: Vec::new(), to: Replicas(3), ..good.clone() },
        Remove { to: Replicas(1), ..good.clone() },
        Remove { instances: ids(&["api-2", "api-2"]), to: Replicas(1), ..good.clone() },
        Remove { instances: ids(&["api-1", "api-2", "api-3"]), to: Replicas(0), ..good.clone() },
    ] {
        assert!(matches!(book.end_exactly(&wrong, now()), Err(Declined::Refused(_))), "{wrong:?}");
    }
    assert_eq!(book.state(), before);
    assert!(started.iter_mut().all(|one| one.orders.try_recv().is_err()));
    book.end_exactly(&good, now()).unwrap();
}
