//! Which processes have a thing open.

use std::path::{Path, PathBuf};

/// The entries of /proc/PID/fd of every process for which `leads_there`, each with its PID; as far
/// as we may look, which is to our own user's processes (proc_pid_fd(5)).
pub fn descriptors(
    leads_there: impl Fn(&Path) -> bool + Copy,
) -> impl Iterator<Item = (u32, PathBuf)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_string_lossy().parse().ok()?;
        Some((pid, process.path().join("fd")))
    });
    processes.flat_map(move |(pid, fds)| {
        let fds = std::fs::read_dir(fds).into_iter().flatten().flatten();
        let fds = fds.map(|fd| fd.path()).filter(move |fd| leads_there(fd));
        fds.map(move |fd| (pid, fd))
    })
}

/// The processes in which some descriptor is `link`, such as `socket:[1234]` with the inode number
/// of a socket; each as often as it has one.
pub fn holders(link: &str) -> impl Iterator<Item = u32> {
    let is_it = move |fd: &Path| {
        std::fs::read_link(fd).is_ok_and(|to| to.as_os_str() == link)
    };
    descriptors(is_it).map(|(pid, _)| pid)
}
