//! The map as one JSON object: the fields are on the book's page "Who holds it".

use serde_json::{Value, json};

use super::label::label;
use super::model::{Cycle, Holder, Map, Object, On, Sleep, Wants};
use wire::visible;

/// It grows when a field changes its meaning.
pub(super) const SCHEMA: u64 = 1;

/// The whole map, in one line.
pub(super) fn line(map: &Map) -> String {
    let processes = map.processes.iter().filter(|process| process.shown);
    let processes: Vec<Value> = processes
        .map(|process| {
            json!({
                "pid": process.pid,
                "parent": process.parent,
                "start": process.start,
                "name": process.name,
                "role": process.role.map(|role| role.name),
                "uid": process.uid,
                "zombie": process.zombie,
                "moving": process.moved,
                "looked_into": !process.closed,
                "asleep": process.sleeps.iter().map(|it| sleep(map, it)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let shown = map.objects.iter().filter(|object| object.shown);
    let objects: Vec<Value> = shown.map(|it| object(map, it)).collect();
    let cycles: Vec<Value> = map.cycles.iter().map(|it| cycle(map, it)).collect();
    let remarks: Vec<Value> = map
        .remarks
        .iter()
        .map(|remark| {
            json!({
                "about": remark.about,
                "object": id(&map.objects[remark.object]),
                "pids": remark.processes.iter().map(|at| map.processes[*at].pid).collect::<Vec<_>>(),
                "text": remark.text,
            })
        })
        .collect();
    let all = json!({
        "schema": SCHEMA,
        "processes": processes,
        "objects": objects,
        "cycles": cycles,
        "remarks": remarks,
        "not_looked_into": map.not_seen,
    });
    visible::json(&all) + "\n"
}

/// What tells the object from all others, as a string.
pub(super) fn id(object: &Object) -> String {
    format!("{}:{}:{}", object.kind().word(), object.key.space, object.key.number)
}

fn sleep(map: &Map, sleep: &Sleep) -> Value {
    let waits: Vec<Value> = sleep
        .waits
        .iter()
        .filter_map(|wait| {
            let wants = match wait.wants {
                Wants::Data => "data",
                Wants::Room => "room",
                Wants::Client => "client",
                Wants::Opening(_) => "opening",
                Wants::Lock => "lock",
                Wants::Change(_) => "change",
                Wants::End => "end",
            };
            match wait.on {
                On::Object(object, _) => Some(json!({
                    "object": id(&map.objects[object]), "fd": wait.fd, "for": wants,
                })),
                On::Child(0) => Some(json!({ "child": null, "for": wants })),
                On::Child(pid) => Some(json!({ "child": pid, "for": wants })),
                On::Own => None,
            }
        })
        .collect();
    json!({
        "tid": sleep.tid,
        "call": sleep.call,
        "fd": sleep.fd,
        "for_ms": sleep.since.map(|since| since.as_millis() as u64),
        "has_timeout": sleep.timed,
        "waits": waits,
    })
}

fn object(map: &Map, object: &Object) -> Value {
    let mut value = json!({
        "id": id(object),
        "kind": object.kind().word(),
        "label": label(object),
        "name": object.name,
        "name_gone": object.name_gone,
        "fill": object.fill,
        "capacity": object.capacity,
        "about": object.about,
        "moving": object.moved,
        "holders": object.holders.iter().map(|it| holder(map, object, it)).collect::<Vec<_>>(),
    });
    if let Some(messages) = object.messages {
        value["messages"] = messages.into();
    }
    if !object.ends.is_empty() {
        value["ends"] = object
            .ends
            .iter()
            .map(|end| {
                json!({
                    "inode": end.inode,
                    "name": end.name,
                    "unread": end.unread,
                    "peer_ended": end.peer_ended,
                    "in_flight": end.in_flight,
                    "backlog": end.backlog.as_ref().map(|backlog| json!({
                        "waiting": backlog.waiting,
                        "most": backlog.most,
                        "clients": backlog.clients,
                    })),
                })
            })
            .collect();
    }
    if !object.values.is_empty() {
        value["values"] = object
            .values
            .iter()
            .map(|(value, pid)| json!({ "value": value, "changed_by": pid }))
            .collect();
    }
    if !object.targets.is_empty() {
        value["targets"] = object.targets.iter().map(|(fd, events, inode)| {
            json!({ "fd": fd, "events": events, "inode": inode })
        }).collect();
    }
    if !object.pids.is_empty() {
        value["pids"] = object.pids.clone().into();
    }
    value
}

fn holder(map: &Map, object: &Object, holder: &Holder) -> Value {
    let mut value = json!({
        "pid": map.processes[holder.process].pid,
        "fd": holder.fd,
        "read": holder.read,
        "write": holder.write,
        "cloexec": holder.cloexec,
        "mapped": holder.fd.is_none() && object.kind().is_memory() && holder.locks.is_empty(),
    });
    if let Some(end) = object.ends.get(holder.end) {
        value["end"] = end.inode.into();
    }
    if !holder.locks.is_empty() {
        value["locks"] = holder.locks.iter().map(|lock| {
            json!({ "kind": lock.kind, "write": lock.write, "from": lock.from, "to": lock.to })
        }).collect();
    }
    value
}

fn cycle(map: &Map, cycle: &Cycle) -> Value {
    let steps: Vec<Value> = cycle
        .steps
        .iter()
        .map(|(process, on)| {
            let object = match on {
                On::Object(object, _) => Some(id(&map.objects[*object])),
                _ => None,
            };
            json!({ "pid": map.processes[*process].pid, "waits_on": object })
        })
        .collect();
    json!({
        "verdict": if cycle.doubt.is_none() { "deadlock" } else { "possible" },
        "why": cycle.doubt,
        "steps": steps,
        "text": super::text::cycle_text(map, cycle),
    })
}
