//! The end that takes words, and puts messages together from them.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::getuid;

use super::number::Number;
use super::plain;
use super::protocol::{
    GOODBYE, HELLO, LARGEST, WINDOW, credit_signal, how, word_signal,
};
use super::published::publish;
use super::source::{SignalSource, SourceKind};
use super::target::{FullQueue, is_gone};
use os::calls::pidfd_open;
use os::signal::{Info, Set, pidfd_sigqueue};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::say;
use wire::say::Commentary;
use wire::transport::Receiver;

/// The options of the receiver.
#[derive(Debug, clap::Args)]
pub struct SignalReceiverOptions {
    /// The call that takes the signals
    #[arg(long, value_enum, default_value = "sigwaitinfo", value_name = "CALL")]
    with: SourceKind,

    /// Count plain signals of this name or number: each is a line, its running number
    #[arg(long, value_name = "SIGNAL")]
    signal: Option<Number>,
}

// ANCHOR: receiver
/// The end that takes words.
#[derive(Debug)]
pub struct SignalReceiver {
    source: SignalSource,
    plain: Option<plain::Counter>,
    sender: Option<CurrentSender>,
    /// How many words a sender may send before we have taken them.
    window: u64,
    /// Our own user id: signals of other users are ignored.
    uid: u32,
    takes: Commentary,
    credits: Commentary,
    full: FullQueue,
    _presence: Presence,
}

impl Receiver for SignalReceiver {
    type Options = SignalReceiverOptions;

    fn open(
        rendezvous: &Rendezvous,
        options: &SignalReceiverOptions,
    ) -> Result<SignalReceiver> {
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
        let source = SignalSource::new(options.with, &signals)?;
        publish(&rendezvous.path(), signal, &mut presence)?;
        presence.admit_peers()?;
        let pid = std::process::id();
        rendezvous.ready(pid)?;
        say!("{}() sleeps until a signal comes to pid {pid}", source.call());
        match presence.has_peers() {
            true => say!("a sender is there, and finds us by what we published"),
            false => say::start_the_other(&rendezvous.peer("sender")),
        }
        // More would not fit into our queue, which this limit bounds.
        let (most, _) =
            getrlimit(Resource::RLIMIT_SIGPENDING).context("getrlimit")?;
        let plain = options.signal.map(|s| plain::Counter::of(s, source.call()));
        let (window, takes) = (most.clamp(1, WINDOW), Commentary::of(source.call()));
        Ok(SignalReceiver {
            source,
            plain,
            sender: None,
            window,
            uid: getuid().as_raw(),
            takes,
            credits: Commentary::of("pidfd_send_signal"),
            full: FullQueue::default(),
            _presence: presence,
        })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        if let Some(counter) = &mut self.plain {
            return counter.recv(&mut self.source, message);
        }
        message.clear();
        let mut missing = None; // bytes still to come, once the length is known
        while missing != Some(0) {
            let info = self.source.take()?;
            let (value, pid) = (info.value, info.pid);
            match self.word_from(&info)? {
                None => continue,
                Some(WordFrom::NewSender) if missing.take().is_some() => {
                    say!("its unfinished message is lost: {}", say::bytes(message));
                    message.clear();
                }
                Some(WordFrom::NewSender | WordFrom::CurrentSender) => {}
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
                    self.grant_window();
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
            self.count_word();
        }
        Ok(true)
    }
}

/// A length that another process wrote, if it is one.
fn as_length(value: i32) -> Option<usize> {
    usize::try_from(value).ok().filter(|length| *length <= LARGEST)
}
// ANCHOR_END: receiver

// ANCHOR: current_sender
/// The sender whose words are taken: from its first word until its goodbye, or its death.
#[derive(Debug)]
struct CurrentSender {
    pid: i32,
    /// `None` if it was gone before we looked, and its words waited in the queue.
    pidfd: Option<OwnedFd>,
    /// Whether it said hello. A credit would kill a sender that did not.
    waits_for_credits: bool,
    /// How many of its words we have taken since the last credit.
    taken: u64,
}

/// Which sender a word came from.
enum WordFrom {
    /// A new one: it is the current sender from now on.
    NewSender,
    /// The current one.
    CurrentSender,
}

impl SignalReceiver {
    /// Which sender a signal is a word of; `None` for a signal that is ignored: says why.
    ///
    /// Its pid and uid are what the sender filled in: a hint. The kernel only
    /// checks that the sender has the permission to send us signals (kill(2)).
    fn word_from(&mut self, info: &Info) -> Result<Option<WordFrom>> {
        let Info { pid, uid, code, value, .. } = *info;
        if code != libc::SI_QUEUE {
            let how = how(code);
            self.names_always(|| format!("from pid {pid}: ignored, sent by {how}"));
            return Ok(None);
        }
        if uid != self.uid {
            self.names_always(|| format!("{value}: ignored, from uid {uid}"));
            return Ok(None);
        }
        match &self.sender {
            Some(sender) if sender.pid == pid => {
                return Ok(Some(WordFrom::CurrentSender));
            }
            Some(sender) if !sender.is_gone() => {
                let busy = sender.pid;
                self.names_always(|| {
                    format!(
                        "{value} from pid {pid}: ignored, we listen to pid {busy}"
                    )
                });
                if value == HELLO {
                    self.send_credit(&CurrentSender::of(pid)?, 0);
                }
                return Ok(None);
            }
            Some(sender) => say!("pid {} is gone without a goodbye", sender.pid),
            None => {}
        }
        self.sender = Some(CurrentSender::of(pid)?);
        Ok(Some(WordFrom::NewSender))
    }

    /// Lets the current sender send a whole window of words.
    fn grant_window(&mut self) {
        if let Some(mut sender) = self.sender.take() {
            (sender.waits_for_credits, sender.taken) = (true, 0);
            self.send_credit(&sender, self.window);
            self.sender = Some(sender);
        }
    }

    /// One more word was taken; the sender learns it once the window is used up.
    fn count_word(&mut self) {
        let Some(sender) = &mut self.sender else { return };
        sender.taken += 1;
        if sender.waits_for_credits && sender.taken == self.window {
            self.grant_window();
        }
    }

    /// Lets a sender send `words` more, and waits while there is no room for that in its
    /// queue. An error is no failure of ours: the sender may be gone, or its pid forged.
    fn send_credit(&mut self, to: &CurrentSender, words: u64) {
        let Some(pidfd) = &to.pidfd else { return };
        self.credits.call(0, || {
            let what =
                if words == 0 { "we are busy" } else { "so many words may come" };
            format!("pidfd_send_signal({}, {words}): {what}", credit_signal())
        });
        let send = || pidfd_sigqueue(pidfd, credit_signal().get(), words as i32);
        if let Err(error) = self.full.send(to.pid, pidfd, send) {
            say!("pidfd_send_signal(pid {}, {}): {error}", to.pid, credit_signal());
        }
    }

    /// Names the first three signals that were taken, and counts the others.
    fn names(&mut self, what: impl FnOnce() -> String) {
        let took = self.source.took();
        self.takes.call(4, || format!("{took} {}, {}", word_signal(), what()));
    }

    /// Names a signal that was taken, however many came before it.
    fn names_always(&mut self, what: impl FnOnce() -> String) {
        let took = self.source.took();
        self.takes.always(4, || format!("{took} {}, {}", word_signal(), what()));
    }
}

impl CurrentSender {
    fn of(pid: i32) -> Result<CurrentSender> {
        let pidfd = match pidfd_open(pid) {
            Ok(pidfd) => Some(pidfd),
            Err(Errno::ESRCH | Errno::EINVAL) => None,
            Err(error) => {
                return Err(error).with_context(|| format!("pidfd_open({pid})"));
            }
        };
        Ok(CurrentSender { pid, pidfd, waits_for_credits: false, taken: 0 })
    }

    fn is_gone(&self) -> bool {
        self.pidfd.as_ref().is_none_or(is_gone)
    }
}
// ANCHOR_END: current_sender
