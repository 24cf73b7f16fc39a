//! Which exercise asks for something that a bare program lacks.

use wire::chapter::Lack;

/// An exercise, and how the text of the lack begins, in the same chapter, that it asks to be mended.
pub const ASKED: &[(&str, &str)] = &[
    ("spawn/filter", "It writes all before it reads anything"),
    ("spawn/filter", "When the child reads no more"),
    ("spawn/filter", "The child gets each signal disposition"),
    ("spawn/lifeline", "When the parent is killed, the child goes on"),
    ("spawn/detach", "It cannot tell a command that is not there"),
    ("file/full-disk", "On a full disk write(2) stores a part"),
    ("file/wait", "A receiver that is first fails with ENOENT"),
    ("signal/counter", "A receiver that was stopped"),
    ("fifo/not-a-fifo", "A regular file at the name"),
    ("fifo/sender", "When the receiver is killed, the sender ends by EPIPE"),
    ("fifo/one-receiver", "A program that is killed leaves the name behind"),
    ("unix/stale", "A server that is killed leaves its name"),
    ("unix/locks", "A second client is connected and waits"),
    ("unix/both-full", "With 2 MB of messages"),
    ("unix/private", "Under umask 0 the socket file has mode 0777"),
    ("unix/cut", "unix_seqpacket and unix_dgram have room for 4,096 bytes"),
    ("tcp/lost-client", "A client that is killed before it has read its answers"),
    ("tcp/zombies", "Children of tcp_fork are waited for only"),
    ("udp/long", "A datagram of over 4,096 bytes is cut"),
    ("udp/again", "A lost datagram, either way"),
    ("udp/once", "A message that comes twice"),
    ("posixmq/logger", "Nothing is said when no receiver takes the messages"),
    ("posixmq/receiver", "A program trusts that the queue has the attributes"),
    ("sysvmq/signal", "A signal that is caught during the sleep"),
    ("sysvmq/long", "Where msgmax was raised"),
    ("shm/stranger", "An object of another program under this name"),
    ("shm/queue", "There is room for one line"),
    ("shm/queue", "Two senders store into one slot"),
    ("mmap/shrunk", "That another process may cut the file short"),
    ("mutex/owner", "When a process is killed with the mutex"),
    ("eventfd/end", "When the notifier is killed before its last number"),
    ("eventfd/stranger", "Whatever descriptor arrives is written to"),
    ("fdpass/surplus", "That one message may carry more descriptors than one"),
    ("fdpass/prefork", "A worker that dies before it has received"),
    ("procvm/death", "When the target is killed, the reader sleeps for ever"),
    ("procvm/stale", "A target that is killed leaves its file"),
    ("multiplex/no-reader", "One client that sends and does not read"),
    (
        "multiplex/lost-client",
        "A client that is killed before it has read its answers",
    ),
    ("multiplex/no-descriptor", "At the limit of descriptors"),
    ("multiplex/edge", "A server of multiplex_epoll or multiplex_select"),
    ("semaphore/stale", "Posts of an earlier run"),
    ("semaphore/undo", "Nothing gives back what a killed waiter has taken"),
];

/// The exercise that asks for what the bare program of `chapter` lacks, if one does.
pub fn asked(chapter: &str, lack: &Lack) -> Option<&'static str> {
    ASKED
        .iter()
        .find(|(exercise, begins)| {
            exercise.split('/').next() == Some(chapter)
                && lack.what.starts_with(begins)
        })
        .map(|(exercise, _)| *exercise)
}
