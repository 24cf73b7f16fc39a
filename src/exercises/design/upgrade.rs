//! Design: an upgrade without a refused connection.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use bare::{Language, MeetingPlace};

use super::super::partner::{Partner, descriptors, listening};
use super::super::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;

/// For the chapter tcp.
pub(in super::super) const ROW: Exercise = Exercise {
    name: "upgrade",
    title: "a server is replaced, and no connection is refused",
    kind: Kind::Design,
    minutes: 90,
    after: &[],
    task: include_str!("upgrade/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("upgrade/solution.rs")),
        None,
        Some(include_str!("upgrade/solution.py")),
    ],
    reasons: "The listening socket is never closed by all: the successor inherits it, and with it \
              the connections that wait in its backlog. A second socket that is bound to the same \
              address (SO_REUSEPORT) would have a backlog of its own, and closing the first one \
              resets all who wait there. The accepted connections are close-on-exec: they stay \
              with the process that knows them.",
    hints: [
        "A descriptor without FD_CLOEXEC stays open at execve, under its number. Tell the \
         successor the number, and its generation, by its environment.",
        "The backlog belongs to the listening socket, and not to a process: whoever accepts next \
         gets the one that has waited longest.",
        "After the successor is started, take the listening socket out of what you wait for, and \
         close it. End when the last connection has ended. All but the listening socket must be \
         close-on-exec.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "two clients at once are answered by generation 1",
            players,
            partner: |partner| {
                let (mut one, mut two) =
                    (Client::connect(partner)?, Client::connect(partner)?);
                two.ask(partner, &[1])?;
                one.ask(partner, &[1])?;
                two.ask(partner, &[1])?;
                partner.end("server")
            },
            hint: 1,
        },
        Stage {
            name: "kept",
            about: "a connection of before the upgrade is served to its end",
            players,
            partner: |partner| {
                let mut old = Client::connect(partner)?;
                old.ask(partner, &[1])?;
                let server = partner.learner("server")?;
                let next = upgrade(partner, server)?;
                old.ask(partner, &[1])?;
                let mut new = Client::connect(partner)?;
                new.ask(partner, &[2])?;
                old.ask(partner, &[1])?;
                drop(old);
                partner.log(
                    "the old server's last connection has ended: it must end now",
                );
                partner.until_all_have_ended()?;
                new.ask(partner, &[2])?;
                if !alive(partner, next) {
                    return partner
                        .wrong("the successor has ended with the old server");
                }
                end_all(partner)
            },
            hint: 3,
        },
        Stage {
            name: "again",
            about: "three upgrades; the descriptors become no more",
            players,
            partner: |partner| {
                let mut server = partner.learner("server")?;
                let before = descriptors(server)?;
                for generation in 1..=3 {
                    let mut client = Client::connect(partner)?;
                    client.ask(partner, &[generation])?;
                    let next = upgrade(partner, server)?;
                    drop(client);
                    partner.log("waits until the old server has ended");
                    partner.until("its end", || {
                        (!alive(partner, server)).then_some(())
                    })?;
                    server = next;
                }
                Client::connect(partner)?.ask(partner, &[4])?;
                partner.until_asleep(server)?;
                let now = descriptors(server)?;
                if now > before {
                    return partner.wrong(&format!(
                        "the first server had {before} descriptors, the fourth has {now}"
                    ));
                }
                end_all(partner)
            },
            hint: 3,
        },
        Stage {
            name: "backlog",
            about: "five connections wait to be accepted when SIGHUP comes",
            players,
            partner: |partner| {
                let server = partner.learner("server")?;
                partner.stop(server, "it accepts nothing now")?;
                let mut clients = Vec::new();
                for _ in 0..5 {
                    let mut client = Client::connect(partner)?;
                    client.send(partner)?;
                    clients.push(client);
                }
                partner.signal(server, Signal::SIGHUP, "a new generation")?;
                partner.signal(server, Signal::SIGCONT, "it goes on")?;
                for client in &mut clients {
                    client.answer(partner, &[1, 2])?;
                }
                drop(clients);
                end_all(partner)
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "serves one client at a time",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "                select.register(client, EVENT_READ)\n",
                "                for line in client.makefile(\"rb\"):\n                    \
                 client.send(f\"{generation} \".encode() + line)\n                select.register(client, EVENT_READ)\n",
            )],
        },
        Wrong {
            what: "has the successor listen anew",
            stage: "backlog",
            language: Language::Python,
            edits: &[
                (
                    "                start(listener, generation + 1)\n                select.unregister(listener)\n                listener.close()\n",
                    "                select.unregister(listener)\n                listener.close()\n                start(None, generation + 1)\n",
                ),
                ("    os.set_inheritable(listener.fileno(), True)\n", ""),
                ("f\"{listener.fileno()} {generation}\"", "f\"-1 {generation}\""),
                (
                    "    if \"SUCCESSOR\" in os.environ:\n",
                    "    generation = int(os.environ.get(\"SUCCESSOR\", \"-1 1\").split()[1])\n    if False:\n",
                ),
                ("        generation = 1\n", "        pass\n"),
            ],
        },
        Wrong {
            what: "ends as soon as the successor is there",
            stage: "kept",
            language: Language::Python,
            edits: &[(
                "                listener.close()\n",
                "                listener.close()\n                os._exit(0)\n",
            )],
        },
        Wrong {
            what: "stays when its last connection has ended",
            stage: "kept",
            language: Language::Python,
            edits: &[(
                "        if replaced and len(select.get_map()) == 1:\n",
                "        if False:\n",
            )],
        },
        Wrong {
            what: "the successor does not know its generation",
            stage: "again",
            language: Language::Python,
            edits: &[("start(listener, generation + 1)", "start(listener, 2)")],
        },
        Wrong {
            what: "the successors inherit more and more",
            stage: "again",
            language: Language::Python,
            edits: &[(
                "    os.set_inheritable(listener.fileno(), True)\n",
                "    os.set_inheritable(listener.fileno(), True)\n    os.set_inheritable(os.dup(0), True)\n    os.set_inheritable(os.dup(listener.fileno()), True)\n",
            )],
        },
    ],
};

fn players(scene: &Scene) -> Vec<Player> {
    vec![Player::learner(scene, "server", [""; 0]).idles(), Player::partner()]
}

struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn connect(partner: &Partner) -> Result<Client> {
        let stream = TcpStream::connect(partner.scene.place());
        let stream = BufReader::new(partner.call("connect()", stream)?);
        Ok(Client { stream, line: partner.scene.draw().line(10) })
    }

    fn send(&mut self, partner: &Partner) -> Result<()> {
        let line = format!("{}\n", self.line);
        let sent = self.stream.get_ref().write_all(line.as_bytes());
        partner.call(&format!("sends {line:?}"), sent)
    }

    /// Receives the answer: of one of these generations.
    fn answer(&mut self, partner: &Partner, generations: &[u32]) -> Result<()> {
        let answer = partner.answer(&mut self.stream)?;
        partner.log(&format!("receives {answer:?}"));
        let mut wanted =
            generations.iter().map(|number| format!("{number} {}\n", self.line));
        if wanted.any(|wanted| wanted == answer) {
            return Ok(());
        }
        let [first, ..] = generations else { return Ok(()) };
        partner.wrong(&format!(
            "the answer was {answer:?}, and should be \"{first} {}\\n\"",
            self.line
        ))
    }

    fn ask(&mut self, partner: &Partner, generations: &[u32]) -> Result<()> {
        self.send(partner)?;
        self.answer(partner, generations)
    }
}

fn alive(partner: &Partner, pid: Pid) -> bool {
    partner.all_playing("server").contains(&pid)
}

/// Sends SIGHUP, and waits for the successor.
fn upgrade(partner: &Partner, server: Pid) -> Result<Pid> {
    let before = partner.all_playing("server");
    partner.signal(server, Signal::SIGHUP, "a new generation")?;
    let next = partner.until("a successor", || {
        partner.all_playing("server").into_iter().find(|pid| !before.contains(pid))
    })?;
    partner.log("the successor is there");
    let place = partner.scene.place();
    partner.until("a listening socket", || listening(&place).ok())?;
    Ok(next)
}

/// Ends all that still serve.
fn end_all(partner: &Partner) -> Result<()> {
    for pid in partner.all_playing("server") {
        // It may have ended meanwhile, as it should.
        let _ = partner.signal(pid, Signal::SIGTERM, "it must end");
    }
    partner.log("waits until no server is left");
    partner.until("the end", || (!partner.plays("server")).then_some(()))?;
    partner.until_all_have_ended()
}
