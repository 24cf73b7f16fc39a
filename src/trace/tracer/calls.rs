//! A system call from its entry to its exit.

use std::collections::HashSet;
use std::rc::Rc;

use nix::unistd::Pid;

use super::super::decode::{self, Cx};
use super::super::event::{Event, EventKind, Outcome};
use super::{Thread, Tracer, Unreturned};
use os::proc;
use os::proc::field;
use os::ptrace::{Point, point};

impl Tracer {
    /// A thread is gone, `killed` by a signal or not; a call of its own never returns.
    pub(super) fn leave_unfinished(
        &mut self,
        tid: i32,
        killed: bool,
    ) -> Option<Thread> {
        let mut thread = self.threads.remove(&tid)?;
        self.world.live.remove(&tid);
        if let Some(open) = thread.call.take().filter(|_| thread.own) {
            let asleep = open.asleep || killed && open.left;
            let (call, effects) = decode::unfinished(&self.world, open.begun);
            let took = self.began.elapsed().as_nanos() as u64 - open.at;
            self.keep(Event {
                process: thread.process,
                tid,
                begin: open.begin,
                end: None,
                at: open.at,
                took,
                slept: asleep,
                asleep,
                doubt: None,
                what: EventKind::Call(call),
                effects,
            });
        }
        Some(thread)
    }

    /// A signal has ended a process: the call out of which it took each thread was asleep.
    pub(super) fn note_interrupted(&mut self, process: usize, by: i32) {
        let mut seen = HashSet::new();
        for event in self.events.iter_mut().rev().filter(|e| e.process == process) {
            let call = match &event.what {
                EventKind::Call(call) => call,
                EventKind::Signal { number, .. } if *number == by => continue,
                _ => {
                    seen.insert(event.tid);
                    continue;
                }
            };
            let interrupted = matches!(
                call.result,
                Outcome::Restart | Outcome::Error(libc::EINTR)
            );
            event.asleep |= seen.insert(event.tid) && event.slept && interrupted;
        }
    }

    /// A thread will end, perhaps in the middle of a call.
    pub(super) fn note_left(&mut self, tid: Pid) {
        let open = self.threads.get_mut(&tid.as_raw()).and_then(|t| t.call.as_mut());
        if let Some(open) = open.filter(|open| can_sleep(&open.begun.name)) {
            open.left = sleeps(tid) > open.sleeps + 1;
        }
    }

    /// The run will be ended now: notes which threads are asleep in a call.
    pub(in super::super) fn note_sleepers(&mut self) {
        for (tid, thread) in &mut self.threads {
            let Some(open) = &mut thread.call else { continue };
            let status = std::fs::read_to_string(format!("/proc/{tid}/status"));
            let state =
                status.ok().and_then(|text| field(&text, "State:")?.chars().next());
            open.asleep = matches!(state, Some('S' | 'D'));
        }
    }

    pub(super) fn at_call(&mut self, pid: Pid) {
        let (process, open) = match self.threads.get_mut(&pid.as_raw()) {
            Some(thread) => (thread.process, thread.call.take()),
            None => return,
        };
        match (point(pid), open) {
            (Ok(Point::Entry { arch, number, args }), _) => {
                let name = self.name(arch, number);
                let sleeps = if can_sleep(&name) { sleeps(pid) } else { 0 };
                let mut cx = Cx {
                    tid: pid,
                    process,
                    args,
                    result: i64::MAX,
                    world: &mut self.world,
                };
                let begun = decode::enter(&mut cx, &name);
                let at = self.began.elapsed().as_nanos() as u64;
                let open = Unreturned {
                    begun,
                    begin: self.moment,
                    at,
                    sleeps,
                    asleep: false,
                    left: false,
                };
                if let Some(thread) = self.threads.get_mut(&pid.as_raw()) {
                    thread.call = Some(open);
                }
            }
            (Ok(Point::Exit(result)), Some(open)) => {
                self.finished(pid, process, result, open)
            }
            _ => {}
        }
    }

    pub(super) fn finished(
        &mut self,
        pid: Pid,
        process: usize,
        result: i64,
        open: Unreturned,
    ) {
        if !self.threads.get(&pid.as_raw()).is_some_and(|thread| thread.own) {
            return;
        }
        let took = self.began.elapsed().as_nanos() as u64 - open.at;
        // Stopping for us is one sleep.
        let slept = can_sleep(&open.begun.name) && sleeps(pid) > open.sleeps + 1;
        let (args, asleep) = (open.begun.args, open.asleep);
        let mut cx = Cx { tid: pid, process, args, result, world: &mut self.world };
        let (call, effects) = decode::leave(&mut cx, open.begun);
        self.keep(Event {
            process,
            tid: pid.as_raw(),
            begin: open.begin,
            end: Some(self.moment),
            at: open.at,
            took,
            slept,
            asleep: asleep && result < 0,
            doubt: None,
            what: EventKind::Call(call),
            effects,
        });
    }

    pub(super) fn name(&mut self, arch: u32, number: u64) -> Rc<str> {
        let known = self.names.entry((arch, number));
        known.or_insert_with(|| decode::name(arch, number).into()).clone()
    }
}

/// Whether the kernel lets a thread sleep in this call until something happens.
fn can_sleep(name: &str) -> bool {
    const BEGINNINGS: [&str; 16] = [
        "read", "write", "open", "accept", "connect", "recv", "send", "poll",
        "ppoll", "select", "pselect", "epoll_", "futex", "wait", "pread", "pwrite",
    ];
    const OTHERS: [&str; 23] = [
        "creat",
        "vfork",
        "io_getevents",
        "io_pgetevents",
        "io_uring_enter",
        "mq_timedsend",
        "mq_timedreceive",
        "msgsnd",
        "msgrcv",
        "semop",
        "semtimedop",
        "rt_sigtimedwait",
        "rt_sigsuspend",
        "pause",
        "flock",
        "fcntl",
        "nanosleep",
        "clock_nanosleep",
        "splice",
        "tee",
        "vmsplice",
        "restart_syscall",
        "sendfile",
    ];
    BEGINNINGS.iter().any(|start| name.starts_with(start)) || OTHERS.contains(&name)
}

/// How often a thread has given up the processor by itself.
fn sleeps(tid: Pid) -> u64 {
    proc::times_slept(tid).unwrap_or(0)
}
