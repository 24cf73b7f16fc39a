//! Message queues, POSIX and System V.

use super::argument::{Arg, Cx, Names, hex, names, set};
use super::{clocks, data, files};
use crate::event::Piece;
use crate::memory::u64_at;

const GET: Names = names! { IPC_CREAT IPC_EXCL };
const MESSAGE: Names = names! { IPC_NOWAIT MSG_NOERROR MSG_EXCEPT MSG_COPY };
/// What msgctl, semctl and shmctl do.
pub(super) const CONTROL: Names = names! { IPC_RMID IPC_SET IPC_STAT IPC_INFO };

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, Before, Fd, Hex, In, Int, Octal, Out, Set, Size, Word};
    Some(match name {
        "mq_open" => &[
            Before(queue_name),
            Before(files::open_flags),
            Octal,
            Before(attributes),
        ],
        "mq_unlink" => &[Before(queue_name)],
        "mq_timedsend" => &[Fd, In(2), Size, Size, Before(data::timespec)],
        "mq_timedreceive" => {
            &[Fd, Out, Size, After(data::pointed), Before(data::timespec)]
        }
        "mq_notify" => &[Fd, Before(clocks::sigevent)],
        "mq_getsetattr" => &[Fd, Before(attributes), After(attributes)],
        "msgget" => &[Before(key), Before(get_flags)],
        "msgsnd" => &[Int, Before(sent), Size, Set(MESSAGE)],
        "msgrcv" => &[Int, After(received), Size, Before(wanted), Set(MESSAGE)],
        "msgctl" => &[Int, Word(CONTROL), Hex],
        _ => return None,
    })
}

/// The C library leaves out the slash before it asks the kernel.
fn queue_name(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.memory().text(cx.args[index]) {
        Some(name) => {
            let name = format!("/{name}");
            Piece::Path(cx.world.objects.shown(&name), name)
        }
        None => hex(cx.args[index]),
    }
}

fn attributes(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(bytes) = cx.memory().array::<32>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let [most, size, now] = [8, 16, 24].map(|offset| u64_at(&bytes, offset));
    Piece::text(format!("{{room for {most} of {size}, {now} in it}}"))
}

/// A key of System V IPC.
pub(super) fn key(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.int(index) {
        libc::IPC_PRIVATE => Piece::text("IPC_PRIVATE"),
        key => Piece::text(format!("{key:#x}")),
    }
}

/// The flags and the mode of msgget, semget and shmget, which share a word.
pub(super) fn get_flags(cx: &mut Cx<'_>, index: usize) -> Piece {
    let raw = cx.args[index];
    let (flags, mode) = (raw & !0o777, raw & 0o777);
    Piece::text(match flags {
        0 => format!("{mode:04o}"),
        flags => format!("{}|{mode:04o}", set(flags, GET)),
    })
}

fn sent(cx: &mut Cx<'_>, index: usize) -> Piece {
    struct_msgbuf(cx, cx.args[index], cx.args[index + 1])
}

fn received(cx: &mut Cx<'_>, index: usize) -> Piece {
    struct_msgbuf(cx, cx.args[index], cx.result.max(0) as u64)
}

fn struct_msgbuf(cx: &Cx<'_>, address: u64, length: u64) -> Piece {
    let Some(kind) = cx.memory().u64(address) else { return hex(address) };
    let text = cx.bytes(address.wrapping_add(8), length);
    let kind = if kind > 0xffff { format!("{kind:#x}") } else { kind.to_string() };
    Piece::Group("{", vec![Piece::text(format!("type {kind}")), text], "}")
}

fn wanted(cx: &mut Cx<'_>, index: usize) -> Piece {
    Piece::text((cx.args[index] as i64).to_string())
}
