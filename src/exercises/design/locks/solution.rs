//! A lock server: socket(2), accept(2), recv(2), send(2), poll(2), unlink(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["poll", "signal"] }

//[
use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
//]
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

//[
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

/// The number of a client: no other one ever has it.
type Id = u64;

#[derive(Default)]
struct Server {
    clients: HashMap<Id, Client>,
    /// Who wants a lock: the first has it.
    queues: HashMap<String, VecDeque<Id>>,
}

struct Client {
    sock: UnixStream,
    /// What it has sent of its next request.
    pending: Vec<u8>,
}

impl Server {
    fn send(&self, client: Id, answer: &str) {
        if let Some(client) = self.clients.get(&client) {
            // If it has gone, the next read tells.
            let _ = (&client.sock).write_all(answer.as_bytes());
        }
    }

    fn request(&mut self, client: Id, request: &str) {
        let (verb, name) = request.split_once(' ').unwrap_or((request, ""));
        let queue = self.queues.entry(name.to_owned()).or_default();
        match (verb, queue.front() == Some(&client)) {
            ("lock", _) => {
                queue.push_back(client);
                if queue.front() == Some(&client) {
                    self.send(client, "ok\n");
                }
            }
            ("unlock", true) => {
                self.send(client, "ok\n");
                self.leave(client, name);
            }
            _ => self.send(client, "no\n"),
        }
    }

    /// Takes the client out of a queue, and tells who is first now.
    fn leave(&mut self, client: Id, name: &str) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        let first = queue.front().copied();
        queue.retain(|other| *other != client);
        match queue.front().copied() {
            None => drop(self.queues.remove(name)),
            next if next == first => {}
            Some(next) => self.send(next, "ok\n"),
        }
    }

    /// Reads what a client has sent, and does what is whole of it.
    fn readable(&mut self, id: Id) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut data = [0; 4096];
        let n = client.sock.read(&mut data).unwrap_or(0);
        if n == 0 {
            self.clients.remove(&id); // it has gone, and holds nothing
            for name in self.queues.keys().cloned().collect::<Vec<_>>() {
                self.leave(id, &name);
            }
            return;
        }
        client.pending.extend(&data[..n]);
        let mut lines: Vec<_> = client.pending.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        client.pending = lines.pop().unwrap_or_default();
        for line in lines {
            self.request(id, &String::from_utf8_lossy(&line));
        }
    }
}
//]

fn server(place: &str) -> Result<(), Box<dyn Error>> {
    //[
    let ends = SigSet::from(Signal::SIGTERM);
    ends.thread_block()?;
    let signals = SignalFd::new(&ends)?;
    //]
    let listener = UnixListener::bind(place)?;
    //[
    let (mut server, mut next) = (Server::default(), 0);
    loop {
        let ids: Vec<Id> = server.clients.keys().copied().collect();
        let socks = ids.iter().map(|id| server.clients[id].sock.as_fd());
        let all = [signals.as_fd(), listener.as_fd()].into_iter().chain(socks);
        let mut fds: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::NONE)?; // sleeps
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        if ready[0] {
            return Ok(std::fs::remove_file(place)?);
        }
        for (id, _) in ids.iter().zip(&ready[2..]).filter(|(_, ready)| **ready) {
            server.readable(*id);
        }
        if ready[1] {
            let (sock, _) = listener.accept()?;
            server.clients.insert(next, Client { sock, pending: Vec::new() });
            next += 1;
        }
    }
    //]
    //| loop {
    //|     let (mut client, _): (UnixStream, _) = listener.accept()?;
    //|     while client.read(&mut [0; 4096])? > 0 {
    //|         client.write_all(b"ok\n")?; // and now?
    //|     }
    //| }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "server" => server(place)?,
        _ => {
            eprintln!("usage: server PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
