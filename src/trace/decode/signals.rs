//! Signals: what is sent, waited for, blocked and handled.

use super::super::memory::{i32_at, u64_at};
use super::argument::{Arg, Cx, Names, hex, names};
use super::data;
use super::signal_names::signal_name;
use crate::event::Piece;

const HOW: Names = names! { SIG_BLOCK SIG_UNBLOCK SIG_SETMASK };
const SFD: Names = names! { SFD_CLOEXEC SFD_NONBLOCK };

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, Before, Fd, Hex, Int, Set, Signal, Size, Word};
    Some(match name {
        "kill" | "tkill" => &[Int, Signal],
        "tgkill" => &[Int, Int, Signal],
        "rt_sigqueueinfo" => &[Int, Signal, Before(data::siginfo)],
        "rt_tgsigqueueinfo" => &[Int, Int, Signal, Before(data::siginfo)],
        "pidfd_send_signal" => &[Fd, Signal, Before(data::siginfo), Hex],
        "rt_sigprocmask" => &[Word(HOW), Before(set_of), After(set_of), Size],
        "rt_sigaction" => &[Signal, Before(action), After(action), Size],
        "rt_sigtimedwait" => {
            &[Before(set_of), After(data::siginfo), Before(data::timespec), Size]
        }
        "rt_sigsuspend" => &[Before(set_of), Size],
        "rt_sigpending" => &[After(set_of), Size],
        "signalfd4" => &[Int, Before(set_of), Size, Set(SFD)],
        "signalfd" => &[Int, Before(set_of), Size],
        "pause" | "rt_sigreturn" | "restart_syscall" => &[],
        "sigaltstack" => &[Hex, Hex],
        _ => return None,
    })
}

/// The mask at an address.
pub(super) fn mask(cx: &Cx<'_>, address: u64) -> Option<u64> {
    cx.memory().u64(address)
}

fn set_of(cx: &mut Cx<'_>, index: usize) -> Piece {
    match mask(cx, cx.args[index]) {
        Some(mask) => Piece::text(set_text(mask)),
        None => hex(cx.args[index]),
    }
}

/// A set of signals; one that is nearly full, by what is not in it.
fn set_text(mask: u64) -> String {
    let full = mask.count_ones() > 32;
    let shown = if full { !mask } else { mask };
    let names: Vec<_> = (1..=64)
        .filter(|number| shown & 1 << (number - 1) != 0)
        .map(|number| signal_name(number).trim_start_matches("SIG").to_owned())
        .collect();
    format!("{}[{}]", if full { "~" } else { "" }, names.join(" "))
}

fn action(cx: &mut Cx<'_>, index: usize) -> Piece {
    let Some(bytes) = cx.memory().array::<32>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let handler = match u64_at(&bytes, 0) {
        0 => "SIG_DFL".to_owned(),
        1 => "SIG_IGN".to_owned(),
        _ => "handler".to_owned(),
    };
    let flags = i32_at(&bytes, 8);
    let restart = if flags & libc::SA_RESTART != 0 { ", SA_RESTART" } else { "" };
    Piece::text(format!("{{{handler}{restart}}}"))
}
