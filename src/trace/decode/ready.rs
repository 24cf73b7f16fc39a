//! Waiting for many: select, poll, epoll.

use super::super::memory::{i32_at, u64_at};
use super::argument::{Arg, Cx, NEW_FD, Names, hex, names, set};
use super::data;
use crate::event::Piece;

const POLL: Names =
    names! { POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDHUP };
const EPOLL: Names = names! {
    EPOLLIN EPOLLPRI EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLEXCLUSIVE EPOLLONESHOT
    EPOLLET
};
const CONTROL: Names = names! { EPOLL_CTL_ADD EPOLL_CTL_MOD EPOLL_CTL_DEL };
/// How many descriptors of a set are shown.
const MOST: u64 = 64;
/// On x86-64 the struct is packed.
const EVENT: usize = size_of::<libc::epoll_event>();

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, Before, Fd, Hex, Int, Set, Size, Word};
    Some(match name {
        "poll" => &[Before(polled), Size, Int],
        "ppoll" => &[Before(polled), Size, Before(data::timespec), Hex, Size],
        "select" => {
            &[Int, Before(bits), Before(bits), Before(bits), Before(data::timeval)]
        }
        "pselect6" => &[
            Int,
            Before(bits),
            Before(bits),
            Before(bits),
            Before(data::timespec),
            Hex,
        ],
        "epoll_create" => &[Int],
        "epoll_create1" => &[Set(NEW_FD)],
        "epoll_ctl" => &[Fd, Word(CONTROL), Fd, Before(registered)],
        "epoll_wait" => &[Fd, After(events), Int, Int],
        "epoll_pwait" => &[Fd, After(events), Int, Int, Hex, Size],
        "epoll_pwait2" => {
            &[Fd, After(events), Int, Before(data::timespec), Hex, Size]
        }
        _ => return None,
    })
}

/// Each entry of a poll's set: descriptor, wanted, got.
fn entries(cx: &Cx<'_>) -> Vec<(i32, u64, u64)> {
    let bytes = cx.memory().bytes(cx.args[0], 8 * cx.args[1].min(MOST) as usize);
    let (all, _) = bytes.as_chunks::<8>();
    let word = |low, high| u64::from(u16::from_ne_bytes([low, high]));
    all.iter().map(|b| (i32_at(b, 0), word(b[4], b[5]), word(b[6], b[7]))).collect()
}

fn polled(cx: &mut Cx<'_>, _: usize) -> Piece {
    let entries = entries(cx);
    let part = |(fd, wanted, _): (i32, u64, u64)| {
        let parts = vec![cx.fd(fd), Piece::text(set(wanted, POLL))];
        Piece::Group("{", parts, "}")
    };
    Piece::Group("[", entries.into_iter().map(part).collect(), "]")
}

/// What poll found: shown after its result.
pub(super) fn answered(cx: &mut Cx<'_>) -> Option<Piece> {
    let found = entries(cx).into_iter().filter(|(_, _, got)| *got != 0);
    let found: Vec<_> = found.collect();
    let parts = found.into_iter().map(|(fd, _, got)| {
        let parts = vec![cx.fd(fd), Piece::text(set(got, POLL))];
        Piece::Group("{", parts, "}")
    });
    Some(Piece::Group("[", parts.collect(), "]"))
}

fn bits(cx: &mut Cx<'_>, index: usize) -> Piece {
    let address = cx.args[index];
    if address == 0 {
        return hex(0);
    }
    let most = (cx.args[0] as usize).min(1024);
    let bytes = cx.memory().bytes(address, most.div_ceil(8));
    let on = |fd: &usize| bytes.get(fd / 8).is_some_and(|b| b & 1 << (fd % 8) != 0);
    let fds: Vec<usize> = (0..most).filter(on).take(MOST as usize).collect();
    Piece::Group("[", fds.into_iter().map(|fd| cx.fd(fd as i32)).collect(), "]")
}

fn registered(cx: &mut Cx<'_>, index: usize) -> Piece {
    let address = cx.args[index];
    let bytes = cx.memory().bytes(address, EVENT);
    if bytes.len() < EVENT {
        return hex(address);
    }
    Piece::text(event(&bytes))
}

fn event(bytes: &[u8]) -> String {
    let data = u64_at(bytes, EVENT - 8);
    let bits = i32_at(bytes, 0) as u32;
    format!("{{{}, data {data}}}", set(u64::from(bits), EPOLL))
}

fn events(cx: &mut Cx<'_>, index: usize) -> Piece {
    let count = (cx.result.max(0) as usize).min(MOST as usize);
    let bytes = cx.memory().bytes(cx.args[index], count * EVENT);
    let (all, _) = bytes.as_chunks::<EVENT>();
    let parts = all.iter().map(|bytes| Piece::text(event(bytes))).collect();
    Piece::Group("[", parts, "]")
}
