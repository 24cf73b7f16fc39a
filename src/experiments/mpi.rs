//! What messages among ranks do that people do not expect.
//!
//! The ranks are this program again, started by mpiexec in the middle of a run. Only a
//! program that was built for MPI can run these; any can show the questions.

use doctor::probes::needs;

use super::row::{Experiment, Kind, Level, right, wrong};

#[cfg(feature = "mpi")]
mod blocking;
#[cfg(feature = "mpi")]
mod buffer;
#[cfg(feature = "mpi")]
mod job;
#[cfg(feature = "mpi")]
mod lost;
#[cfg(feature = "mpi")]
mod order;

#[cfg(feature = "mpi")]
use blocking::{both_send_first, wait_at_once, waiting_rank};
#[cfg(feature = "mpi")]
use buffer::buffer_reused;
#[cfg(feature = "mpi")]
use lost::{rank_dies, truncated};
#[cfg(feature = "mpi")]
use order::wildcard_order;

#[cfg(not(feature = "mpi"))]
use needs_the_feature as both_send_first;
#[cfg(not(feature = "mpi"))]
use needs_the_feature as buffer_reused;
#[cfg(not(feature = "mpi"))]
use needs_the_feature as rank_dies;
#[cfg(not(feature = "mpi"))]
use needs_the_feature as truncated;
#[cfg(not(feature = "mpi"))]
use needs_the_feature as wait_at_once;
#[cfg(not(feature = "mpi"))]
use needs_the_feature as waiting_rank;
#[cfg(not(feature = "mpi"))]
use needs_the_feature as wildcard_order;

/// What a program that was built without MPI does instead of each run.
#[cfg(not(feature = "mpi"))]
fn needs_the_feature(stage: &super::stage::Stage) -> anyhow::Result<usize> {
    stage.needs(&needs::MPI)?;
    anyhow::bail!("this program was built without the feature mpi")
}

/// What each needs.
const NEEDS: Kind = Kind::Needs(&needs::MPI);

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    BOTH_SEND_FIRST,
    WAITING_RANK,
    WILDCARD_ORDER,
    WAIT_AT_ONCE,
    BUFFER_REUSED,
    TRUNCATED,
    RANK_DIES,
];

const BOTH_SEND_FIRST: Experiment = Experiment {
    name: "both-send-first",
    title: "Two ranks that both send first",
    level: Level::First,
    question: "Two ranks on one machine exchange messages of the same length. Both run \
               the same lines: MPI_Send to the other, then MPI_Recv from the other. They \
               do it once with a message of 1 byte, and once with one of 1 MiB. What \
               happens?",
    answers: &[
        wrong(
            "the two exchanges work",
            "MPI_Send hands the message to the library, which takes a copy of a \
             small message only. For a large one it would need as much memory \
             again, on whichever side, and it waits for the receiver's buffer.",
        ),
        wrong(
            "the two exchanges hang alike",
            "That is true of MPI_Ssend, the synchronous one. MPI_Send returns when \
             the sender may change its buffer again: whether the message was \
             received is left open.",
        ),
        right(
            "the exchange of 1 MiB hangs",
            "Up to a length that the library chooses, the eager limit, it sends or \
             keeps a copy, and MPI_Send returns. Above it, MPI_Send waits until \
             the other rank calls MPI_Recv, which here comes after the other's own \
             MPI_Send: a circle.",
        ),
        wrong(
            "the exchange of 1 MiB ends the job",
            "No rank knows where the other one waits. A library that looked for \
             circles would have to ask all ranks; tools for finding bugs do, MPI \
             itself does not.",
        ),
    ],
    kind: NEEDS,
    run: both_send_first,
    moral: "A program that works because MPI_Send keeps a copy is wrong, and fails on the \
            day that its messages grow. Use MPI_Sendrecv, or let one side receive first. \
            To find such places, replace MPI_Send with MPI_Ssend: then they all hang, \
            with 1 byte too.",
    see: "MPI_Send(3), MPI_Sendrecv(3), MPI_Ssend(3)",
    file: "src/experiments/mpi/blocking.rs",
    shows: &["both-send-first-broken", "both-send-first-cured", "both-send-first"],
};

const WAITING_RANK: Experiment = Experiment {
    name: "waiting-rank",
    title: "A rank that waits for a message",
    level: Level::First,
    question: "Rank 0 calls MPI_Recv, and its message will not come for a long \
               time: rank 1, which is to send it, is in open(2) of a FIFO that \
               nobody else has open. Which of the two takes processor time, with \
               the library that runs here?",
    answers: &[
        right(
            "rank 0, the whole time",
            "MPI_Recv polls: it looks again and again whether the message is \
             there. A sleeping process takes microseconds to wake, and ranks are \
             meant to have a processor each. Open MPI and MPICH do that as they \
             are usually built; the standard leaves it open.",
        ),
        wrong(
            "rank 0, a short while",
            "Some locks do that, and some libraries can be told to. This one went \
             on polling as long as it was watched.",
        ),
        wrong(
            "ranks 0 and 1 both sleep",
            "That is true of calls of the kernel, which knows who waits for what. \
             MPI_Recv is a function of a library: it looks into shared memory, and \
             no kernel call says when another process has written there.",
        ),
    ],
    kind: NEEDS,
    run: waiting_rank,
    moral: "A waiting rank may look as busy as one that computes: top(1) does not \
            show the deadlock. Do not start more ranks than there are processors \
            if they wait much, or they take the time from those that work.",
    see: "MPI_Recv(3), mpiexec(1)",
    file: "src/experiments/mpi/blocking.rs",
    shows: &["waiting-rank"],
};

const WILDCARD_ORDER: Experiment = Experiment {
    name: "wildcard-order",
    title: "Asking for the second message first",
    level: Level::First,
    question: "Rank 1 sends rank 0 a first message with tag 1 and a second with \
               tag 2. Rank 0 calls MPI_Recv for tag 2, then for tag 1. Later it \
               receives a thousand, of both tags in turn, with MPI_ANY_TAG. In \
               what order do they all come?",
    answers: &[
        wrong(
            "the first message first; the thousand in order",
            "In a pipe or a socket what came first must be read first. MPI_Recv \
             looks for a message that matches, and a tag that was asked for is \
             part of the match.",
        ),
        right(
            "the second message first; the thousand in order",
            "Messages that nobody has asked for wait, and a receive takes the \
             first one that matches its source and tag. MPI_ANY_TAG matches all: \
             then the first is the one that was sent first, since messages from \
             one rank to another do not overtake each other.",
        ),
        wrong(
            "the second message first; the thousand in any order",
            "With MPI_ANY_SOURCE, messages of different ranks may come in any \
             order. Those of one rank may not overtake each other on the same \
             communicator, whatever way they take: the standard says that.",
        ),
        wrong(
            "the first message first; the thousand in any order",
            "It is the other way round. A tag that was asked for chooses among the \
             messages; the order of sending decides where all match.",
        ),
    ],
    kind: NEEDS,
    run: wildcard_order,
    moral: "A tag chooses among the messages that have come; among those that match, the \
            order is that of sending. The ones that nobody asks for are kept, and take \
            memory, until somebody does.",
    see: "MPI_Recv(3), MPI_Probe(3)",
    file: "src/experiments/mpi/order.rs",
    shows: &["wildcard-order"],
};

const WAIT_AT_ONCE: Experiment = Experiment {
    name: "wait-at-once",
    title: "MPI_Isend, and where its MPI_Wait stands",
    level: Level::Later,
    question: "Two ranks exchange messages of 1 MiB. They do not call MPI_Send, which may wait, but \
               MPI_Isend, which never does, and MPI_Wait for it. Once MPI_Wait stands behind \
               MPI_Recv, and once between MPI_Isend and MPI_Recv. What happens?",
    answers: &[
        wrong(
            "both exchanges work, with no wait",
            "MPI_Isend does not wait, that is true. MPI_Wait does: until the buffer may be used \
             again, which with 1 MiB is when the other rank receives.",
        ),
        right(
            "the one with MPI_Wait first hangs",
            "MPI_Isend with MPI_Wait behind it is MPI_Send in two lines, with the same circle: each \
             waits until the other one receives. The calls without a wait help if something \
             is done between the beginning and the wait.",
        ),
        wrong(
            "both exchanges hang, in MPI_Wait",
            "Where both have called MPI_Recv before, each send has found its receiver, and \
             MPI_Wait returns.",
        ),
    ],
    kind: NEEDS,
    run: wait_at_once,
    moral: "Begin all sends and receives, and wait for all of them together: MPI_Waitall. A wait \
            within the loop that begins them makes each wait for its neighbour. Until the wait \
            the buffer belongs to the library; the crate mpi lends it, so that Rust refuses \
            to change it, and in C nothing does.",
    see: "MPI_Isend(3), MPI_Wait(3), MPI_Waitall(3)",
    file: "src/experiments/mpi/blocking.rs",
    shows: &["wait-at-once-broken", "wait-at-once-cured", "wait-at-once"],
};

const BUFFER_REUSED: Experiment = Experiment {
    name: "buffer-reused",
    title: "A buffer that is changed after MPI_Isend",
    level: Level::Later,
    question: "Rank 1 calls MPI_Isend for a message whose last number is 1. MPI_Isend returns. Rank 1 \
               changes that number in its buffer to 2, and calls MPI_Wait. Rank 0 calls MPI_Recv \
               only after the change. They do it once with a message of one number, and once with \
               one of 1 MiB. MPI forbids the change; this is Open MPI, on one machine. Which \
               last number does rank 0 receive?",
    answers: &[
        wrong(
            "1 in the short message, 1 in the long one",
            "That would take a copy of each message. For a long one the library makes none: it \
             leaves the bytes where they are until the receiver's buffer is known.",
        ),
        wrong(
            "2 in the short message, 2 in the long one",
            "The short one had left the buffer when MPI_Isend returned: it was copied.",
        ),
        wrong(
            "2 in the short message, 1 in the long one",
            "It is the other way round. Copying is for the short ones, since it is cheap.",
        ),
        right(
            "1 in the short message, 2 in the long one",
            "Up to the eager limit MPI_Isend copies the message. Above it, it sends word that there \
             is one; the bytes are taken out of the buffer once rank 0 receives, and are what \
             they are then. No call returns an error.",
        ),
    ],
    kind: NEEDS,
    run: buffer_reused,
    moral: "From MPI_Isend to the end of its MPI_Wait the buffer belongs to the library. Change it \
            after that, or send the next message from a second buffer. A test with short messages \
            does not find the mistake.",
    see: "MPI_Isend(3), MPI_Wait(3)",
    file: "src/experiments/mpi/buffer.rs",
    shows: &["buffer-reused-broken", "buffer-reused-cured", "buffer-reused"],
};

const TRUNCATED: Experiment = Experiment {
    name: "truncated",
    title: "A message that is longer than the buffer",
    level: Level::Later,
    question: "Rank 1 sends a message of 100 numbers. Rank 0 calls MPI_Recv with room for 10, and \
               then MPI_Recv once more. Neither has set an error handler. What does rank 0 \
               get?",
    answers: &[
        wrong(
            "10 numbers, and the rest is dropped",
            "So it is with a datagram in a buffer that is too short. MPI calls it an error.",
        ),
        wrong(
            "10 numbers, and then 10 of the rest",
            "So it is with a stream. A message of MPI has bounds, and is received whole.",
        ),
        right(
            "no number: it is ended, with rank 1",
            "The error is MPI_ERR_TRUNCATE, and the error handler of a world is at first \
             MPI_ERRORS_ARE_FATAL: it ends the job. No function returns, and no code is looked \
             at.",
        ),
    ],
    kind: NEEDS,
    run: truncated,
    moral: "The count of MPI_Recv is the room, not what comes: give enough, and ask the status how \
            much it was, or look first by MPI_Probe. Who sets MPI_ERRORS_RETURN must look at \
            each result.",
    see: "MPI_Recv(3), MPI_Probe(3), MPI_Comm_set_errhandler(3)",
    file: "src/experiments/mpi/lost.rs",
    shows: &["truncated"],
};

const RANK_DIES: Experiment = Experiment {
    name: "rank-dies",
    title: "A rank that is killed",
    level: Level::Later,
    question: "Rank 0 waits in MPI_Recv for a message of rank 1. Rank 1 is killed by SIGKILL, before \
               it has sent anything. The launcher is mpiexec, as it comes. What becomes of rank \
               0?",
    answers: &[
        right(
            "the launcher ends it as well",
            "mpiexec is the parent, sees the signal, and ends all other ranks: a job with a rank \
             missing cannot go on. No rank is asked, and what they have in memory is lost.",
        ),
        wrong(
            "MPI_Recv returns an error to it",
            "A pipe or a socket would return the end, or an error. The messages here go through \
             shared memory, which does not know who is left.",
        ),
        wrong(
            "it waits for ever in MPI_Recv",
            "It would, if nobody looked: its MPI_Recv looks into memory, and nothing comes there. \
             But the launcher looks.",
        ),
    ],
    kind: NEEDS,
    run: rank_dies,
    moral: "A long job writes down how far it is (a checkpoint), since each rank takes all with it. \
            To go on with those that are left, there is ULFM, which Open MPI has since version 5.",
    see: "mpiexec(1), MPI_Abort(3)",
    file: "src/experiments/mpi/lost.rs",
    shows: &["rank-dies"],
};
