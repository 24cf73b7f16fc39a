//! `unix/stale`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen,
    socket,
};

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "stale",
    title: "a server that gets past a dead server's name, and no other",
    kind: Kind::Mend,
    minutes: 25,
    after: &["unix/who"],
    task: include_str!("stale/task.md"),
    begin: Begin::Bare("unix"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("stale/solution.rs")),
        Some(include_str!("stale/solution.c")),
        Some(include_str!("stale/solution.py")),
    ],
    reasons: "A socket file stays when its server dies, and only connect(2) tells whether somebody \
              listens: ECONNREFUSED is nobody. connect gives ECONNREFUSED for a regular file, too, \
              so that the file's type has to be asked first. A server with a full backlog lives: \
              a blocking connect would wait for it, one that does not block gives EAGAIN. Two \
              servers that start at the same moment can still both remove the name: our role \
              takes a lock on a file beside it.",
    hints: [
        "bind gives EADDRINUSE for any file at PLACE. How does a client find out that nobody \
         listens there?",
        "If connect gives ECONNREFUSED, nobody listens, and the name may go. But connect says so \
         of a regular file, too: lstat first, S_ISSOCK.",
        "Make the socket of that connect with SOCK_NONBLOCK: EAGAIN says that the backlog of a \
         living server is full.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your server and your client still meet",
            players: |scene| meet(scene, Vec::new()),
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "stale",
            about: "a server has died, and its name is still there",
            players: |scene| meet(scene, vec![Player::partner()]),
            partner: |partner| {
                let place = partner.scene.place();
                partner.call("bind(PLACE), listen()", UnixListener::bind(place))?;
                partner
                    .log("ends without unlink(PLACE), as a server that is killed");
                Ok(())
            },
            hint: 1,
        },
        Stage {
            name: "live",
            about: "another server listens at PLACE: yours leaves it alone",
            players: occupied,
            partner: |partner| {
                let place = partner.scene.place();
                let listener = UnixListener::bind(place);
                let _listener = partner.call("bind(PLACE), listen()", listener)?;
                must_stay(partner)
            },
            hint: 2,
        },
        Stage {
            name: "file",
            about: "a regular file is at PLACE: your server leaves it alone",
            players: occupied,
            partner: |partner| {
                let place = partner.scene.place();
                let text = joined(&partner.scene.draw().lines(1));
                let written = std::fs::write(place, text);
                partner.call("puts a regular file at PLACE", written)?;
                must_stay(partner)
            },
            hint: 2,
        },
        Stage {
            name: "busy",
            about: "the server at PLACE lives, and its backlog is full",
            players: occupied,
            partner: |partner| {
                let _sockets = busy(partner)?;
                must_stay(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "leaves its own name",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    listener.close()\n    os.unlink(name)",
                "    listener.close()",
            )],
        },
        Wrong {
            what: "takes a dead server for a live one",
            stage: "stale",
            language: Language::Python,
            edits: &[(
                "    except ConnectionRefusedError:\n        pass  #",
                "    except ConnectionRefusedError:\n        raise  #",
            )],
        },
        Wrong {
            what: "removes whatever is there",
            stage: "live",
            language: Language::Python,
            edits: &[("sys.exit(f\"{name}: a server is there\")", "pass")],
        },
        Wrong {
            what: "takes a file for a dead server's name",
            stage: "file",
            language: Language::Python,
            edits: &[("if not stat.S_ISSOCK(os.lstat(name).st_mode):", "if False:")],
        },
        Wrong {
            what: "waits for the backlog",
            stage: "busy",
            language: Language::Python,
            edits: &[(
                "    probe.setblocking(False)",
                "    probe.setblocking(True)",
            )],
        },
    ],
};

/// The learner's server and client, behind whoever has been there before.
fn meet(scene: &Scene, before: Vec<Player>) -> Vec<Player> {
    let messages = scene.draw().lines(3);
    let mut players = before;
    players.push(Player::learner(scene, "server", NOTHING).prints("").idles());
    let client = Player::learner(scene, "client", messages.clone());
    players.push(client.prints(joined(&messages)));
    players
}

/// A server that must leave what is at its place alone. The partner looks afterwards.
fn occupied(scene: &Scene) -> Vec<Player> {
    let server = Player::learner(scene, "server", NOTHING).prints("");
    vec![Player::partner(), server.ends(Ends::Failing)]
}

/// Waits until the learner's server has come and gone: what is at PLACE must be what was there.
fn must_stay(partner: &Partner) -> Result<()> {
    let place = partner.scene.place();
    let inode = || std::fs::symlink_metadata(&place).map(|about| about.ino()).ok();
    let before = inode();
    partner.until_all_have_ended()?;
    if inode() != before {
        return partner.wrong("what was at PLACE has been removed or replaced");
    }
    partner.log("what was at PLACE is still there");
    std::fs::remove_file(&place).context("unlink")
}

/// A listening socket that accepts nobody, and the clients that fill its backlog.
fn busy(partner: &Partner) -> Result<Vec<OwnedFd>> {
    let address = UnixAddr::new(partner.scene.place().as_str()).context("a name")?;
    let stream = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None);
    let listener = stream(SockFlag::SOCK_CLOEXEC).context("socket")?;
    partner.call("bind(PLACE)", bind(listener.as_raw_fd(), &address))?;
    let backlog = Backlog::new(1).context("a backlog")?;
    partner.call("listen(1)", listen(&listener, backlog))?;
    let mut sockets = vec![listener];
    loop {
        let client = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        let client = client.context("socket")?;
        match connect(client.as_raw_fd(), &address) {
            Err(Errno::EAGAIN) => break,
            connected => connected.context("connect")?,
        }
        sockets.push(client);
    }
    partner.log("connects until the backlog is full: nobody accepts");
    Ok(sockets)
}
