//! MPI: real jobs, started by the launcher; and what is said where there can be none.
//!
//! The contract's clauses start two commands, either first, at a meeting place. A world of
//! ranks has neither: the launcher starts them all. So none of them applies here.

mod support;

use std::process::Command;

use support::*;

/// What launchers tell their processes: a test may itself run in a job.
const LAUNCHERS: &[&str] = &[
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "SLURM_STEP_NUM_TASKS",
    "PMIX_RANK",
    "PMI_RANK",
];

/// `ipclab …` as it runs with no launcher.
fn alone(subject: &Subject, args: &[&str]) -> Command {
    let mut command = ipclab(subject, args);
    for variable in LAUNCHERS {
        command.env_remove(variable);
    }
    command
}

#[test]
fn the_chapter_is_in_the_listing_with_what_this_build_lacks() {
    let subject = subject("mpi");
    let listed = run(alone(&subject, &["list", "--json"]), Input::Nothing);
    let all: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let all = all.as_array().unwrap();
    let mpi = all.iter().find(|row| row["name"] == "mpi").expect("the chapter");
    assert_eq!(mpi["missing"].is_null(), cfg!(feature = "mpi"), "{mpi}");
    assert!(all.iter().all(|row| row["name"] == "mpi" || row["missing"].is_null()));
}

#[test]
fn alone_the_chapter_shows_its_page_and_its_roles_have_help() {
    let subject = subject("mpi");
    for args in [&["mpi"][..], &["-q", "mpi"], &["mpi", "-q"]] {
        let outcome = run(alone(&subject, args), Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let page = String::from_utf8(outcome.stdout).unwrap();
        assert!(page.contains("  mpiexec -n 2 ipclab mpi\n"), "{page}");
        assert!(page.contains("  mpiexec -n 4 ipclab mpi ring\n"), "{page}");
        assert_eq!(page.contains("without the feature"), !cfg!(feature = "mpi"));
    }
    let help = run(alone(&subject, &["mpi", "ring", "--help"]), Input::Nothing);
    assert!(String::from_utf8(help.stdout).unwrap().contains("--laps <N>"));
}

#[test]
fn options_that_make_no_sense_are_usage_errors_with_any_build() {
    let subject = subject("mpi");
    for args in [
        &["ring", "--laps", "0"][..],
        &["reduction", "--steps", "0"],
        &["send-receive", "--number", "4294967296"],
        &["send-receive", "--number", "-1"],
        &["ring", "--at", "somewhere"],
        &["ring", "--timeout", "0"],
    ] {
        let words: Vec<_> = ["mpi"].iter().chain(args).copied().collect();
        let outcome = run(alone(&subject, &words), Input::Nothing);
        assert_eq!(outcome.status.code(), Some(2), "{args:?}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[cfg(not(feature = "mpi"))]
mod without_the_feature {
    use super::*;

    /// Wants one line that names the packages and both commands.
    fn says_how_to_build(text: &str) {
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in [
            "built without the feature mpi",
            "apt-get install openmpi-bin libopenmpi-dev libclang-dev",
            "cargo run --features mpi -- mpi",
            "cargo install --path . --features mpi",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn each_role_says_which_packages_and_which_command() {
        let subject = subject("mpi");
        for role in chapters::find("mpi").unwrap().roles {
            let command = alone(&subject, &["mpi", role.name]);
            let outcome = run(command, Input::Nothing);
            assert_eq!(outcome.status.code(), Some(1));
            says_how_to_build(&outcome.stderr);
        }
        // As a launcher would start it.
        let mut rank = alone(&subject, &["mpi"]);
        rank.env("OMPI_COMM_WORLD_SIZE", "2");
        let outcome = run(rank, Input::Nothing);
        assert_eq!(outcome.status.code(), Some(1));
        says_how_to_build(&outcome.stderr);
    }

    #[test]
    fn the_demo_skips_it_aloud_and_does_not_fail() {
        let subject = subject("mpi");
        let outcome = run(alone(&subject, &["demo", "mpi", "fifo"]), Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let table = String::from_utf8(outcome.stdout).unwrap();
        let (mpi, fifo) = table.trim_end().split_once('\n').unwrap();
        assert!(mpi.starts_with("– mpi ") && mpi.contains("skipped: "), "{table}");
        assert!(mpi.contains("built without the feature mpi"), "{table}");
        assert!(fifo.starts_with("✓ fifo "), "{table}");
        // The way out is said once, where the demo comes to it.
        let mut told = outcome.stderr.lines();
        says_how_to_build(told.find(|line| line.starts_with("skipped: ")).unwrap());
        assert!(!told.any(|line| line.contains("apt-get")), "{}", outcome.stderr);
    }
}

#[cfg(feature = "mpi")]
mod with_the_feature {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::time::{Duration, Instant};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid as RustixPid, PidfdFlags, pidfd_open};
    use wire::launcher;

    use super::*;

    /// The launcher, with all its files in the subject's directory.
    fn mpiexec(subject: &Subject) -> Command {
        let mut command = launcher::mpiexec();
        for variable in LAUNCHERS {
            command.env_remove(variable);
        }
        command
            .env("IPCLAB_DIR", subject.dir())
            .env("TMPDIR", subject.dir())
            .env("OMPI_MCA_btl_vader_backing_directory", subject.dir())
            // A rank that waits spins; the other tests want the processor too.
            .env("OMPI_MCA_mpi_yield_when_idle", "1")
            .current_dir(subject.dir());
        command
    }

    /// `mpiexec -n RANKS ipclab mpi …`
    fn job(subject: &Subject, ranks: usize, args: &[&str]) -> Command {
        let mut command = mpiexec(subject);
        command
            .args(["-n", &ranks.to_string()])
            .arg(program())
            .arg("mpi")
            .args(args);
        command
    }

    /// Runs a job that must succeed; returns its standard output.
    fn succeeds(command: Command, input: Input) -> (String, String) {
        let outcome = run(command, input);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        (String::from_utf8(outcome.stdout).unwrap(), outcome.stderr)
    }

    /// How often a job that fails is tried, until the launcher reports it properly.
    const TRIES: usize = 6;

    /// Runs a job that must fail, and returns how it did.
    ///
    /// After a rank has failed, Open MPI 4.1.4's launcher ends the others; but then it now
    /// and then hangs in its own PMIx_server_finalize, or dies by a signal. That is not
    /// ours to mend, so such a launcher is killed, and the job tried again.
    fn fails(mut start: impl FnMut() -> Job) -> Outcome {
        for _ in 0..TRIES {
            let job = start();
            let soon = Instant::now() + Duration::from_secs(20);
            if !readable_by(job.role().pidfd().as_fd(), soon) {
                continue;
            }
            let outcome = job.wait();
            assert!(!outcome.status.success(), "{}", outcome.stderr);
            if outcome.status.code().is_some() {
                return outcome;
            }
        }
        panic!("the launcher never ended by itself");
    }

    /// A running job. However the test ends, the launcher is first asked to end it, since
    /// one that is killed leaves its ranks to find that out for themselves.
    struct Job(Option<RoleProcess>);

    impl Job {
        fn start(command: Command, input: Input) -> Job {
            Job(Some(RoleProcess::start("mpiexec", command, input).unwrap()))
        }

        fn role(&self) -> &RoleProcess {
            self.0.as_ref().unwrap()
        }

        /// The pid of a rank, as it has said itself.
        fn rank(&self, rank: usize) -> RankProcess {
            let wanted = format!(" is rank {rank} of ");
            self.role().wait_for_comment(&wanted, deadline()).unwrap();
            // The whole of what was said so far is in the story of what never comes.
            let story = self.role().wait_for_comment("\0", Instant::now());
            let story = format!("{:#}", story.unwrap_err());
            let before = story.split(&wanted).next().unwrap();
            let pid = before.rsplit(' ').next().unwrap().parse().unwrap();
            RankProcess::of(pid)
        }

        fn wait(mut self) -> Outcome {
            self.0.take().unwrap().wait(deadline()).unwrap()
        }
    }

    impl Drop for Job {
        fn drop(&mut self) {
            if let Some(role) = self.0.take() {
                let soon = Instant::now() + Duration::from_secs(5);
                let _ = role.stop(Signal::SIGTERM, soon); // which kills it at the deadline
            }
        }
    }

    /// A rank, by its pid and by a descriptor that is readable once it has ended.
    struct RankProcess(Pid, OwnedFd);

    impl RankProcess {
        fn of(pid: i32) -> RankProcess {
            let id = RustixPid::from_raw(pid).unwrap();
            let fd = pidfd_open(id, PidfdFlags::empty()).unwrap();
            RankProcess(Pid::from_raw(pid), fd)
        }

        fn ends(&self) {
            let ended = readable_by(self.1.as_fd(), deadline());
            assert!(ended, "rank process {} still runs", self.0);
        }
    }

    /// Whether a process's descriptor is readable by then, which is when it has ended.
    fn readable_by(pidfd: BorrowedFd<'_>, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&left)).unwrap() == 1
    }

    #[test]
    fn a_random_number_goes_from_rank_1_to_rank_0_with_before_and_after() {
        let subject = subject("mpi");
        let (stdout, stderr) = succeeds(job(&subject, 2, &[]), Input::Nothing);
        let number = stdout.strip_prefix("before: 0\nafter: ").expect("both lines");
        let number: u32 = number.trim_end().parse().expect("a number");
        let sent = format!(
            "MPI_Send(&number, 1, MPI_UINT32_T, rank 0, tag 1): it is {number}"
        );
        let sent = format!("rank 1   │ {sent}\n");
        assert!(stderr.contains(&sent), "{stderr}");
        let got = format!("rank 0   │ MPI_Recv() has returned: number = {number}\n");
        assert!(stderr.contains(&got), "{stderr}");
        let status = "rank 0   │ its status: source 1, tag 1, count 1\n";
        assert!(stderr.contains(status), "{stderr}");
        let (again, _) = succeeds(job(&subject, 2, &[]), Input::Nothing);
        assert_ne!(again, stdout, "not random");
        subject.nothing_is_left().unwrap();
    }

    #[test]
    fn the_number_may_be_chosen_and_quiet_is_quiet() {
        let subject = subject("mpi");
        for args in [
            &["-q", "--number", "4711"][..],
            &["send-receive", "--number", "4711", "-q"],
        ] {
            let (stdout, stderr) = succeeds(job(&subject, 2, args), Input::Nothing);
            assert_eq!(stdout, "before: 0\nafter: 4711\n");
            assert_eq!(stderr, "");
        }
    }

    #[test]
    fn more_ranks_than_it_needs_are_idle_and_say_so() {
        let subject = subject("mpi");
        for role in ["send-receive", "ping-pong"] {
            let (_, stderr) = succeeds(job(&subject, 4, &[role]), Input::Nothing);
            for rank in [2, 3] {
                let line =
                    format!("rank {rank}   │ rank {rank} has no part in this");
                assert!(stderr.contains(&line), "{stderr}");
            }
        }
    }

    #[test]
    fn messages_come_back_from_rank_1() {
        let subject = subject("mpi");
        let args = ["ping-pong", "hello", "", "with\ttab and ü"];
        let (stdout, _) = succeeds(job(&subject, 2, &args), Input::Nothing);
        assert_eq!(stdout, "hello\n\nwith\ttab and ü\n");
        subject.nothing_is_left().unwrap();
    }

    #[test]
    fn lines_of_many_lengths_come_back_on_both_sides_of_the_eager_limit() {
        let subject = subject("mpi");
        let mut lines = Vec::new();
        for length in [0, 1, 4000, 4095, 4096, 4097, 65_536, 100_000, 5_000_000] {
            lines.extend((0..length).map(|i| b'a' + (i % 26) as u8));
            lines.push(b'\n');
        }
        let command = job(&subject, 2, &["-q", "ping-pong"]);
        let (stdout, _) = succeeds(command, Input::Bytes(lines.clone()));
        assert!(stdout.as_bytes() == lines, "{} bytes came back", stdout.len());
    }

    #[test]
    fn a_line_over_16_mib_is_refused_and_ends_the_job() {
        let subject = subject("mpi");
        let mut lines = b"first\n".to_vec();
        lines.resize(lines.len() + (16 << 20) + 1, b'x');
        let outcome = fails(|| {
            let command = job(&subject, 2, &["-q", "ping-pong"]);
            Job::start(command, Input::Bytes(lines.clone()))
        });
        assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, b"first\n");
        let line = "ipclab: line 2 is too large: this link carries at most 16,777,216 bytes\n";
        assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
    }

    #[test]
    fn a_token_goes_around_two_four_and_seven_ranks() {
        let subject = subject("mpi");
        for (ranks, args, expect) in [
            (2, &["ring"][..], "1\n"),
            (4, &["ring"], "6\n"),
            (4, &["ring", "--laps", "3"], "6\n12\n18\n"),
            (7, &["ring"], "21\n"),
        ] {
            let (stdout, stderr) =
                succeeds(job(&subject, ranks, args), Input::Nothing);
            assert_eq!(stdout, expect, "{ranks} ranks: {stderr}");
        }
        subject.nothing_is_left().unwrap();
    }

    #[test]
    fn the_parts_of_all_ranks_make_up_pi() {
        let subject = subject("mpi");
        for ranks in [2, 3, 4] {
            let command = job(&subject, ranks, &["reduction"]);
            let (stdout, stderr) = succeeds(command, Input::Nothing);
            assert_eq!(stdout, "3.1415926536\n", "{ranks} ranks: {stderr}");
        }
        // One strip: all of it is rank 0's, and 4 / (1 + 0.5²) = 3.2.
        let command = job(&subject, 4, &["reduction", "--steps", "1"]);
        let (stdout, stderr) = succeeds(command, Input::Nothing);
        assert_eq!(stdout, "3.2000000000\n");
        assert!(stderr.contains("MPI_Bcast() = 1 from root 0"), "{stderr}");
    }

    #[test]
    fn rank_0_says_how_many_steps_whatever_the_others_were_told() {
        let subject = subject("mpi");
        let mut command = job(&subject, 1, &["reduction", "--steps", "1"]);
        command.args([":", "-n", "2"]).arg(program()).args(["mpi", "reduction"]);
        assert_eq!(succeeds(command, Input::Nothing).0, "3.2000000000\n");
    }

    #[test]
    fn a_world_of_one_says_how_to_start_it() {
        let subject = subject("mpi");
        for (args, word) in [(&["mpi"][..], ""), (&["mpi", "ring"], " ring")] {
            let start = || Job::start(job(&subject, 1, &args[1..]), Input::Nothing);
            let outcome = fails(start);
            assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
            let line = "ipclab: MPI_Comm_size() = 1: there is no other rank to talk to; \
                        start two ranks or more: mpiexec";
            assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
            let how = format!(" -n 2 {} mpi{word}\n", program().display());
            assert!(outcome.stderr.contains(&how), "{}", outcome.stderr);
        }
        subject.nothing_is_left().unwrap();
    }

    #[test]
    fn with_no_launcher_a_role_says_so_and_does_not_try() {
        let subject = subject("mpi");
        let outcome = run(alone(&subject, &["mpi", "ring"]), Input::Nothing);
        assert_eq!(outcome.status.code(), Some(1));
        let line = "ipclab: no launcher has started this process; start two ranks or more: ";
        assert!(outcome.stderr.starts_with(line), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }

    #[test]
    fn the_wrong_launcher_is_named() {
        // What MPICH's and Slurm's launchers set, without what Open MPI looks for.
        for (variable, by) in [
            ("PMI_SIZE", "a launcher for MPICH"),
            ("SLURM_STEP_NUM_TASKS", "Slurm's srun"),
        ] {
            let subject = subject("mpi");
            let mut rank = alone(&subject, &["-q", "mpi"]);
            rank.env(variable, "2").env("TMPDIR", subject.dir());
            rank.env("OMPI_MCA_oob_tcp_if_include", "lo");
            let outcome = run(rank, Input::Nothing);
            assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
            let line = format!(
                "ipclab: MPI_Comm_size() = 1, though {by} started 2 processes ({variable}=2): \
                 it is not one for "
            );
            assert!(outcome.stderr.contains(&line), "{}", outcome.stderr);
            assert!(outcome.stderr.contains("mpiexec"), "{}", outcome.stderr);
        }
    }

    #[test]
    fn a_mistyped_role_gets_the_nearest_name_from_each_rank() {
        let subject = subject("mpi");
        let outcome =
            fails(|| Job::start(job(&subject, 2, &["rign"]), Input::Nothing));
        assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("did you mean 'ring'?"),
            "{}",
            outcome.stderr
        );
    }

    #[test]
    fn a_timeout_ends_all_ranks_with_status_124() {
        let subject = subject("mpi");
        // Rank 0 has nothing to send, and its standard input stays open.
        let outcome = fails(|| {
            let command = job(&subject, 3, &["ping-pong", "--timeout", "3"]);
            Job::start(command, Input::Open)
        });
        assert_eq!(outcome.status.code(), Some(124), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("ipclab: ETIMEDOUT: "),
            "{}",
            outcome.stderr
        );
    }

    #[test]
    fn one_rank_that_times_out_ends_those_that_would_wait_for_ever() {
        let subject = subject("mpi");
        let outcome = fails(|| {
            let mut command = job(&subject, 1, &["ping-pong"]);
            command.args([":", "-n", "1"]).arg(program());
            command.args(["mpi", "ping-pong", "--timeout", "3"]);
            let job = Job::start(command, Input::Open);
            job.rank(0).ends();
            job
        });
        assert_eq!(outcome.status.code(), Some(124), "{}", outcome.stderr);
    }

    #[test]
    fn a_rank_that_is_killed_ends_the_job_and_the_launcher_says_which() {
        let subject = subject("mpi");
        for victim in [0, 1] {
            let outcome = fails(|| {
                let command = job(&subject, 2, &["ping-pong"]);
                let job = Job::start(command, Input::Open);
                let ranks = [job.rank(0), job.rank(1)];
                kill(ranks[victim].0, Signal::SIGKILL).unwrap();
                ranks.iter().for_each(RankProcess::ends);
                job
            });
            let said = &outcome.stderr;
            assert!(said.contains(&format!("process rank {victim} ")), "{said}");
            assert!(said.contains("signal 9 (Killed)"), "{said}");
        }
    }

    #[test]
    fn an_interrupted_launcher_ends_all_ranks_and_leaves_nothing_behind() {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let mut subject = subject("mpi");
            fails(|| {
                subject = support::subject("mpi");
                let command = job(&subject, 2, &["ping-pong"]);
                let job = Job::start(command, Input::Open);
                let ranks = [job.rank(0), job.rank(1)];
                job.role().signal(signal).unwrap();
                ranks.iter().for_each(RankProcess::ends);
                job
            });
            subject.nothing_is_left().unwrap();
        }
    }

    #[test]
    fn the_ranks_of_a_launcher_that_is_killed_end_by_themselves() {
        let subject = subject("mpi");
        let job = Job::start(job(&subject, 2, &["ping-pong"]), Input::Open);
        let (first, second) = (job.rank(0), job.rank(1));
        job.role().signal(Signal::SIGKILL).unwrap();
        first.ends();
        second.ends();
    }

    #[test]
    fn the_demo_runs_it_through_the_launcher() {
        let subject = subject("mpi");
        let mut command = alone(&subject, &["demo", "mpi"]);
        command.env("TMPDIR", subject.dir());
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        assert!(outcome.stdout.starts_with("✓ mpi ".as_bytes()));
        // Each rank writes its own lines, in the order of what happens.
        let start = |text: &str| outcome.stderr.find(text).expect("the line");
        assert!(start("MPI_Send(") < start("MPI_Recv() has"), "{}", outcome.stderr);
        subject.nothing_is_left().unwrap();
    }

    mod with_a_rank_of_mpi4py {
        use super::*;

        /// A job of one rank of ours and one of mpi4py, in this order or the other.
        fn mixed(
            subject: &Subject,
            role: &str,
            pythons: &str,
            python_first: bool,
        ) -> Option<Command> {
            let peer = python_with("mpi4py", subject, "mpi_rank.py", &[pythons])?;
            let ours = ["-q", "mpi", role];
            let mut command = mpiexec(subject);
            let python = |command: &mut Command| {
                command
                    .args(["-n", "1"])
                    .arg(peer.get_program())
                    .args(peer.get_args());
            };
            if python_first {
                python(&mut command);
                command.arg(":");
            }
            command.args(["-n", "1"]).arg(program()).args(ours);
            if role == "ping-pong" && !python_first {
                command.args(["to", "python"]);
            }
            if !python_first {
                command.arg(":");
                python(&mut command);
            }
            Some(command)
        }

        #[test]
        fn each_role_works_with_either_as_rank_0() {
            let subject = subject("mpi");
            for (role, ours, theirs) in [
                ("send-receive", "before: 0\nafter: 4711\n", "before: 0\nafter: "),
                ("ping-pong", "to\npython\n", "4\n0\n600000\n"),
                ("ring", "1\n", "1\n"),
                ("reduction", "3.1415926536\n", "3.1415926536\n"),
            ] {
                for (python_first, expect) in [(false, ours), (true, theirs)] {
                    let Some(command) = mixed(&subject, role, role, python_first)
                    else {
                        return;
                    };
                    let (stdout, stderr) = succeeds(command, Input::Nothing);
                    assert!(
                        stdout.starts_with(expect),
                        "{role}: {stdout:?} {stderr}"
                    );
                    assert_eq!(stderr, "", "{role}");
                }
            }
            subject.nothing_is_left().unwrap();
        }

        #[test]
        fn one_that_talks_nonsense_is_refused_and_the_job_ends() {
            let subject = subject("mpi");
            for (role, theirs, python_first, line) in [
                (
                    "send-receive",
                    "no_number",
                    false,
                    "ipclab: MPI_Recv: rank 1 sent something else",
                ),
                // The library sees this one (MPI_ERR_TRUNCATE), and ends the job itself.
                ("send-receive", "two_numbers", false, ""),
                (
                    "ping-pong",
                    "unknown_tag",
                    true,
                    "ipclab: rank 0 sent an unknown tag, 99",
                ),
                (
                    "ping-pong",
                    "too_long",
                    true,
                    "ipclab: rank 0 sent a message of 16,777,217 bytes",
                ),
                (
                    "ping-pong",
                    "changed_ball",
                    false,
                    "ipclab: rank 1 has sent something else back",
                ),
            ] {
                if mixed(&subject, role, theirs, python_first).is_none() {
                    return;
                }
                let outcome = fails(|| {
                    let command = mixed(&subject, role, theirs, python_first);
                    Job::start(command.expect("as before"), Input::Nothing)
                });
                assert!(
                    outcome.stderr.contains(line),
                    "{theirs}: {}",
                    outcome.stderr
                );
            }
        }
    }
}
