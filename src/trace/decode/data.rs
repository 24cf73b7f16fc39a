//! Structs that several families take: addresses, times, siginfo.

use super::super::memory::{i32_at, u64_at};
use super::argument::{Cx, Names, hex, names, word};
use super::signal_names::signal_name;
use crate::event::Piece;
use wire::visible;

/// Why a signal came.
const CODES: Names = names! {
    SI_USER SI_QUEUE SI_TIMER SI_MESGQ SI_ASYNCIO SI_SIGIO SI_TKILL SI_KERNEL
};
const CHILD: Names = names! {
    CLD_EXITED CLD_KILLED CLD_DUMPED CLD_TRAPPED CLD_STOPPED CLD_CONTINUED
};

/// The first `si_code` that is no fault's.
const SI_KERNEL: i32 = 0x80;
/// What a program did that the processor refused (the libc crate has no names for it).
const FAULTS: [(i32, Names); 4] = [
    (libc::SIGSEGV, &[(1, "SEGV_MAPERR"), (2, "SEGV_ACCERR")]),
    (libc::SIGBUS, &[(1, "BUS_ADRALN"), (2, "BUS_ADRERR"), (3, "BUS_OBJERR")]),
    (libc::SIGILL, &[(1, "ILL_ILLOPC"), (2, "ILL_ILLOPN"), (5, "ILL_PRVOPC")]),
    (libc::SIGFPE, &[(1, "FPE_INTDIV"), (2, "FPE_INTOVF"), (3, "FPE_FLTDIV")]),
];

/// A socket's address: `{AF_UNIX "…/unix"}`; the length is in the next argument.
pub(super) fn sockaddr(cx: &mut Cx<'_>, index: usize) -> Piece {
    let length = cx.args[index + 1];
    sockaddr_at(cx, cx.args[index], length)
}

/// As [`sockaddr`], of a call that fills it in; the next argument points at the length.
pub(super) fn sockaddr_out(cx: &mut Cx<'_>, index: usize) -> Piece {
    let length = cx.memory().u32(cx.args[index + 1]).unwrap_or(0);
    sockaddr_at(cx, cx.args[index], u64::from(length))
}

pub(super) fn sockaddr_at(cx: &Cx<'_>, address: u64, length: u64) -> Piece {
    if address == 0 {
        return Piece::text("NULL");
    }
    let bytes = cx.memory().bytes(address, length.min(128) as usize);
    match address_text(&bytes) {
        Some(Address::Path(path)) => {
            Piece::Path(cx.world.objects.shown(&path), path.clone())
        }
        Some(Address::Other(text)) => Piece::text(text),
        None => hex(address),
    }
}

/// What an address means.
pub(super) enum Address {
    /// A Unix socket's path.
    Path(String),
    /// Anything else.
    Other(String),
}

pub(super) fn address_text(bytes: &[u8]) -> Option<Address> {
    let family = i32::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
    let port = || bytes.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]]));
    let text = match family {
        libc::AF_UNIX => match bytes.get(2..) {
            Some([]) | None => "AF_UNIX".to_owned(),
            Some([0, name @ ..]) => format!("@{}", name.escape_ascii()),
            Some(path) => {
                let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                return Some(Address::Path(visible::text(path)));
            }
        },
        libc::AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            format!("{}:{}", std::net::Ipv4Addr::from(ip), port()?)
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            format!("[{}]:{}", std::net::Ipv6Addr::from(ip), port()?)
        }
        libc::AF_UNSPEC => "AF_UNSPEC".to_owned(),
        family => format!("family {family}"),
    };
    Some(Address::Other(text))
}

/// A `struct timespec`, in seconds.
pub(super) fn timespec(cx: &mut Cx<'_>, index: usize) -> Piece {
    time(cx, index, 1_000_000_000)
}

/// A `struct timeval`, in seconds.
pub(super) fn timeval(cx: &mut Cx<'_>, index: usize) -> Piece {
    time(cx, index, 1_000_000)
}

fn time(cx: &Cx<'_>, index: usize, unit: u32) -> Piece {
    let Some(bytes) = cx.memory().array::<16>(cx.args[index]) else {
        return hex(cx.args[index]);
    };
    let unit = u64::from(unit);
    Piece::text(seconds(u64_at(&bytes, 0), u64_at(&bytes, 8), unit))
}

/// So many seconds, and so many parts of one.
pub(super) fn seconds(whole: u64, part: u64, unit: u64) -> String {
    match whole {
        0..=1_000_000_000 => {
            format!("{} s", whole as f64 + part as f64 / unit as f64)
        }
        _ => format!("at {whole} s"),
    }
}

/// What a `siginfo_t` holds.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Siginfo {
    pub(in super::super) number: i32,
    pub(in super::super) code: i32,
    pub(in super::super) pid: i32,
    pub(in super::super) value: i32,
    /// Where a fault happened; of other signals it means nothing.
    pub(in super::super) address: u64,
}

impl Siginfo {
    /// Of its bytes.
    pub(in super::super) fn of(bytes: &[u8]) -> Siginfo {
        Siginfo {
            number: i32_at(bytes, 0),
            code: i32_at(bytes, 8),
            pid: i32_at(bytes, 16),
            value: i32_at(bytes, 24),
            address: u64_at(bytes, 16),
        }
    }

    /// Whether a process has sent it by kill, sigqueue and the like.
    pub(in super::super) fn was_sent(&self) -> bool {
        matches!(self.code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL)
    }

    /// `SI_QUEUE from 12`, `SEGV_MAPERR at 0x0`.
    pub(in super::super) fn text(&self) -> String {
        let fault = FAULTS.iter().find(|(number, _)| *number == self.number);
        if let Some((_, names)) =
            fault.filter(|_| (1..SI_KERNEL).contains(&self.code))
        {
            let code = word(self.code as u64, names);
            return format!("{code} at {:#x}", self.address);
        }
        let names = if self.number == libc::SIGCHLD && self.code > 0 {
            CHILD
        } else {
            CODES
        };
        let code = word(self.code as u64, names);
        let queued = [libc::SI_QUEUE, libc::SI_MESGQ].contains(&self.code);
        match self.was_sent() || self.number == libc::SIGCHLD || queued {
            true => format!("{code} from {}", self.pid),
            false => code,
        }
    }
}

/// Adds the value that a queued signal carries: a number, and the text that its four
/// bytes may be.
pub(super) fn with_value(mut parts: Vec<Piece>, info: &Siginfo) -> Vec<Piece> {
    if ![libc::SI_QUEUE, libc::SI_MESGQ].contains(&info.code) {
        return parts;
    }
    let bytes = info.value.to_ne_bytes();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    let printable = text.iter().all(|byte| (b' '..=b'~').contains(byte));
    let is_text =
        printable && rest.iter().all(|byte| *byte == 0) && info.value > 0xff;
    let mut value = format!("value {}", info.value);
    if is_text {
        value.push_str(&format!(" \"{}\"", text.escape_ascii()));
    }
    parts.push(Piece::Text(value));
    parts
}

/// A `siginfo_t` that goes in or comes out.
pub(super) fn siginfo(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.memory().array::<128>(cx.args[index]) {
        Some(bytes) => {
            let info = Siginfo::of(&bytes);
            let name = signal_name(info.number);
            let parts = [name, info.text()].map(Piece::Text).to_vec();
            Piece::Group("{", with_value(parts, &info), "}")
        }
        None => hex(cx.args[index]),
    }
}

/// The number that an argument points at.
pub(super) fn pointed(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.memory().u32(cx.args[index]) {
        Some(value) => Piece::text(format!("[{value}]")),
        None => hex(cx.args[index]),
    }
}
