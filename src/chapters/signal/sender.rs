//! The end that sends words: each is one queued signal.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::getuid;

use super::number::Number;
use super::protocol::{GOODBYE, HELLO, LARGEST, credit_signal, word_signal};
use super::target::{self, FullQueue, Target, is_gone, was_killed};
use super::{plain, published};
use os::signal::{Set, pidfd_sigqueue_as, read_signalfd, retry_on_intr, signalfd};
use wire::errors::{Advise, PeerGone, errno};
use wire::meet::{Presence, Rendezvous};
use wire::roles::within;
use wire::say;
use wire::say::Commentary;
use wire::transport::Sender;

/// A signal to a process that has ended, and that its parent has not waited for, is no error.
const HAS_ENDED: PeerGone = PeerGone {
    what: "poll() = POLLIN of the receiver's pidfd: it has ended",
    errno: Errno::ESRCH,
};

/// Where the limit of a message comes from.
const LIMIT: &str = "the limit is ours: each 4 bytes cost one queued signal";

/// The options of the sender.
#[derive(Debug, clap::Args)]
pub struct SignalSenderOptions {
    /// Send to the process PID instead of the receiver that published itself
    #[arg(long, value_name = "PID", conflicts_with = "at")]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// Send even if /proc says that the signal would end or stop that process
    #[arg(long, requires = "pid")]
    force: bool,

    /// Send plain signals of this name or number, which carry no message
    #[arg(long, value_name = "SIGNAL", conflicts_with_all = ["messages", "bytes"])]
    signal: Option<Number>,

    /// How many plain signals
    #[arg(long, value_name = "N", default_value_t = 1, requires = "signal")]
    #[arg(conflicts_with_all = ["messages", "bytes"])]
    times: u64,
}

// ANCHOR: sender
/// The end that sends words.
#[derive(Debug)]
pub struct SignalSender {
    to: Target,
    /// Where the receiver's credits are read.
    credits: OwnedFd,
    /// How many words may be sent before the next credit must come.
    credit: u64,
    /// Between messages: only then is a goodbye unambiguous.
    whole: bool,
    /// How many messages were sent while the receiver certainly lived, how many have been sent
    /// since we last looked whether it lives, and when we last looked.
    handed: u64,
    unseen: u64,
    looked: TimeSpec,
    /// Our pid and uid, as sigqueue(3) fills them in: asked for once, not for each word.
    pid: i32,
    uid: u32,
    plain: bool,
    sends: Commentary,
    reads: Commentary,
    full: FullQueue,
    presence: Option<Presence>,
}

impl Sender for SignalSender {
    type Options = SignalSenderOptions;

    fn check(_: &SignalSenderOptions, message: &[u8]) -> Result<()> {
        within(LARGEST, message.len()).advise(|_| Some(LIMIT))
    }

    fn open(
        rendezvous: &Rendezvous,
        options: &SignalSenderOptions,
    ) -> Result<SignalSender> {
        // Blocked before the receiver gets our first signal: its answer would kill us.
        let answers = Set::of(&[credit_signal().get()]);
        answers.block().context("sigprocmask")?;
        let credits = signalfd(&answers).context("signalfd")?;
        let mut presence = match options.pid {
            None => Some(rendezvous.arrive(None)?),
            Some(_) => None,
        };
        let to = find(rendezvous, options, &mut presence)?;
        let mut sender = SignalSender {
            to,
            credits,
            credit: 0,
            whole: true,
            handed: 0,
            unseen: 0,
            looked: TimeSpec::new(0, 0),
            pid: std::process::id() as i32,
            uid: getuid().as_raw(),
            plain: options.signal.is_some(),
            sends: Commentary::of("pidfd_send_signal"),
            reads: Commentary::of("read(signalfd)"),
            full: FullQueue::default(),
            presence,
        };
        if let Some(signal) = options.signal {
            plain::send(&sender.to, signal, options.times, &mut sender.sends)?;
            return Ok(sender);
        }
        while !sender.is_accepted()? {
            // The receiver left before it took our hello: send it to the next one.
            sender.to = find(rendezvous, options, &mut sender.presence)?;
        }
        Ok(sender)
    }

    fn is_done(options: &SignalSenderOptions) -> bool {
        options.signal.is_some()
    }

    fn largest(&self) -> usize {
        LARGEST
    }

    fn limit(&self) -> Option<String> {
        Some(LIMIT.into())
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.look()?;
        self.whole = false;
        let length = message.len() as i32;
        self.send_word(length, || format!("{length}): a length"))?;
        for part in message.chunks(4) {
            let mut bytes = [0; 4]; // the last word is padded with zeros
            bytes[..part.len()].copy_from_slice(part);
            let value = i32::from_le_bytes(bytes);
            self.send_word(value, || format!("{})", say::bytes(&bytes)))?;
        }
        self.whole = true;
        self.unseen += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        match (self.plain, &self.presence) {
            (true, Some(_)) => return plain::say_goodbye(&self.to, &mut self.sends),
            // A stranger would not know our goodbye, and could die of it.
            (true, None) => return Ok(()),
            (false, _) if !self.whole => return Ok(()),
            (false, _) => {}
        }
        if self.unseen > 1 && is_gone(&self.to.pidfd) && was_killed(self.to.pid) {
            let handed = self.handed + 1;
            return Err(HAS_ENDED).advise(|_| {
                let messages = say::plural(handed, "message");
                Some(format!("the peer is gone; {handed} {messages} handed over"))
            });
        }
        match self.send_goodbye() {
            Err(error) if errno(&error) == Some(Errno::ESRCH) => {
                say!("the receiver has left already");
                Ok(())
            }
            result => result,
        }
    }
}

impl SignalSender {
    /// Looks whether the receiver has ended, when the kernel's clock has ticked since the last
    /// look (every 1 to 10 ms): a look costs as much as a word. Without it we would not notice a
    /// receiver that has ended, and that its parent has not waited for yet: the kernel goes on
    /// to take signals for it, and drops them.
    fn look(&mut self) -> Result<()> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
            .context("clock_gettime")?;
        if now == self.looked {
            return Ok(());
        }
        if is_gone(&self.to.pidfd) {
            return Err(HAS_ENDED.into());
        }
        self.looked = now;
        self.handed += std::mem::take(&mut self.unseen);
        Ok(())
    }

    /// Sends one word of a message.
    fn send_word(
        &mut self,
        value: i32,
        shown: impl FnOnce() -> String,
    ) -> Result<()> {
        self.use_credit()?;
        self.sends
            .call(4, || format!("pidfd_send_signal({}, {}", word_signal(), shown()));
        self.queue(value)
    }

    /// Says hello, and waits for the first credit; `false` if the receiver is gone.
    fn is_accepted(&mut self) -> Result<bool> {
        let pid = self.to.pid;
        self.sends.always(4, || {
            format!(
                "pidfd_send_signal({}, {HELLO}): hello to pid {pid}",
                word_signal()
            )
        });
        match self.queue(HELLO) {
            Err(error) if errno(&error) == Some(Errno::ESRCH) => return Ok(false),
            result => result?,
        }
        say!("poll() sleeps until pid {pid} answers or ends");
        match self.next_credit()? {
            Some(0) => bail!("pid {pid} listens to another sender; try again later"),
            Some(credit) => self.credit = credit,
            None => return Ok(false),
        }
        Ok(true)
    }

    fn send_goodbye(&mut self) -> Result<()> {
        self.use_credit()?;
        self.sends.always(4, || {
            format!("pidfd_send_signal({}, {GOODBYE}): goodbye", word_signal())
        });
        self.queue(GOODBYE)
    }

    /// Waits for the next credit if the last one is used up, then uses one word of it.
    fn use_credit(&mut self) -> Result<()> {
        while self.credit == 0 {
            let credit = self.next_credit()?;
            self.credit = credit.ok_or(Errno::ESRCH).context("wait for a credit")?;
        }
        self.credit -= 1;
        Ok(())
    }

    /// pidfd_send_signal(2) with a value: one more signal in the receiver's queue.
    fn queue(&mut self, value: i32) -> Result<()> {
        let pid = self.to.pid;
        let (signal, us) = (word_signal().get(), self.pid);
        let (pidfd, uid) = (&self.to.pidfd, self.uid);
        let send = || pidfd_sigqueue_as(pidfd, signal, value, us, uid);
        let queued = self.full.send(pid, pidfd, send);
        self.sends
            .returned(queued)
            .with_context(|| {
                format!("pidfd_send_signal(pid {pid}, {})", word_signal())
            })
            .advise(|e| match errno(e)? {
                Errno::EAGAIN => Some(format!(
                    "its queue is full, {} by SigQ in /proc/{pid}/status: raise the \
                     receiver's RLIMIT_SIGPENDING (ulimit -i)",
                    target::queue_of(pid).unwrap_or_default()
                )),
                Errno::EPERM => Some("it runs as another user".into()),
                _ => None,
            })
    }

    /// Waits for a credit from the receiver; `None` once the receiver is gone.
    fn next_credit(&mut self) -> Result<Option<u64>> {
        loop {
            let mut fds = [
                PollFd::new(self.credits.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.to.pidfd.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error).context("poll"),
            }
            if fds[0].any() == Some(false) {
                return Ok(None);
            }
            let info = retry_on_intr(|| read_signalfd(&self.credits))
                .context("read the signalfd")?;
            match u64::try_from(info.value) {
                Ok(credit)
                    if info.code == libc::SI_QUEUE && info.pid == self.to.pid =>
                {
                    self.reads.call(0, || {
                        format!(
                            "read(signalfd) = {}, {credit}: so many words may go",
                            credit_signal()
                        )
                    });
                    return Ok(Some(credit));
                }
                _ => say!("ignored {} from pid {}", credit_signal(), info.pid),
            }
        }
    }
}
// ANCHOR_END: sender

/// The process of `--pid`, or the receiver that has published itself at `rendezvous`.
fn find(
    rendezvous: &Rendezvous,
    options: &SignalSenderOptions,
    presence: &mut Option<Presence>,
) -> Result<Target> {
    let signal = options.signal.unwrap_or_else(word_signal);
    match (options.pid, presence) {
        (None, Some(presence)) => published::find(rendezvous, signal, presence),
        (pid, _) => target::by_pid(pid.unwrap_or(0), signal, options.force),
    }
}
