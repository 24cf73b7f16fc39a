//! A server that is replaced: accept(2), poll(2), fork(2), execve(2), fcntl(2): FD_CLOEXEC.
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll", "signal"] }

use std::error::Error;
//[
use std::io::Read;
//]
use std::io::Write;
use std::net::{TcpListener, TcpStream};
//[
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

const ABOUT: &str = "SUCCESSOR";

struct Client {
    sock: TcpStream,
    /// What it has sent of its next line.
    pending: Vec<u8>,
}

impl Client {
    /// Answers what is there; whether there may be more.
    fn serve(&mut self, generation: u32) -> std::io::Result<bool> {
        let mut data = [0; 4096];
        let n = self.sock.read(&mut data)?;
        self.pending.extend(&data[..n]);
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.sock.write_all(&[format!("{generation} ").as_bytes(), &line].concat())?;
        }
        Ok(n > 0)
    }
}

/// Starts the successor, which inherits the listening socket, and no other.
fn start(listener: &TcpListener, generation: u32) -> Result<(), Box<dyn Error>> {
    fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let about = format!("{} {generation}", listener.as_raw_fd());
    Command::new("/proc/self/exe").args(std::env::args().skip(1)).env(ABOUT, about).spawn()?;
    Ok(())
}

/// The listening socket, and the generation: our own, or the first.
fn begin(address: &str) -> Result<(TcpListener, u32), Box<dyn Error>> {
    let Ok(about) = std::env::var(ABOUT) else {
        return Ok((TcpListener::bind(address)?, 1));
    };
    let (number, generation) = about.split_once(' ').ok_or("what am I?")?;
    // SAFETY: `start` has left it open for us.
    let listener = unsafe { TcpListener::from_raw_fd(number.parse()?) };
    Ok((listener, generation.parse()?))
}
//]

fn server(address: &str) -> Result<(), Box<dyn Error>> {
    //[
    let wanted = SigSet::from_iter([Signal::SIGHUP, Signal::SIGTERM]);
    wanted.thread_block()?;
    let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC)?;
    let (listener, generation) = begin(address)?;
    let (mut listener, mut clients) = (Some(listener), Vec::<Client>::new());
    while listener.is_some() || !clients.is_empty() {
        let mut all = vec![signals.as_fd()];
        all.extend(clients.iter().map(|client| client.sock.as_fd()));
        all.extend(listener.as_ref().map(AsFd::as_fd));
        let mut fds: Vec<_> =
            all.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::NONE)?; // sleeps
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let count = clients.len();
        let mut index = 0;
        clients.retain_mut(|client| {
            index += 1;
            !ready[index] || client.serve(generation).unwrap_or(false)
        });
        if ready[0] {
            let signal = signals.read_signal()?;
            if signal.is_some_and(|signal| signal.ssi_signo == Signal::SIGTERM as u32) {
                return Ok(());
            }
            if let Some(listener) = listener.take() {
                start(&listener, generation + 1)?;
            } // closed here: the successor accepts what waits in the backlog
        } else if ready.get(1 + count) == Some(&true)
            && let Some(listener) = &listener
        {
            let (sock, _) = listener.accept()?;
            clients.push(Client { sock, pending: Vec::new() });
        }
    }
    Ok(())
    //]
    //| let listener = TcpListener::bind(address)?;
    //| loop {
    //|     let (client, _) = listener.accept()?;
    //|     std::thread::spawn(move || serve(client)); // and who comes after us?
    //| }
}

//| fn serve(mut client: TcpStream) -> std::io::Result<()> {
//|     use std::io::BufRead;
//|     for line in std::io::BufReader::new(client.try_clone()?).lines() {
//|         client.write_all(format!("1 {}\n", line?).as_bytes())?;
//|     }
//|     Ok(())
//| }

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, address] if role == "server" => server(address)?,
        _ => {
            eprintln!("usage: server ADDRESS");
            std::process::exit(2)
        }
    }
    Ok(())
}
