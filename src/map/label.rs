//! What an object is called in a line.

use wire::visible::visible;

use super::model::{Kind, Map, Object, On};

/// Its kind, and its name or number: `pipe 55307`, `FIFO /tmp/f (8,1):71`.
pub(super) fn label(object: &Object) -> String {
    let noun = object.kind().noun();
    let number = object.key.number;
    let name = object.name.as_deref().map(visible);
    match (object.kind(), name) {
        (Kind::Fifo | Kind::File, Some(name)) if object.key.space != 0 => {
            let (major, minor) = device(object.key.space);
            format!("{noun} {name} ({major},{minor}):{number}")
        }
        (Kind::Epoll, _) => format!("{noun} of descriptor {}", number & 0xffff_ffff),
        (Kind::Pidfd, _) if object.pids.is_empty() => {
            format!("{noun} of a process that has ended")
        }
        (Kind::Pidfd, _) if object.pids == [0] => {
            format!("{noun} of a process of another PID namespace")
        }
        (Kind::Pidfd, _) => format!("{noun} of process {number}"),
        (Kind::Segment | Kind::File, None) => {
            format!("{noun} without a name, {number}")
        }
        (Kind::Tcp | Kind::Udp, Some(name)) => {
            let names: Vec<_> =
                object.ends.iter().filter_map(|end| end.name.as_deref()).collect();
            match names[..] {
                [one, other] => format!("{noun} {one} and {other}"),
                _ => format!("{noun} {name}"),
            }
        }
        (Kind::Unix, name) => {
            let inodes: Vec<_> = object
                .ends
                .iter()
                .take(2)
                .map(|end| end.inode.to_string())
                .collect();
            let inodes = inodes.join(" and ");
            match name {
                Some(name) => format!("{noun} {name}"),
                None => format!("{noun} {inodes}"),
            }
        }
        (_, Some(name)) => format!("{noun} {name}"),
        (_, None) => format!("{noun} {number}"),
    }
}

/// The same without its device.
pub(super) fn short(object: &Object) -> String {
    match (object.kind(), &object.name) {
        (Kind::Fifo | Kind::File, Some(name)) => {
            let file = name.rsplit('/').next().unwrap_or(name);
            format!("{} {}", object.kind().noun(), visible(file))
        }
        _ => label(object),
    }
}

/// What is waited on.
pub(super) fn waited_on(map: &Map, on: On) -> Option<String> {
    match on {
        On::Object(object, _) => Some(short(&map.objects[object])),
        On::Child(_) => Some("its child".to_owned()),
        On::Own => None,
    }
}

fn device(space: u64) -> (u32, u32) {
    (rustix::fs::major(space), rustix::fs::minor(space))
}
