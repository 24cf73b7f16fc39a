//! Design: a server that passes its connections to workers.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::TcpStream;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use bare::{Language, MeetingPlace};
use os::proc::children;

use super::super::partner::{Partner, listening};
use super::super::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "prefork",
    title: "a server passes its connections to workers that are there before",
    kind: Kind::Design,
    minutes: 90,
    after: &["fdpass/receiver"],
    task: include_str!("prefork/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("prefork/solution.rs")),
        None,
        Some(include_str!("prefork/solution.py")),
    ],
    reasons: "A socket pair a worker carries connections one way, and a byte back when the worker \
              is free. The end of a worker is the end of its socket: no signal is needed for it. \
              That holds only if nobody else has a copy of the worker's end, nor a later worker \
              one of the server's ends, so each closes what it does not need right after fork. \
              The listening socket is waited for only while a worker is free: the backlog keeps \
              the others.",
    hints: [
        "One socket pair a worker, made before its fork. Which of the two ends, and which of \
         those of earlier workers, must the child close?",
        "Wait with poll for all workers' sockets, and for the listening socket while there is a \
         free worker. A byte from a worker says that it is free, the end that it has died.",
        "At SIGTERM send each worker a signal, for it may sleep at its client, and wait for all \
         with waitpid. A signalfd is one more descriptor for poll.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a client gets its answers from a worker; SIGTERM ends all",
            players,
            partner: |partner| {
                let mut client = Client::connect(partner)?;
                let (first, second) = (client.ask(partner)?, client.ask(partner)?);
                if first != second {
                    return partner.wrong("two workers have answered one client");
                }
                if !children(partner.learner("server")?).contains(&first) {
                    return partner
                        .wrong("the answer does not begin with the id of a worker");
                }
                drop(client);
                partner.end("server")
            },
            hint: 1,
        },
        Stage {
            name: "pool",
            about: "four workers are there before the first client, none of them listens",
            players,
            partner: |partner| {
                let workers = children(partner.learner("server")?);
                if workers.len() != COUNT {
                    let count = workers.len();
                    return partner.wrong(&format!(
                        "the server has {count} children, and not 4"
                    ));
                }
                let inode = listening(&partner.scene.place())?;
                for worker in workers {
                    if holds(worker, &inode) {
                        return partner.wrong(&format!(
                            "worker {worker} has the listening socket"
                        ));
                    }
                }
                partner.end("server")
            },
            hint: 1,
        },
        Stage {
            name: "together",
            about: "four clients at once have four workers",
            players,
            partner: |partner| {
                four(partner)?;
                partner.end("server")
            },
            hint: 2,
        },
        Stage {
            name: "wait",
            about: "the fifth client waits until a worker is free",
            players,
            partner: |partner| {
                let mut clients = four(partner)?;
                let mut fifth = Client::connect(partner)?;
                fifth.send(partner)?;
                partner.until_asleep(partner.learner("server")?)?;
                partner.log("the first client closes its end");
                let first = clients.remove(0);
                let worker = first.worker;
                drop(first);
                if fifth.answer(partner)? != worker {
                    return partner.wrong(
                        "it was not answered by the worker that became free",
                    );
                }
                clients[0].ask(partner)?;
                partner.end("server")
            },
            hint: 2,
        },
        Stage {
            name: "killed",
            about: "a worker is killed: there is another one in its place",
            players,
            partner: |partner| {
                let mut first = Client::connect(partner)?;
                let mut other = Client::connect(partner)?;
                let worker = first.ask(partner)?;
                other.ask(partner)?;
                partner.signal(worker, Signal::SIGKILL, "a worker with a client")?;
                let server = partner.learner("server")?;
                partner.log("waits until the server has four workers again");
                partner.until("a worker", || {
                    let now = children(server);
                    (now.len() == COUNT && !now.contains(&worker)).then_some(())
                })?;
                other.ask(partner)?;
                drop((first, other));
                four(partner)?;
                partner.end("server")
            },
            hint: 2,
        },
        Stage {
            name: "orphans",
            about: "the server is killed: its workers end",
            players: |scene| {
                vec![
                    server(scene).ends(Ends::By(Signal::SIGKILL)).idles(),
                    Player::partner(),
                ]
            },
            partner: |partner| {
                let server = partner.learner("server")?;
                partner.signal(server, Signal::SIGKILL, "the server")?;
                partner.log("waits until no worker is left");
                partner.until("the workers' end", || {
                    (!partner.plays("server")).then_some(())
                })
            },
            hint: 1,
        },
    ],
    wrong: &[
        Wrong {
            what: "answers itself",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "f\"{os.getpid()} \".encode()",
                "f\"{os.getppid()} \".encode()",
            )],
        },
        Wrong {
            what: "does not end its workers",
            stage: "plain",
            language: Language::Python,
            edits: &[("        os.kill(pid, signal.SIGTERM)", "        break")],
        },
        Wrong {
            what: "lets the workers keep the listening socket",
            stage: "pool",
            language: Language::Python,
            edits: &[("        listener.close()  # only the server accepts\n", "")],
        },
        Wrong {
            what: "passes all to the first worker",
            stage: "together",
            language: Language::Python,
            edits: &[(
                "            chosen = free.pop()\n",
                "            chosen = min(free, key=socket.fileno)\n",
            )],
        },
        Wrong {
            what: "forgets who is free again",
            stage: "wait",
            language: Language::Python,
            edits: &[(
                "            elif byte:\n                free.add(sock)\n",
                "            elif byte:\n                pass\n",
            )],
        },
        Wrong {
            what: "does not replace a worker",
            stage: "killed",
            language: Language::Python,
            edits: &[("                start()  # in its place\n", "")],
        },
        Wrong {
            what: "leaves each worker the server's end",
            stage: "orphans",
            language: Language::Python,
            edits: &[(
                "        for other in [ours, *workers]:\n",
                "        for other in workers:\n",
            )],
        },
    ],
};

/// How many workers there are.
const COUNT: usize = 4;

fn server(scene: &Scene) -> Player {
    Player::learner(scene, "server", [COUNT.to_string()])
}

fn players(scene: &Scene) -> Vec<Player> {
    vec![server(scene).idles(), Player::partner()]
}

/// A client, and which worker has answered it.
struct Client {
    stream: BufReader<TcpStream>,
    sent: usize,
    worker: Pid,
}

impl Client {
    fn connect(partner: &Partner) -> Result<Client> {
        let stream = TcpStream::connect(partner.scene.place());
        let stream = BufReader::new(partner.call("connect()", stream)?);
        Ok(Client { stream, sent: 0, worker: Pid::from_raw(0) })
    }

    fn line(&self, partner: &Partner) -> String {
        partner.scene.draw().lines(self.sent + 1).swap_remove(self.sent)
    }

    fn send(&self, partner: &Partner) -> Result<()> {
        let line = format!("{}\n", self.line(partner));
        partner.call(
            &format!("sends {line:?}"),
            self.stream.get_ref().write_all(line.as_bytes()),
        )
    }

    /// The worker that has answered.
    fn answer(&mut self, partner: &Partner) -> Result<Pid> {
        let answer = partner.answer(&mut self.stream)?;
        partner.log(&format!("receives {answer:?}"));
        let line = self.line(partner);
        self.sent += 1;
        let parts = answer.trim_end_matches('\n').split_once(' ');
        let worker = parts
            .filter(|(_, rest)| *rest == line)
            .and_then(|(pid, _)| pid.parse().ok());
        let Some(worker) = worker else {
            bail!(
                "the answer to {line:?} was {answer:?}, and should be a process id and the line"
            );
        };
        self.worker = Pid::from_raw(worker);
        Ok(self.worker)
    }

    fn ask(&mut self, partner: &Partner) -> Result<Pid> {
        self.send(partner)?;
        self.answer(partner)
    }
}

/// Four clients, each with a worker of its own.
fn four(partner: &Partner) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        let mut client = Client::connect(partner)?;
        client.ask(partner)?;
        clients.push(client);
    }
    let workers: BTreeSet<_> = clients.iter().map(|client| client.worker).collect();
    if workers.len() != COUNT {
        let count = workers.len();
        return partner
            .wrong(&format!("{count} workers answer four clients at once"));
    }
    Ok(clients)
}

/// Whether a process has what this link stands for.
fn holds(pid: Pid, link: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    entries.flatten().any(|entry| {
        std::fs::read_link(entry.path())
            .is_ok_and(|target| target.as_os_str() == link)
    })
}
