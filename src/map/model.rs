//! What was found: processes, objects, who holds them, and who sleeps on them.

use std::collections::HashMap;
use std::time::Duration;

use wire::chapter::Role;

/// What an object is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum,
)]
pub(super) enum Kind {
    /// A pipe without a name.
    Pipe,
    /// A pipe with a name.
    Fifo,
    /// A Unix socket, with the socket that it is connected to.
    Unix,
    /// A TCP socket, with its other end if that is of this machine.
    Tcp,
    /// A UDP socket.
    Udp,
    /// A POSIX message queue.
    PosixQueue,
    /// A System V message queue.
    SysvQueue,
    /// Shared memory with a POSIX name, from memfd_create(2), or without any name.
    Segment,
    /// A System V segment.
    SysvSegment,
    /// A POSIX semaphore with a name.
    PosixSemaphore,
    /// A System V semaphore set.
    SysvSemaphore,
    /// A file that is mapped shared, locked, or open in several processes.
    File,
    /// An event counter.
    Eventfd,
    /// A descriptor that stands for a process.
    Pidfd,
    /// A set of descriptors to wait for.
    Epoll,
    /// A pseudoterminal.
    Pty,
    /// Another socket.
    Socket,
}

impl Kind {
    /// The man page's noun.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Kind::Pipe => "pipe",
            Kind::Fifo => "FIFO",
            Kind::Unix => "Unix socket",
            Kind::Tcp => "TCP socket",
            Kind::Udp => "UDP socket",
            Kind::PosixQueue => "POSIX queue",
            Kind::SysvQueue => "System V queue",
            Kind::Segment => "segment",
            Kind::SysvSegment => "System V segment",
            Kind::PosixSemaphore => "POSIX semaphore",
            Kind::SysvSemaphore => "System V semaphore set",
            Kind::File => "file",
            Kind::Eventfd => "eventfd",
            Kind::Pidfd => "pidfd",
            Kind::Epoll => "epoll",
            Kind::Pty => "pseudoterminal",
            Kind::Socket => "socket",
        }
    }

    /// The word in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Pipe => "pipe",
            Kind::Fifo => "fifo",
            Kind::Unix => "unix",
            Kind::Tcp => "tcp",
            Kind::Udp => "udp",
            Kind::PosixQueue => "posix-queue",
            Kind::SysvQueue => "sysv-queue",
            Kind::Segment => "segment",
            Kind::SysvSegment => "sysv-segment",
            Kind::PosixSemaphore => "posix-semaphore",
            Kind::SysvSemaphore => "sysv-semaphore",
            Kind::File => "file",
            Kind::Eventfd => "eventfd",
            Kind::Pidfd => "pidfd",
            Kind::Epoll => "epoll",
            Kind::Pty => "pty",
            Kind::Socket => "socket",
        }
    }

    /// Whether it has a read end and a write end, each of which knows when the other is gone.
    pub(super) fn is_pipe(self) -> bool {
        matches!(self, Kind::Pipe | Kind::Fifo)
    }

    /// Whether it is of System V: a process has no descriptor of it.
    pub(super) fn is_sysv(self) -> bool {
        matches!(self, Kind::SysvQueue | Kind::SysvSemaphore | Kind::SysvSegment)
    }

    /// Whether it is memory.
    pub(super) fn is_memory(self) -> bool {
        matches!(
            self,
            Kind::Segment | Kind::SysvSegment | Kind::PosixSemaphore | Kind::File
        )
    }
}

/// What tells an object from all others: its kind, where its number counts (a device, or a
/// namespace's inode), and that number. The inode alone does not: two file systems may both
/// have a FIFO of inode 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) space: u64,
    pub(super) number: u64,
}

/// A process.
#[derive(Debug, Clone, Default)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// In clock ticks since the boot: with the pid it names one process for ever.
    pub(super) start: u64,
    /// As `visible::text` keeps it.
    pub(super) name: String,
    /// The role that it plays, if it is ipclab's.
    pub(super) role: Option<Role>,
    pub(super) uid: u32,
    /// Of its controlling terminal; 0 for none.
    pub(super) terminal: i32,
    /// Whether it is the kernel's own.
    pub(super) kernel: bool,
    /// Whether it has ended, and nobody has waited for it.
    pub(super) zombie: bool,
    /// Whether its descriptors may not be read.
    pub(super) closed: bool,
    /// The numbers of all its descriptors.
    pub(super) descriptors: Vec<i32>,
    /// Whether it ended, or opened or closed one, between two looks.
    pub(super) moved: bool,
    /// Whether it is drawn.
    pub(super) shown: bool,
    /// Whether it was asked for: others are drawn because they share an object with those.
    pub(super) chosen: bool,
    /// Its threads that sleep in a system call.
    pub(super) sleeps: Vec<Sleep>,
    /// Whether all its threads sleep, and we know in which calls.
    pub(super) all_asleep: bool,
}

/// A thread that sleeps in a system call.
#[derive(Debug, Clone)]
pub(super) struct Sleep {
    pub(super) tid: i32,
    /// Without its arguments, such as `read`.
    pub(super) call: String,
    /// The descriptor that the call names.
    pub(super) fd: Option<i32>,
    /// For how long, if the kernel shows it.
    pub(super) since: Option<Duration>,
    /// Whether the call ends by itself after some time.
    pub(super) timed: bool,
    /// What would end it: any one of these.
    pub(super) waits: Vec<Wait>,
    /// Whether something else would end it too, of which we know nothing.
    pub(super) unknown: bool,
}

impl Sleep {
    /// Whether it waits for any of several descriptors, as poll(2) does.
    pub(super) fn polls(&self) -> bool {
        ["poll", "select"].iter().any(|call| self.call.contains(call))
    }
}

/// What a sleeping thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) on: On,
    pub(super) fd: Option<i32>,
    pub(super) wants: Wants,
}

/// What is waited on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// An object, by its index, and one of its ends.
    Object(usize, usize),
    /// The end of a child, by its pid; 0 for any.
    Child(i32),
    /// A word of memory that is the process's own: another thread of it.
    Own,
}

/// What must happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// Somebody writes, or closes the other end.
    Data,
    /// Somebody reads.
    Room,
    /// A client connects.
    Client,
    /// The other end of a FIFO is opened; whether this thread is to write, if that is known.
    Opening(Option<bool>),
    /// A lock is given up.
    Lock,
    /// A semaphore, or a word of memory, is changed; its number in the set.
    Change(u16),
    /// A process ends.
    End,
}

/// One descriptor, or mapping, that leads to an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Holder {
    /// The index of the process.
    pub(super) process: usize,
    /// Which end of a socket's pair; 0 for all others, and for a pseudoterminal's master.
    pub(super) end: usize,
    /// None of a mapping, and of what is attached.
    pub(super) fd: Option<i32>,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) cloexec: bool,
    /// The locks that it has, as in `flock write`.
    pub(super) locks: Vec<Lock>,
}

/// A lock, or one that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lock {
    /// `flock`, `fcntl` or `OFD`.
    pub(super) kind: &'static str,
    pub(super) write: bool,
    pub(super) from: u64,
    /// None is the end of the file.
    pub(super) to: Option<u64>,
    /// The pid of the process that took it; -1 of an OFD lock, 0 of another PID namespace.
    pub(super) taker: i32,
}

/// One socket of a pair, or of several that send to one.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    /// Its inode.
    pub(super) inode: u64,
    /// Its own name, if it is bound.
    pub(super) name: Option<String>,
    /// How many bytes lie unread in it.
    pub(super) unread: Option<u64>,
    /// Whether the peer sends no more: a FIN has come.
    pub(super) peer_ended: bool,
    /// Descriptors that are in flight to it.
    pub(super) in_flight: u64,
    /// The clients that wait to be accepted, by inode; of a listening socket.
    pub(super) backlog: Option<Backlog>,
}

/// Clients that have connected, and were not accepted yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Backlog {
    pub(super) waiting: u64,
    pub(super) most: u64,
    /// The inodes of the clients' sockets.
    pub(super) clients: Vec<u64>,
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) key: Key,
    /// A path, or what else it is called.
    pub(super) name: Option<String>,
    /// Whether the name leads to it no more: it was unlinked, or another has it now.
    pub(super) name_gone: bool,
    pub(super) holders: Vec<Holder>,
    /// What lies in it, and how much it can have: messages of a POSIX queue, posts of an
    /// eventfd or a semaphore, bytes of all others.
    pub(super) fill: Option<u64>,
    pub(super) capacity: Option<u64>,
    /// How many messages a System V queue has.
    pub(super) messages: Option<u64>,
    /// The values of a semaphore set, and who changed each last.
    pub(super) values: Vec<(u16, i32)>,
    pub(super) ends: Vec<End>,
    /// `stream`, `datagram`, `seqpacket`, `listening`.
    pub(super) about: Vec<&'static str>,
    /// What an epoll descriptor waits for: the descriptor, its events, and the inode.
    pub(super) targets: Vec<(i32, u32, u64)>,
    /// The process that a pidfd stands for, and those that used a System V object last.
    pub(super) pids: Vec<i32>,
    /// Whether it is drawn.
    pub(super) shown: bool,
    /// Whether it changed between two looks.
    pub(super) moved: bool,
}

impl Object {
    /// One that nobody holds yet.
    pub(super) fn new(key: Key) -> Object {
        Object {
            key,
            name: None,
            name_gone: false,
            holders: Vec::new(),
            fill: None,
            capacity: None,
            messages: None,
            values: Vec::new(),
            ends: Vec::new(),
            about: Vec::new(),
            targets: Vec::new(),
            pids: Vec::new(),
            shown: false,
            moved: false,
        }
    }

    /// Its kind.
    pub(super) fn kind(&self) -> Kind {
        self.key.kind
    }
}

/// Processes that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cycle {
    /// The indices of the processes, and what each waits for until the next one acts.
    pub(super) steps: Vec<(usize, On)>,
    /// Why it may end by itself; none of a deadlock.
    pub(super) doubt: Option<&'static str>,
}

/// A sentence about what is often a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    /// The word in JSON: what mistake it is.
    pub(super) about: &'static str,
    /// The index of the object.
    pub(super) object: usize,
    /// The indices of the processes that it is about.
    pub(super) processes: Vec<usize>,
    /// The sentence.
    pub(super) text: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) processes: Vec<Process>,
    pub(super) objects: Vec<Object>,
    pub(super) cycles: Vec<Cycle>,
    pub(super) remarks: Vec<Remark>,
    /// What was not looked into, and why: a sentence each.
    pub(super) not_seen: Vec<String>,
    /// Indices of processes by pid.
    pub(super) by_pid: HashMap<i32, usize>,
    /// The threads that sleep on an object: process, sleep and wait, by their indices.
    pub(super) asleep_on: HashMap<usize, Vec<(usize, usize, usize)>>,
    /// Indices of objects by key.
    pub(super) by_key: HashMap<Key, usize>,
}

impl Map {
    /// The index of the object of that key, which is made if there is none.
    pub(super) fn object(&mut self, key: Key) -> usize {
        let objects = &mut self.objects;
        *self.by_key.entry(key).or_insert_with(|| {
            objects.push(Object::new(key));
            objects.len() - 1
        })
    }

    /// `name pid`, as it is shown; of ipclab's own the role.
    pub(super) fn who(&self, process: usize) -> String {
        let process = &self.processes[process];
        let name = process.role.map_or(process.name.as_str(), |role| role.name);
        format!("{} {}", wire::visible::visible(name), process.pid)
    }

    /// The drawn processes that hold nothing of the object and yet use it, with the call that they
    /// sleep in: on a System V object, in open(2), in connect(2). Without a call, one that has
    /// used a System V object last.
    pub(super) fn strangers(&self, object: usize) -> Vec<(usize, Option<&Sleep>)> {
        let holders = &self.objects[object].holders;
        let holds = |process| holders.iter().any(|it| it.process == process);
        let asleep = self.sleepers(object).map(|(at, sleep, _)| (at, Some(sleep)));
        let mut all: Vec<_> = asleep.filter(|(at, _)| !holds(*at)).collect();
        let users = match self.objects[object].kind() {
            Kind::SysvQueue | Kind::SysvSemaphore => &self.objects[object].pids[..],
            _ => &[],
        };
        for at in users.iter().filter_map(|pid| self.by_pid.get(pid).copied()) {
            if self.processes[at].shown && !all.iter().any(|(known, _)| *known == at)
            {
                all.push((at, None));
            }
        }
        all
    }

    /// Notes which threads sleep on which object.
    pub(super) fn index_sleepers(&mut self) {
        self.asleep_on.clear();
        for (process, sleeps) in
            self.processes.iter().map(|it| &it.sleeps).enumerate()
        {
            for (sleep, waits) in sleeps.iter().map(|it| &it.waits).enumerate() {
                for (wait, it) in waits.iter().enumerate() {
                    if let On::Object(on, _) = it.on {
                        let all = self.asleep_on.entry(on).or_default();
                        all.push((process, sleep, wait));
                    }
                }
            }
        }
    }

    /// All threads that sleep on the object, with their process.
    pub(super) fn sleepers(
        &self,
        object: usize,
    ) -> impl Iterator<Item = (usize, &Sleep, &Wait)> {
        let all = self.asleep_on.get(&object).into_iter().flatten();
        all.map(|(process, sleep, wait)| {
            let sleep = &self.processes[*process].sleeps[*sleep];
            (*process, sleep, &sleep.waits[*wait])
        })
    }
}
