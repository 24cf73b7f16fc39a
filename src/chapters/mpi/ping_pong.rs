//! Messages of any length, there and back. The receiver learns the length before it
//! receives, by MPI_Probe; the tag tells a message from the goodbye.

use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, ensure};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};

use super::idle::idle;
use super::options::PingPong;
use super::tag::{BALL, DONE};
use wire::payload::{Payload, Printed, Style};
use wire::roles::Lines;
use wire::say::{Commentary, bytes, size};
use wire::standard::Input;

/// The longest message, in bytes. MPI's own limit is the range of a C int.
const LARGEST: usize = 16 << 20;

// ANCHOR: ping_pong
/// Rank 0 sends first and then receives; rank 1 receives first and then sends. If both
/// sent first, each might wait for the other to receive.
///
/// # Errors
/// A message that came back changed, or is too long; standard output.
pub fn play(world: &SimpleCommunicator, options: &PingPong) -> Result<()> {
    let (mut sends, mut receives) =
        (Commentary::of("MPI_Send"), Commentary::of("MPI_Recv"));
    match world.rank() {
        0 => {
            let mut payload = Payload::new(Style::Lines)?;
            each_message(options, |message| {
                send(world, 1, BALL, message, &mut sends);
                let (_, back) = receive(world, 1, &mut receives)?;
                ensure!(back == message, "rank 1 has sent something else back");
                payload.print(&back)
            })?;
            send(world, 1, DONE, &[], &mut sends);
            Ok(())
        }
        1 => loop {
            match receive(world, 0, &mut receives)? {
                (DONE, _) => return Ok(()),
                (tag, message) => send(world, 0, tag, &message, &mut sends),
            }
        },
        _ => {
            idle(world);
            Ok(())
        }
    }
}

/// MPI_Send: up to the *eager limit* the library takes a copy and returns; a longer message
/// makes it wait until the other rank receives.
fn send(
    world: &SimpleCommunicator,
    to: i32,
    tag: i32,
    message: &[u8],
    sends: &mut Commentary,
) {
    let told = || {
        let (shown, count) = (bytes(message), message.len());
        format!("MPI_Send({shown}, {count}, MPI_UINT8_T, rank {to}, tag {tag})")
    };
    match tag {
        DONE => sends.always(0, || format!("{}: the goodbye", told())),
        _ => sends.call(message.len(), told),
    }
    // MPI_Send(message, count, MPI_UINT8_T, to, tag, MPI_COMM_WORLD)
    world.process_at_rank(to).send_with_tag(message, tag);
}

/// The next message from a rank, and its tag.
fn receive(
    world: &SimpleCommunicator,
    from: i32,
    receives: &mut Commentary,
) -> Result<(i32, Vec<u8>)> {
    let peer = world.process_at_rank(from);
    // MPI_Probe(from, MPI_ANY_TAG, MPI_COMM_WORLD, &status): waits for a message, and
    // leaves it there.
    let status = peer.probe();
    let tag = status.tag();
    let count = status.count(u8::equivalent_datatype()); // MPI_Get_count
    let length = usize::try_from(count).unwrap_or(usize::MAX);
    ensure!(tag == BALL || tag == DONE, "rank {from} sent an unknown tag, {tag}");
    ensure!(
        length <= LARGEST,
        "rank {from} sent a message of {}: at most {} are taken",
        size(length),
        size(LARGEST)
    );
    let mut message = vec![0; length];
    // MPI_Recv(message, count, MPI_UINT8_T, from, tag, MPI_COMM_WORLD, &status)
    peer.receive_into_with_tag(&mut message[..], tag);
    let told = || {
        let shown = bytes(&message);
        format!("MPI_Recv() = {shown}, {length} from rank {from}, tag {tag}")
    };
    match tag {
        DONE => receives.always(0, || format!("{}: the goodbye", told())),
        _ => receives.call(length, told),
    }
    Ok((tag, message))
}
// ANCHOR_END: ping_pong

/// Does `play` with each argument, or else with each line of standard input: the launcher
/// connects it to rank 0 alone.
fn each_message(
    options: &PingPong,
    mut play: impl FnMut(&[u8]) -> Result<Printed>,
) -> Result<()> {
    if options.messages.is_empty() {
        let mut lines = Lines::new(Input::buffered()?);
        let mut line = Vec::new();
        while lines.next(&mut line, LARGEST)? {
            if play(&line)? == Printed::NoReader {
                break;
            }
        }
        return Ok(());
    }
    for message in &options.messages {
        if play(message.as_bytes())? == Printed::NoReader {
            break;
        }
    }
    Ok(())
}
