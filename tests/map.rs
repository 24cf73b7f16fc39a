//! `ipclab map` on real processes: each test makes a scene, and asserts on what --json shows.
//!
//! Where lsof(8) 4.95 or lsfd(1) 2.38 differ from it, the test says who is right.

mod map_scenes;
mod support;

use map_scenes::{
    behind, cycles, held, holders, ipclab_map, named, objects, other, remarks,
    scene, scene_by, sleeps, until_map,
};
use support::{have, skip};

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
fn a_third_process_that_keeps_the_write_end_is_told() {
    // Neither lsof nor lsfd says so; lsofgraph draws no pipe with three holders.
    let Some(scene) = scene(
        "r, w = os.pipe()\n\
         reader = child(lambda: (close_all_but(r), os.read(r, 1)))\n\
         sender = child(lambda: (os.dup2(w, 1), close_all_but(), forever()))\n\
         os.close(r)\nready(w)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("the reader sleeps", |map| {
        sleeps(map, scene.child(0), "read")
            && sleeps(map, scene.child(1), "nanosleep")
    });
    let told = remarks(&map, "write-end-held");
    let parent = scene.pids[0];
    assert!(
        told.iter().any(|text| text.contains(&format!(" {parent} holds the write end too"))),
        "{told:?}"
    );
    assert!(scene.text().contains("no end of file while it does"));
    assert_eq!(cycles(&map), []);
}

#[test]
fn a_reader_that_has_the_only_write_end_itself_waits_for_ever() {
    let Some(scene) = scene(
        "r, w = os.pipe()\nchild(lambda: os.read(r, 1))\nos.close(r); os.close(w)\n\
         ready()\nforever()",
    ) else {
        return;
    };
    let child = scene.child(0);
    let map = scene.map("it is stuck", |map| !cycles(map).is_empty());
    assert_eq!(cycles(&map), [("deadlock".to_owned(), vec![child])]);
    assert!(
        remarks(&map, "write-end-held")[0].contains("itself holds the write end")
    );
}

#[test]
fn a_parent_that_waits_for_the_child_that_reads_from_it_is_a_deadlock() {
    let Some(scene) = scene(
        "r, w = os.pipe()\nchild(lambda: (os.close(w), os.read(r, 1)))\nos.close(r)\n\
         ready()\nos.wait()",
    ) else {
        return;
    };
    let map = scene.map("both wait", |map| !cycles(map).is_empty());
    let mut both = scene.pids.clone();
    both.sort_unstable();
    assert_eq!(cycles(&map), [("deadlock".to_owned(), both)]);
    assert!(remarks(&map, "write-end-held")[0].starts_with("only "));
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
    // A FIFO that nobody has open yet: lsof and lsfd do not show it.
    let alone = named(&map, "fifo", "alone");
    assert_eq!(held(alone), []);
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
fn two_that_read_from_each_other_are_a_deadlock() {
    let Some(scene) = scene(
        "a, b = socket.socketpair()\nchild(lambda: (b.close(), a.recv(1)))\n\
         child(lambda: (a.close(), b.recv(1)))\na.close(); b.close()\nready()\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both read", |map| !cycles(map).is_empty());
    let mut both = scene.pids[1..].to_vec();
    both.sort_unstable();
    assert_eq!(cycles(&map), [("deadlock".to_owned(), both)]);
}

#[test]
fn a_timeout_makes_a_deadlock_a_possible_one() {
    for by in [
        "a.settimeout(1000)",
        "a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 1000, 0))",
    ] {
        let Some(scene) = scene(&format!(
            "a, b = socket.socketpair()\n\
             def one():\n    b.close(); {by}; a.recv(1)\n\
             child(one)\nchild(lambda: (a.close(), b.recv(1)))\na.close(); b.close()\n\
             ready()\nforever()",
        )) else {
            return;
        };
        let map = scene.map("both wait", |map| !cycles(map).is_empty());
        assert_eq!(cycles(&map)[0].0, "possible", "{by}");
        assert_eq!(map["cycles"][0]["why"], "a timeout may end it");
    }
}

#[test]
fn a_full_backlog_has_its_clients() {
    // lsfd and `ss -p` show no link from these clients to the server: their peer is 0.
    let Some(scene) = scene(
        "s = socket.socket(socket.AF_UNIX); s.bind('door'); s.listen(2)\n\
         clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]\n\
         [c.connect('door') for c in clients]\n\
         late = socket.socket(socket.AF_UNIX)\nchild(lambda: late.connect('door'))\n\
         ready(s.fileno())\nforever()",
    ) else {
        return;
    };
    let map = scene.map("the last one sleeps in connect", |map| {
        sleeps(map, scene.child(0), "connect")
    });
    let listening = behind(&map, scene.pids[0], scene.names[0].parse().unwrap());
    let backlog = &listening["ends"][0]["backlog"];
    assert_eq!((&backlog["waiting"], &backlog["most"]), (&3.into(), &2.into()));
    assert_eq!(backlog["clients"].as_array().unwrap().len(), 3);
    assert_eq!(remarks(&map, "backlog-full").len(), 1);
    let clients = holders(listening).iter().filter(|it| {
        it["end"] != listening["ends"][0]["inode"] && it["pid"] == scene.pids[0]
    });
    assert_eq!(clients.count(), 3, "{listening:#}");
}

#[test]
fn a_descriptor_that_nobody_has_received_yet_is_in_flight() {
    let Some(scene) = scene(
        "a, b = socket.socketpair()\nr, w = os.pipe()\n\
         socket.send_fds(a, [b'x'], [r, w])\nready(a.fileno())\nforever()",
    ) else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let pair = behind(&map, scene.pids[0], scene.names[0].parse().unwrap());
    let ends = pair["ends"].as_array().unwrap();
    let flying: Vec<_> =
        ends.iter().map(|end| end["in_flight"].as_u64().unwrap()).collect();
    assert_eq!(flying.iter().sum::<u64>(), 2, "{pair:#}");
    assert_eq!(remarks(&map, "in-flight").len(), 1);
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
    // Both are shown with one path; lsof and lsfd do not tell which one a client would get.
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
         ready(q)\nimport atexit\n\
         while True:\n    time.sleep(0.05)\n    libc.mq_unlink(name)",
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

/// System V objects outlive their processes.
fn remove(option: &str, id: &str) {
    let done = std::process::Command::new("ipcrm").args([option, id]).status();
    assert!(done.unwrap().success());
}

#[test]
fn two_that_took_two_semaphores_in_two_orders_are_a_possible_deadlock() {
    let Some(scene) = scene(
        "s = libc.semget(0, 2, 0o600)\n\
         def op(n, by): libc.semop(s, struct.pack('Hhh', n, by, 0), 1)\n\
         op(0, 1); op(1, 1)\nr, w = os.pipe()\n\
         def take(one, other):\n    \
             op(one, -1); os.write(w, b'x')\n    \
             while struct.unpack('i', fcntl.ioctl(r, 0x541b, b'1234'))[0] < 2: time.sleep(0.01)\n    \
             op(other, -1)\n\
         child(lambda: take(0, 1)); child(lambda: take(1, 0))\nready(s)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both sleep in semop", |map| !cycles(map).is_empty());
    let mut both = scene.pids[1..].to_vec();
    both.sort_unstable();
    // The kernel notes who changed a semaphore last, not who holds it.
    assert_eq!(cycles(&map), [("possible".to_owned(), both)]);
    let set = &objects(&map, "sysv-semaphore");
    assert!(
        set.iter()
            .any(|it| it["values"].as_array().is_some_and(|all| all.len() == 2))
    );
    remove("-s", &scene.names[0]);
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
    // Memory without any name: lsof has it as a mapped /dev/zero, lsfd as well.
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
fn a_posix_semaphore_has_who_sleeps_on_it() {
    let Some(scene) = scene(
        "name = b'/ipclab-map-%d' % os.getpid()\n\
         libc.sem_open.restype = ctypes.c_void_p\n\
         s = ctypes.c_void_p(libc.sem_open(name, os.O_CREAT, 0o600, 0))\n\
         libc.sem_unlink(name)\nchild(lambda: libc.sem_wait(s))\nready()\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("the child sleeps", |map| sleeps(map, scene.child(0), "futex"));
    let semaphore = &objects(&map, "posix-semaphore");
    assert_eq!(semaphore.len(), 1, "{map:#}");
    let processes = map["processes"].as_array().unwrap();
    let child = processes.iter().find(|it| it["pid"] == scene.child(0)).unwrap();
    assert_eq!(child["asleep"][0]["waits"][0]["object"], semaphore[0]["id"]);
}

#[test]
fn two_that_locked_two_files_in_two_orders_are_a_deadlock() {
    // flock(2) and OFD locks only: for those of fcntl(2) the kernel gives EDEADLK instead.
    for lock in [
        "def lock(fd): fcntl.flock(fd, fcntl.LOCK_EX)",
        "def lock(fd): fcntl.fcntl(fd, 38, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0))",
    ] {
        let Some(scene) = scene(&format!(
            "{lock}\nr, w = os.pipe()\n\
             def take(one, other):\n    \
                 a = os.open(one, os.O_RDWR | os.O_CREAT); b = os.open(other, os.O_RDWR | os.O_CREAT)\n    \
                 lock(a); os.write(w, b'x')\n    \
                 while struct.unpack('i', fcntl.ioctl(r, 0x541b, b'1234'))[0] < 2: time.sleep(0.01)\n    \
                 lock(b)\n\
             child(lambda: take('one', 'two')); child(lambda: take('two', 'one'))\n\
             ready()\nforever()",
        )) else {
            return;
        };
        let map = scene.map("both sleep", |map| !cycles(map).is_empty());
        let mut both = scene.pids[1..].to_vec();
        both.sort_unstable();
        assert_eq!(cycles(&map), [("deadlock".to_owned(), both)], "{lock}");
    }
}

#[test]
fn a_lock_that_a_child_has_inherited_is_told() {
    let Some(scene) = scene(
        "f = os.open('pidfile', os.O_RDWR | os.O_CREAT); fcntl.flock(f, fcntl.LOCK_EX)\n\
         child(forever)\ng = os.open('pidfile', os.O_RDWR)\n\
         child(lambda: (os.close(f), fcntl.flock(g, fcntl.LOCK_EX)))\nready(f)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("one waits for it", |map| {
        sleeps(map, scene.child(1), "flock")
            && !remarks(map, "lock-inherited").is_empty()
    });
    let file = named(&map, "file", "/pidfile");
    let locked = holders(file).iter().filter(|it| it["locks"][0]["kind"] == "flock");
    // /proc/locks, and so lslocks(8), names one process: the one that called flock(2).
    assert_eq!(locked.count(), 2, "{file:#}");
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
fn three_that_read_from_each_other_are_a_deadlock() {
    let Some(scene) = scene(
        "p = [os.pipe() for _ in range(3)]\n\
         def one(i):\n    r, w = p[i][0], p[(i + 1) % 3][1]\n    \
             close_all_but(r, w); os.read(r, 1)\n\
         for i in range(3): child(lambda: one(i))\n\
         close_all_but()\nready()\nforever()",
    ) else {
        return;
    };
    let map = scene.map("all three sleep", |map| !cycles(map).is_empty());
    let mut three = scene.pids[1..].to_vec();
    three.sort_unstable();
    assert_eq!(cycles(&map), [("deadlock".to_owned(), three)]);
    assert!(
        scene.text().contains("   deadlock") || scene.text().contains("deadlock\n")
    );
}

#[test]
fn a_full_pipe_in_both_directions_is_a_deadlock_too() {
    let Some(scene) = scene(
        "a, b = os.pipe(), os.pipe()\n\
         def both(r, w):\n    close_all_but(r, w)\n    \
             while True: os.write(w, b'x' * 65536)\n\
         child(lambda: both(a[0], b[1])); child(lambda: both(b[0], a[1]))\n\
         close_all_but()\nready()\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both sleep in write", |map| !cycles(map).is_empty());
    assert_eq!(cycles(&map)[0].0, "deadlock");
    let full =
        objects(&map, "pipe").into_iter().filter(|it| it["fill"] == 65536).count();
    assert_eq!(full, 2, "{map:#}");
}

#[test]
fn a_pipe_of_ones_own_that_is_polled_is_no_deadlock() {
    // A handler of a signal writes into it.
    let Some(scene) = scene(
        "r, w = os.pipe()\ndef wait():\n    q = select.poll(); q.register(r); q.poll()\n\
         child(wait)\nos.close(r); os.close(w)\nready()\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("it sleeps in poll", |map| sleeps(map, scene.child(0), "poll"));
    assert_eq!(cycles(&map), []);
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

#[test]
fn another_users_processes_are_listed_as_not_looked_into() {
    if !nix::unistd::geteuid().is_root() {
        skip("becoming another user needs root");
        return;
    }
    let Some(scene) = scene("r, w = os.pipe()\nready(r)\nforever()") else { return };
    let opened = std::fs::File::open(support::program()).unwrap();
    let pid = scene.pids[0].to_string();
    let command = support::as_nobody(&opened, &["map", &pid, "--json"]);
    let outcome = support::run(command, support::Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let map: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(map["processes"][0]["looked_into"], false, "{map:#}");
    let not_seen = map["not_looked_into"].as_array().unwrap();
    assert!(
        not_seen.iter().any(|it| it.as_str().unwrap().contains("of root")),
        "{not_seen:?}"
    );
}

#[test]
fn rubbish_in_names_reaches_no_terminal() {
    let Some(scene) = scene(
        "libc.prctl(15, b'a\\n\\x1b[2J) Z \\xff')\n\
         os.mkfifo(b'x\\n\\x1b]0;\\xfe'); f = os.open(b'x\\n\\x1b]0;\\xfe', os.O_RDWR)\n\
         s = socket.socket(socket.AF_UNIX); s.bind(b'\\0\\n\\x1b\\xff'); s.listen()\n\
         m = os.memfd_create('m\\n\\x1b'); os.ftruncate(m, 1); a = mmap.mmap(m, 1)\n\
         ready(f, s.fileno(), m)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("it is there", |_| true);
    let pid = scene.pids[0];
    assert_eq!(behind(&map, pid, scene.names[0].parse().unwrap())["kind"], "fifo");
    assert_eq!(behind(&map, pid, scene.names[1].parse().unwrap())["kind"], "unix");
    let memfd = behind(&map, pid, scene.names[2].parse().unwrap());
    assert!(holders(memfd).iter().any(|it| it["mapped"] == true), "{memfd:#}");
    let text = scene.text();
    assert!(
        !text.contains('\x1b') && text.contains("a\\n\\x1b[2J) Z \\xff"),
        "{text}"
    );
    // lsof writes `^[`, lsfd `\x1b`: all three are safe.
}

#[test]
fn processes_that_end_meanwhile_do_no_harm() {
    let Some(_scene) =
        scene("import subprocess\nready()\nwhile True: os.system('true | true')")
    else {
        return;
    };
    for _ in 0..20 {
        until_map(&["--all"], "a map", |_| true);
    }
}

#[test]
fn commands_are_drawn_once_they_sleep_and_are_ended() {
    if !have("cat") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("f");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fifo.to_str().unwrap();
    let script = format!("exec 3>{fifo}; echo one >&3; read line <&3; sleep 1000");
    let outcome =
        ipclab_map(&["--json", "--", "sh", "-c", &script, ":::", "cat", fifo]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let map: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let shown = named(&map, "fifo", "/f");
    assert!(holders(shown).len() >= 2, "{shown:#}");
    for process in map["processes"].as_array().unwrap() {
        if holders(shown).iter().any(|it| it["pid"] == process["pid"]) {
            let pid = process["pid"].as_i64().unwrap();
            let there = std::path::Path::new(&format!("/proc/{pid}")).exists();
            assert!(!there, "{pid} was not ended");
        }
    }
}

#[test]
fn a_chapters_roles_are_found_by_its_default_place() {
    let subject = support::subject("fifo");
    let mut receiver = support::ipclab(&subject, &["fifo", "receiver"]);
    receiver.arg("-q");
    let role =
        support::RoleProcess::start("receiver", receiver, support::Input::Nothing)
            .unwrap();
    support::until("the receiver is drawn", || {
        let command = support::ipclab(&subject, &["map", "fifo", "--json"]);
        let outcome = support::run(command, support::Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let map: serde_json::Value =
            serde_json::from_slice(&outcome.stdout).unwrap();
        let name = subject.dir().join("fifo");
        objects(&map, "fifo").iter().any(|it| {
            it["name"].as_str().is_some_and(|it| it == name.to_str().unwrap())
                && sleeps(&map, role.pid().as_raw().into(), "")
        })
    });
}

#[test]
fn what_is_neither_a_chapter_nor_a_process_is_a_mistake_of_the_command_line() {
    for (words, says) in [
        (&["fifi"][..], "neither a chapter nor"),
        (&["999999999"], "no process 999999999"),
    ] {
        let outcome = ipclab_map(words);
        assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}

#[test]
fn no_line_is_wider_than_it_may_be() {
    let Some(scene) = scene(
        "os.mkdir('d' * 200); os.mkfifo('d' * 200 + '/f')\n\
         f = os.open('d' * 200 + '/f', os.O_RDWR)\n\
         for _ in range(40): os.dup(f)\nready()\nforever()",
    ) else {
        return;
    };
    for width in [60, 80, 100] {
        let outcome =
            ipclab_map(&[&scene.pids[0].to_string(), "--width", &width.to_string()]);
        let text = String::from_utf8(outcome.stdout).unwrap();
        for line in text.lines() {
            assert!(textwrap::core::display_width(line) <= width, "{line}");
        }
    }
}
