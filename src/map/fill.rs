//! How much lies in an object, and how much may. Asked of a duplicate of a descriptor of a
//! holder; a queue's, of its file in /proc/PID/fd, which is opened for reading and not read.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use os::mqueue::mq_fill;
use os::shm_file::value_in_file;
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;

use super::duplicate::Duplicates;
use super::model::{Holder, Kind, Map, Object, Process};
use super::sysv;

/// Asks all that are drawn. Returns how many pipes we could not ask.
pub(super) fn gather(map: &mut Map) -> usize {
    let Map { objects, processes, .. } = map;
    let mut refused = 0;
    let duplicates = Duplicates::default();
    let duplicate = |pid, fd| duplicates.of(pid, fd);
    for object in objects.iter_mut().filter(|object| object.shown) {
        match object.kind() {
            Kind::Pipe | Kind::Fifo => match any(object, processes, duplicate) {
                Some(copy) => pipe(object, &copy),
                None if object.holders.is_empty() => {}
                None => refused += 1,
            },
            Kind::PosixQueue => {
                let open = |pid: i32, fd: i32| {
                    File::open(format!("/proc/{pid}/fd/{fd}"))
                        .ok()
                        .map(OwnedFd::from)
                };
                if let Some(fill) = any(object, processes, open)
                    .and_then(|queue| mq_fill(&queue).ok())
                {
                    object.fill = Some(fill.messages);
                    object.capacity = Some(fill.most);
                }
            }
            Kind::Segment | Kind::PosixSemaphore | Kind::File => {
                let size = |pid: i32, fd: i32| {
                    std::fs::metadata(format!("/proc/{pid}/fd/{fd}")).ok()
                };
                object.capacity = any(object, processes, size)
                    .or_else(|| named(object, processes)?.metadata().ok())
                    .map(|about| about.size());
                if object.kind() == Kind::PosixSemaphore {
                    let path = named(object, processes);
                    let path = path.and_then(|path| {
                        CString::new(path.into_os_string().into_vec()).ok()
                    });
                    object.fill = path.map(|path| value_in_file(&path).into());
                }
            }
            Kind::SysvQueue | Kind::SysvSemaphore => sysv::details(object),
            _ => {}
        }
    }
    refused
}

/// How much lies in those of the drawn objects that are pipes or FIFOs now, by their indices.
pub(super) fn now(map: &Map) -> Vec<(usize, u64)> {
    let duplicates = Duplicates::default();
    let ask = |pid, fd| ioctl_fionread(duplicates.of(pid, fd)?).ok();
    let all = map.objects.iter().enumerate();
    let pipes = all.filter(|(_, it)| it.shown && it.kind().is_pipe());
    pipes.filter_map(|(at, it)| Some((at, any(it, &map.processes, ask)?))).collect()
}

/// The file that its name leads to, for a process that has it mapped.
fn named(object: &Object, processes: &[Process]) -> Option<PathBuf> {
    let name = object.name.as_ref().filter(|name| name.starts_with('/'))?;
    let holder = object.holders.first().filter(|_| !object.name_gone)?;
    Some(format!("/proc/{}/root{name}", processes[holder.process].pid).into())
}

fn pipe(object: &mut Object, copy: &OwnedFd) {
    object.fill = ioctl_fionread(copy).ok();
    object.capacity = fcntl_getpipe_size(copy).ok().map(|size| size as u64);
}

/// What the first holder that can be asked answers.
fn any<T>(
    object: &Object,
    processes: &[Process],
    ask: impl Fn(i32, i32) -> Option<T>,
) -> Option<T> {
    let of = |holder: &Holder| ask(processes[holder.process].pid, holder.fd?);
    object.holders.iter().find_map(of)
}
