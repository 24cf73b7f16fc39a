//! Design: a lock server.

use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use rustix::net::{RecvFlags, recv};

use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::super::sleep::Sleep;
use super::super::stream::LOST;

/// For the chapter unix.
pub(in super::super) const ROW: Exercise = Exercise {
    name: "locks",
    title: "a lock server: who asks first is first, and the dead hold nothing",
    kind: Kind::Design,
    minutes: 60,
    after: &[],
    task: include_str!("locks/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("locks/solution.rs")),
        None,
        Some(include_str!("locks/solution.py")),
    ],
    reasons: "One process that serves all, with poll, needs no lock of its own: each request is \
              dealt with whole before the next one. A lock is a queue of clients, of whom the \
              first has it. The end of a connection takes the client out of all queues, so that \
              the kernel tells of a client's death, and nobody has to ask.",
    hints: [
        "Keep a queue of clients for each name: the first has the lock, the others wait. Who gets \
         an answer when the first one leaves it?",
        "recv may return half a line, or two: keep what has come for each client until there is a \
         newline.",
        "When recv returns 0, or fails, take the client out of each queue, whether it had the \
         lock or waited, and answer whoever is first now.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a client locks and unlocks",
            players,
            partner: |partner| {
                let mut one = Client::connect(partner, "one")?;
                one.ask("lock", "ok")?;
                one.ask("unlock", "ok")?;
                one.ask("lock", "ok")?;
                one.partner.end("server")
            },
            hint: 1,
        },
        Stage {
            name: "wait",
            about: "a second client waits for its answer until the first unlocks",
            players,
            partner: |partner| {
                let [mut one, mut two, mut three] = three(partner)?;
                one.ask("lock", "ok")?;
                two.send(&two.request("lock"))?;
                two.waits()?;
                three.name = format!("{}x", three.name);
                three.ask("lock", "ok")?; // another name
                one.ask("unlock", "ok")?;
                two.expect("ok")?;
                one.partner.end("server")
            },
            hint: 1,
        },
        Stage {
            name: "order",
            about: "three wait: who asks first is first",
            players,
            partner: |partner| {
                let [mut one, mut two, mut three] = three(partner)?;
                let mut last = Client::connect(partner, "four")?;
                one.ask("lock", "ok")?;
                for client in [&mut three, &mut last, &mut two] {
                    client.send(&client.request("lock"))?;
                    client.waits()?;
                }
                one.ask("unlock", "ok")?;
                three.expect("ok")?;
                last.waits()?;
                three.ask("unlock", "ok")?;
                last.expect("ok")?;
                two.waits()?;
                partner.end("server")
            },
            hint: 1,
        },
        Stage {
            name: "pieces",
            about: "a request comes in two pieces",
            players,
            partner: |partner| {
                let mut one = Client::connect(partner, "one")?;
                let (lock, unlock) = (one.request("lock"), one.request("unlock"));
                one.send(&lock[..3])?;
                one.waits()?;
                one.send(&lock[3..])?;
                one.expect("ok")?;
                one.send(&unlock[..unlock.len() - 1])?;
                one.waits()?;
                one.send("\n")?;
                one.expect("ok")?;
                partner.end("server")
            },
            hint: 2,
        },
        Stage {
            name: "others",
            about: "nobody unlocks what another client has",
            players,
            partner: |partner| {
                let [mut one, mut two, mut three] = three(partner)?;
                one.ask("unlock", "no")?; // nobody has it
                one.ask("lock", "ok")?;
                two.ask("unlock", "no")?;
                three.send(&three.request("lock"))?;
                three.waits()?;
                one.ask("unlock", "ok")?;
                three.expect("ok")?;
                partner.end("server")
            },
            hint: 1,
        },
        Stage {
            name: "dies",
            about: "the connection of a client that has the lock ends",
            players,
            partner: |partner| {
                let [mut one, mut two, _three] = three(partner)?;
                one.ask("lock", "ok")?;
                two.send(&two.request("lock"))?;
                two.waits()?;
                one.leave()?;
                two.expect("ok")?;
                partner.end("server")
            },
            hint: 3,
        },
        Stage {
            name: "leaves",
            about: "the connection of a client that waits ends",
            players,
            partner: |partner| {
                let [mut one, mut two, mut three] = three(partner)?;
                one.ask("lock", "ok")?;
                for client in [&mut two, &mut three] {
                    client.send(&client.request("lock"))?;
                    client.waits()?;
                }
                two.leave()?;
                one.ask("unlock", "ok")?;
                three.expect("ok")?;
                partner.end("server")
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "leaves the name",
            stage: "plain",
            language: Language::Python,
            edits: &[("        os.unlink(place)\n", "        pass\n")],
        },
        Wrong {
            what: "gives the lock to all",
            stage: "wait",
            language: Language::Python,
            edits: &[(
                "            if queue[0] is client:\n",
                "            if queue:\n",
            )],
        },
        Wrong {
            what: "the last one is first",
            stage: "order",
            language: Language::Python,
            edits: &[(
                "            queue.append(client)\n",
                "            queue.insert(1, client)\n",
            )],
        },
        Wrong {
            what: "takes what recv returns for a request",
            stage: "pieces",
            language: Language::Python,
            edits: &[(
                "        while b\"\\n\" in pending[client]:\n",
                "        while pending[client]:\n",
            )],
        },
        Wrong {
            what: "anybody may unlock",
            stage: "others",
            language: Language::Python,
            edits: &[(
                "        elif not queue or queue[0] is not client:\n",
                "        elif not queue:\n",
            )],
        },
        Wrong {
            what: "the dead keep their locks",
            stage: "dies",
            language: Language::Python,
            edits: &[(
                "        for name in list(queues):\n",
                "        for name in []:\n",
            )],
        },
        Wrong {
            what: "the dead keep their place in the queue",
            stage: "leaves",
            language: Language::Python,
            edits: &[(
                "            if client in queues[name]:\n",
                "            if client is queues[name][0]:\n",
            )],
        },
    ],
};

fn players(scene: &Scene) -> Vec<Player> {
    vec![Player::learner(scene, "server", [""; 0]).idles(), Player::partner()]
}

/// A client, who uses one lock.
struct Client<'a> {
    partner: &'a Partner,
    stream: Option<BufReader<UnixStream>>,
    who: &'static str,
    name: String,
}

fn three(partner: &Partner) -> Result<[Client<'_>; 3]> {
    let connect = |who| Client::connect(partner, who);
    Ok([connect("one")?, connect("two")?, connect("three")?])
}

impl<'a> Client<'a> {
    fn connect(partner: &'a Partner, who: &'static str) -> Result<Client<'a>> {
        let stream = UnixStream::connect(partner.scene.place());
        let stream = partner.call(&format!("client {who}: connect()"), stream)?;
        let name = partner.scene.draw().line(12).replace(' ', "");
        Ok(Client { partner, stream: Some(BufReader::new(stream)), who, name })
    }

    fn stream(&self) -> Result<&UnixStream> {
        self.stream.as_ref().map(BufReader::get_ref).context("connected")
    }

    fn request(&self, verb: &str) -> String {
        format!("{verb} {}\n", self.name)
    }

    fn send(&self, text: &str) -> Result<()> {
        let sent = self.stream()?.write_all(text.as_bytes());
        self.partner.call(&format!("client {}: sends {text:?}", self.who), sent)
    }

    fn expect(&mut self, answer: &str) -> Result<()> {
        let who = self.who;
        let line =
            self.partner.answer(self.stream.as_mut().context("connected")?)?;
        self.partner.log(&format!("client {who}: receives {line:?}"));
        match line.strip_suffix('\n') == Some(answer) {
            true => Ok(()),
            false => self.partner.wrong(&format!(
                "client {who} was answered {line:?}, and should be answered \"{answer}\\n\""
            )),
        }
    }

    fn ask(&mut self, verb: &str, answer: &str) -> Result<()> {
        self.send(&self.request(verb))?;
        self.expect(answer)
    }

    /// The server has read the request, sleeps, and has not answered.
    fn waits(&self) -> Result<()> {
        let (partner, stream) = (self.partner, self.stream()?);
        partner.until("a recv", || {
            (os::siocoutq::unread(stream).ok()? == 0).then_some(())
        })?;
        partner.until_asleep(partner.learner("server")?)?;
        let mut answer = [0; 16];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recv(stream, &mut answer, flags) {
            Err(rustix::io::Errno::AGAIN) => {
                partner.log(&format!(
                    "client {}: no answer so far, as it should be",
                    self.who
                ));
                Ok(())
            }
            Err(error) => Err(error).context("recv"),
            Ok((0, _)) => partner.wrong(LOST),
            Ok((n, _)) => partner.wrong(&format!(
                "client {} was answered {:?}, and should wait",
                self.who,
                String::from_utf8_lossy(&answer[..n])
            )),
        }
    }

    /// Closes its end, and waits until the server has seen it: it woke, and sleeps again.
    fn leave(&mut self) -> Result<()> {
        let server = self.partner.learner("server")?;
        let before = Sleep::of(server).wakes;
        self.partner.log(&format!("client {}: close()", self.who));
        self.stream = None;
        self.partner.until("the server's next sleep", || {
            let now = Sleep::of(server);
            (now.sound && now.wakes > before).then_some(())
        })
    }
}
