//! SEM_UNDO: what the kernel takes back when a process ends.

use anyhow::{Context, Result, bail};
use libc::SEM_UNDO;
use nix::sys::signal::Signal;

use super::{WAITS, set_of, sleeps};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::sysv_semaphore::{semctl_getval, semctl_setval, semop};

pub(super) const UNDO_AFTER_KILL: Experiment = Experiment {
    name: "undo-after-kill",
    title: "Killed while it holds the lock",
    level: Level::Later,
    question: "A process takes a lock, a System V semaphore of the value 1, by \
               semop(2) of -1 with the flag SEM_UNDO. Another one sleeps in semop \
               for the same lock. Now the first is killed by SIGKILL, which no \
               program can catch. What happens to the second?",
    answers: &[
        wrong(
            "it sleeps until the set is removed",
            "The first process can give nothing back. But the kernel has kept an \
             account for it, because of the flag. Without SEM_UNDO the second does \
             sleep on, as the run shows.",
        ),
        right(
            "it gets the lock, without an error",
            "With SEM_UNDO the kernel notes the opposite of each change, and \
             applies it when the process ends, however it ends.",
        ),
        wrong(
            "it gets the lock, and EOWNERDEAD",
            "EOWNERDEAD is what a robust mutex says. A semaphore says nothing.",
        ),
    ],
    kind: Kind::Kernel,
    run: undo_after_kill,
    moral: "SEM_UNDO gives the lock back, and not what it protected: that may be \
            half changed, and the next process is not told. Where that matters, a \
            robust mutex says EOWNERDEAD.",
    see: "semop(2), pthread_mutexattr_setrobust(3)",
    file: file!(),
    shows: &["undo-after-kill"],
};

// ANCHOR: undo-after-kill
fn undo_after_kill(stage: &Stage) -> Result<usize> {
    let mut through = Vec::new();
    for (flag, name) in [(0, "0"), (SEM_UNDO, "SEM_UNDO")] {
        let lock = set_of(stage, &[1])?;
        let (held, never, told) = (stage.gate()?, stage.gate()?, stage.gate()?);
        let holder = stage.fork("holder", |stage| {
            let call = format!("semop(lock, {{0, -1, {name}}}, 1)");
            stage.call(call, &semop(lock, -1, flag));
            held.open(1)?;
            never.pass()
        })?;
        held.pass()?;
        let next = stage.fork("next", |stage| {
            let taken = semop(lock, -1, flag);
            told.pass()?; // so that the report has its cause first
            stage.call(format!("semop(lock, {{0, -1, {name}}}, 1)"), &taken);
            Ok(taken.is_ok())
        })?;
        next.until_asleep_in(&WAITS)?;
        stage.event("next", "sleeps in semop()");
        holder.kill(Signal::SIGKILL)?;
        holder.end()?;
        stage.event("holder", "killed by SIGKILL");
        let got_it = if sleeps(&next)? {
            stage.event("next", "still sleeps");
            None
        } else {
            told.open(1)?;
            Some(next.join()?)
        };
        let how = if flag == 0 { "without SEM_UNDO" } else { "with SEM_UNDO" };
        stage.saw(&format!("{how} the next one got it"), got_it == Some(true));
        through.push(got_it);
    }
    match through[..] {
        [None, Some(true)] => Ok(2),
        [_, None] => Ok(1),
        [_, Some(false)] => Ok(3),
        _ => bail!("without SEM_UNDO: {:?}", through[0]),
    }
}
// ANCHOR_END: undo-after-kill

pub(super) const UNDO_A_POST: Experiment = Experiment {
    name: "undo-a-post",
    title: "A producer with SEM_UNDO",
    level: Level::Later,
    question: "SEM_UNDO has the kernel undo, at the end of a process, what it did \
               to a semaphore. A producer makes three items and posts each by \
               semop(2) of +1 with that flag. One item has been taken when the \
               producer ends, by a normal exit. What is the value?",
    answers: &[
        right(
            "zero",
            "The account of the producer says -3, and there were 2. semop(2) names \
             this among its bugs: Linux goes down to 0, and forgets the rest.",
        ),
        wrong(
            "two",
            "The kernel does not ask how the process ended: exit(0) undoes as well \
             as a kill. Without the flag it is two, as the run shows.",
        ),
        wrong(
            "minus one",
            "To take back all three would give this, but a value is never below 0.",
        ),
    ],
    kind: Kind::Kernel,
    run: undo_a_post,
    moral: "SEM_UNDO is for locks, where the same process takes and gives back. A producer \
            posts without it, and a consumer waits without it: otherwise what they did \
            vanishes with them.",
    see: "semop(2)",
    file: file!(),
    shows: &["undo-a-post"],
};

// ANCHOR: undo-a-post
fn undo_a_post(stage: &Stage) -> Result<usize> {
    // Three posts with this flag, one item taken, and then the producer exits.
    let value_after = |flag, name: &str| {
        let items = set_of(stage, &[0])?;
        let (posted, end) = (stage.gate()?, stage.gate()?);
        let producer = stage.fork("producer", |stage| {
            for _ in 0..3 {
                let call = format!("semop(items, {{0, +1, {name}}}, 1)");
                stage.call(call, &semop(items, 1, flag));
            }
            posted.open(1)?;
            end.pass()
        })?;
        posted.pass()?;
        let taken = semop(items, -1, 0);
        stage.call("semop(items, {0, -1, 0}, 1)", &taken);
        let before = semctl_getval(items);
        stage.call("semctl(items, 0, GETVAL)", &before);
        end.open(1)?;
        producer.join()?;
        stage.event("producer", "has ended by exit");
        let after = semctl_getval(items);
        stage.call("semctl(items, 0, GETVAL)", &after);
        anyhow::Ok((before?, after?))
    };
    let (before, with) = value_after(SEM_UNDO, "SEM_UNDO")?;
    let (_, without) = value_after(0, "0")?;
    stage.saw("while the producer lived", before);
    stage.saw("with SEM_UNDO, after its exit", with);
    stage.saw("without, after its exit", without);
    match (before, with) {
        (2, 2) => Ok(2),
        (2, 0) => Ok(1),
        other => bail!("values {other:?}"),
    }
}
// ANCHOR_END: undo-a-post

pub(super) const GIVEN_BACK_BY_A_CHILD: Experiment = Experiment {
    name: "given-back-by-a-child",
    title: "Taken by the parent, given back by the child",
    level: Level::Deep,
    question: "A server takes a lock (a System V semaphore of the value 1) with \
               SEM_UNDO, and forks a child that does the work. The child gives the \
               lock back, with SEM_UNDO too, and ends. The server lives on. Is the \
               lock free?",
    answers: &[
        wrong(
            "yes, and it stays free for good",
            "It was taken once and given back once, and was free for a moment. The \
             child's account then said -1, for what it had given, and its end took \
             that 1 away again.",
        ),
        right(
            "no, not before the server ends as well",
            "Each process has an account of its own, and fork(2) gives the child \
             an empty one. The two only cancel when both have been settled.",
        ),
        wrong(
            "yes, and twice when the server ends as well",
            "That happens if the child gives it back without SEM_UNDO: then two \
             may hold the lock. The run shows it too.",
        ),
    ],
    kind: Kind::Kernel,
    run: given_back_by_a_child,
    moral: "With SEM_UNDO the process that takes must be the one that gives back. A lock \
            that goes from one process to another cannot use it.",
    see: "semop(2), fork(2)",
    file: file!(),
    shows: &["given-back-by-a-child"],
};

// ANCHOR: given-back-by-a-child
fn given_back_by_a_child(stage: &Stage) -> Result<usize> {
    let mut values = Vec::new();
    for (flag, name) in [(SEM_UNDO, "SEM_UNDO"), (0, "0")] {
        let lock = set_of(stage, &[1])?;
        let server = stage.fork("server", |stage| {
            let taken = semop(lock, -1, SEM_UNDO);
            stage.call("semop(lock, {0, -1, SEM_UNDO}, 1)", &taken);
            let child = stage.fork("child", |stage| {
                let given = semop(lock, 1, flag);
                stage.call(format!("semop(lock, {{0, +1, {name}}}, 1)"), &given);
                Ok(given?)
            })?;
            child.join()?;
            stage.event("child", "has ended");
            let value = semctl_getval(lock);
            stage.call("semctl(lock, 0, GETVAL)", &value);
            Ok(value?)
        })?;
        let while_it_lived = server.join()?;
        stage.event("server", "has ended");
        let in_the_end = semctl_getval(lock);
        stage.call("semctl(lock, 0, GETVAL)", &in_the_end);
        let in_the_end = in_the_end.context("semctl")?;
        let how =
            if flag == 0 { "given back without" } else { "given back with it" };
        stage.saw(&format!("{how}, once the child had ended"), while_it_lived);
        stage.saw(&format!("{how}, once both had ended"), in_the_end);
        values.push((while_it_lived, in_the_end));
    }
    match values[0] {
        (1, 1) => Ok(1),
        (0, 1) => Ok(2),
        (1, 2) => Ok(3),
        other => bail!("values {other:?}"),
    }
}
// ANCHOR_END: given-back-by-a-child

pub(super) const SETVAL_FORGETS_UNDO: Experiment = Experiment {
    name: "setval-forgets-undo",
    title: "Setting a lock right by hand",
    level: Level::Deep,
    question: "A process holds a lock, a System V semaphore, which it took with \
               SEM_UNDO: the value is 0. An administrator thinks that it was left \
               behind, and sets the value to 1 by semctl(2) with SETVAL. Then the \
               process ends without giving the lock back. What is the value?",
    answers: &[
        wrong(
            "two",
            "The 1 that was set and the 1 that the kernel gives back would make \
             two, if the account were still there. The man page of semctl says it \
             in half a sentence: SETVAL clears the undo entries, of all processes.",
        ),
        right(
            "one",
            "SETVAL has deleted what was to be undone: a new value is a new \
             beginning. It does no harm here; and a lock that is taken after it \
             has its own account again.",
        ),
        wrong(
            "zero",
            "SETVAL is not refused while a process holds the lock: to the kernel \
             nobody holds a semaphore. It never waits, and needs only the right to \
             change the set.",
        ),
    ],
    kind: Kind::Kernel,
    run: setval_forgets_undo,
    moral: "SETVAL and SETALL reach into all processes. Used in a running system \
            they make SEM_UNDO useless for every process that has taken before: \
            killed now, it gives nothing back.",
    see: "semctl(2), semop(2)",
    file: file!(),
    shows: &["setval-forgets-undo"],
};

// ANCHOR: setval-forgets-undo
fn setval_forgets_undo(stage: &Stage) -> Result<usize> {
    let value_after = |set_to: Option<u32>| {
        let lock = set_of(stage, &[1])?;
        let (held, end) = (stage.gate()?, stage.gate()?);
        let holder = stage.fork("holder", |stage| {
            let taken = semop(lock, -1, SEM_UNDO);
            stage.call("semop(lock, {0, -1, SEM_UNDO}, 1)", &taken);
            held.open(1)?;
            end.pass()
        })?;
        held.pass()?;
        let set = set_to.map(|value| {
            let set = semctl_setval(lock, value);
            stage.call(format!("semctl(lock, 0, SETVAL, {value})"), &set);
            set.is_ok()
        });
        end.open(1)?;
        holder.join()?;
        stage.event("holder", "has ended");
        let value = semctl_getval(lock);
        stage.call("semctl(lock, 0, GETVAL)", &value);
        anyhow::Ok((set, value.context("semctl")?))
    };
    let (set, to_one) = value_after(Some(1))?;
    // Set to 0, it shows that not even the holder's 1 comes back.
    let (_, to_zero) = value_after(Some(0))?;
    let (_, untouched) = value_after(None)?;
    stage.saw("after SETVAL 1 and its end", to_one);
    stage.saw("after SETVAL 0 and its end", to_zero);
    stage.saw("after its end alone", untouched);
    match (set, to_one) {
        (Some(true), 2) => Ok(1),
        (Some(true), 1) => Ok(2),
        (Some(true), 0) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: setval-forgets-undo
