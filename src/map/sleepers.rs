//! The threads that sleep, and on what: /proc/PID/task/TID, and where a call's arguments are
//! addresses, the memory there.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::time::TimeValLike;

use os::proc::field;
use wire::visible;

use super::calls::{self, Call, Meaning};
use super::duplicate::Duplicates;
use super::mappings::Mapping;
use super::model::{Key, Kind, Map, On, Sleep, Wait, Wants};

/// More descriptors in one call are not looked at.
const MOST: u64 = 1024;

/// Where the descriptors of all processes lead, by process and number.
type Leads = HashMap<(usize, i32), (usize, usize)>;

/// A thread, and what it does.
pub(super) struct Task {
    tid: i32,
    path: String,
    call: Doing,
}

enum Doing {
    Sleeps(Call),
    /// It sleeps, and we may not see in which call.
    Refused,
    /// Or it is stopped.
    Runs,
    Ended,
}

struct Looker<'a> {
    map: &'a Map,
    leads: Leads,
    mappings: &'a HashMap<usize, Vec<Mapping>>,
    duplicates: Duplicates,
    /// The number of this IPC namespace.
    space: u64,
    /// The kernel's clock that counts running time, in milliseconds.
    now: Option<f64>,
}

/// Finds the sleeping threads of the processes that are drawn.
pub(super) fn gather(
    map: &mut Map,
    tasks: &HashMap<usize, Vec<Task>>,
    mappings: &HashMap<usize, Vec<Mapping>>,
    space: u64,
) {
    let mut leads = HashMap::new();
    for (index, object) in map.objects.iter().enumerate() {
        for holder in &object.holders {
            if let Some(fd) = holder.fd {
                leads.insert((holder.process, fd), (index, holder.end));
            }
        }
    }
    let own = std::process::id();
    let now = ran_last(&format!("/proc/self/task/{own}"));
    let duplicates = Duplicates::default();
    let looker = Looker { map, leads, mappings, duplicates, space, now };
    let mut found: Vec<_> =
        tasks.iter().map(|(at, tasks)| (*at, looker.process(*at, tasks))).collect();
    found.sort_by_key(|(at, ..)| *at);
    let mut unseen = Vec::new();
    for (at, (sleeps, all, refused)) in found {
        map.processes[at].sleeps = sleeps;
        map.processes[at].all_asleep = all;
        if refused && !map.processes[at].closed {
            unseen.push(map.who(at));
        }
    }
    if !unseen.is_empty() {
        map.not_seen.push(format!(
            "in which call these sleep (ptrace is refused): {}",
            unseen.join(", ")
        ));
    }
}

/// The threads of the processes that are drawn, by process.
pub(super) fn tasks(map: &Map) -> HashMap<usize, Vec<Task>> {
    let shown = (0..map.processes.len()).filter(|at| map.processes[*at].shown);
    shown.map(|at| (at, tasks_of(map.processes[at].pid))).collect()
}

fn tasks_of(pid: i32) -> Vec<Task> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let one = |task: fs::DirEntry| {
        let tid: i32 = task.file_name().to_str()?.parse().ok()?;
        let path = format!("/proc/{pid}/task/{tid}");
        let state = os::process_identity::state(tid.unsigned_abs());
        let call = match state {
            Some('S' | 'D') => match os::proc::text(format!("{path}/syscall")) {
                Ok(line) => calls::of_line(&line).map_or(Doing::Runs, Doing::Sleeps),
                Err(_) => Doing::Refused,
            },
            None | Some('Z' | 'X') => Doing::Ended,
            Some(_) => Doing::Runs,
        };
        Some(Task { tid, path, call })
    };
    tasks.filter_map(one).collect()
}

/// The FIFOs that the processes which are drawn sleep in open(2) of, with their names.
pub(super) fn openings(
    map: &Map,
    tasks: &HashMap<usize, Vec<Task>>,
) -> Vec<(usize, Key, String)> {
    let mut all = Vec::new();
    for (at, tasks) in tasks {
        for task in tasks {
            if let Doing::Sleeps(Call {
                means: Meaning::Open(directory, address, _),
                ..
            }) = task.call
            {
                let found = fifo(map.processes[*at].pid, directory, address);
                all.extend(found.map(|(key, name)| (*at, key, name)));
            }
        }
    }
    all.sort_unstable();
    all
}

/// The FIFO of a name in another process's memory, and that name.
fn fifo(pid: i32, directory: i32, address: u64) -> Option<(Key, String)> {
    let path = text_at(pid, address, libc::PATH_MAX as usize)?;
    let path = std::path::PathBuf::from(std::ffi::OsString::from_vec(path));
    let from = match (path.is_absolute(), directory) {
        (true, _) => format!("/proc/{pid}/root"),
        (false, libc::AT_FDCWD) => format!("/proc/{pid}/cwd"),
        (false, fd) => format!("/proc/{pid}/fd/{fd}"),
    };
    let about = fs::metadata(
        std::path::Path::new(&from).join(path.strip_prefix("/").unwrap_or(&path)),
    );
    let about = about.ok().filter(|about| about.file_type().is_fifo())?;
    let dir = fs::read_link(&from).unwrap_or_default();
    let whole: std::path::PathBuf = dir.join(&path).components().collect();
    let name = visible::text(whole.as_os_str().as_bytes());
    Some((Key { kind: Kind::Fifo, space: about.dev(), number: about.ino() }, name))
}

/// When a thread ran last.
fn ran_last(task: &str) -> Option<f64> {
    let sched = os::proc::text(format!("{task}/sched")).ok()?;
    let line = field(&sched, "se.exec_start")?;
    line.trim_start_matches([' ', ':']).parse().ok()
}

impl Looker<'_> {
    /// Its sleeping threads, whether these are all, and whether we were refused.
    fn process(&self, at: usize, tasks: &[Task]) -> (Vec<Sleep>, bool, bool) {
        let (mut sleeps, mut all, mut refused) = (Vec::new(), true, false);
        for task in tasks {
            let sleep = match &task.call {
                Doing::Ended => continue,
                Doing::Runs => None,
                Doing::Sleeps(call) => Some(self.sleep(at, task.tid, call)),
                Doing::Refused => {
                    refused = true;
                    self.by_wchan(at, task.tid, &task.path)
                }
            };
            all &= sleep.is_some();
            sleeps.extend(
                sleep.map(|sleep| Sleep { since: self.since(&task.path), ..sleep }),
            );
        }
        sleeps.sort_by_key(|sleep| sleep.tid);
        let all = all && !sleeps.is_empty();
        (sleeps, all, refused)
    }

    fn since(&self, task: &str) -> Option<Duration> {
        let slept = self.now? - ran_last(task)?;
        Duration::try_from_secs_f64(slept.max(0.0) / 1000.0).ok()
    }

    fn sleep(&self, at: usize, tid: i32, call: &Call) -> Sleep {
        let mut sleep = Sleep {
            tid,
            call: call.name.clone(),
            fd: None,
            since: None,
            timed: call.timed,
            waits: Vec::new(),
            unknown: false,
        };
        let pid = self.map.processes[at].pid;
        let wait = |on, wants| Wait { on, fd: None, wants };
        match call.means {
            Meaning::Descriptor(fd, wants) => {
                sleep.fd = Some(fd);
                sleep.waits.extend(self.on_fd(at, fd, wants));
                sleep.timed |= self.has_timeout(at, fd, wants);
            }
            Meaning::Polls(address, count) => {
                for (fd, wants) in polls(pid, address, count) {
                    sleep.waits.extend(self.on_fd(at, fd, wants));
                    sleep.unknown |= !self.leads.contains_key(&(at, fd));
                }
            }
            Meaning::Sets(count, sets) => {
                for (fd, wants) in sets_of_bits(pid, count, sets) {
                    sleep.waits.extend(self.on_fd(at, fd, wants));
                    sleep.unknown |= !self.leads.contains_key(&(at, fd));
                }
            }
            Meaning::Epoll(epoll) => {
                sleep.fd = Some(epoll);
                if let Some((object, _)) = self.leads.get(&(at, epoll)) {
                    sleep.waits.push(Wait {
                        on: On::Object(*object, 0),
                        fd: Some(epoll),
                        wants: Wants::Data,
                    });
                    for (fd, events, _) in &self.map.objects[*object].targets {
                        let wants = events_want(*events);
                        sleep.waits.extend(self.on_fd(at, *fd, wants));
                        sleep.unknown |= !self.leads.contains_key(&(at, *fd));
                    }
                }
            }
            Meaning::Queue(id, wants) => {
                let on = self.sysv(Kind::SysvQueue, id);
                sleep.waits.extend(on.map(|on| wait(on, wants)));
            }
            Meaning::Semaphores(id, address, count) => {
                let on = self.sysv(Kind::SysvSemaphore, id);
                let number = semaphore(pid, address, count);
                sleep.waits.extend(on.map(|on| wait(on, Wants::Change(number))));
            }
            Meaning::Word(address) => {
                let mut mappings = self.mappings.get(&at).into_iter().flatten();
                let on = mappings.find(|it| (it.from..it.to).contains(&address));
                let on = on.map(|mapping| On::Object(mapping.object, 0));
                sleep.waits.extend(on.map(|on| wait(on, Wants::Change(0))));
            }
            Meaning::OwnWord => sleep.waits.push(wait(On::Own, Wants::Change(0))),
            Meaning::Child(child) => {
                sleep.waits.push(wait(On::Child(child), Wants::End));
            }
            Meaning::Open(directory, address, writes) => {
                let on = self.opening(at, directory, address);
                sleep.waits.extend(on.map(|on| wait(on, Wants::Opening(writes))));
            }
            Meaning::Connect(fd, address, length) => {
                sleep.fd = Some(fd);
                let on = self.connecting(pid, address, length);
                sleep.waits.extend(on.map(|on| wait(on, Wants::Room)));
            }
            Meaning::Time | Meaning::Unknown => {}
        }
        sleep.unknown |= sleep.waits.is_empty();
        sleep
    }

    fn on_fd(&self, at: usize, fd: i32, wants: Wants) -> Option<Wait> {
        let (object, end) = self.leads.get(&(at, fd))?;
        Some(Wait { on: On::Object(*object, *end), fd: Some(fd), wants })
    }

    fn sysv(&self, kind: Kind, id: i32) -> Option<On> {
        let key = Key { kind, space: self.space, number: id.unsigned_abs().into() };
        self.map.by_key.get(&key).map(|object| On::Object(*object, 0))
    }

    /// SO_RCVTIMEO, SO_SNDTIMEO.
    fn has_timeout(&self, at: usize, fd: i32, wants: Wants) -> bool {
        let Some((object, _)) = self.leads.get(&(at, fd)) else { return false };
        if self.map.objects[*object].ends.is_empty() {
            return false;
        }
        let Some(copy) = self.duplicates.of(self.map.processes[at].pid, fd) else {
            return false;
        };
        let time = match wants {
            Wants::Room => getsockopt(&copy.as_fd(), sockopt::SendTimeout),
            _ => getsockopt(&copy.as_fd(), sockopt::ReceiveTimeout),
        };
        time.is_ok_and(|time| time.num_microseconds() != 0)
    }

    /// The FIFO that a thread opens.
    fn opening(&self, at: usize, directory: i32, address: u64) -> Option<On> {
        let pid = self.map.processes[at].pid;
        let (key, _) = fifo(pid, directory, address)?;
        self.map.by_key.get(&key).map(|object| On::Object(*object, 0))
    }

    /// The listening Unix socket whose backlog is full.
    fn connecting(&self, pid: i32, address: u64, length: u64) -> Option<On> {
        let bytes = bytes_at(pid, address, length.min(110) as usize)?;
        let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        if i32::from(family) != libc::AF_UNIX {
            return None;
        }
        let name = match bytes.get(2..)? {
            [0, name @ ..] => format!("@{}", visible::text(name)),
            path => visible::text(path.split(|byte| *byte == 0).next()?),
        };
        let listens = |object: &super::model::Object| {
            object.name.as_deref() == Some(name.as_str())
                && object.ends.first().is_some_and(|end| end.backlog.is_some())
        };
        self.map.objects.iter().position(listens).map(|object| On::Object(object, 0))
    }

    /// Without its call: the kernel's function that it sleeps in, and the object, if only one of
    /// what it holds fits.
    fn by_wchan(&self, at: usize, tid: i32, task: &str) -> Option<Sleep> {
        let function = fs::read_to_string(format!("{task}/wchan")).ok()?;
        let (call, wants) = calls::of_wchan(&function)?;
        let fits = |object: usize, fd: i32| {
            let object = &self.map.objects[object];
            object.holders.iter().any(|holder| {
                let mode = match wants {
                    Wants::Data => holder.read,
                    Wants::Room => holder.write,
                    _ => false,
                };
                let kind = function.contains("pipe") == object.kind().is_pipe()
                    && function.contains("unix") == (object.kind() == Kind::Unix);
                (holder.process, holder.fd) == (at, Some(fd)) && mode && kind
            })
        };
        let all = self.leads.iter().filter(|((process, fd), (object, _))| {
            *process == at && fits(*object, *fd)
        });
        let all: Vec<_> = all.collect();
        let only = match all[..] {
            [((_, fd), (object, end))] => {
                Some(Wait { on: On::Object(*object, *end), fd: Some(*fd), wants })
            }
            _ => None,
        };
        Some(Sleep {
            tid,
            call: call.to_owned(),
            fd: only.and_then(|wait| wait.fd),
            since: None,
            timed: false,
            unknown: only.is_none(),
            waits: only.into_iter().collect(),
        })
    }
}

fn events_want(events: u32) -> Wants {
    let writes = events & libc::EPOLLOUT as u32 != 0;
    let reads = events & libc::EPOLLIN as u32 != 0;
    if writes && !reads { Wants::Room } else { Wants::Data }
}

fn polls(pid: i32, address: u64, count: u64) -> Vec<(i32, Wants)> {
    let length = count.min(MOST) as usize * size_of::<libc::pollfd>();
    let bytes = bytes_at(pid, address, length).unwrap_or_default();
    let one = |poll: &[u8]| {
        let fd = i32::from_ne_bytes(poll[..4].try_into().ok()?);
        let events = i16::from_ne_bytes(poll[4..6].try_into().ok()?);
        let events = u32::from(events.cast_unsigned());
        (fd >= 0).then(|| (fd, events_want(events)))
    };
    bytes.chunks_exact(size_of::<libc::pollfd>()).filter_map(one).collect()
}

/// The kernel changes the sets only as select(2) returns: what was asked stands there.
fn sets_of_bits(pid: i32, count: u64, sets: [u64; 3]) -> Vec<(i32, Wants)> {
    let mut all = Vec::new();
    for (address, wants) in
        sets.into_iter().zip([Wants::Data, Wants::Room, Wants::Data])
    {
        let length = count.min(MOST).div_ceil(64) as usize * 8;
        let bytes = bytes_at(pid, address, length).unwrap_or_default();
        for fd in 0..count.min(MOST) as usize {
            if bytes.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1) {
                all.push((fd as i32, wants));
            }
        }
    }
    all
}

/// The number of the first semaphore that is to be lowered, or to become 0.
fn semaphore(pid: i32, address: u64, count: u64) -> u16 {
    let length = count.min(MOST) as usize * size_of::<libc::sembuf>();
    let bytes = bytes_at(pid, address, length).unwrap_or_default();
    let mut operations = bytes.chunks_exact(size_of::<libc::sembuf>());
    let waits =
        |operation: &&[u8]| i16::from_ne_bytes([operation[2], operation[3]]) <= 0;
    let first = operations.find(waits);
    first.map_or(0, |operation| u16::from_ne_bytes([operation[0], operation[1]]))
}

/// What another process has in its memory; `None` where that is refused.
fn bytes_at(pid: i32, address: u64, length: usize) -> Option<Vec<u8>> {
    if address == 0 || length == 0 {
        return None;
    }
    let mut bytes = vec![0; length];
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let count = memory.read_at(&mut bytes, address).ok()?;
    bytes.truncate(count);
    Some(bytes)
}

/// A text that ends with a NUL, in the memory of another process.
fn text_at(pid: i32, address: u64, most: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes_at(pid, address, most)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    bytes.truncate(end);
    Some(bytes)
}
