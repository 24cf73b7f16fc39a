//! This program again, as two ranks: how a run starts them, reads their lines and ends them.
//!
//! The launcher closes what its ranks inherit, and mixes what they print. So they report on
//! a FIFO in the run's directory, each line by one write(2).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mpi::environment::Universe;
use mpi::topology::{Process, SimpleCommunicator};
use mpi::traits::Communicator;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::time::ClockId;
use nix::unistd::{Pid, mkfifo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::stage::Stage;
use doctor::probes::needs;
use os::spawn::die_with_parent;
use wire::launcher;

/// Marks a process as a rank of a run, and not the run.
const MARK: &str = "IPCLAB_RANK_PART";
/// How long the ranks may take to start.
const START: Duration = Duration::from_secs(12);
/// How long a line may take that is expected.
const PATIENCE: Duration = Duration::from_secs(4);
/// For how long no line may come from ranks that wait for ever.
const SILENCE: Duration = Duration::from_millis(300);
/// How much processor time shows that a process is not asleep.
const BUSY: Duration = Duration::from_millis(50);

/// One of the two ranks, in its own process. MPI_Finalize when it is dropped.
pub(super) struct Rank {
    pub(super) world: SimpleCommunicator,
    _universe: Universe,
    report: File,
    go: PathBuf,
}

impl Rank {
    /// This process's rank, if the launcher has started it; `None` in the run itself.
    pub(super) fn join(stage: &Stage) -> Result<Option<Rank>> {
        if std::env::var_os(MARK).is_none() {
            return Ok(None);
        }
        // However the launcher ends, its ranks end with it.
        set_parent_process_death_signal(Some(Signal::KILL)).context("prctl")?;
        // Not there any more: ENXIO, and this rank ends too.
        let fifo = open(
            &stage.path("reports"),
            OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        let report = File::from(fifo.context("open")?);
        let universe = mpi::initialize().context("MPI_Init was called before")?;
        let (world, go) = (universe.world(), stage.path("go"));
        if world.size() != 2 {
            bail!("MPI_Comm_size() = {}", world.size());
        }
        let rank = Rank { world, _universe: universe, report, go };
        rank.says(std::process::id())?;
        Ok(Some(rank))
    }

    /// Its number: MPI_Comm_rank.
    pub(super) fn number(&self) -> i32 {
        self.world.rank()
    }

    /// The other one.
    pub(super) fn peer(&self) -> Process<'_> {
        self.world.process_at_rank(1 - self.number())
    }

    /// Reports a line to the run.
    pub(super) fn says(&self, text: impl std::fmt::Display) -> Result<()> {
        let line = format!("{} {text}\n", self.number());
        (&self.report).write_all(line.as_bytes()).context("write")
    }

    /// Sleeps in open(2) of the FIFO `go` until the run opens it too.
    pub(super) fn waits_to_go(&self) -> Result<()> {
        open(&self.go, OFlag::O_RDONLY, Mode::empty()).context("open")?;
        Ok(())
    }
}

/// Two ranks, as the run sees them. All of their processes are gone once it is dropped.
pub(super) struct Job<'a> {
    stage: &'a Stage,
    mpiexec: Child,
    reports: OwnedFd,
    text: Vec<u8>,
    said: Vec<(usize, String)>,
    told: usize,
    pids: [Option<Pid>; 2],
    /// No rank is left.
    pub(super) ended: bool,
}

impl Job<'_> {
    /// Starts `mpiexec -n 2` of this program, which comes to [`Rank::join`] in the run of
    /// the experiment `name`; waits until both have returned from MPI_Init.
    pub(super) fn start<'a>(stage: &'a Stage, name: &str) -> Result<Job<'a>> {
        for fifo in ["reports", "go"] {
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            mkfifo(&stage.path(fifo), mode).context("mkfifo")?;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let reports = open(&stage.path("reports"), flags, Mode::empty())?;
        let log = File::create(stage.path("log")).context("open")?;
        let directory = stage.path("");
        stage.needs(&needs::MPI)?;
        let mut command = launcher::mpiexec_within(&directory);
        command
            .args(["-n", "2"])
            .arg(std::env::current_exe().context("readlink")?)
            .args(["experiment", &format!("mpi/{name}"), "--on-stage"])
            .arg(&directory)
            .env(MARK, name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        die_with_parent(&mut command);
        let mpiexec = command.spawn();
        let mpiexec = mpiexec.context("exec mpiexec")?;
        let (text, said) = (Vec::new(), Vec::new());
        let (told, pids, ended) = (0, [None; 2], false);
        let mut job = Job { stage, mpiexec, reports, text, said, told, pids, ended };
        while job.pids.contains(&None) {
            let Some((rank, line)) = job.hear(START)? else {
                let log = std::fs::read_to_string(stage.path("log"));
                bail!("the ranks did not start: {}", log.unwrap_or_default().trim())
            };
            match job.pids[rank] {
                None => job.pids[rank] = Some(Pid::from_raw(line.parse()?)),
                // The other rank is not there yet, and this one goes on.
                Some(_) => job.said.push((rank, line)),
            }
        }
        stage.note(format!(
            "the library is {}; the ranks are on one machine.",
            launcher::library()
        ));
        Ok(job)
    }

    /// The next line of a rank; `None` if there was none for so long, or no rank is left.
    fn hear(&mut self, wait: Duration) -> Result<Option<(usize, String)>> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let (rank, text) = line.trim_end().split_once(' ').context("?")?;
                let rank = if rank == "0" { 0 } else { 1 };
                return Ok(Some((rank, text.to_owned())));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).context("a time")?;
            let mut fds = [PollFd::new(&self.reports, PollFlags::IN)];
            if poll(&mut fds, Some(&left)).context("poll")? == 0 {
                return Ok(None);
            }
            let mut piece = [0; 4096];
            let fifo = self.reports.try_clone().context("dup")?;
            let n = File::from(fifo).read(&mut piece).context("read")?;
            if n == 0 {
                self.ended = true;
                return Ok(None);
            }
            self.text.extend(&piece[..n]);
        }
    }

    /// Waits for a line of `rank` that begins so, and returns the rest of it; `None` if it
    /// does not come.
    pub(super) fn says(
        &mut self,
        rank: usize,
        begin: &str,
    ) -> Result<Option<String>> {
        loop {
            let found = self.said.iter().find_map(|(who, text)| {
                text.strip_prefix(begin).filter(|_| *who == rank)
            });
            if let Some(rest) = found {
                return Ok(Some(rest.to_owned()));
            }
            match self.hear(PATIENCE)? {
                Some(line) => self.said.push(line),
                None => return Ok(None),
            }
        }
    }

    /// Whether both ranks report this.
    pub(super) fn both_say(&mut self, text: &str) -> Result<bool> {
        Ok(self.says(0, text)?.is_some() && self.says(1, text)?.is_some())
    }

    /// Whether no rank reports any more, though both are there.
    pub(super) fn is_silent(&mut self) -> Result<bool> {
        match self.hear(SILENCE)? {
            Some(line) => {
                self.said.push(line);
                Ok(false)
            }
            None => Ok(!self.ended),
        }
    }

    /// Whether a rank has reported a line that begins so.
    pub(super) fn has_said(&self, rank: usize, begin: &str) -> bool {
        self.said.iter().any(|(who, text)| *who == rank && text.starts_with(begin))
    }

    /// Waits until no rank is left, and then for the launcher's end; what they report meanwhile is
    /// kept. `None` if ranks are left.
    pub(super) fn comes_to_its_end(&mut self) -> Result<Option<ExitStatus>> {
        while let Some(line) = self.hear(START)? {
            self.said.push(line);
        }
        if !self.ended {
            return Ok(None);
        }
        self.mpiexec.wait().context("waitpid").map(Some)
    }

    /// The processor time that a rank has taken, all its threads together.
    pub(super) fn processor_time(&self, rank: usize) -> Result<Duration> {
        let pid = self.pids[rank].context("no such rank")?;
        let clock = ClockId::pid_cpu_clock_id(pid).context("clock_getcpuclockid")?;
        Ok(clock.now().context("clock_gettime")?.into())
    }

    /// Whether a rank takes 50 ms of processor time while it is watched.
    pub(super) fn is_busy(&self, rank: usize) -> Result<bool> {
        let (start, before) = (Instant::now(), self.processor_time(rank)?);
        while start.elapsed() < PATIENCE {
            if self.processor_time(rank)? - before >= BUSY {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(false)
    }

    /// Opens the FIFO `go`, so that [`Rank::waits_to_go`] returns.
    pub(super) fn go(&self) -> Result<()> {
        open(&self.stage.path("go"), OFlag::O_WRONLY, Mode::empty())
            .context("open")?;
        Ok(())
    }

    /// Reports the ranks' lines since the last time, in the order in which they came.
    pub(super) fn tell(&mut self) {
        for (rank, text) in &self.said[self.told..] {
            self.stage.event(&format!("rank {rank}"), text);
        }
        self.told = self.said.len();
    }

    /// As [`Job::tell`]; where the order between the ranks is chance, in turn.
    pub(super) fn tell_in_turn(&mut self) {
        let new = self.said.split_off(self.told);
        let (first, second): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|(rank, _)| *rank == 0);
        let (mut first, mut second) = (first.into_iter(), second.into_iter());
        loop {
            let (one, other) = (first.next(), second.next());
            if one.is_none() && other.is_none() {
                break;
            }
            self.said.extend(one.into_iter().chain(other));
        }
        self.tell();
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        let _ = self.mpiexec.kill();
        let _ = self.mpiexec.wait();
        // Its ranks die with it: then no process has the FIFO open for writing.
        while !self.ended && matches!(self.hear(PATIENCE), Ok(Some(_))) {}
    }
}
