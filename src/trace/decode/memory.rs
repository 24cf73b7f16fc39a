//! Mapped memory, and the futex words in it.

use super::super::memory::{i32_at, u64_at};
use super::argument::{Arg, Cx, Names, hex, names, set};
use super::clocks::CLOCK;
use super::data;
use crate::event::Piece;

const PROT: Names = names! { PROT_NONE PROT_READ PROT_WRITE PROT_EXEC };
const MAP: Names = names! {
    MAP_SHARED_VALIDATE MAP_SHARED MAP_PRIVATE MAP_ANONYMOUS MAP_FIXED_NOREPLACE MAP_FIXED
    MAP_POPULATE MAP_LOCKED MAP_NORESERVE MAP_STACK MAP_DENYWRITE
};
const SYNC: Names = names! { MS_ASYNC MS_SYNC MS_INVALIDATE };
const FUTEX: Names = names! {
    FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP
    FUTEX_LOCK_PI FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET
    FUTEX_WAIT_REQUEUE_PI FUTEX_CMP_REQUEUE_PI FUTEX_LOCK_PI2
};
const FUTEX2: Names =
    &[(0x02, "FUTEX2_SIZE_U32"), (0x04, "FUTEX2_NUMA"), (0x80, "FUTEX2_PRIVATE")];
const REMAP: Names = names! { MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP };
const LOCK: Names = names! { MCL_CURRENT MCL_FUTURE MCL_ONFAULT };
const SECRET: Names = names! { FD_CLOEXEC O_CLOEXEC };
const BARRIER: Names = names! {
    MEMBARRIER_CMD_QUERY MEMBARRIER_CMD_GLOBAL MEMBARRIER_CMD_GLOBAL_EXPEDITED
    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED MEMBARRIER_CMD_PRIVATE_EXPEDITED
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ
};
/// The advice of madvise.
pub(super) const ADVICE: Names = names! {
    MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE
    MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE
    MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT
    MADV_POPULATE_READ MADV_POPULATE_WRITE MADV_COLLAPSE
};

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{Before, Fd, Hex, Int, Set, Size, Word};
    Some(match name {
        "mmap" => &[Hex, Size, Set(PROT), Set(MAP), Fd, Hex],
        "munmap" => &[Hex, Size],
        "mprotect" => &[Hex, Size, Set(PROT)],
        "pkey_mprotect" => &[Hex, Size, Set(PROT), Int],
        "pkey_alloc" => &[Hex, Hex],
        "pkey_free" => &[Int],
        "madvise" => &[Hex, Size, Word(ADVICE)],
        "mincore" => &[Hex, Size, Hex],
        "msync" => &[Hex, Size, Set(SYNC)],
        "mremap" => &[Hex, Size, Size, Set(REMAP), Hex],
        "mlock" | "munlock" => &[Hex, Size],
        "mlock2" | "map_shadow_stack" | "mseal" => &[Hex, Size, Hex],
        "mlockall" => &[Set(LOCK)],
        "memfd_secret" => &[Set(SECRET)],
        "membarrier" => &[Word(BARRIER), Hex, Int],
        "brk" => &[Hex],
        "futex" => {
            &[Before(word), Before(operation), Size, Before(timeout), Hex, Hex]
        }
        "futex_wake" => &[Before(word), Hex, Int, Set(FUTEX2)],
        "futex_wait" => &[
            Before(word),
            Size,
            Hex,
            Set(FUTEX2),
            Before(data::timespec),
            Word(CLOCK),
        ],
        "futex_waitv" => &[
            Before(waiters),
            Size,
            Set(FUTEX2),
            Before(data::timespec),
            Word(CLOCK),
        ],
        "futex_requeue" => &[Before(pair), Hex, Int, Int],
        _ => return None,
    })
}

/// What a futex call does, without its flags.
pub(super) fn action(cx: &Cx<'_>) -> i32 {
    cx.int(1) & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME)
}

/// Whether it waits.
pub(super) fn waits(cx: &Cx<'_>) -> bool {
    [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET].contains(&action(cx))
}

/// Where the word lies: in which shared pages, if it lies in some.
fn word(cx: &mut Cx<'_>, index: usize) -> Piece {
    word_at(cx, cx.args[index])
}

fn word_at(cx: &mut Cx<'_>, address: u64) -> Piece {
    match cx.world.word(cx.process, address) {
        Some((_, offset)) => Piece::text(format!("shared+{offset:#x}")),
        None => hex(address),
    }
}

/// `struct futex_waitv`s: the value that each word must still have, and where it lies.
fn waiters(cx: &mut Cx<'_>, index: usize) -> Piece {
    words(cx, index, cx.args[1])
}

/// Two of them: from which process, and to which.
fn pair(cx: &mut Cx<'_>, index: usize) -> Piece {
    words(cx, index, 2)
}

fn words(cx: &mut Cx<'_>, index: usize, count: u64) -> Piece {
    const SIZE: usize = 24;
    const MOST: u64 = 16;
    let bytes = cx.memory().bytes(cx.args[index], SIZE * count.min(MOST) as usize);
    let (all, _) = bytes.as_chunks::<SIZE>();
    if all.is_empty() {
        return hex(cx.args[index]);
    }
    let mut parts = Vec::new();
    for bytes in all {
        let (value, address) = (u64_at(bytes, 0), u64_at(bytes, 8));
        let flags = set(i32_at(bytes, 16) as u64, FUTEX2);
        let parts_of = vec![
            Piece::text(value.to_string()),
            word_at(cx, address),
            Piece::text(flags),
        ];
        parts.push(Piece::Group("{", parts_of, "}"));
    }
    if count > MOST {
        parts.push(Piece::text("…"));
    }
    Piece::Group("[", parts, "]")
}

/// How many arguments a futex call has, which depends on what it does.
pub(super) fn futex_arguments(cx: &Cx<'_>) -> usize {
    match action(cx) {
        libc::FUTEX_UNLOCK_PI | libc::FUTEX_TRYLOCK_PI => 2,
        libc::FUTEX_WAKE | libc::FUTEX_FD => 3,
        libc::FUTEX_WAIT | libc::FUTEX_LOCK_PI | libc::FUTEX_LOCK_PI2 => 4,
        libc::FUTEX_REQUEUE => 5,
        _ => 6,
    }
}

fn operation(cx: &mut Cx<'_>, _: usize) -> Piece {
    let name = super::argument::word(action(cx) as u64, FUTEX);
    let private = cx.int(1) & libc::FUTEX_PRIVATE_FLAG != 0;
    let text = if private { name + "_PRIVATE" } else { name };
    let real = cx.int(1) & libc::FUTEX_CLOCK_REALTIME != 0;
    Piece::text(if real { text + "|FUTEX_CLOCK_REALTIME" } else { text })
}

fn timeout(cx: &mut Cx<'_>, index: usize) -> Piece {
    const TIMED: [i32; 3] =
        [libc::FUTEX_LOCK_PI, libc::FUTEX_LOCK_PI2, libc::FUTEX_WAIT_REQUEUE_PI];
    let sleeps = waits(cx) || TIMED.contains(&action(cx));
    match cx.args[index] {
        _ if sleeps => data::timespec(cx, index),
        // The kernel takes a number from here.
        count => Piece::text(count.to_string()),
    }
}

/// Whether a mapping's writes are seen by others.
pub(super) fn shared(flags: u64) -> bool {
    set(flags, &MAP[..2]).contains("SHARED")
}
