//! System V queues, semaphore sets and segments: the tables of /proc/sysvipc, and semctl(2)
//! for what they leave out. A process holds none of them open, and the tables tell only who
//! used one last.

use std::fs;

use os::sysv::msgstat;
use os::sysv_semaphore::semctl_each;

use super::model::{Key, Kind, Map, Object};

/// Finds all of this IPC namespace, `space` being its number.
pub(super) fn gather(map: &mut Map, space: u64) {
    for (table, kind) in [
        ("msg", Kind::SysvQueue),
        ("sem", Kind::SysvSemaphore),
        ("shm", Kind::SysvSegment),
    ] {
        let text = fs::read_to_string(format!("/proc/sysvipc/{table}"));
        let text = text.unwrap_or_default();
        let mut lines = text.lines();
        let names: Vec<&str> =
            lines.next().unwrap_or_default().split_whitespace().collect();
        for line in lines {
            let values: Vec<&str> = line.split_whitespace().collect();
            let value = |name: &str| {
                let column = names.iter().position(|known| *known == name)?;
                values.get(column)?.parse::<i64>().ok()
            };
            let id = ["msqid", "semid", "shmid"].into_iter().find_map(value);
            let Some(id) = id else { continue };
            let index = map.object(Key { kind, space, number: id.cast_unsigned() });
            describe(&mut map.objects[index], id, value);
        }
    }
}

fn describe(object: &mut Object, id: i64, value: impl Fn(&str) -> Option<i64>) {
    let number = |name| value(name).map(i64::cast_unsigned);
    let key = value("key").unwrap_or(0);
    object.name = Some(match key {
        0 => format!("id {id}, IPC_PRIVATE"),
        // The table writes it as a signed number.
        key => format!("id {id}, key {:#x}", key as u32),
    });
    let pids = ["lspid", "lrpid", "lpid", "cpid"].into_iter().filter_map(&value);
    let pids = pids.filter_map(|pid| i32::try_from(pid).ok());
    object.pids = pids.filter(|pid| *pid != 0).collect();
    match object.kind() {
        Kind::SysvQueue => {
            object.messages = number("qnum");
            object.fill = number("cbytes");
        }
        // A set may have 32,000: those of large ones are asked for if they are drawn.
        Kind::SysvSemaphore if number("nsems").is_some_and(|count| count <= 64) => {
            details(object);
        }
        Kind::SysvSegment => {
            object.capacity = number("size");
            // IPC_RMID was called, and somebody still has it attached: SHM_DEST, 01000.
            object.name_gone = value("perms").is_some_and(|perms| perms >= 1000);
        }
        _ => {}
    }
}

/// What the tables leave out of an object that is drawn: the values of a semaphore set, with
/// the process that changed each last, and how many bytes a queue may have.
pub(super) fn details(object: &mut Object) {
    let Ok(id) = i32::try_from(object.key.number) else { return };
    match object.kind() {
        Kind::SysvSemaphore => {
            object.values = semctl_each(id).unwrap_or_default();
            object.pids = object.values.iter().map(|(_, pid)| *pid).collect();
            object.pids.retain(|pid| *pid != 0);
        }
        Kind::SysvQueue => {
            object.capacity = msgstat(id).ok().map(|about| about.msg_qbytes);
        }
        _ => {}
    }
}
