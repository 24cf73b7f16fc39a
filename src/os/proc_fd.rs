//! Which processes have a thing open.

use std::path::Path;

/// `readlink(/proc/PID/fd/*)` for every PID: the processes in which some descriptor is
/// `link`, such as `socket:[1234]` with the inode number of a socket; as far as we may
/// look, which is to our own user's processes (proc_pid_fd(5)).
pub fn holders(link: &str) -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(move |process| {
        let pid = process.file_name().to_string_lossy().parse().ok()?;
        has(&process.path().join("fd"), link).then_some(pid)
    })
}

fn has(fds: &Path, link: &str) -> bool {
    std::fs::read_dir(fds).into_iter().flatten().flatten().any(|fd| {
        std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == link)
    })
}
