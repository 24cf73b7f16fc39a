//! A server that passes its connections to workers: fork(2), socketpair(2), sendmsg(2), poll(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["poll", "process", "signal", "socket", "uio"] }

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
//[
use std::io::{IoSlice, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
//]
use std::net::TcpListener;

//[
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, send, sendmsg};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
//]

//[
/// What the server knows of a worker.
struct Worker {
    sock: UnixStream,
    pid: Pid,
    free: bool,
}

/// Serves one connection after the other, until the server has gone.
fn worker(server: &UnixStream) -> nix::Result<()> {
    loop {
        let (mut byte, mut room) = ([0], nix::cmsg_space!(RawFd));
        let mut bytes = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let got = recvmsg::<()>(server.as_raw_fd(), &mut bytes, Some(&mut room), flags)?; // sleeps
        if got.bytes == 0 {
            return Ok(());
        }
        if let Some(ControlMessageOwned::ScmRights(rights)) = got.cmsgs()?.next() {
            // SAFETY: it was just received, and is nobody else's.
            let client = unsafe { TcpStream::from_raw_fd(rights[0]) };
            let _ = serve(client); // this client may have gone: the next one has not
        }
        send(server.as_raw_fd(), b"F", MsgFlags::MSG_NOSIGNAL)?; // free
    }
}

//]
fn serve(client: std::net::TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?);
    let (mut client, mut line) = (client, String::new());
    // sleeps until the client sends a line
    while lines.read_line(&mut line)? > 0 {
        client.write_all(format!("{} {line}", std::process::id()).as_bytes())?;
        line.clear();
    }
    Ok(())
}

//[
/// Starts a worker. `workers` are those that are there: it must not keep their sockets.
fn start(listener: &TcpListener, workers: &[Worker]) -> Result<Worker, Box<dyn Error>> {
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Worker { sock: ours, pid: child, free: true }),
        ForkResult::Child => {
            let others = workers.iter().map(|worker| worker.sock.as_raw_fd());
            for fd in others.chain([ours.as_raw_fd(), listener.as_raw_fd()]) {
                nix::unistd::close(fd)?; // or nobody's end would be seen
            }
            SigSet::from(Signal::SIGTERM).thread_unblock()?;
            std::process::exit(worker(&theirs).is_err().into());
        }
    }
}

//]
fn server(address: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address)?;
    //[
    let mut workers = Vec::new();
    let ends = SigSet::from(Signal::SIGTERM);
    ends.thread_block()?;
    while workers.len() < count {
        workers.push(start(&listener, &workers)?);
    }
    let signals = SignalFd::new(&ends)?;
    loop {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let socks = workers.iter().map(|worker| worker.sock.as_fd());
        fds.extend(socks.map(|sock| PollFd::new(sock, PollFlags::POLLIN)));
        if workers.iter().any(|worker| worker.free) {
            fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut fds, PollTimeout::NONE)?; // sleeps
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        if ready[0] {
            for worker in &workers {
                kill(worker.pid, Signal::SIGTERM)?; // it may sleep at its client
            }
            for worker in &workers {
                waitpid(worker.pid, None)?;
            }
            return Ok(());
        }
        for index in 0..workers.len() {
            if !ready[1 + index] {
                continue;
            }
            if recv(workers[index].sock.as_raw_fd(), &mut [0], MsgFlags::empty()) == Ok(1) {
                workers[index].free = true;
            } else {
                let dead = workers.remove(index);
                waitpid(dead.pid, None)?;
                drop(dead);
                let another = start(&listener, &workers)?;
                workers.insert(index, another); // in its place
            }
        }
        if ready.get(1 + workers.len()) == Some(&true)
            && let Some(chosen) = workers.iter_mut().find(|worker| worker.free)
        {
            let (client, _) = listener.accept()?;
            chosen.free = false;
            let descriptors = [client.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&descriptors)];
            // If it has just died, this client is lost with it.
            let bytes = [IoSlice::new(b"x")];
            let flags = MsgFlags::MSG_NOSIGNAL;
            let _ = sendmsg::<()>(chosen.sock.as_raw_fd(), &bytes, &rights, flags, None);
        } // the client is closed here: the worker has its own copy
    }
    //]
    //| println!("{count} workers are wanted");
    //| loop {
    //|     let _ = serve(listener.accept()?.0); // and now?
    //| }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, address, count] if role == "server" => server(address, count.parse()?)?,
        _ => {
            eprintln!("usage: server ADDRESS COUNT");
            std::process::exit(2)
        }
    }
    Ok(())
}
