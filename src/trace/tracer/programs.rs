//! What exec does to a process: a new program, one thread, perhaps another name.

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::super::event::EventKind;
use super::{Tracer, program_name};
use wire::visible::visible;

impl Tracer {
    /// exec has replaced the program; a thread that called it is the first one now.
    pub(super) fn new_program(&mut self, pid: Pid) {
        let former =
            ptrace::getevent(pid).map_or(pid.as_raw(), |former| former as i32);
        let Some(mut thread) = self.threads.remove(&former) else { return };
        let process = thread.process;
        thread.own = true;
        let gone: Vec<i32> = self
            .threads
            .iter()
            .filter(|(_, t)| t.process == process)
            .map(|(p, _)| *p)
            .collect();
        for tid in gone {
            self.leave_unfinished(tid, false);
        }
        self.world.live.remove(&former);
        self.world.live.insert(pid.as_raw(), process);
        self.threads.insert(pid.as_raw(), thread);
        self.world.exec(process);
        if self.world.processes[..process]
            .iter()
            .all(|other| other.pid != pid.as_raw())
        {
            self.renamed(process, &program_name(pid));
        }
        self.warn_of_setuid(pid);
    }

    pub(super) fn renamed(&mut self, process: usize, name: &str) {
        // What we started keeps the name that it was given.
        let forked = self
            .events
            .iter()
            .any(|e| e.process == process && matches!(e.what, EventKind::Starts));
        if forked {
            name.clone_into(&mut self.world.processes[process].name);
        }
    }

    pub(super) fn warn_of_setuid(&mut self, pid: Pid) {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::MetadataExt;
        let Ok(program) = std::fs::read_link(format!("/proc/{pid}/exe")) else {
            return;
        };
        let Ok(meta) = std::fs::metadata(&program) else { return };
        let euid = nix::unistd::geteuid();
        if meta.mode() & libc::S_ISUID != 0 && meta.uid() != euid.as_raw() {
            self.notes.push(format!(
                "{} is set-user-ID: while it is traced, it runs as its caller unless the \
                 tracer is root",
                visible(program.as_os_str().as_bytes())
            ));
        }
    }
}
