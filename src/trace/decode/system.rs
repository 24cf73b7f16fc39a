//! What carries nothing between processes: rights, limits, clocks, mounts, attributes, and
//! calls that only old kernels had. Here is the kind of each argument, and no more.

use super::argument::{Arg, NEW_FD, Names, names};
use super::files;

const MOUNT: Names = names! {
    MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_REMOUNT MS_BIND MS_MOVE MS_REC MS_SILENT
    MS_UNBINDABLE MS_PRIVATE MS_SLAVE MS_SHARED MS_RELATIME
};
const UNMOUNT: Names = names! { MNT_FORCE MNT_DETACH MNT_EXPIRE UMOUNT_NOFOLLOW };
const SECCOMP: Names = names! {
    SECCOMP_SET_MODE_STRICT SECCOMP_SET_MODE_FILTER SECCOMP_GET_ACTION_AVAIL
    SECCOMP_GET_NOTIF_SIZES
};
const RULE: Names =
    &[(1, "LANDLOCK_RULE_PATH_BENEATH"), (2, "LANDLOCK_RULE_NET_PORT")];
const PRIORITY: Names = names! { PRIO_PROCESS PRIO_PGRP PRIO_USER };
const POLICY: Names = names! {
    SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_IDLE SCHED_DEADLINE
};
const USED: Names = names! { RUSAGE_SELF RUSAGE_CHILDREN RUSAGE_THREAD };
const XATTR: Names = names! { XATTR_CREATE XATTR_REPLACE };

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{
        Before, Directory, Fd, Hex, In, Int, Octal, Out, Path, Set, Size, Text, Word,
    };
    const LONG: Arg = Before(files::long);
    Some(match name {
        // Rights and identities.
        "setuid" | "setgid" | "setfsuid" | "setfsgid" => &[Int],
        "setreuid" | "setregid" => &[Int, Int],
        "setresuid" | "setresgid" => &[Int, Int, Int],
        "getresuid" | "getresgid" => &[Hex, Hex, Hex],
        "getgroups" | "setgroups" => &[Int, Hex],
        "capget" | "capset" => &[Hex, Hex],
        "personality" => &[Hex],
        "seccomp" => &[Word(SECCOMP), Hex, Hex],
        "landlock_create_ruleset" => &[Hex, Size, Hex],
        "landlock_add_rule" => &[Fd, Word(RULE), Hex, Hex],
        "landlock_restrict_self" => &[Fd, Hex],
        "lsm_get_self_attr" => &[Int, Hex, Hex, Hex],
        "lsm_set_self_attr" => &[Int, Hex, Size, Hex],
        "lsm_list_modules" => &[Hex, Hex, Hex],
        "add_key" => &[Text, Text, In(3), Size, Int],
        "request_key" => &[Text, Text, Text, Int],
        "keyctl" => &[Int, Hex, Hex, Hex, Hex],
        // Scheduling, memory policy and limits.
        "getpriority" => &[Word(PRIORITY), Int],
        "setpriority" => &[Word(PRIORITY), Int, Int],
        "ioprio_get" => &[Int, Int],
        "ioprio_set" => &[Int, Int, Int],
        "sched_setaffinity" => &[Int, Size, Hex],
        "sched_setscheduler" => &[Int, Word(POLICY), Hex],
        "sched_getscheduler" => &[Int],
        "sched_get_priority_max" | "sched_get_priority_min" => &[Word(POLICY)],
        "sched_setparam" | "sched_getparam" | "sched_rr_get_interval" => &[Int, Hex],
        "sched_setattr" => &[Int, Hex, Hex],
        "sched_getattr" => &[Int, Hex, Size, Hex],
        "getrusage" => &[Word(USED), Hex],
        "getcpu" => &[Hex, Hex, Hex],
        "mbind" => &[Hex, Size, Int, Hex, Size, Hex],
        "set_mempolicy" => &[Int, Hex, Size],
        "get_mempolicy" => &[Hex, Hex, Size, Hex, Hex],
        "set_mempolicy_home_node" => &[Hex, Size, Size, Hex],
        "migrate_pages" => &[Int, Size, Hex, Hex],
        "move_pages" => &[Int, Size, Hex, Hex, Hex, Hex],
        // The system: its name, its clock, its modules.
        "uname" | "sysinfo" | "times" | "adjtimex" => &[Hex],
        "sethostname" | "setdomainname" => &[In(1), Size],
        "settimeofday" => &[Hex, Hex],
        "syslog" => &[Int, Hex, Int],
        "reboot" => &[Hex, Hex, Hex, Hex],
        "acct" | "swapoff" | "chroot" | "uselib" => &[Path],
        "swapon" => &[Path, Hex],
        "init_module" => &[Hex, Size, Text],
        "finit_module" => &[Fd, Text, Hex],
        "delete_module" => &[Text, Set(files::OPEN)],
        "kexec_load" => &[Hex, Size, Hex, Hex],
        "kexec_file_load" => &[Fd, Fd, Size, In(2), Hex],
        "iopl" => &[Int],
        "ioperm" => &[Size, Size, Int],
        "quotactl" => &[Hex, Path, Int, Hex],
        "quotactl_fd" => &[Fd, Hex, Int, Hex],
        "vhangup" | "sync" | "munlockall" | "uretprobe" | "uprobe" => &[],
        // Mounts.
        "mount" => &[Path, Path, Text, Set(MOUNT), Hex],
        "umount2" => &[Path, Set(UNMOUNT)],
        "pivot_root" => &[Path, Path],
        "fsopen" => &[Text, Hex],
        "fsconfig" => &[Fd, Int, Text, Hex, Int],
        "fsmount" => &[Fd, Hex, Hex],
        "fspick" | "open_tree" => &[Directory, Path, Hex],
        "open_tree_attr" | "mount_setattr" => &[Directory, Path, Hex, Hex, Size],
        "move_mount" => &[Directory, Path, Directory, Path, Hex],
        "statmount" | "listmount" | "listns" => &[Hex, Hex, Size, Hex],
        "ustat" => &[Hex, Hex],
        "sysfs" => &[Int, Hex, Hex],
        // Files' attributes.
        "chown" | "lchown" => &[Path, Int, Int],
        "fchown" => &[Fd, Int, Int],
        "fchownat" => &[Directory, Path, Int, Int, Set(files::AT)],
        "fchmodat" => &[Directory, Path, Octal],
        "fchmodat2" => &[Directory, Path, Octal, Set(files::AT)],
        "umask" => &[Octal],
        "utime" | "utimes" => &[Path, Hex],
        "futimesat" => &[Directory, Path, Hex],
        "utimensat" => &[Directory, Path, Hex, Set(files::AT)],
        "truncate" => &[Path, LONG],
        "fstatfs" => &[Fd, Hex],
        "getdents" => &[Fd, Hex, Size],
        "symlinkat" => &[Text, Directory, Path],
        "readahead" => &[Fd, LONG, Size],
        "sync_file_range" => &[Fd, LONG, LONG, Hex],
        "cachestat" => &[Fd, Hex, Hex, Hex],
        "name_to_handle_at" => &[Directory, Path, Hex, Hex, Set(files::AT)],
        "open_by_handle_at" => &[Directory, Hex, Set(files::OPEN)],
        "fanotify_init" => &[Hex, Set(files::OPEN)],
        "fanotify_mark" => &[Fd, Hex, Hex, Directory, Path],
        "setxattr" | "lsetxattr" => &[Path, Text, In(3), Size, Set(XATTR)],
        "fsetxattr" => &[Fd, Text, In(3), Size, Set(XATTR)],
        "getxattr" | "lgetxattr" => &[Path, Text, Out, Size],
        "fgetxattr" => &[Fd, Text, Out, Size],
        "listxattr" | "llistxattr" => &[Path, Out, Size],
        "flistxattr" => &[Fd, Out, Size],
        "removexattr" | "lremovexattr" => &[Path, Text],
        "fremovexattr" => &[Fd, Text],
        "setxattrat" | "getxattrat" => {
            &[Directory, Path, Set(files::AT), Text, Hex, Size]
        }
        "listxattrat" => &[Directory, Path, Set(files::AT), Out, Size],
        "removexattrat" => &[Directory, Path, Set(files::AT), Text],
        "file_getattr" | "file_setattr" => {
            &[Directory, Path, Hex, Size, Set(files::AT)]
        }
        // Looking into what runs.
        "bpf" => &[Int, Hex, Size],
        "perf_event_open" => &[Hex, Int, Int, Fd, Hex],
        "userfaultfd" => &[Set(NEW_FD)],
        "lookup_dcookie" => &[Hex, Out, Size],
        // What is left of other times: the kernel returns ENOSYS.
        "_sysctl" | "get_kernel_syms" => &[Hex],
        "create_module" => &[Text, Size],
        "query_module" => &[Text, Int, Hex, Size, Hex],
        "epoll_ctl_old" => &[Int, Int, Int, Hex],
        "epoll_wait_old" => &[Int, Hex, Int],
        "nfsservctl" => &[Int, Hex, Hex],
        "remap_file_pages" => &[Hex, Size, Hex, Size, Hex],
        "afs_syscall" | "getpmsg" | "putpmsg" | "security" | "tuxcall"
        | "vserver" => &[Hex, Hex, Hex, Hex, Hex, Hex],
        _ => return None,
    })
}
