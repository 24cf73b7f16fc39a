//! What the trace makes of a system call's arguments. The traced process is this one: its
//! memory is read as another's would be, and it has one descriptor of each kind open.

use std::cell::RefCell;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use nix::sys::eventfd::EventFd;
use nix::unistd::{Pid, gettid};

use super::decode::{self, Cx};
use super::event::{Outcome, Piece};
use super::text::argument;
use super::world::World;
use crate::fuzz::Input;

/// Where the calls' memory is: some bytes, and no page behind them that may not be read.
const MEMORY: usize = 2048;

/// Which places of the memory point into it, what the memory holds, then calls: the number,
/// the arguments, what it returned.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let mut memory = vec![0; MEMORY];
    let start = memory.as_ptr() as u64;
    let pointers: Vec<_> =
        (0..input.u8() % 16).map(|_| (input.u16(), input.u16())).collect();
    let held = usize::from(input.u16()) % MEMORY;
    let held = input.bytes(held);
    memory[..held.len()].copy_from_slice(held);
    for (at, to) in pointers {
        let at = usize::from(at) % (MEMORY - 8);
        let to = start + u64::from(to) % MEMORY as u64;
        memory[at..at + 8].copy_from_slice(&to.to_le_bytes());
    }

    let mut world = World::default();
    let process = world.add(Pid::this().as_raw(), "fuzzed".into(), None);
    for _ in 0..16 {
        if !input.has_more() {
            break;
        }
        let name: Rc<str> =
            decode::name(NATIVE, u64::from(input.u16() % 480)).into();
        let args = [(); 6].map(|()| number(&mut input, start));
        let result = number(&mut input, start) as i64;
        let mut cx =
            Cx { tid: gettid(), process, args, result: i64::MAX, world: &mut world };
        let begun = decode::enter(&mut cx, &name);
        cx.result = result;
        let (call, _effects) = decode::leave(&mut cx, begun);
        call.args.iter().for_each(|piece| check(&name, piece));
        if let Outcome::Value(_, Some(piece), _) = &call.result {
            check(&name, piece);
        }
    }
    drop(memory);
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

fn check(name: &str, piece: &Piece) {
    let text = argument(piece);
    assert!(text.chars().all(|c| !c.is_control()), "{name}: {text:?}");
    assert!(text.len() < 1 << 16, "{name}: {} bytes of text", text.len());
}

/// A small number, a place in the memory, a descriptor, or any number.
fn number(input: &mut Input<'_>, start: u64) -> u64 {
    match input.u8() {
        small @ ..128 => u64::from(small % 64),
        128..192 => start + u64::from(input.u16()) % MEMORY as u64,
        descriptor @ 192..224 => DESCRIPTORS.with_borrow(|all| {
            all[usize::from(descriptor) % all.len()].as_raw_fd() as u64
        }),
        224..240 => (input.u16() as i16) as u64,
        _ => input.u64(),
    }
}

thread_local! {
    static DESCRIPTORS: RefCell<Vec<OwnedFd>> = RefCell::new(descriptors());
}

fn descriptors() -> Vec<OwnedFd> {
    let (reading, writing) = std::io::pipe().expect("pipe");
    let (one, other) = UnixStream::pair().expect("socketpair");
    let file = tempfile::tempfile().expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let event = EventFd::new().expect("eventfd");
    vec![
        reading.into(),
        writing.into(),
        one.into(),
        other.into(),
        file.into(),
        listener.into(),
        event.into(),
    ]
}
