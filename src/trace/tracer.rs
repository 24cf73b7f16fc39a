//! The loop around waitpid(2): each stop of each traced thread, what it means, and how
//! the thread goes on.
//!
//! A stopped thread does nothing, so what is read between a stop and its end is what the
//! kernel saw. All stops are handled one after the other: `moment` counts them, and two
//! calls of which one ended before the other began are in that order.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::{Pid, getpgid, getpgrp};

use super::decode::Begun;
use super::decode::data::Siginfo;
use super::decode::told::{self, received};
use super::event::{Effect, End, Event, EventKind};
use super::objects::Desc;
use super::world::World;
use os::proc;
use os::proc::field;
use os::ptrace::{AT_CALL, Change, Go, next_change, resume, siginfo};
use wire::visible;

mod calls;
mod programs;

/// How many events are kept: some 300 bytes each.
pub(super) const MOST: usize = 100_000;

/// All traced threads, and what they have done.
#[derive(Debug)]
pub(super) struct Tracer {
    /// What is known of them.
    pub(super) world: World,
    /// What was seen, in the order in which it ended.
    pub(super) events: Vec<Event>,
    /// What a reader must know of the run.
    pub(super) notes: Vec<String>,
    /// How the processes that we started ended, by pid.
    pub(super) ends: HashMap<i32, End>,
    /// The processes that we started.
    started: Vec<i32>,
    /// Programs that we started, whose failure ends the run: others may wait for them for ever.
    pub(super) vital: Vec<i32>,
    threads: HashMap<i32, Thread>,
    began: Instant,
    moment: u64,
    names: HashMap<(u32, u64), Rc<str>>,
}

#[derive(Debug)]
struct Thread {
    process: usize,
    call: Option<Unreturned>,
    /// Whether it runs the program, and not yet what we do between fork and exec.
    own: bool,
    /// Whether it has ever stopped for us.
    held: bool,
    /// Whether a signal has stopped it until SIGCONT.
    stopped: bool,
    /// Since when it ends, and what it will close then.
    leaves: Option<Leaving>,
}

/// A call that has not returned.
#[derive(Debug)]
struct Unreturned {
    begun: Begun,
    begin: u64,
    at: u64,
    /// How often it had gone to sleep before.
    sleeps: u64,
    /// Whether it was asleep when the run was ended.
    asleep: bool,
    /// Whether it slept and has not returned, now that its thread ends.
    left: bool,
}

/// A thread between its last step and its end.
#[derive(Debug)]
struct Leaving {
    moment: u64,
    at: u64,
    closing: Vec<Desc>,
}

impl Tracer {
    /// A tracer without tracees, whose clock starts now.
    pub(super) fn new(scratch: Option<String>) -> Tracer {
        let mut world = World::default();
        world.objects.scratch = scratch;
        Tracer {
            world,
            events: Vec::new(),
            notes: Vec::new(),
            ends: HashMap::new(),
            started: Vec::new(),
            vital: Vec::new(),
            threads: HashMap::new(),
            began: Instant::now(),
            moment: 0,
            names: HashMap::new(),
        }
    }

    /// Takes hold of a child of ours that has not yet begun its program.
    ///
    /// # Errors
    /// EPERM, ENOSYS where ptrace is forbidden.
    pub(super) fn seize(&mut self, pid: Pid, name: &str) -> nix::Result<()> {
        use ptrace::Options;
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACEEXIT;
        ptrace::seize(pid, options)?;
        ptrace::interrupt(pid)?;
        let process = self.world.add(pid.as_raw(), name.to_owned(), None);
        self.world.live.insert(pid.as_raw(), process);
        self.started.push(pid.as_raw());
        self.threads.insert(pid.as_raw(), Thread::new(process, false));
        Ok(())
    }

    /// Whether one of the [`vital`](Tracer::vital) has failed.
    pub(super) fn has_failed(&self) -> bool {
        let failed =
            |pid| self.ends.get(pid).is_some_and(|end| *end != End::Status(0));
        self.vital.iter().any(failed)
    }

    /// Whether any tracee is left.
    pub(super) fn alive(&self) -> bool {
        !self.threads.is_empty()
    }

    /// Whether this one runs its program by now, or has ended.
    pub(super) fn has_begun(&self, pid: Pid) -> bool {
        self.threads.get(&pid.as_raw()).is_none_or(|thread| thread.own)
    }

    /// Whether it has stopped for us, so that no call of it is missed.
    pub(super) fn holds(&self, pid: Pid) -> bool {
        self.threads.get(&pid.as_raw()).is_some_and(|thread| thread.held)
    }

    /// The traced processes.
    pub(super) fn pids(&self) -> Vec<i32> {
        let all = self.threads.values();
        all.map(|thread| self.world.processes[thread.process].pid).collect()
    }

    /// Whether every tracee that is in our process group has been stopped until SIGCONT.
    pub(super) fn all_stopped(&self) -> bool {
        let ours = getpgrp();
        let beside = |tid: &i32| getpgid(Some(Pid::from_raw(*tid))) == Ok(ours);
        let mut group =
            self.threads.iter().filter(|(tid, _)| beside(tid)).peekable();
        group.peek().is_some() && group.all(|(_, thread)| thread.stopped)
    }

    /// Whether all that we started have ended, and this signal was what ended one of them.
    pub(super) fn ended_by(&self, signal: i32) -> bool {
        let end = |pid: &i32| self.ends.get(pid);
        self.started.iter().all(|pid| end(pid).is_some())
            && self.started.iter().any(|pid| end(pid) == Some(&End::Signal(signal)))
    }

    /// Handles one stop; `false` if there is none to handle now.
    ///
    /// # Errors
    /// As waitpid(2).
    pub(super) fn step(&mut self) -> Result<bool> {
        let (pid, change) = match next_change() {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(false),
            Err(Errno::ECHILD) => {
                self.threads.clear();
                self.world.live.clear();
                return Ok(false);
            }
            Err(Errno::EINTR) => return Ok(true),
            Err(error) => return Err(error).context("waitpid"),
        };
        self.moment += 1;
        match change {
            Change::Exited(status) => self.ended(pid, End::Status(status)),
            Change::Killed(signal) => self.ended(pid, End::Signal(signal)),
            Change::Stopped { signal, event } => {
                self.know(pid);
                if let Some(thread) = self.threads.get_mut(&pid.as_raw()) {
                    thread.held = true;
                    thread.stopped = false;
                }
                let (go, signal) = self.stopped(pid, signal, event);
                // ESRCH: it was killed while it was stopped; waitpid will report it.
                let _ = resume(pid, go, signal);
            }
        }
        Ok(true)
    }

    fn stopped(&mut self, pid: Pid, signal: i32, event: i32) -> (Go, i32) {
        let go = if self.events.len() < MOST { Go::ToNextCall } else { Go::Freely };
        match event {
            0 if signal == AT_CALL => self.at_call(pid),
            0 => {
                self.signalled(pid, signal);
                return (go, signal);
            }
            libc::PTRACE_EVENT_FORK
            | libc::PTRACE_EVENT_VFORK
            | libc::PTRACE_EVENT_CLONE => {
                if let Ok(child) = ptrace::getevent(pid) {
                    self.know(Pid::from_raw(child as i32));
                }
            }
            libc::PTRACE_EVENT_EXEC => self.new_program(pid),
            libc::PTRACE_EVENT_EXIT => self.exiting(pid),
            libc::PTRACE_EVENT_STOP
                if matches!(
                    signal,
                    libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU
                ) =>
            {
                if let Some(thread) = self.threads.get_mut(&pid.as_raw()) {
                    thread.stopped = true;
                }
                return (Go::StayStopped, 0);
            }
            _ => {}
        }
        (go, 0)
    }

    /// Takes up a thread at its first stop, or when its parent's stop reports it.
    fn know(&mut self, pid: Pid) {
        if self.threads.contains_key(&pid.as_raw()) {
            return;
        }
        let status = proc::text(format!("/proc/{pid}/status"));
        let status = status.unwrap_or_default();
        let number =
            |name| field(&status, name).and_then(|text| text.parse::<i32>().ok());
        let group = number("Tgid:").unwrap_or(pid.as_raw());
        let thread_of =
            (group != pid.as_raw()).then(|| self.world.find(group)).flatten();
        let process = thread_of.unwrap_or_else(|| {
            let parent = number("PPid:").and_then(|parent| self.world.find(parent));
            let process = self.world.add(pid.as_raw(), program_name(pid), parent);
            let effects = vec![Effect::ChildReported(format!("start {pid}"))];
            self.point(process, pid, EventKind::Starts, effects);
            process
        });
        self.threads.insert(pid.as_raw(), Thread::new(process, true));
        self.world.live.insert(pid.as_raw(), process);
    }

    /// Something that takes no time.
    fn point(
        &mut self,
        process: usize,
        tid: Pid,
        what: EventKind,
        effects: Vec<Effect>,
    ) {
        let at = self.began.elapsed().as_nanos() as u64;
        let (begin, end, tid) = (self.moment, Some(self.moment), tid.as_raw());
        let event = Event {
            process,
            tid,
            begin,
            end,
            at,
            took: 0,
            slept: false,
            asleep: false,
            doubt: None,
            what,
            effects,
        };
        self.keep(event);
    }

    fn keep(&mut self, event: Event) {
        if self.events.len() < MOST || matches!(event.what, EventKind::Ends(_)) {
            self.events.push(event);
        }
    }

    fn signalled(&mut self, pid: Pid, number: i32) {
        let Some(thread) = self.threads.get(&pid.as_raw()).filter(|t| t.own) else {
            return;
        };
        let process = thread.process;
        let info = siginfo(pid).map(|bytes| Siginfo::of(&bytes));
        let to = self.world.processes[process].pid;
        // A signal of the kernel's takes the place of the others, too.
        let (text, effects) = match info {
            Ok(info) => (info.text(), vec![received(to, pid.as_raw(), &info)]),
            Err(_) => (String::new(), Vec::new()),
        };
        self.point(process, pid, EventKind::Signal { number, info: text }, effects);
    }

    /// It will end, and its descriptors are still open.
    fn exiting(&mut self, pid: Pid) {
        self.note_left(pid);
        let Some(thread) = self.threads.get(&pid.as_raw()) else { return };
        let process = thread.process;
        let last =
            self.threads.values().filter(|thread| thread.process == process).count()
                == 1;
        let closing = match last || self.world.tables {
            true => self.world.open(process, pid),
            false => Vec::new(),
        };
        let at = self.began.elapsed().as_nanos() as u64;
        let leaves = Leaving { moment: self.moment, at, closing };
        if let Some(thread) = self.threads.get_mut(&pid.as_raw()) {
            thread.leaves = Some(leaves);
        }
    }

    fn ended(&mut self, pid: Pid, end: End) {
        let killed = matches!(end, End::Signal(_));
        let Some(mut thread) = self.leave_unfinished(pid.as_raw(), killed) else {
            return;
        };
        let process = thread.process;
        let process_pid = self.world.processes[process].pid;
        // No stop reported its end before: what is known of it is what it had.
        let leaves = thread.leaves.take().unwrap_or_else(|| Leaving {
            moment: self.moment,
            at: self.began.elapsed().as_nanos() as u64,
            closing: self.world.known(process),
        });
        if process_pid != pid.as_raw() {
            // The end of a process's first thread is the last to be reported.
            let first =
                self.threads.get_mut(&process_pid).and_then(|t| t.leaves.as_mut());
            if let Some(first) = first {
                first.moment = first.moment.max(leaves.moment);
                first.at = first.at.max(leaves.at);
                first.closing.extend(leaves.closing);
            }
            return;
        }
        self.ends.insert(process_pid, end);
        if !thread.own {
            return;
        }
        if let End::Signal(signal) = end {
            self.note_interrupted(process, signal);
        }
        let mut effects = self.world.closed(leaves.closing);
        effects.push(Effect::ChildChanged(format!("child {pid}")));
        let undone = self.world.undone.iter().filter(|(whose, _)| *whose == process);
        effects.extend(undone.map(|(_, key)| Effect::Wake(key.clone(), None)));
        if end == End::Signal(libc::SIGKILL) {
            effects.push(told::killed(process_pid));
        }
        self.keep(Event {
            process,
            tid: process_pid,
            begin: leaves.moment,
            end: Some(self.moment),
            at: leaves.at,
            took: 0,
            slept: false,
            asleep: false,
            doubt: None,
            what: EventKind::Ends(end),
            effects,
        });
    }
}

/// What a process calls itself; that of a program that was started as /proc/self/exe, whose name
/// is `exe`, is its argument 0, or the role that it plays.
fn program_name(pid: Pid) -> String {
    let read =
        |file| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let name = read("comm");
    let name = name.strip_suffix(b"\n").unwrap_or(&name);
    if name != b"exe" {
        return visible::text(name);
    }
    let cmdline = read("cmdline");
    let words: Vec<_> =
        cmdline.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let role = match words.as_slice() {
        [own, role, ..] if own.starts_with(bare::PREFIX) => Some(role.as_ref()),
        words => chapters::role(words.iter().map(AsRef::as_ref)).map(|it| it.name),
    };
    if let Some(role) = role {
        return visible::text(role.as_bytes());
    }
    let first = cmdline.split(|byte| *byte == 0).next().unwrap_or_default();
    let path = first.rsplit(|byte| *byte == b'/').next();
    visible::text(path.filter(|path| !path.is_empty()).unwrap_or(name))
}

impl Thread {
    fn new(process: usize, own: bool) -> Thread {
        Thread {
            process,
            call: None,
            own,
            held: false,
            stopped: false,
            leaves: None,
        }
    }
}
