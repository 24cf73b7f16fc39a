//! The way out of errors that came without one of their own: it fits the error number, and
//! the object that the call was about.

use std::path::Path;

use nix::errno::Errno;

use crate::dirs;

/// In which kind of place the object of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Location {
    /// Standard output or standard error: a file of the user's, or a pipe.
    Stream,
    /// The runtime directory, and what is in it.
    Runtime,
    /// A kernel object with a name: a queue, a segment, a semaphore.
    Kernel,
    /// /dev/shm, where POSIX shared memory and semaphores are files.
    SharedMemory,
    /// /proc.
    Proc,
    /// The directory for temporary files.
    Temporary,
    /// Where the program keeps what the reader has tried.
    State,
    /// Another path of the user's.
    Elsewhere,
    /// None: a number, a descriptor.
    Nowhere,
}

/// How the calls begin that take the name of a kernel object.
const KERNEL_CALLS: [&str; 6] =
    ["mq_", "sem_", "shm_", "msgget", "shmget", "ShmemConf"];

impl Location {
    /// The place that `<syscall> <object>` names.
    fn of(what: &str) -> Location {
        let (call, object) = what.split_once([' ', '(']).unwrap_or((what, ""));
        let path = object.find('/').map(|at| Path::new(&object[at..]));
        let within = |dir: &str| path.is_some_and(|path| path.starts_with(dir));
        let below = |dir: Option<_>| {
            path.zip(dir).is_some_and(|(path, dir): (_, std::path::PathBuf)| {
                path.starts_with(&dir) || dir.starts_with(path)
            })
        };
        let is_stream = ["standard output", "standard error", "stdout", "stderr"]
            .iter()
            .any(|name| object.starts_with(name));
        match () {
            () if is_stream => Location::Stream,
            () if what.contains("TMPDIR") => Location::Temporary,
            () if within("/dev/shm") => Location::SharedMemory,
            () if KERNEL_CALLS.iter().any(|begin| call.starts_with(begin)) => {
                Location::Kernel
            }
            () if within("/proc") => Location::Proc,
            () if below(Some(dirs::runtime())) => Location::Runtime,
            () if below(dirs::state()) => Location::State,
            () if path.is_some() => Location::Elsewhere,
            () => Location::Nowhere,
        }
    }

    /// How to choose another place.
    fn another(self) -> Option<&'static str> {
        Some(match self {
            Location::Runtime => "choose another place by --at or IPCLAB_DIR",
            Location::Kernel => "choose another name by --at",
            Location::Temporary => "set TMPDIR to another directory",
            Location::State => "set XDG_STATE_HOME to another directory",
            Location::Elsewhere => "choose another place",
            Location::Stream
            | Location::SharedMemory
            | Location::Proc
            | Location::Nowhere => {
                return None;
            }
        })
    }
}

/// What to do when `what`, `<syscall> <object>`, has failed by `errno`.
pub(super) fn way_out(what: &str, errno: Errno) -> Option<String> {
    let location = Location::of(what);
    let there = |path| Path::new(path).exists();
    let or_another = |why: &str| Some(format!("{why}: {}", location.another()?));
    let said = |text: &str| Some(text.to_owned());
    let is_call = |names: &[&str]| names.iter().any(|name| what.starts_with(name));
    match (errno, location) {
        // Which objects there can be, and how large.
        (Errno::ENOSPC | Errno::EDQUOT, Location::Stream) => {
            said("there is no room for more in the file that it goes to")
        }
        (
            Errno::ENOSPC | Errno::EDQUOT,
            Location::Kernel | Location::SharedMemory,
        ) => said("there is no room for more of its kind: `df /dev/shm`, `ipcs -l`"),
        (Errno::ENOSPC | Errno::EDQUOT, _) => {
            or_another("its file system is full: free some room, or")
                .map(|text| text.replace(", or:", ", or"))
        }
        (Errno::EFBIG, _) => {
            said("the file may not grow so large: ulimit -f raises RLIMIT_FSIZE")
        }
        (Errno::EMFILE, Location::Kernel) if is_call(&["mq_"]) => {
            said("ulimit -q raises RLIMIT_MSGQUEUE, ulimit -n RLIMIT_NOFILE")
        }
        (Errno::EMFILE, _) => said("ulimit -n raises RLIMIT_NOFILE"),
        (Errno::ENFILE, _) => said(
            "no more files may be open in all: root raises it: sysctl fs.file-max=N",
        ),
        (Errno::ENOMEM, _) => said(
            "there is no memory for it: `free` shows all, `ulimit -v` what is allowed",
        ),
        (Errno::EAGAIN, _) if is_call(&["fork", "clone", "spawn"]) => said(
            "ulimit -u raises RLIMIT_NPROC; a container may have a limit of its own \
             (pids.max)",
        ),
        // Where they can be.
        (Errno::EROFS, Location::SharedMemory | Location::Kernel) => {
            said("/dev/shm is read-only here: mount -o remount,rw /dev/shm, as root")
        }
        (
            Errno::ENOENT | Errno::ENOSYS,
            Location::SharedMemory | Location::Kernel,
        ) if !there("/dev/shm") => {
            said("there is no /dev/shm here: mount -t tmpfs tmpfs /dev/shm, as root")
        }
        (Errno::ENOENT, Location::Proc) if !there("/proc/self") => {
            said("/proc is not mounted here: mount -t proc proc /proc, as root")
        }
        (Errno::EROFS, _) => or_another("its file system is read-only"),
        (Errno::ENOENT, Location::Temporary) => {
            or_another("there is no such directory")
        }
        (Errno::ENOENT, Location::Runtime | Location::State) => {
            or_another("a directory above it is missing, or was removed")
        }
        (Errno::ENOTDIR, _) => or_another("a part of that path is no directory"),
        (Errno::EISDIR, _) => or_another("a directory is there"),
        (Errno::ELOOP, _) => or_another("a symbolic link is in the way"),
        (Errno::ENAMETOOLONG, _) => {
            or_another("a name may have 255 bytes, a path 4,095")
        }
        // A file that is no program.
        (Errno::EACCES, _) if is_call(&["spawn", "exec"]) => {
            said("chmod +x the file, or name its interpreter before it")
        }
        // Which user owns them.
        (
            Errno::EACCES | Errno::EPERM,
            Location::Kernel | Location::SharedMemory,
        ) => said("it is another user's: choose another name by --at"),
        (Errno::EACCES | Errno::EPERM, Location::Stream | Location::Proc) => None,
        (Errno::EACCES | Errno::EPERM, _) => {
            or_another("it, or a directory above it, is another user's")
        }
        _ => None,
    }
}

/// Whether a limit of the machine, of this user or of a container may be why `what` has failed by
/// `errno`: then `ipclab doctor` tells more.
pub(super) fn is_limit(what: &str, errno: Errno) -> bool {
    let location = Location::of(what);
    let is_call = |names: &[&str]| names.iter().any(|name| what.starts_with(name));
    match errno {
        Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOMEM
        | Errno::ENOBUFS
        | Errno::ETOOMANYREFS
        | Errno::EMSGSIZE
        | Errno::ENOSYS
        | Errno::EAFNOSUPPORT
        | Errno::ENETUNREACH => true,
        Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS => {
            is_call(&["posix_fallocate"])
                || matches!(
                    location,
                    Location::Kernel
                        | Location::SharedMemory
                        | Location::Runtime
                        | Location::Nowhere
                )
        }
        Errno::EAGAIN => is_call(&["fork", "clone", "spawn", "sigqueue", "timer_"]),
        Errno::EINVAL => is_call(&["mq_open", "msgsnd", "shmget", "semget"]),
        Errno::EACCES | Errno::EPERM => {
            location == Location::Runtime || is_call(&["ptrace", "unshare", "mount"])
        }
        Errno::ENOENT => match location {
            Location::Proc => !Path::new("/proc/self").exists(),
            Location::Kernel | Location::SharedMemory => {
                !Path::new("/dev/shm").exists()
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_fits_the_object_and_the_error() {
        let runtime = dirs::runtime().join("fifo");
        let runtime = format!("open {}", runtime.display());
        let table: &[(&str, Errno, Option<&str>)] = &[
            (
                "write standard output",
                Errno::ENOSPC,
                Some("the file that it goes to"),
            ),
            ("write standard output", Errno::EROFS, None),
            ("write standard output", Errno::EACCES, None),
            (
                "write standard error",
                Errno::EDQUOT,
                Some("the file that it goes to"),
            ),
            ("write standard output", Errno::EFBIG, Some("ulimit -f")),
            (
                &runtime,
                Errno::ENOSPC,
                Some("or choose another place by --at or IPC"),
            ),
            (
                &runtime,
                Errno::EROFS,
                Some("read-only: choose another place by --at or"),
            ),
            (
                &runtime,
                Errno::EACCES,
                Some("another user's: choose another place by"),
            ),
            (&runtime, Errno::ENOENT, Some("missing")),
            (&runtime, Errno::ENOTDIR, Some("no directory")),
            (&runtime, Errno::EISDIR, Some("a directory is there")),
            (&runtime, Errno::ELOOP, Some("link")),
            (&runtime, Errno::ENAMETOOLONG, Some("255")),
            (&runtime, Errno::EMFILE, Some("ulimit -n")),
            (&runtime, Errno::ENFILE, Some("fs.file-max")),
            (&runtime, Errno::ENOMEM, Some("memory")),
            (&runtime, Errno::EINTR, None),
            ("shm_open /ipclab-0-shm", Errno::EROFS, Some("remount,rw /dev/shm")),
            (
                "open /dev/shm/ipclab-0-shm",
                Errno::EROFS,
                Some("remount,rw /dev/shm"),
            ),
            ("sem_open(/x)", Errno::EACCES, Some("another name by --at")),
            ("fallocate /dev/shm/x", Errno::ENOSPC, Some("df /dev/shm")),
            ("mq_open /x", Errno::EMFILE, Some("ulimit -q")),
            ("mkdir in TMPDIR, /nowhere", Errno::ENOENT, Some("set TMPDIR")),
            ("mkdir in TMPDIR, /nowhere", Errno::EROFS, Some("set TMPDIR")),
            ("mkdir in TMPDIR, /nowhere", Errno::EACCES, Some("set TMPDIR")),
            ("mkdir in TMPDIR, /nowhere", Errno::ENOTDIR, Some("set TMPDIR")),
            (
                "write /home/me/a.svg",
                Errno::EACCES,
                Some("another user's: choose another"),
            ),
            ("write /home/me/a.svg", Errno::ENOSPC, Some("or choose another place")),
            ("fork", Errno::EAGAIN, Some("ulimit -u")),
            ("clone a thread", Errno::EAGAIN, Some("ulimit -u")),
            ("spawn program: \"./mine\"", Errno::EACCES, Some("chmod +x")),
            ("recv", Errno::EAGAIN, None),
            ("kill", Errno::EPERM, None),
            ("timer_create", Errno::ENOMEM, Some("memory")),
        ];
        for (what, errno, expected) in table {
            let got = way_out(what, *errno);
            let fits = match (&got, expected) {
                (Some(got), Some(part)) => got.contains(part),
                (got, expected) => got.is_none() && expected.is_none(),
            };
            assert!(fits, "{what}: {errno:?}: {got:?} instead of {expected:?}");
            let text = got.unwrap_or_default();
            let is_runtimes = what.starts_with(&runtime);
            assert!(!text.contains("IPCLAB_DIR") || is_runtimes, "{what}: {text}");
        }
    }

    #[test]
    fn a_limit_of_the_machine_is_told_from_a_mistake() {
        let runtime = dirs::runtime().join("fifo");
        let runtime = format!("open {}", runtime.display());
        for (what, errno, is) in [
            ("mq_open /x", Errno::EMFILE, true),
            ("mq_open /x", Errno::EINVAL, true),
            ("mq_open /x", Errno::ENOSYS, true),
            ("mq_open /x", Errno::ENOSPC, true),
            ("mq_open /x", Errno::EACCES, false),
            ("mq_open /x", Errno::EEXIST, false),
            ("shm_open /x", Errno::EROFS, true),
            ("inotify_add_watch", Errno::ENOSPC, true),
            ("write standard output", Errno::ENOSPC, false),
            ("write /home/me/a.svg", Errno::ENOSPC, false),
            (&runtime, Errno::ENOSPC, true),
            (&runtime, Errno::EACCES, true),
            (&runtime, Errno::EEXIST, false),
            ("open /home/me/a", Errno::EACCES, false),
            ("send", Errno::EMSGSIZE, true),
            ("connect", Errno::ENETUNREACH, true),
            ("connect", Errno::ECONNREFUSED, false),
            ("fork", Errno::EAGAIN, true),
            ("recv", Errno::EAGAIN, false),
            ("ptrace(PTRACE_SEIZE)", Errno::EPERM, true),
            ("kill 1", Errno::EPERM, false),
            ("posix_fallocate /ipclab-0-shm", Errno::ENOSPC, true),
            ("posix_fallocate the memfd", Errno::ENOSPC, true),
        ] {
            assert_eq!(is_limit(what, errno), is, "{what}: {errno:?}");
        }
    }
}
