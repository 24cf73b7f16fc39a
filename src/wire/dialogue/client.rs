//! The client's loop: both directions at once, and never asleep in one of them.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::stdio::stdin;

use super::questions::{Next, Questions};
use super::score::Truncated;
use super::turns::{AwaitedEvent, Turns};
use super::{Client, Link, Reply};
use crate::payload::{Payload, Printed};
use crate::roles::messages;
use crate::say;
use crate::shortage::{Shortage, is_shortage};

// ANCHOR: converse
/// Sends all messages of `client`, and prints the answers as they come. The arguments were
/// checked before the socket was opened.
///
/// # Errors
/// A line that cannot travel: what came before it is sent, and its answers are printed.
/// [`Truncated`] when the server ended the conversation first. Standard output that is
/// gone is a quiet end.
pub fn converse(link: impl Link, client: &Client) -> Result<()> {
    let mut talk = Talk::new(link, client)?;
    if client.source.reads_input() {
        say::typing(!client.source.bytes);
    }
    loop {
        talk.advance();
        if talk.is_over() {
            return talk.judge();
        }
        let ready = talk.wait()?;
        if ready.input {
            talk.questions.read();
        }
        if ready.send {
            talk.send();
        }
        if ready.recv && talk.receive()? == Printed::NoReader {
            return Ok(());
        }
    }
}

/// How far the client is with its messages.
enum SendState {
    /// The next message is wanted.
    Asking,
    /// A framed message is at hand, and waits for its turn.
    Holding,
    /// A framed message is on its way; the kernel has taken so much of it.
    Sending(usize),
    /// All is sent but the goodbye.
    Leaving,
    /// The goodbye is sent, or the server is gone.
    Left,
}

/// A conversation that is going on.
struct Talk<L> {
    link: L,
    questions: Questions,
    state: SendState,
    /// The message that is on its way, as it goes on the wire.
    message: Vec<u8>,
    /// The last answer.
    answer: Vec<u8>,
    /// Until the end of all answers.
    receiving: bool,
    /// The socket has told of a reset.
    reset: bool,
    /// poll(2) has reported that the server is gone. What is still to be sent will fail.
    hung_up: bool,
    /// The user who types knows that no more answers will come.
    told: bool,
    payload: Payload,
    score: Truncated,
    expects: bool,
    turns: Turns,
    shortage: Shortage,
}

/// What can be done now without sleeping.
struct Ready {
    input: bool,
    send: bool,
    recv: bool,
}

impl<L: Link> Talk<L> {
    fn new(link: L, client: &Client) -> Result<Talk<L>> {
        let questions = Questions::new(&client.source, link.largest());
        let score = Truncated::of(&questions, !link.has_boundaries());
        let expects = client.reply != Reply::None;
        let turns = link.takes_turns() && link.has_boundaries() && expects;
        Ok(Talk {
            link,
            questions,
            state: SendState::Asking,
            message: Vec::new(),
            answer: Vec::new(),
            receiving: true,
            reset: false,
            hung_up: false,
            told: false,
            payload: client.payload()?,
            score,
            expects,
            turns: Turns::new(turns),
            shortage: Shortage::default(),
        })
    }

    fn is_over(&self) -> bool {
        !self.receiving && matches!(self.state, SendState::Left)
    }

    /// Takes the next message, or says goodbye once there is none left.
    fn advance(&mut self) {
        if matches!(self.state, SendState::Asking) {
            match self.questions.next(&mut self.message, &self.link) {
                Next::Later => {}
                Next::End => self.state = SendState::Leaving,
                Next::Message => {
                    self.link.frame(&mut self.message);
                    self.state = SendState::Holding;
                }
            }
        }
        if matches!(self.state, SendState::Holding) && self.pause().is_none() {
            self.state = SendState::Sending(0);
        }
        if matches!(self.state, SendState::Leaving)
            && self.pause().is_none()
            && (self.hung_up || self.says_goodbye())
        {
            self.state = SendState::Left;
        }
    }

    /// A server that is gone gets no goodbye; whether that matters, `judge` knows. A server that
    /// is there must get one.
    fn says_goodbye(&mut self) -> bool {
        match self.link.goodbye() {
            Err(error) => !self.is_to_try_again(error),
            Ok(()) => true,
        }
    }

    /// Whether what could not be sent may be sent in the next round.
    fn is_to_try_again(&mut self, error: Errno) -> bool {
        if is_shortage(error) {
            self.shortage.rest(error, "send", Shortage::OF_MEMORY);
            return true;
        }
        matches!(error, Errno::EAGAIN | Errno::EINTR)
    }

    /// How long to wait, at most, for what the server does before the next step.
    fn pause(&self) -> Option<AwaitedEvent> {
        match self.state {
            SendState::Leaving if self.receiving => None, // the goodbye needs no turn
            SendState::Holding | SendState::Leaving if !self.hung_up => {
                self.turns.pause(&self.score, self.receiving)
            }
            _ => None,
        }
    }

    /// Sleeps in poll(2) until something can be done, in whichever direction.
    fn wait(&mut self) -> Result<Ready> {
        let reading = matches!(self.state, SendState::Asking);
        let pause = self.pause();
        let sending = match self.state {
            SendState::Sending(_) => true,
            SendState::Leaving => pause.is_none(),
            _ => false,
        };
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, self.receiving);
        wanted.set(PollFlags::POLLOUT, sending);
        let mut fds = [
            PollFd::new(stdin(), PollFlags::POLLIN),
            PollFd::new(self.link.as_fd(), wanted),
        ];
        // A socket that has hung up is ready at all times: it would never let us sleep.
        let idle = self.hung_up && wanted.is_empty();
        let asked = &mut fds[usize::from(!reading)..2 - usize::from(idle)];
        let left = matches!(self.state, SendState::Left);
        let timeout = match pause {
            Some(pause) => pause.at_most(),
            None if left => self.link.answer_timeout(),
            None => PollTimeout::NONE,
        };
        let timed_out = match poll(asked, timeout) {
            Err(Errno::EINTR) => false,
            count => count.context("poll")? == 0,
        };
        let [input, socket] =
            fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let gone = socket.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        if gone && wanted.is_empty() {
            self.hung_up = true;
            self.link.hung_up(socket);
            self.tell_who_types();
        }
        if timed_out && let Some(pause) = pause {
            self.turns.passed(pause);
        } else if timed_out && let Err(error) = self.link.still_there() {
            self.failed("wait for the server", error);
            self.receiving = false;
        }
        Ok(Ready {
            input: !input.is_empty(),
            send: sending && (gone || socket.contains(PollFlags::POLLOUT)),
            recv: self.receiving && (gone || socket.contains(PollFlags::POLLIN)),
        })
    }

    /// Hands the kernel what it takes now of the message that is on its way.
    fn send(&mut self) {
        let SendState::Sending(taken) = &mut self.state else { return };
        match self.link.send(&self.message[*taken..]) {
            Ok(more) => *taken += more,
            Err(error) if self.is_to_try_again(error) => return,
            Err(error) => {
                self.score.broken = true;
                self.failed("send to the server", error);
                // The server's earlier answers may still be read. If it is still there (an
                // EMSGSIZE, say), it must get a goodbye, or it would wait for ever.
                let gone = matches!(error, Errno::EPIPE | Errno::ECONNRESET);
                self.state = if gone { SendState::Left } else { SendState::Leaving };
                return;
            }
        }
        if *taken == self.message.len() {
            self.score.handed += self.score.worth(&self.message);
            self.state = SendState::Asking;
        }
    }

    /// Receives once, and prints the answers that are whole.
    fn receive(&mut self) -> Result<Printed> {
        match self.link.recv() {
            Ok(more) => {
                self.receiving = more;
                if !more {
                    self.tell_who_types();
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Printed::Yes),
            Err(error) => {
                // A socket of packets tells of the reset, once, before it gives what came first.
                let reset = error == Errno::ECONNRESET;
                self.receiving = reset && !self.reset;
                self.reset |= reset;
                self.score.broken = true;
                self.failed("receive from the server", error);
            }
        }
        while self.link.next(&mut self.answer, !self.receiving)? {
            self.score.answered += self.score.worth(&self.answer);
            if self.payload.print(&self.answer)? == Printed::NoReader {
                return Ok(Printed::NoReader);
            }
        }
        Ok(Printed::Yes)
    }
}
// ANCHOR_END: converse

impl<L: Link> Talk<L> {
    /// Remembers the first failure: later failures follow from it.
    fn failed(&mut self, call: &'static str, error: Errno) {
        self.score.failure.get_or_insert((call, error));
    }

    /// Tells the user who types the messages, once, that no more answers will come.
    fn tell_who_types(&mut self) {
        let types = matches!(self.state, SendState::Asking)
            && self.questions.input.is_some();
        if types && say::somebody_types() && !std::mem::replace(&mut self.told, true)
        {
            say!("no more answers will come; Ctrl-D ends, and so may Enter");
        }
    }

    /// The result of the conversation, once it is over.
    fn judge(self) -> Result<()> {
        let score = self.score;
        let unanswered = match score.bytes {
            true => score.handed > 0 && score.answered == 0,
            false => score.answered < score.handed,
        };
        if score.broken || self.expects && unanswered {
            return Err(score.into());
        }
        if let Some(refused) = self.questions.refused {
            return Err(refused);
        }
        if !score.bytes {
            say!("done: {} answered", messages(score.answered));
        }
        Ok(())
    }
}
