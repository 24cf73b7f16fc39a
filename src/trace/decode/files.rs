//! Files, pipes, and what else is read and written by a descriptor.

use std::os::unix::ffi::OsStrExt;

use super::argument::{Arg, Cx, NEW_FD, Names, hex, names, set, word};
use crate::event::Piece;
use wire::visible;

/// What open's flags are made of.
pub(super) const OPEN: Names = &[
    (libc::O_WRONLY as u64, "O_WRONLY"),
    (libc::O_RDWR as u64, "O_RDWR"),
    (libc::O_RDONLY as u64, "O_RDONLY"),
    (libc::O_CREAT as u64, "O_CREAT"),
    (libc::O_EXCL as u64, "O_EXCL"),
    (libc::O_TRUNC as u64, "O_TRUNC"),
    (libc::O_APPEND as u64, "O_APPEND"),
    (libc::O_NONBLOCK as u64, "O_NONBLOCK"),
    (libc::O_SYNC as u64, "O_SYNC"),
    (libc::O_TMPFILE as u64, "O_TMPFILE"),
    (libc::O_DIRECTORY as u64, "O_DIRECTORY"),
    (libc::O_NOFOLLOW as u64, "O_NOFOLLOW"),
    (libc::O_NOCTTY as u64, "O_NOCTTY"),
    (libc::O_PATH as u64, "O_PATH"),
    (libc::O_CLOEXEC as u64, "O_CLOEXEC"),
];

const ACCESS: Names = names! { F_OK R_OK W_OK X_OK };
/// The flags of calls that take a directory and a path.
pub(super) const AT: Names = names! {
    AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_REMOVEDIR
};
/// The bit of AT_REMOVEDIR has another name here.
const ACCESS_AT: Names = names! { AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW AT_EACCESS };
const EVENT: Names = names! { EFD_SEMAPHORE EFD_NONBLOCK EFD_CLOEXEC };
const RENAME: Names = names! { RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT };
const WHENCE: Names = names! { SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE };
const FALLOC: Names = names! { FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE };
const LOCK: Names = names! { LOCK_SH LOCK_EX LOCK_UN LOCK_NB };
const MEMFD: Names = names! {
    MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB MFD_NOEXEC_SEAL MFD_EXEC
};
const SPLICE: Names = names! {
    SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE SPLICE_F_GIFT
};
const RWF: Names = names! { RWF_HIPRI RWF_DSYNC RWF_SYNC RWF_NOWAIT RWF_APPEND };
const RANGE: Names = names! { CLOSE_RANGE_UNSHARE CLOSE_RANGE_CLOEXEC };
const RESOLVE: Names = names! {
    RESOLVE_NO_XDEV RESOLVE_NO_MAGICLINKS RESOLVE_NO_SYMLINKS RESOLVE_BENEATH RESOLVE_IN_ROOT
    RESOLVE_CACHED
};
const ADVICE: Names = names! {
    POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED
    POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE
};
/// What fcntl is asked for.
pub(super) const FCNTL: Names = names! {
    F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_OFD_GETLK
    F_OFD_SETLK F_OFD_SETLKW F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS
    F_GET_SEALS F_SETOWN F_GETOWN F_SETLEASE F_GETLEASE F_NOTIFY
};
const SEALS: Names = names! {
    F_SEAL_SEAL F_SEAL_SHRINK F_SEAL_GROW F_SEAL_WRITE F_SEAL_FUTURE_WRITE F_SEAL_EXEC
};
const LOCK_TYPE: Names = names! { F_RDLCK F_WRLCK F_UNLCK };
const IOCTL: Names = names! {
    TCGETS TCSETS TCSETSW TCSETSF TCFLSH FIONREAD FIONBIO FIOASYNC FIOCLEX FIONCLEX
    TIOCGWINSZ TIOCSWINSZ TIOCGPGRP TIOCSPGRP TIOCGSID TIOCSCTTY TIOCNOTTY TIOCOUTQ TIOCSTI
    TIOCGPTN TIOCSPTLCK FICLONE
};
/// What inotify watches for, and what it reports.
pub(super) const NOTIFY: Names = names! {
    IN_ACCESS IN_MODIFY IN_ATTRIB IN_CLOSE_WRITE IN_CLOSE_NOWRITE IN_OPEN IN_MOVED_FROM
    IN_MOVED_TO IN_CREATE IN_DELETE IN_DELETE_SELF IN_MOVE_SELF IN_UNMOUNT IN_IGNORED IN_ONLYDIR
    IN_DONT_FOLLOW IN_EXCL_UNLINK IN_MASK_ADD IN_ONESHOT IN_ISDIR
};

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{
        After, Before, Directory, Fd, Hex, In, Int, Octal, Out, Path, Set, Size,
        Text, Word,
    };
    Some(match name {
        "read" => &[Fd, Out, Size],
        "write" => &[Fd, In(2), Size],
        "pread64" => &[Fd, Out, Size, Size],
        "pwrite64" => &[Fd, In(2), Size, Size],
        "readv" => &[Fd, After(iov), Int],
        "writev" => &[Fd, Before(iov), Int],
        "preadv" => &[Fd, After(iov), Int, Before(long), Hex],
        "pwritev" => &[Fd, Before(iov), Int, Before(long), Hex],
        "preadv2" => &[Fd, After(iov), Int, Before(long), Hex, Set(RWF)],
        "pwritev2" => &[Fd, Before(iov), Int, Before(long), Hex, Set(RWF)],
        "open" => &[Path, Before(open_flags), Octal],
        "openat" => &[Directory, Path, Before(open_flags), Octal],
        "openat2" => &[Directory, Path, Before(open_how), Size],
        "creat" => &[Path, Octal],
        "close" | "fsync" | "fdatasync" | "syncfs" | "dup" | "fchdir" => &[Fd],
        "close_range" => &[Before(number), Before(number), Set(RANGE)],
        "dup2" => &[Fd, Int],
        "dup3" => &[Fd, Int, Set(NEW_FD)],
        "pipe" => &[After(pair)],
        "pipe2" => &[After(pair), Set(NEW_FD)],
        "mknod" => &[Path, Before(mode), Hex],
        "mknodat" => &[Directory, Path, Before(mode), Hex],
        "mkdir" | "chmod" => &[Path, Octal],
        "mkdirat" => &[Directory, Path, Octal],
        "fchmod" => &[Fd, Octal],
        "unlink" | "rmdir" | "chdir" => &[Path],
        "unlinkat" => &[Directory, Path, Set(AT)],
        "rename" | "link" | "symlink" => &[Path, Path],
        "renameat" => &[Directory, Path, Directory, Path],
        "renameat2" => &[Directory, Path, Directory, Path, Set(RENAME)],
        "linkat" => &[Directory, Path, Directory, Path, Set(AT)],
        "ftruncate" => &[Fd, Size],
        "fallocate" => &[Fd, Set(FALLOC), Size, Size],
        "fcntl" => &[Fd, Word(FCNTL), Before(fcntl_argument)],
        "flock" => &[Fd, Set(LOCK)],
        "lseek" => &[Fd, Before(long), Word(WHENCE)],
        "ioctl" => &[Fd, Word(IOCTL), Hex],
        "fstat" => &[Fd, Hex],
        "stat" | "lstat" | "statfs" => &[Path, Hex],
        "newfstatat" => &[Directory, Path, Hex, Set(AT)],
        "statx" => &[Directory, Path, Set(AT), Hex, Hex],
        "access" => &[Path, Set(ACCESS)],
        "faccessat" => &[Directory, Path, Set(ACCESS)],
        "faccessat2" => &[Directory, Path, Set(ACCESS), Set(ACCESS_AT)],
        "readlink" => &[Path, Out, Size],
        "readlinkat" => &[Directory, Path, Out, Size],
        "getcwd" => &[Out, Size],
        "getdents64" => &[Fd, Hex, Size],
        "splice" => &[Fd, Hex, Fd, Hex, Size, Set(SPLICE)],
        "tee" => &[Fd, Fd, Size, Set(SPLICE)],
        "vmsplice" => &[Fd, Before(iov), Int, Set(SPLICE)],
        "sendfile" => &[Fd, Fd, Hex, Size],
        "copy_file_range" => &[Fd, Hex, Fd, Hex, Size, Hex],
        "fadvise64" => &[Fd, Size, Size, Word(ADVICE)],
        "inotify_init" => &[],
        "eventfd" => &[Int],
        "eventfd2" => &[Int, Set(EVENT)],
        "memfd_create" => &[Text, Set(MEMFD)],
        "inotify_init1" => &[Set(NEW_FD)],
        "inotify_add_watch" => &[Fd, Path, Set(NOTIFY)],
        "inotify_rm_watch" => &[Fd, Int],
        _ => return None,
    })
}

/// What fcntl does without a third argument.
const FCNTL_ALONE: [i32; 6] = [
    libc::F_GETFD,
    libc::F_GETFL,
    libc::F_GETOWN,
    libc::F_GETLEASE,
    libc::F_GETPIPE_SZ,
    libc::F_GET_SEALS,
];

/// The operations of prctl(2) with one more argument.
const ONE_MORE: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_SET_PDEATHSIG,
    libc::PR_SET_CHILD_SUBREAPER,
    libc::PR_SET_DUMPABLE,
];

fn is_device(mode: u64) -> bool {
    [libc::S_IFCHR, libc::S_IFBLK].contains(&(mode as u32 & libc::S_IFMT))
}

/// Leaves out arguments that mean nothing in this call.
pub(super) fn trim(name: &str, args: &mut Vec<Piece>, cx: &Cx<'_>) {
    let flags = match name {
        "open" => cx.args[1],
        "openat" => cx.args[2],
        // Only a device has a number.
        "mknodat" if !is_device(cx.args[2]) => {
            args.truncate(3);
            return;
        }
        "mknod" if !is_device(cx.args[1]) => {
            args.truncate(2);
            return;
        }
        "fcntl" if FCNTL_ALONE.contains(&cx.int(1)) => {
            args.truncate(2);
            return;
        }
        // The C library passes on whatever is in the registers of the others.
        "prctl" if ONE_MORE.contains(&cx.int(0)) => {
            args.truncate(2);
            return;
        }
        "futex" => {
            args.truncate(super::memory::futex_arguments(cx));
            return;
        }
        "mremap"
            if cx.int(3) & (libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP) == 0 =>
        {
            args.truncate(4);
            return;
        }
        "mq_open" if cx.int(1) & libc::O_CREAT == 0 => {
            args.truncate(2);
            return;
        }
        _ => return,
    };
    if flags as i32 & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) == 0 {
        args.pop();
    }
}

/// A path, as the program gave it, and whole.
pub(super) fn path(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(said) = cx.memory().text(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let pid = cx.pid();
    let whole = if said.starts_with('/') || said.is_empty() {
        said.clone()
    } else {
        let at = index.checked_sub(1).map(|index| cx.args[index] as i32);
        let link = |name: String| std::fs::read_link(format!("/proc/{pid}/{name}"));
        // What comes before need not be a directory's descriptor: inotify's, a path.
        let dir = at.filter(|fd| (0..1 << 20).contains(fd));
        let dir = dir.and_then(|fd| link(format!("fd/{fd}")).ok());
        let dir = dir.filter(|dir| dir.is_absolute());
        let dir = dir.unwrap_or_else(|| link("cwd".to_owned()).unwrap_or_default());
        visible::text(dir.join(&said).as_os_str().as_bytes())
    };
    Piece::Path(cx.world.objects.shown(&said), whole)
}

fn mode(cx: &mut Cx<'_>, index: usize) -> Piece {
    let mode = cx.args[index] as u32;
    let kind = match mode & libc::S_IFMT {
        libc::S_IFIFO => "S_IFIFO|",
        libc::S_IFSOCK => "S_IFSOCK|",
        libc::S_IFREG => "S_IFREG|",
        libc::S_IFCHR => "S_IFCHR|",
        libc::S_IFBLK => "S_IFBLK|",
        libc::S_IFDIR => "S_IFDIR|",
        _ => "",
    };
    Piece::text(format!("{kind}{:04o}", mode & !libc::S_IFMT))
}

/// O_RDONLY is 0, and is named all the same.
pub(super) fn open_flags(cx: &mut Cx<'_>, index: usize) -> Piece {
    Piece::text(open_text(cx.args[index]))
}

fn open_text(flags: u64) -> String {
    let text = set(flags, OPEN);
    let reads = flags as i32 & libc::O_ACCMODE == libc::O_RDONLY && flags != 0;
    if reads { format!("O_RDONLY|{text}") } else { text }
}

/// `struct open_how`.
fn open_how(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(how) = cx.memory().array::<24>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let [flags, mode, resolve] =
        [0, 8, 16].map(|at| super::super::memory::u64_at(&how, at));
    let mut text = open_text(flags);
    if mode != 0 {
        text = format!("{text}, {mode:04o}");
    }
    if resolve != 0 {
        text = format!("{text}, {}", set(resolve, RESOLVE));
    }
    Piece::text(format!("{{{text}}}"))
}

/// The number of a descriptor that need not be open, up to the highest there can be.
fn number(cx: &mut Cx<'_>, index: usize) -> Piece {
    Piece::text((cx.args[index] as u32).to_string())
}

/// A signed number of 64 bits.
pub(super) fn long(cx: &mut Cx<'_>, index: usize) -> Piece {
    Piece::text((cx.args[index] as i64).to_string())
}

/// The two descriptors that pipe and socketpair give.
pub(super) fn pair(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(pair) = cx.memory().array::<8>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let numbers = [0, 4].map(|offset| super::super::memory::i32_at(&pair, offset));
    Piece::Group("[", numbers.map(|fd| cx.new_fd(fd)).to_vec(), "]")
}

/// The buffers of an array of `struct iovec`; what was read is no longer than the result.
pub(super) fn iov(cx: &mut Cx<'_>, index: usize) -> Piece {
    buffers(cx, cx.args[index], cx.args[index + 1], cx.result)
}

/// `count` buffers at `address`, in which `moved` bytes are.
pub(super) fn buffers(cx: &Cx<'_>, address: u64, count: u64, moved: i64) -> Piece {
    const MOST: u64 = 16;
    let mut left = moved.max(0) as u64;
    let mut parts = Vec::new();
    for n in 0..count.min(MOST) {
        if left == 0 {
            break;
        }
        let at = address.wrapping_add(16 * n);
        let (Some(base), Some(length)) =
            (cx.memory().u64(at), cx.memory().u64(at.wrapping_add(8)))
        else {
            break;
        };
        parts.push(cx.bytes(base, length.min(left)));
        left = left.saturating_sub(length);
    }
    if count > MOST {
        parts.push(Piece::text("…"));
    }
    Piece::Group("[", parts, "]")
}

fn fcntl_argument(cx: &mut Cx<'_>, index: usize) -> Piece {
    let raw = cx.args[index];
    match cx.int(1) {
        libc::F_SETFL => Piece::text(set(raw, &OPEN[2..])),
        libc::F_SETFD if raw == 1 => Piece::text("FD_CLOEXEC"),
        libc::F_ADD_SEALS => Piece::text(set(raw, SEALS)),
        libc::F_SETLK | libc::F_SETLKW | libc::F_OFD_SETLK | libc::F_OFD_SETLKW => {
            let Some(lock) = cx.memory().array::<24>(raw) else {
                return hex(raw);
            };
            let kind = u64::from(u16::from_ne_bytes([lock[0], lock[1]]));
            let start = super::super::memory::u64_at(&lock, 8) as i64;
            let length = super::super::memory::u64_at(&lock, 16) as i64;
            let kind = word(kind, LOCK_TYPE);
            Piece::text(format!("{{{kind}, start {start}, length {length}}}"))
        }
        _ => Piece::text((raw as i64).to_string()),
    }
}
