//! The end that takes words, and puts messages together from them.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::getuid;

use super::published::publish;
use super::target::{Full, is_gone, open};
use super::with::Taking;
use super::{
    GOODBYE, HELLO, LARGEST, Receiving, WINDOW, credit_signal, how, plain,
    word_signal,
};
use os::signal::{Info, Set, pidfd_sigqueue};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::say;
use wire::say::Commentary;
use wire::transport::Receiver;

// ANCHOR: receiver
/// The end that takes words.
#[derive(Debug)]
pub struct SignalReceiver {
    with: Taking,
    plain: Option<plain::Counter>,
    speaker: Option<Speaker>,
    /// How many words a sender may send before we have taken them.
    window: u64,
    /// Our own user id: others' signals are ignored.
    uid: u32,
    takes: Commentary,
    credits: Commentary,
    full: Full,
    _presence: Presence,
}

impl Receiver for SignalReceiver {
    type Options = Receiving;

    fn open(rendezvous: &Rendezvous, options: &Receiving) -> Result<SignalReceiver> {
        let signals = match options.signal {
            Some(signal) => plain::to_count(signal)?,
            None => vec![word_signal().get()],
        };
        let signal = options.signal.unwrap_or_else(word_signal);
        let mut presence =
            rendezvous.arrive(Some(SoleRole::Receiver))?.removing_at_exit();
        Set::of(&signals).block().context("sigprocmask")?;
        let number = signal.get();
        say!("sigprocmask(SIG_BLOCK, {signal}): from now on signal {number} waits");
        let with = Taking::by(options.with, &signals)?;
        publish(&rendezvous.path(), signal, &mut presence)?;
        presence.admit_peers()?;
        let pid = std::process::id();
        rendezvous.ready(pid)?;
        say!("{}() sleeps until a signal comes to pid {pid}", with.call());
        match presence.has_peers() {
            true => say!("a sender is there, and finds us by what we published"),
            false => say::start_the_other(&rendezvous.peer("sender")),
        }
        // More would not fit into our queue, which this limit bounds.
        let (most, _) =
            getrlimit(Resource::RLIMIT_SIGPENDING).context("getrlimit")?;
        let plain = options.signal.map(|s| plain::Counter::of(s, with.call()));
        let (window, takes) = (most.clamp(1, WINDOW), Commentary::of(with.call()));
        Ok(SignalReceiver {
            with,
            plain,
            speaker: None,
            window,
            uid: getuid().as_raw(),
            takes,
            credits: Commentary::of("pidfd_send_signal"),
            full: Full::default(),
            _presence: presence,
        })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        if let Some(counter) = &mut self.plain {
            return counter.recv(&mut self.with, message);
        }
        message.clear();
        let mut missing = None; // bytes still to come, once the length is known
        while missing != Some(0) {
            let info = self.with.take()?;
            let (value, pid) = (info.value, info.pid);
            match self.hears(&info)? {
                Heard::No => continue,
                Heard::First if missing.take().is_some() => {
                    say!("its unfinished message is lost: {}", say::bytes(message));
                    message.clear();
                }
                Heard::First | Heard::Next => {}
            }
            match missing {
                Some(left) => {
                    let bytes = value.to_le_bytes();
                    message.extend_from_slice(&bytes[..left.min(4)]);
                    missing = Some(left.saturating_sub(4));
                    self.names(|| say::bytes(&bytes));
                }
                None if value == HELLO => {
                    self.names_always(|| format!("{HELLO}: hello from pid {pid}"));
                    self.welcomes();
                    continue;
                }
                None if value == GOODBYE => {
                    self.names_always(|| format!("{GOODBYE}: goodbye"));
                    return Ok(false);
                }
                None => {
                    missing = as_length(value);
                    match missing {
                        Some(_) => self.names(|| format!("{value}: a length")),
                        None => self.names_always(|| {
                            format!("{value}: ignored, no length of up to {LARGEST}")
                        }),
                    }
                }
            }
            self.counts();
        }
        Ok(true)
    }
}

/// A length that another process wrote, if it is one.
fn as_length(value: i32) -> Option<usize> {
    usize::try_from(value).ok().filter(|length| *length <= LARGEST)
}
// ANCHOR_END: receiver

// ANCHOR: speaker
/// The sender that is being heard: from its first word until its goodbye, or its death.
#[derive(Debug)]
struct Speaker {
    pid: i32,
    /// `None` if it was gone before we looked, and its words waited in the queue.
    pidfd: Option<OwnedFd>,
    /// Whether it said hello, and so waits for credits, which would kill another.
    polite: bool,
    /// How many of its words we have taken since the last credit.
    taken: u64,
}

/// Whose word a signal was.
enum Heard {
    /// Nobody's: it is ignored.
    No,
    /// A new speaker's, its first.
    First,
    /// One more of the speaker's.
    Next,
}

impl SignalReceiver {
    /// Whether a signal is a word of the one who is being heard; says why not.
    ///
    /// Its pid and uid are what the sender filled in: a hint. The kernel only sees to it
    /// that nobody sends who may not kill us.
    fn hears(&mut self, info: &Info) -> Result<Heard> {
        let Info { pid, uid, code, value, .. } = *info;
        if code != libc::SI_QUEUE {
            let how = how(code);
            self.names_always(|| format!("from pid {pid}: ignored, sent by {how}"));
            return Ok(Heard::No);
        }
        if uid != self.uid {
            self.names_always(|| format!("{value}: ignored, from uid {uid}"));
            return Ok(Heard::No);
        }
        match &self.speaker {
            Some(speaker) if speaker.pid == pid => return Ok(Heard::Next),
            Some(speaker) if !speaker.is_gone() => {
                let busy = speaker.pid;
                self.names_always(|| {
                    format!(
                        "{value} from pid {pid}: ignored, we listen to pid {busy}"
                    )
                });
                if value == HELLO {
                    self.answers(&Speaker::of(pid)?, 0);
                }
                return Ok(Heard::No);
            }
            Some(speaker) => say!("pid {} is gone without a goodbye", speaker.pid),
            None => {}
        }
        self.speaker = Some(Speaker::of(pid)?);
        Ok(Heard::First)
    }

    /// Answers the speaker's hello.
    fn welcomes(&mut self) {
        if let Some(mut speaker) = self.speaker.take() {
            (speaker.polite, speaker.taken) = (true, 0);
            self.answers(&speaker, self.window);
            self.speaker = Some(speaker);
        }
    }

    /// One more word was taken; the speaker learns it once the window is used up.
    fn counts(&mut self) {
        let Some(speaker) = &mut self.speaker else { return };
        speaker.taken += 1;
        if speaker.polite && speaker.taken == self.window {
            self.welcomes();
        }
    }

    /// Lets a sender send `words` more, and waits while there is no room for that in its
    /// queue. That it is gone, or is not who it says, is its own affair.
    fn answers(&mut self, to: &Speaker, words: u64) {
        let Some(pidfd) = &to.pidfd else { return };
        self.credits.call(0, || {
            let what =
                if words == 0 { "we are busy" } else { "so many words may come" };
            format!("pidfd_send_signal({}, {words}): {what}", credit_signal())
        });
        let send = || pidfd_sigqueue(pidfd, credit_signal().get(), words as i32);
        if let Err(error) = self.full.queues(to.pid, pidfd, send) {
            say!("pidfd_send_signal(pid {}, {}): {error}", to.pid, credit_signal());
        }
    }

    /// Names the first three signals that were taken, and counts the others.
    fn names(&mut self, what: impl FnOnce() -> String) {
        let took = self.with.took();
        self.takes.call(4, || format!("{took} {}, {}", word_signal(), what()));
    }

    /// Names a signal that was taken, however many came before it.
    fn names_always(&mut self, what: impl FnOnce() -> String) {
        let took = self.with.took();
        self.takes.always(4, || format!("{took} {}, {}", word_signal(), what()));
    }
}

impl Speaker {
    fn of(pid: i32) -> Result<Speaker> {
        let pidfd = match open(pid) {
            Ok(pidfd) => Some(pidfd),
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => None,
            Err(error) => {
                return Err(error).with_context(|| format!("pidfd_open({pid})"));
            }
        };
        Ok(Speaker { pid, pidfd, polite: false, taken: 0 })
    }

    fn is_gone(&self) -> bool {
        self.pidfd.as_ref().is_none_or(is_gone)
    }
}
// ANCHOR_END: speaker
