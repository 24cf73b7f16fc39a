//! `ipclab map`, the kinds of objects: each test makes a scene of real processes, and asserts on
//! what --json shows of it. tests/map_waits.rs has who waits for whom, tests/map_shown.rs the rest.
//!
//! Each scene is held against lsof(8) and lsfd(1), descriptor by descriptor: map_scenes/proof.rs.
//! Where they or others differ (lsof 4.95, util-linux 2.38), the test says who is right.

mod map_scenes;
mod support;

use map_scenes::{
    behind, held, holders, ipclab_map, named, objects, other, remarks, remove,
    scene, scene_by, sleeps,
};
use support::skip;

#[test]
fn a_pipe_has_its_bytes_its_size_and_every_holder() {
    let Some(scene) = scene(
        "r, w = os.pipe()\nos.write(w, b'x' * 1234)\n\
         child(lambda: (os.close(r), forever()))\nready(r, w)\nforever()",
    ) else {
        return;
    };
    let [r, w] = [0, 1].map(|at| scene.names[at].parse::<i64>().unwrap());
    let map = scene.map("the child has closed its read end", |map| {
        sleeps(map, scene.child(0), "nanosleep")
    });
    let pipe = behind(&map, scene.pids[0], w);
    assert_eq!((&pipe["fill"], &pipe["capacity"]), (&1234.into(), &65536.into()));
    let (parent, child) = (scene.pids[0], scene.child(0));
    let mut all =
        vec![(parent, Some(r), "r"), (parent, Some(w), "w"), (child, Some(w), "w")];
    all.sort_unstable();
    assert_eq!(held(pipe), all);
    assert!(holders(pipe).iter().all(|holder| holder["cloexec"] == true));
}

#[test]
fn a_descriptor_that_execve_leaves_open_is_a_holder() {
    let Some(scene) = scene(
        "import subprocess\nr, w = os.pipe()\nos.set_inheritable(w, True)\n\
         p = subprocess.Popen(['sleep', '1000'], close_fds=False,\n\
             preexec_fn=lambda: libc.prctl(1, 9))\n\
         children.append(p.pid)\nready(r, w)\nforever()",
    ) else {
        return;
    };
    let w = scene.names[1].parse::<i64>().unwrap();
    let map =
        scene.map("sleep sleeps", |map| sleeps(map, scene.child(0), "nanosleep"));
    let pipe = behind(&map, scene.child(0), w);
    let theirs: Vec<_> =
        holders(pipe).iter().filter(|it| it["pid"] == scene.child(0)).collect();
    assert_eq!(theirs.len(), 1, "the read end was close-on-exec: {pipe:#}");
    assert_eq!(theirs[0]["cloexec"], false);
}

#[test]
fn a_fifo_has_its_name_and_who_sleeps_in_opening_it() {
    let Some(scene) = scene(
        "os.mkfifo('held'); os.mkfifo('alone')\n\
         fd = os.open('held', os.O_RDWR)\nos.write(fd, b'abc')\n\
         child(lambda: os.open('alone', os.O_WRONLY))\nready(fd)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("the child sleeps in open", |map| {
        !remarks(map, "open-waits").is_empty()
    });
    let fifo = named(&map, "fifo", "/held");
    assert_eq!(fifo["fill"], 3);
    assert_eq!(held(fifo)[0].2, "rw");
    // A FIFO that nobody has open yet.
    let alone = named(&map, "fifo", "alone");
    assert_eq!(held(alone), []);
}

#[test]
fn pidfds_of_two_processes_that_have_ended_are_two() {
    let Some(scene) = scene(
        "def ended():\n    pid = os.fork()\n    if pid == 0: os._exit(0)\n    \
             fd = os.pidfd_open(pid); os.waitpid(pid, 0); return fd\n\
         ready(ended(), ended())\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both are there", |map| objects(map, "pidfd").len() == 2);
    for object in objects(&map, "pidfd") {
        assert_eq!(held(object).len(), 1, "{object:#}");
        assert_eq!(object["label"], "pidfd of a process that has ended");
    }
}

#[test]
fn a_fin_is_no_byte_unread() {
    let Some(scene) = scene(
        "s = socket.create_server(('127.0.0.1', 0))\n\
         a = socket.create_connection(s.getsockname()); b = s.accept()[0]; s.close()\n\
         a.sendall(b'six by'); a.shutdown(socket.SHUT_WR); b.recv(1, socket.MSG_PEEK)\n\
         ready()\nforever()",
    ) else {
        return;
    };
    let ended = |map: &serde_json::Value| {
        let ends = objects(map, "tcp")[0]["ends"].as_array().unwrap().clone();
        ends.into_iter().find(|end| end["peer_ended"] == true)
    };
    let map = scene.map("the FIN has come", |map| ended(map).is_some());
    assert_eq!(ended(&map).unwrap()["unread"], 6);
    assert!(scene.text().contains("6 bytes unread, its peer has shut down writing"));
}

#[test]
fn a_connected_udp_socket_is_one_object_with_the_one_that_it_sends_to() {
    let Some(scene) = scene(
        "s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0))\n\
         c = socket.socket(type=socket.SOCK_DGRAM); c.connect(s.getsockname())\n\
         ready()\nforever()",
    ) else {
        return;
    };
    let two = |map: &serde_json::Value| {
        let all = objects(map, "udp");
        all.len() == 1 && all[0]["ends"].as_array().is_some_and(|it| it.len() == 2)
    };
    scene.map("it has both", two);
    assert!(!scene.text().contains("not of this machine"), "{}", scene.text());
}

#[test]
fn a_narrow_map_keeps_the_id_of_a_system_v_queue() {
    let Some(scene) = scene(
        "q = libc.msgget(0x7f000000 | os.getpid(), 0o600 | 0o1000)\nready(q)\n\
         libc.msgrcv(q, ctypes.create_string_buffer(64), 8, 0, 0)",
    ) else {
        return;
    };
    scene.map("it receives", |map| sleeps(map, scene.pids[0], "msgrcv"));
    let pid = scene.pids[0].to_string();
    let outcome = ipclab_map(&[&pid, "--width", "60"]);
    remove("-q", &scene.names[0]);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains(&format!("queue id {}", scene.names[0])), "{text}");
    assert!(text.contains("0 messages, 0 of "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
}

#[test]
fn who_reads_from_a_terminal_is_shown_with_its_name() {
    let Some(scene) = scene(
        "m, s = pty.openpty()\nchild(lambda: os.read(s, 1))\n\
         ready(s, os.ttyname(s))\nforever()",
    ) else {
        return;
    };
    scene.map("the child reads", |map| sleeps(map, scene.child(0), "read"));
    let [fd, name] = &scene.names[..] else { panic!("{:?}", scene.names) };
    let wanted = format!("asleep in read({fd}), {name}");
    assert!(scene.text().contains(&wanted), "{}", scene.text());
}

#[test]
fn the_text_has_what_an_epoll_set_waits_for() {
    let Some(scene) = scene(
        "r, w = os.pipe(); e = select.epoll(); e.register(r)\nready(r)\ne.poll()",
    ) else {
        return;
    };
    let wanted = format!("  waits for descriptor {}", scene.names[0]);
    assert!(scene.text().contains(&wanted), "{}", scene.text());
}

#[test]
fn two_fifos_of_one_inode_number_on_two_file_systems_are_two() {
    if !nix::unistd::geteuid().is_root() {
        skip("mounting needs root");
        return;
    }
    let Some(scene) = scene_by(
        &["unshare", "-m"],
        "import subprocess\n\
         for d in 'ab':\n    os.mkdir(d)\n    \
             subprocess.check_call(['mount', '-t', 'tmpfs', 'tmpfs', d])\n    \
             os.mkfifo(d + '/f')\n\
         a = os.open('a/f', os.O_RDWR); b = os.open('b/f', os.O_RDWR)\n\
         assert os.fstat(a).st_ino == os.fstat(b).st_ino\n\
         child(lambda: (os.close(b), forever()))\nready(a, b)\nforever()",
    ) else {
        return;
    };
    let [a, b] = [0, 1].map(|at| scene.names[at].parse::<i64>().unwrap());
    let pid = scene.pids[0];
    let map =
        scene.map("two objects", |map| sleeps(map, scene.child(0), "nanosleep"));
    assert_ne!(behind(&map, pid, a)["id"], behind(&map, pid, b)["id"]);
    assert_eq!(held(behind(&map, pid, b)), [(pid, Some(b), "rw")]);
    // lsof is wrong: it keeps the inode alone, and says that `a` of the child is the other end
    // of `b`.
    if let Some(text) = other("lsof", &["+E", "-p", &pid.to_string()]) {
        let line = text.replace("\\n", "\n");
        let line =
            line.lines().find(|line| line.contains("/b/f")).unwrap_or_default();
        assert!(
            line.contains(&scene.child(0).to_string()),
            "lsof was mended: {line}"
        );
    }
}

#[test]
fn a_pair_of_unix_sockets_is_one_object_with_what_each_end_has_unread() {
    let Some(scene) = scene(
        "a, b = socket.socketpair()\na.send(b'hello')\n\
         child(lambda: (a.close(), forever()))\nready(a.fileno(), b.fileno())\nforever()",
    ) else {
        return;
    };
    let [a, b] = [0, 1].map(|at| scene.names[at].parse::<i64>().unwrap());
    let map = scene
        .map("the child sleeps", |map| sleeps(map, scene.child(0), "nanosleep"));
    let pair = behind(&map, scene.pids[0], a);
    assert_eq!(pair["id"], behind(&map, scene.pids[0], b)["id"]);
    assert_eq!(pair["kind"], "unix");
    let unread: Vec<_> = pair["ends"]
        .as_array()
        .unwrap()
        .iter()
        .map(|end| end["unread"].as_u64())
        .collect();
    assert_eq!(unread.iter().flatten().sum::<u64>(), 5, "{pair:#}");
    assert_eq!(holders(pair).len(), 3);
}

#[test]
fn a_connection_in_another_network_namespace_has_both_its_ends() {
    if !nix::unistd::geteuid().is_root() {
        skip("a network namespace needs root");
        return;
    }
    let Some(scene) = scene_by(
        &["unshare", "-n"],
        "s = socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', 1))\n\
         s.bind(('127.0.0.1', 7)); s.listen()\n\
         c = socket.create_connection(('127.0.0.1', 7)); k = s.accept()[0]\n\
         a, b = socket.socketpair()\nc.send(b'abc'); a.send(b'abcd')\n\
         ready(c.fileno(), k.fileno(), a.fileno(), b.fileno())\nforever()",
    ) else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let pid = scene.pids[0];
    let fds: Vec<i64> = scene.names.iter().map(|fd| fd.parse().unwrap()).collect();
    for (one, other, unread) in [(fds[0], fds[1], 3), (fds[2], fds[3], 4)] {
        let pair = behind(&map, pid, one);
        assert_eq!(pair["id"], behind(&map, pid, other)["id"]);
        let ends = pair["ends"].as_array().unwrap();
        assert_eq!(ends.iter().filter(|end| end["unread"] == unread).count(), 1);
    }
    // lsof asks about the sockets of its own namespace: of this one's it knows no address.
    if let Some(text) = other("lsof", &["-wnP", "-p", &pid.to_string()]) {
        assert!(!text.contains("127.0.0.1:7"), "lsof was mended: {text}");
    }
}

#[test]
fn a_datagram_socket_is_one_object_with_its_clients() {
    let Some(scene) = scene(
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('box')\n\
         c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); c.connect('box')\n\
         c.send(b'12345')\nready(s.fileno(), c.fileno())\nforever()",
    ) else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let [s, c] = [0, 1].map(|at| scene.names[at].parse::<i64>().unwrap());
    let (server, client) =
        (behind(&map, scene.pids[0], s), behind(&map, scene.pids[0], c));
    assert_eq!(server["id"], client["id"]);
    assert_eq!(server["about"][0], "datagram");
    let unread =
        server["ends"].as_array().unwrap().iter().filter(|end| end["unread"] == 5);
    assert_eq!(unread.count(), 1, "{server:#}");
}

#[test]
fn a_socket_whose_path_was_removed_has_no_name_that_leads_to_it() {
    let Some(scene) = scene(
        "s = socket.socket(socket.AF_UNIX); s.bind(here + '/gone'); s.listen()\n\
         os.unlink('gone')\nt = socket.socket(socket.AF_UNIX); t.bind(here + '/gone')\n\
         ready(s.fileno(), t.fileno())\nforever()",
    ) else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let [s, t] = [0, 1].map(|at| scene.names[at].parse::<i64>().unwrap());
    // Both are shown with one path.
    assert_eq!(behind(&map, scene.pids[0], s)["name_gone"], true);
    assert_eq!(behind(&map, scene.pids[0], t)["name_gone"], false);
}

#[test]
fn a_tcp_connection_is_one_object_and_its_client_may_wait_in_the_backlog() {
    let Some(scene) = scene(
        "s = socket.create_server(('127.0.0.1', 0), backlog=5)\n\
         c = socket.create_connection(s.getsockname()); k = s.accept()[0]\n\
         w = socket.create_connection(s.getsockname())\nc.send(b'abc')\n\
         ready(s.fileno(), c.fileno(), k.fileno(), w.fileno())\nforever()",
    ) else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let [s, c, k, w] =
        [0, 1, 2, 3].map(|at| scene.names[at].parse::<i64>().unwrap());
    let pid = scene.pids[0];
    let pair = behind(&map, pid, c);
    assert_eq!(pair["id"], behind(&map, pid, k)["id"]);
    assert_eq!(pair["ends"].as_array().unwrap().len(), 2);
    let backlog = &behind(&map, pid, s)["ends"][0]["backlog"];
    assert_eq!(backlog["waiting"], 1);
    // The kernel has made the other socket, and nobody has accepted it: inode 0.
    let waiting = behind(&map, pid, w)["ends"].as_array().unwrap();
    assert!(waiting.iter().any(|end| end["inode"] == 0), "{waiting:#?}");
}

/// mq_open(3) by ctypes: a queue of five messages with two in it.
const QUEUE: &str = "\
class Attr(ctypes.Structure):\n    _fields_ = [(n, ctypes.c_long) for n in \
('flags', 'maxmsg', 'msgsize', 'curmsgs', 'a', 'b', 'c', 'd')]\n\
name = b'/ipclab-map-%d' % os.getpid()\n\
q = libc.mq_open(name, os.O_RDWR | os.O_CREAT, 0o600, ctypes.byref(Attr(0, 5, 64)))\n\
assert q >= 0\nlibc.mq_send(q, b'one', 3, 0); libc.mq_send(q, b'two', 3, 7)\n";

#[test]
fn an_unlinked_queue_is_still_there_for_its_holders() {
    let Some(scene) =
        scene(&format!("{QUEUE}libc.mq_unlink(name)\nready(q)\nforever()"))
    else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let queue = behind(&map, scene.pids[0], scene.names[0].parse().unwrap());
    assert_eq!(queue["kind"], "posix-queue");
    assert_eq!((&queue["fill"], &queue["capacity"]), (&2.into(), &5.into()));
    assert_eq!(queue["name_gone"], true);
    assert_eq!(remarks(&map, "name-gone").len(), 1);
}

#[test]
fn a_queue_has_its_messages_and_who_sleeps_on_it() {
    let Some(scene) = scene(&format!(
        "{QUEUE}buf = ctypes.create_string_buffer(64)\n\
         child(lambda: [libc.mq_receive(q, buf, 64, None) for _ in range(3)])\n\
         libc.mq_unlink(name)\nready(q)\nforever()",
    )) else {
        return;
    };
    let map = scene.map("the child sleeps", |map| {
        sleeps(map, scene.child(0), "mq_timedreceive")
    });
    let queue = behind(&map, scene.pids[0], scene.names[0].parse().unwrap());
    assert_eq!((&queue["fill"], &queue["capacity"]), (&0.into(), &5.into()));
}

#[test]
fn a_system_v_queue_is_shown_by_who_used_it_and_who_sleeps_on_it() {
    let Some(scene) = scene(
        "q = libc.msgget(0, 0o600)\n\
         libc.msgsnd(q, struct.pack('l', 1) + b'abcd', 4, 0)\n\
         buf = ctypes.create_string_buffer(64)\n\
         child(lambda: libc.msgrcv(q, buf, 56, 9, 0))\nready(q)\n\
         import signal\nsignal.pause()",
    ) else {
        return;
    };
    let map =
        scene.map("the child sleeps", |map| sleeps(map, scene.child(0), "msgrcv"));
    let id = scene.names[0].clone();
    let queue = named(&map, "sysv-queue", &format!("id {id}, IPC_PRIVATE"));
    assert_eq!((&queue["fill"], &queue["messages"]), (&4.into(), &1.into()));
    assert!(queue["capacity"].as_u64().unwrap() > 4);
    remove("-q", &id);
}

#[test]
fn segments_of_all_kinds_have_their_mappings() {
    let Some(scene) = scene(
        "m = os.memfd_create('frames'); os.ftruncate(m, 8192)\n\
         a = mmap.mmap(m, 8192)\n\
         p = '/dev/shm/ipclab-map-%d' % os.getpid()\n\
         f = os.open(p, os.O_RDWR | os.O_CREAT, 0o600); os.ftruncate(f, 4096)\n\
         b = mmap.mmap(f, 4096); os.close(f); os.unlink(p)\n\
         anon = mmap.mmap(-1, 4096)\n\
         g = os.open('data', os.O_RDWR | os.O_CREAT); os.ftruncate(g, 4096)\n\
         c = mmap.mmap(g, 4096, prot=mmap.PROT_READ)\n\
         s = libc.shmget(0, 4096, 0o600)\n\
         libc.shmat.restype = ctypes.c_void_p; libc.shmat(s, None, 0)\n\
         libc.shmctl(s, 0, None)\n\
         child(forever)\nready(m, s)\nforever()",
    ) else {
        return;
    };
    let map = scene
        .map("the child sleeps", |map| sleeps(map, scene.child(0), "nanosleep"));
    let memfd = named(&map, "segment", "/memfd:frames");
    let mapped = holders(memfd).iter().filter(|it| it["mapped"] == true).count();
    assert_eq!((mapped, memfd["capacity"].as_u64()), (2, Some(8192)), "{memfd:#}");
    let posix = named(&map, "segment", &format!("/ipclab-map-{}", scene.pids[0]));
    assert_eq!(posix["name_gone"], true);
    // Python's mmap keeps a duplicate of the descriptor.
    let mapped = holders(posix).iter().filter(|it| it["mapped"] == true).count();
    assert_eq!((mapped, holders(posix).len()), (2, 4), "{posix:#}");
    // Memory without any name.
    let unnamed =
        objects(&map, "segment").into_iter().filter(|it| it["name"].is_null());
    assert_eq!(unnamed.filter(|it| holders(it).len() == 2).count(), 1, "{map:#}");
    let file = named(&map, "file", "/data");
    assert!(
        holders(file).iter().any(|it| it["mapped"] == true && it["write"] == false)
    );
    let sysv = named(&map, "sysv-segment", "IPC_PRIVATE");
    assert_eq!((sysv["name_gone"].as_bool(), holders(sysv).len()), (Some(true), 2));
}

#[test]
fn a_posix_semaphore_has_its_name_its_value_and_who_sleeps_on_it() {
    let Some(scene) = scene(
        "name = 'ipclab-map-%d' % os.getpid()\n\
         libc.sem_open.restype = ctypes.c_void_p\n\
         s = ctypes.c_void_p(libc.sem_open(b'/' + name.encode(), os.O_CREAT, 0o600, 0))\n\
         t = ctypes.c_void_p(libc.sem_open(b'/t' + name.encode(), os.O_CREAT, 0o600, 3))\n\
         libc.sem_unlink(b'/t' + name.encode())\n\
         child(lambda: libc.sem_wait(s))\nready(name)\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("the child sleeps", |map| sleeps(map, scene.child(0), "futex"));
    // sem_open(3) maps it under a name that is removed by now: the inode leads to the right one.
    let name = format!("/dev/shm/sem.{}", scene.names[0]);
    std::fs::remove_file(&name).unwrap();
    let semaphore = named(&map, "posix-semaphore", &name);
    assert_eq!(
        (&semaphore["name_gone"], &semaphore["fill"]),
        (&false.into(), &0.into())
    );
    let all = objects(&map, "posix-semaphore");
    assert_eq!(
        all.iter().filter(|it| it["name_gone"] == true).count(),
        1,
        "{map:#}"
    );
    let processes = map["processes"].as_array().unwrap();
    let child = processes.iter().find(|it| it["pid"] == scene.child(0)).unwrap();
    assert_eq!(child["asleep"][0]["waits"][0]["object"], semaphore["id"]);
}

#[test]
fn counters_processes_and_sets_are_objects() {
    let Some(scene) = scene(
        "e = ctypes.CDLL(None).eventfd(26, 0o2000000)\n\
         p = os.pidfd_open(os.getpid())\nr, w = os.pipe()\n\
         s = select.epoll(); s.register(r, select.EPOLLIN)\n\
         child(lambda: s.poll())\nready(e, p, s.fileno(), r)\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("the child sleeps", |map| sleeps(map, scene.child(0), "epoll"));
    let [e, p, s, r] =
        [0, 1, 2, 3].map(|at| scene.names[at].parse::<i64>().unwrap());
    let pid = scene.pids[0];
    let eventfd = behind(&map, pid, e);
    // 26 is hexadecimal 1a: fdinfo has the count so.
    assert_eq!(
        (&eventfd["kind"], &eventfd["fill"]),
        (&"eventfd".into(), &26.into())
    );
    assert_eq!(holders(eventfd).len(), 2);
    assert_eq!(behind(&map, pid, p)["pids"][0], pid);
    let epoll = behind(&map, pid, s);
    assert_eq!(epoll["targets"][0]["fd"], r);
    // It was inherited: one set, with two holders.
    assert_eq!(holders(epoll).len(), 2, "{epoll:#}");
}

#[test]
fn a_pseudoterminal_has_both_ends() {
    let Some(scene) = scene("m, s = pty.openpty()\nready(m, s)\nforever()") else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let [m, s] = [0, 1].map(|at| scene.names[at].parse::<i64>().unwrap());
    let master = behind(&map, scene.pids[0], m);
    assert_eq!(master["kind"], "pty");
    assert_eq!(master["id"], behind(&map, scene.pids[0], s)["id"]);
}

#[test]
fn a_name_that_was_replaced_under_its_holder_leads_elsewhere() {
    let Some(scene) = scene(
        "os.mkfifo('f'); a = os.open('f', os.O_RDWR)\n\
         os.mkfifo('g'); os.rename('g', 'f'); b = os.open('f', os.O_RDWR)\n\
         ready(a, b)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let [a, b] = [0, 1].map(|at| scene.names[at].parse::<i64>().unwrap());
    let (old, new) =
        (behind(&map, scene.pids[0], a), behind(&map, scene.pids[0], b));
    assert_eq!(old["name"], new["name"]);
    assert_eq!(
        (&old["name_gone"], &new["name_gone"]),
        (&true.into(), &false.into())
    );
}
