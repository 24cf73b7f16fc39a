//! System V semaphores and shared memory.

use super::argument::{Arg, Cx, Names, hex, names};
use super::data;
use super::queues::{CONTROL, get_flags, key};
use crate::event::Piece;

const SEMCTL: Names = &[
    (11, "GETPID"),
    (12, "GETVAL"),
    (13, "GETALL"),
    (14, "GETNCNT"),
    (15, "GETZCNT"),
    (16, "SETVAL"),
    (17, "SETALL"),
    (0, "IPC_RMID"),
    (1, "IPC_SET"),
    (2, "IPC_STAT"),
];
const SHMAT: Names = names! { SHM_RDONLY SHM_RND SHM_REMAP SHM_EXEC };

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{Before, Hex, Int, Set, Size, Word};
    Some(match name {
        "semget" => &[Before(key), Int, Before(get_flags)],
        "semop" => &[Int, Before(operations), Int],
        "semtimedop" => &[Int, Before(operations), Int, Before(data::timespec)],
        "semctl" => &[Int, Int, Word(SEMCTL), Int],
        "shmget" => &[Before(key), Size, Before(get_flags)],
        "shmat" => &[Int, Hex, Set(SHMAT)],
        "shmdt" => &[Hex],
        "shmctl" => &[Int, Word(CONTROL), Hex],
        _ => return None,
    })
}

/// One `struct sembuf`.
pub(super) struct Operation {
    /// Which semaphore of the set.
    pub(super) number: u16,
    /// What is added.
    pub(super) change: i16,
    flags: i16,
}

impl Operation {
    /// Whether the end of the process takes it back.
    pub(super) fn undoes(&self) -> bool {
        i32::from(self.flags) & libc::SEM_UNDO != 0
    }
}

/// The operations of a semop.
pub(super) fn all(cx: &Cx<'_>) -> Vec<Operation> {
    const MOST: usize = 32;
    const SIZE: usize = size_of::<libc::sembuf>();
    let bytes =
        cx.memory().bytes(cx.args[1], SIZE * (cx.args[2] as usize).min(MOST));
    let (all, _) = bytes.as_chunks::<SIZE>();
    let word = |low, high| i16::from_ne_bytes([low, high]);
    all.iter()
        .map(|b| Operation {
            number: u16::from_ne_bytes([b[0], b[1]]),
            change: word(b[2], b[3]),
            flags: word(b[4], b[5]),
        })
        .collect()
}

fn operations(cx: &mut Cx<'_>, index: usize) -> Piece {
    if cx.args[index] == 0 {
        return hex(0);
    }
    let text = |op: Operation| {
        let mut text = format!("{{{}, {:+}", op.number, op.change);
        for (bit, name) in
            [(libc::SEM_UNDO, "SEM_UNDO"), (libc::IPC_NOWAIT, "IPC_NOWAIT")]
        {
            if i32::from(op.flags) & bit != 0 {
                text.push_str(", ");
                text.push_str(name);
            }
        }
        Piece::text(text + "}")
    };
    Piece::Group("[", all(cx).into_iter().map(text).collect(), "]")
}
