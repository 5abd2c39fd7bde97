//! Where a write of the log can be broken off, as a crash or a disk would break it off. Only tests ask for the feature
//! `failpoints`; in any other build there is nothing here.

use std::cell::RefCell;

use super::fault::Fault;

/// How far a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Its transaction has begun.
    Begun,
    /// Everything is written, nothing is committed.
    Written,
    /// It is on disk; nobody knows of it yet.
    Committed,
}

/// What becomes of a write at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It goes on.
    GoesOn,
    /// It stops for ever, as its process does.
    Stops,
    /// It fails. Where it is committed already, nobody learns of that.
    Fails,
}

type Hook = Box<dyn Fn(Moment) -> Course>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// From now on `course` is asked at every moment of every write on this thread.
pub fn set(course: impl Fn(Moment) -> Course + 'static) {
    HOOK.set(Some(Box::new(course)));
}

/// A write has come to that moment.
pub(super) async fn reached(moment: Moment) -> Result<(), Fault> {
    match HOOK.with_borrow(|hook| hook.as_ref().map_or(Course::GoesOn, |course| course(moment))) {
        Course::GoesOn => Ok(()),
        Course::Stops => std::future::pending().await,
        Course::Fails => Err(sqlx::Error::Io(std::io::Error::other("the disk does not answer")).into()),
    }
}
