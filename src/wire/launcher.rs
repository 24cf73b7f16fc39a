//! The program that starts a world of ranks: a launcher, such as `mpiexec` or Slurm's `srun`. It
//! tells each process by its environment that it is one of many.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

/// The variables that launchers set for each process that they start, each with its launcher.
/// Only the first three say how many processes there are.
const SIGNS: &[(&str, &str)] = &[
    ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpiexec"),
    ("PMI_SIZE", "a launcher for MPICH"),
    ("SLURM_STEP_NUM_TASKS", "Slurm's srun"),
    ("PMIX_RANK", "a launcher"),
    ("PMI_RANK", "a launcher"),
];

/// What a launcher says of the processes that it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launched {
    /// The variable that showed it.
    pub variable: &'static str,
    /// The launcher that sets this variable.
    pub by: &'static str,
    /// How many processes it says that it has started.
    pub processes: Option<usize>,
}

/// The launcher that has started this process, if one has.
pub fn launched() -> Option<Launched> {
    SIGNS.iter().find_map(|&(variable, by)| {
        let value = std::env::var(variable).ok()?;
        let counts = !variable.ends_with("_RANK");
        let processes = if counts { value.parse().ok() } else { None };
        Some(Launched { variable, by, processes })
    })
}

/// The launcher of the MPI that this program was built with. Where several are installed,
/// `mpiexec` is one of them, and each has a name of its own besides.
pub fn program() -> &'static str {
    let own = if library().starts_with("MPICH") {
        "mpiexec.mpich"
    } else {
        "mpiexec.openmpi"
    };
    match (which("mpiexec"), which(own)) {
        (plain, Some(path)) if plain.as_ref() != Some(&path) => own,
        _ => "mpiexec",
    }
}

/// The MPI that this program was built with, as it names itself.
#[cfg(feature = "mpi")]
pub fn library() -> String {
    let text = mpi::environment::library_version().unwrap_or_default();
    let first = text.split([',', '\n']).next().unwrap_or_default();
    // MPICH has tabs after a colon: `MPICH Version:      4.0.2`.
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The MPI that this program was built with: none.
#[cfg(not(feature = "mpi"))]
pub fn library() -> String {
    String::new()
}

/// The launcher, for ranks on this machine alone: also as root, and for more ranks than
/// there are processors, both of which Open MPI refuses unless it is told otherwise.
pub fn mpiexec() -> Command {
    let mut command = Command::new(program());
    command.envs([
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        // The same for Open MPI 5, whose launcher is another program.
        ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
        ("OMPI_MCA_oob_tcp_if_include", "lo"),
        ("OMPI_MCA_btl_tcp_if_include", "lo"),
    ]);
    if geteuid().is_root() {
        command.envs([
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ]);
    }
    command
}

/// The same from outside of any world, with all files of its world in `dir`; for ranks that do
/// not keep the processors from others while they wait.
pub fn mpiexec_within(dir: &Path) -> Command {
    let mut command = mpiexec();
    outside(&mut command);
    command
        .env("TMPDIR", dir)
        .env("OMPI_MCA_btl_vader_backing_directory", dir)
        // A rank that waits runs: others want the processor too.
        .env("OMPI_MCA_mpi_yield_when_idle", "1");
    command
}

/// Makes `command` start as if no launcher had started this process.
pub fn outside(command: &mut Command) {
    for (variable, _) in SIGNS {
        command.env_remove(variable);
    }
}

/// The program of this name on the path, links followed.
fn which(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).find_map(|dir| dir.join(name).canonicalize().ok())
}
