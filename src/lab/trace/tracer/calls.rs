//! A system call from its entry to its exit.

use std::rc::Rc;

use nix::unistd::Pid;

use super::super::decode::{self, Begun, Cx};
use super::super::event::{Event, What};
use super::super::objects::field;
use super::{Thread, Tracer};
use crate::os::ptrace::{Point, point};

/// A call that has not returned.
#[derive(Debug)]
pub(super) struct Open {
    begun: Begun,
    begin: u64,
    at: u64,
    /// How often it had gone to sleep before.
    sleeps: u64,
}

impl Tracer {
    pub(super) fn leave_unfinished(&mut self, tid: i32) -> Option<Thread> {
        let mut thread = self.threads.remove(&tid)?;
        if let Some(open) = thread.call.take().filter(|_| thread.own) {
            let (call, effects) = decode::unfinished(open.begun);
            let took = self.began.elapsed().as_nanos() as u64 - open.at;
            self.keep(Event {
                process: thread.who,
                tid,
                begin: open.begin,
                end: None,
                at: open.at,
                took,
                slept: false,
                what: What::Call(call),
                effects,
            });
        }
        Some(thread)
    }

    pub(super) fn at_call(&mut self, pid: Pid) {
        let (who, open) = match self.threads.get_mut(&pid.as_raw()) {
            Some(thread) => (thread.who, thread.call.take()),
            None => return,
        };
        match (point(pid), open) {
            (Ok(Point::Entry { arch, number, args }), _) => {
                let name = self.name(arch, number);
                let sleeps = if can_sleep(&name) { sleeps(pid) } else { 0 };
                let mut cx = Cx {
                    tid: pid,
                    who,
                    args,
                    result: i64::MAX,
                    world: &mut self.world,
                };
                let begun = decode::enter(&mut cx, &name);
                let at = self.began.elapsed().as_nanos() as u64;
                let open = Open { begun, begin: self.moment, at, sleeps };
                if let Some(thread) = self.threads.get_mut(&pid.as_raw()) {
                    thread.call = Some(open);
                }
            }
            (Ok(Point::Exit(result)), Some(open)) => {
                self.finished(pid, who, result, open)
            }
            _ => {}
        }
    }

    pub(super) fn finished(
        &mut self,
        pid: Pid,
        process: usize,
        result: i64,
        open: Open,
    ) {
        if !self.threads.get(&pid.as_raw()).is_some_and(|thread| thread.own) {
            return;
        }
        let took = self.began.elapsed().as_nanos() as u64 - open.at;
        // Stopping for us is one sleep.
        let slept = can_sleep(&open.begun.name) && sleeps(pid) > open.sleeps + 1;
        let args = open.begun.args;
        let mut cx =
            Cx { tid: pid, who: process, args, result, world: &mut self.world };
        let (call, effects) = decode::leave(&mut cx, open.begun);
        self.keep(Event {
            process,
            tid: pid.as_raw(),
            begin: open.begin,
            end: Some(self.moment),
            at: open.at,
            took,
            slept,
            what: What::Call(call),
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
    const BEGINNINGS: [&str; 14] = [
        "read", "write", "open", "accept", "connect", "recv", "send", "poll",
        "ppoll", "select", "pselect", "epoll_", "futex", "wait",
    ];
    const OTHERS: [&str; 18] = [
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
    let status =
        std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let count = field(&status, "voluntary_ctxt_switches:");
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
