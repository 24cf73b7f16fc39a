//! Mapped memory, and the futex words in it.

use super::{Arg, Cx, Names, Piece, data, names, set};

const PROT: Names = names! { PROT_NONE PROT_READ PROT_WRITE PROT_EXEC };
const MAP: Names = names! {
    MAP_SHARED_VALIDATE MAP_SHARED MAP_PRIVATE MAP_ANONYMOUS MAP_FIXED_NOREPLACE MAP_FIXED
    MAP_POPULATE MAP_LOCKED MAP_NORESERVE MAP_STACK MAP_DENYWRITE
};
const SYNC: Names = names! { MS_ASYNC MS_SYNC MS_INVALIDATE };
const FUTEX: Names = names! {
    FUTEX_WAIT FUTEX_WAKE FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI
    FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET
};

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{Before, Fd, Hex, Int, Set, Size};
    Some(match name {
        "mmap" => &[Hex, Size, Set(PROT), Set(MAP), Fd, Hex],
        "munmap" => &[Hex, Size],
        "mprotect" => &[Hex, Size, Set(PROT)],
        "madvise" => &[Hex, Size, Int],
        "msync" => &[Hex, Size, Set(SYNC)],
        "mremap" => &[Hex, Size, Size, Int],
        "mlock" => &[Hex, Size],
        "brk" => &[Hex],
        "futex" => &[Before(word), Before(operation), Size, Before(timeout)],
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
    let address = cx.args[index];
    match cx.world.word(cx.who, address) {
        Some((_, offset)) => Piece::text(format!("shared+{offset:#x}")),
        None => super::hex(address),
    }
}

fn operation(cx: &mut Cx<'_>, _: usize) -> Piece {
    let name = super::word(action(cx) as u64, FUTEX);
    let private = cx.int(1) & libc::FUTEX_PRIVATE_FLAG != 0;
    let text = if private { name + "_PRIVATE" } else { name };
    Piece::text(text)
}

fn timeout(cx: &mut Cx<'_>, index: usize) -> Piece {
    if waits(cx) { data::timespec(cx, index) } else { super::hex(cx.args[index]) }
}

/// Whether a mapping's writes are seen by others.
pub(super) fn shared(flags: u64) -> bool {
    set(flags, &MAP[..2]).contains("SHARED")
}
