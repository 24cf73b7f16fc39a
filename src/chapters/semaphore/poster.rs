//! The role that adds.

use anyhow::{Context, Result};

use super::any::Semaphore;
use super::enter::enter;
use super::options::SemaphoreOptions;
use wire::meet::Rendezvous;
use wire::say;

// ANCHOR: poster
/// Plays the role.
pub(super) fn post<S: Semaphore>(
    rendezvous: &Rendezvous,
    options: &SemaphoreOptions,
) -> Result<()> {
    let mut here = enter::<S>(rendezvous, options)?;
    if here.was_alone {
        say::waiting(
            "nobody waits yet: what is posted stays in the value",
            &rendezvous.peer("waiter"),
        );
    }
    if options.undo {
        say!("SEM_UNDO on a post: the kernel takes it back when this process ends");
        say!("that is made for locks: posts that are to last go without --undo");
    }
    for posted in 0..options.times {
        let of =
            || format!("after {posted} of {}", say::count(options.times, "post"));
        here.semaphore.post().with_context(of)?;
    }
    let posts = say::count(options.times, "post");
    let Ok(value) = here.semaphore.value() else {
        say!("done: {posts}; meanwhile the semaphore was removed");
        return Ok(());
    };
    say!("done: {posts}; the value is {value} as we leave");
    if value > here.made_with && !options.undo && !here.presence.has_peers() {
        say!("the semaphore stays, for the next waiter");
    }
    Ok(())
}
// ANCHOR_END: poster
