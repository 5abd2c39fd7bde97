//! Waiting for what other processes do, by what they leave in a folder: nothing is asked over and over meanwhile, which on
//! few cores would slow down the very process that is waited for.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// How long at most until it is looked again all the same: not everything leaves a trace in the folder.
const AGAIN: Duration = Duration::from_millis(100);

/// Looks until there is something to see, each time after something has changed in the folder; `None` when that takes
/// longer than `patience`.
///
/// # Panics
/// When the folder cannot be watched.
pub fn until<T>(folder: &Path, patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let watched = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&watched, folder, changes).unwrap();
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        let left = patience.checked_sub(began.elapsed())?;
        wait(&watched, left.min(AGAIN));
    }
}

/// Until something has changed, or that long.
fn wait(watched: &OwnedFd, most: Duration) {
    let most = Timespec::try_from(most).unwrap();
    match poll(&mut [PollFd::new(watched, PollFlags::IN)], Some(&most)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => panic!("the folder cannot be watched: {error}"),
    }
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut changes = Reader::new(watched, &mut buffer);
    while changes.next().is_ok() {}
}
