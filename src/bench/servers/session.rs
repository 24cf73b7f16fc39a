//! One server and its load, as the bench holds them: started, pinned, steered, watched.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, pipe2};
use rustix::event::{Timespec, poll};

use super::kind::{ServerKind, ServerProgram};
use super::load::address::ServerAddress;
use super::load::order::{Clients, Order};
use super::load::window::Window;
use super::peers;
use crate::lines::{Lines, watch};
use crate::model::Placement;
use crate::placement::Cpus;
use crate::role::{DEADLINE, DYING, start, why_it_ended};
use lab::interrupts::Interrupts;
use lab::scratch::Scratch;
use os::proc::children;
use os::spawn;
use process::{Input, Output, RoleProcess};

/// What all sessions of a run share.
#[derive(Debug)]
pub struct ServerBench {
    /// This very program.
    program: PathBuf,
    /// Where the C programs are built; removed at the end.
    built: Scratch,
    /// The CPUs that servers and loads run on.
    pub cpus: Cpus,
    stop: Interrupts,
}

/// What a session is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerCase {
    /// The server.
    pub kind: ServerKind,
    /// The program that the server is.
    pub program: ServerProgram,
    /// Where server and load run.
    pub placement: Placement,
    /// So many clients ask.
    pub busy: usize,
    /// So many are connected and silent.
    pub idle: usize,
    /// So many threads the load has.
    pub load_threads: usize,
}

/// A server with its load. Both are killed and reaped when it is dropped, the load first.
#[derive(Debug)]
pub struct Session {
    /// What it is of.
    pub subject: ServerCase,
    /// `None` once it has failed.
    load: Option<RoleProcess>,
    answers: Lines,
    servers: Vec<RoleProcess>,
    _dir: Scratch,
}

/// One window, and what it has cost.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What the load has seen.
    pub window: Window,
    /// The CPU time of the server's processes meanwhile, in nanoseconds.
    pub server_cpu: u64,
}

impl Sample {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        let seconds = self.window.answers.nanoseconds.max(1) as f64 / 1e9;
        self.window.answers.requests as f64 / seconds
    }

    /// Requests per second of the server's CPU time.
    pub fn per_cpu_second(&self) -> f64 {
        let seconds = self.server_cpu.max(1) as f64 / 1e9;
        self.window.answers.requests as f64 / seconds
    }

    /// The share of its time that the load had a CPU, and that the server had one.
    pub fn shares(&self) -> [f64; 2] {
        let time = self.window.answers.nanoseconds.max(1) as f64;
        [self.window.cpu as f64 / time, self.server_cpu as f64 / time]
    }
}

impl ServerBench {
    /// A stage on which `program`, an `ipclab`, plays the servers and the loads.
    ///
    /// # Errors
    /// EACCES or ENOSPC in TMPDIR.
    pub fn new(program: &Path) -> Result<ServerBench> {
        let built = Scratch::make()?;
        let cpus = Cpus::choose()?;
        let stop = Interrupts::watch()?;
        Ok(ServerBench { program: program.to_owned(), built, cpus, stop })
    }

    /// Starts a server, and a load that has connected all its clients to it.
    ///
    /// # Errors
    /// [`peers::Absent`]; a server that does not start, or does not answer each client.
    pub fn start(&mut self, subject: ServerCase) -> Result<Session> {
        let ServerCase { kind, program, placement, .. } = subject;
        let [load_cpu, server_cpu] =
            self.cpus.of(placement).context("there is no second CPU")?;
        let dir = Scratch::make()?;
        let (servers, address) = match program {
            ServerProgram::Ipclab => {
                self.start_roles(kind, dir.path(), server_cpu)?
            }
            ServerProgram::C | ServerProgram::Python => {
                let command = peers::command(kind, program, self.built.path())?;
                let (listener, address) = peers::listener(kind, dir.path())?;
                let name = format!("{} in {}", kind.subject(), program.text());
                let input = Input::From(listener);
                (
                    vec![start(&name, command, input, nowhere()?, server_cpu)?],
                    address,
                )
            }
        };
        let (load, answers) = self.start_load(&subject, &address, load_cpu)?;
        let mut session =
            Session { subject, load: Some(load), answers, servers, _dir: dir };
        let said = session.answer(&mut self.stop, Instant::now() + DEADLINE)?;
        ensure!(said == "ready", "the load said {said:?} instead of ready");
        Ok(session)
    }

    /// The chapter's own roles, each once the one before it says that peers may come.
    fn start_roles(
        &mut self,
        kind: ServerKind,
        dir: &Path,
        cpu: usize,
    ) -> Result<(Vec<RoleProcess>, ServerAddress)> {
        let (mut servers, mut address) = (Vec::new(), None);
        for words in kind.roles() {
            let (ready, says_so) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            let mut command = Command::new(&self.program);
            command.args(&words).env("IPCLAB_DIR", dir);
            command.args(["--ready-fd", &says_so.as_raw_fd().to_string()]);
            spawn::leave_open(&mut command, says_so);
            let name = words[..2].join(" ");
            let role = start(&name, command, Input::Nothing, nowhere()?, cpu)?;
            let mut lines = Lines::of(ready);
            let line =
                lines.next(&[&role], &mut self.stop, Instant::now() + DEADLINE);
            let Some(line) = line? else { return Err(why_it_ended(role)) };
            servers.push(role);
            // A worker's is not for clients.
            if address.is_none() {
                let parsed = line.parse().map_err(anyhow::Error::msg);
                address =
                    Some(parsed.with_context(|| format!("the address of {name}"))?);
            }
        }
        Ok((servers, address.context("a server without a role")?))
    }

    fn start_load(
        &self,
        subject: &ServerCase,
        address: &ServerAddress,
        cpu: usize,
    ) -> Result<(RoleProcess, Lines)> {
        let ServerCase { kind, placement, busy, idle, load_threads, .. } = *subject;
        let clients = match kind.clients() {
            Clients::Stay => "stay",
            Clients::Visit => "visit",
        };
        let mut command = Command::new(&self.program);
        command.args(["bench-servers", "load", "--clients", clients]);
        command.args(["--to", &address.to_string(), "--busy", &busy.to_string()]);
        command.args(["--idle", &idle.to_string()]);
        command.args(["--threads", &load_threads.to_string()]);
        // On a CPU of its own it need not sleep; elsewhere the server needs that CPU.
        command.args((placement != Placement::Same).then_some("--spins"));
        let (answers, write_end) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let role =
            start("the load", command, Input::Open, Output::To(write_end), cpu)?;
        Ok((role, Lines::of(answers)))
    }

    /// One window of a session, while all others sleep.
    ///
    /// # Errors
    /// A wrong answer; a server that ends, or stops answering; a signal
    /// that ends the bench (`Interrupted`).
    pub fn window(&mut self, session: &mut Session, order: Order) -> Result<Sample> {
        session.window(order, &mut self.stop)
    }

    /// The signal that ends the bench, once one has come, is raised again for the caller.
    pub(super) fn give_back(&self) -> Result<()> {
        match self.stop.caught {
            Some(signal) => nix::sys::signal::raise(signal).context("raise"),
            None => Ok(()),
        }
    }
}

impl Session {
    /// The processes of the server, the one that clients come to first.
    pub fn servers(&self) -> Vec<Pid> {
        self.servers.iter().map(RoleProcess::pid).collect()
    }

    /// The process of the load, unless it has failed.
    pub fn load(&self) -> Option<Pid> {
        self.load.as_ref().map(RoleProcess::pid)
    }

    fn window(&mut self, order: Order, stop: &mut Interrupts) -> Result<Sample> {
        let before = self.server_cpu();
        let load = self.load.as_mut().context("the load has failed before")?;
        // If the load has ended, its answer does not come, and that is reported.
        let _ = load.feed(format!("{order}\n").as_bytes());
        let (Order::Closed { window } | Order::Open { window, .. }) = order;
        let deadline = Instant::now() + Duration::from_nanos(window) + DEADLINE;
        let answer = self.answer(stop, deadline)?;
        let window = serde_json::from_str(&answer).context("the load's answer")?;
        let server_cpu = self.server_cpu().saturating_sub(before);
        Ok(Sample { window, server_cpu })
    }

    /// The load's next line.
    fn answer(
        &mut self,
        stop: &mut Interrupts,
        deadline: Instant,
    ) -> Result<String> {
        let watched: Vec<&RoleProcess> = self.servers.iter().collect();
        let line = self.answers.next(&watched, stop, deadline);
        let what = format!(
            "{} ({})",
            self.subject.kind.subject(),
            self.subject.program.text()
        );
        match line.with_context(|| what.clone())? {
            Some(line) => Ok(line),
            None => Err(self.failure()).context(what),
        }
    }

    /// Why there is no answer: the server has ended, or else the load, which gives the reason.
    fn failure(&mut self) -> anyhow::Error {
        // A process that ends closes its connections first, and is over a moment later.
        let mut fds: Vec<_> =
            self.servers.iter().map(|r| watch(r.pidfd())).collect();
        let most = Timespec::try_from(DYING).expect("it is short");
        let _ = poll(&mut fds, Some(&most));
        drop(fds);
        let load = self.load.take();
        let ended = self.servers.iter_mut().position(RoleProcess::has_ended);
        match (ended, load) {
            (Some(index), _) => why_it_ended(self.servers.remove(index)),
            (None, Some(load)) => why_it_ended(load),
            (None, None) => anyhow::anyhow!("the load has failed before"),
        }
    }

    /// The CPU time of the server's processes and their children so far, in nanoseconds.
    fn server_cpu(&self) -> u64 {
        let own = self.servers.iter().map(RoleProcess::pid);
        own.map(|pid| {
            let all = children(pid).into_iter().chain([pid]);
            all.map(cpu_time).sum::<u64>()
        })
        .sum()
    }
}

/// The CPU time of a process with all its threads, in nanoseconds; 0 once it is gone.
fn cpu_time(pid: Pid) -> u64 {
    let time = clock_getcpuclockid(pid).and_then(clock_gettime);
    time.map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

fn nowhere() -> Result<Output> {
    let null = std::fs::File::options().write(true).open("/dev/null");
    Ok(Output::To(null.context("open /dev/null")?.into()))
}
