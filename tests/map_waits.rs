//! `ipclab map`, who waits for whom: ends that are held, backlogs, cycles.

mod map_scenes;
mod support;

use map_scenes::{
    behind, cycles, holders, named, objects, other, remarks, remove, scene, sleeps,
};
use support::skip;

#[test]
fn a_third_process_that_keeps_the_write_end_is_told() {
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
fn a_reader_that_forgot_to_close_its_own_write_end_is_told_so() {
    let Some(scene) = scene(
        "r, w = os.pipe()\nchild(lambda: os.read(r, 1))\n\
         child(lambda: (os.close(r), forever()))\nos.close(r); os.close(w)\n\
         ready()\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("it sleeps in read", |map| sleeps(map, scene.child(0), "read"));
    let wanted = format!(" {} itself holds the write end too", scene.child(0));
    let told = remarks(&map, "write-end-held");
    assert!(told.iter().any(|text| text.contains(&wanted)), "{told:?}");
}

#[test]
fn a_process_that_keeps_a_clients_connection_is_told() {
    let Some(scene) = scene(
        "s = socket.create_server(('127.0.0.1', 0))\n\
         a = socket.create_connection(s.getsockname()); b = s.accept()[0]; s.close()\n\
         child(lambda: (b.close(), a.recv(1))); a.close()\n\
         child(lambda: forever())\nready()\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("one receives", |map| sleeps(map, scene.child(0), "recvfrom"));
    let told = remarks(&map, "peers-end-held");
    assert!(
        told.len() == 1 && told[0].contains(" holds the peer's end too"),
        "{told:?}"
    );
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
    // ss(8) has the same numbers, and not whose the clients are.
    if let Some(text) = other("ss", &["-xlnH"]) {
        let inode = listening["ends"][0]["inode"].to_string();
        let mut lines = text.lines().map(str::split_whitespace);
        let line = lines.find_map(|words| {
            let words: Vec<&str> = words.collect();
            words.contains(&inode.as_str()).then_some(words)
        });
        assert_eq!(&line.unwrap()[2..4], ["3", "2"], "{text}");
    }
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
    assert_eq!(locked.count(), 2, "{file:#}");
    // lslocks(8) is wrong, as is /proc/locks: it names one process, which called flock(2). While
    // the other lives, the lock is not given up.
    if let Some(text) = other("lslocks", &["-nro", "PID,INODE"]) {
        let number = file["id"].as_str().unwrap().rsplit(':').next().unwrap();
        let lines = text.lines().map(str::split_whitespace);
        let holders: Vec<&str> = lines
            .filter_map(|mut words| Some((words.next()?, words.next()?)))
            .filter(|(pid, inode)| {
                *inode == number && *pid != scene.child(1).to_string()
            })
            .map(|(pid, _)| pid)
            .collect();
        assert_eq!(holders, [scene.pids[0].to_string()], "{text}");
    }
}

#[test]
fn a_lock_that_outlived_the_process_that_took_it_is_told() {
    // As flock(1) does it for its shell.
    let Some(scene) = scene(
        "f = os.open('L', os.O_RDWR | os.O_CREAT)\n\
         if os.fork() == 0: fcntl.flock(f, fcntl.LOCK_EX); os._exit(0)\n\
         os.wait()\ng = os.open('L', os.O_RDWR)\n\
         child(lambda: (os.close(f), fcntl.flock(g, fcntl.LOCK_EX)))\n\
         ready()\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("one waits for it", |map| sleeps(map, scene.child(0), "flock"));
    let told = remarks(&map, "lock-inherited");
    let waits = format!(" {} waits for the lock of ", scene.child(0));
    let of = format!(" {} (inherited from a process that has ended)", scene.pids[0]);
    assert!(told.len() == 1, "{map:#}");
    assert!(told[0].contains(&waits) && told[0].ends_with(&of), "{told:?}");
}

#[test]
fn two_that_open_two_fifos_in_two_orders_are_a_possible_deadlock() {
    let Some(scene) = scene(
        "os.mkfifo('a'); os.mkfifo('b')\n\
         child(lambda: os.open('a', os.O_RDONLY))\n\
         child(lambda: os.open('b', os.O_WRONLY))\nready()\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both sleep in open", |map| {
        remarks(map, "open-waits").len() == 2 && !cycles(map).is_empty()
    });
    let told = remarks(&map, "open-waits").join("; ");
    assert!(told.contains("for reading: nobody has it open for writing"), "{told}");
    assert!(told.contains("for writing: nobody has it open for reading"), "{told}");
    let mut both = scene.pids[1..].to_vec();
    both.sort_unstable();
    assert_eq!(cycles(&map), [("possible".to_owned(), both)]);
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
    assert!(remarks(&map, "write-end-held").is_empty());
}

#[test]
fn two_that_read_from_each_other_by_tcp_are_a_deadlock() {
    let Some(scene) = scene(
        "s = socket.create_server(('127.0.0.1', 0))\n\
         a = socket.create_connection(s.getsockname()); b = s.accept()[0]; s.close()\n\
         child(lambda: (b.close(), a.recv(1))); child(lambda: (a.close(), b.recv(1)))\n\
         a.close(); b.close()\nready()\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both read", |map| !cycles(map).is_empty());
    let mut both = scene.pids[1..].to_vec();
    both.sort_unstable();
    assert_eq!(cycles(&map), [("deadlock".to_owned(), both)]);
    let text = map["cycles"][0]["text"].as_str().unwrap();
    assert!(text.contains("TCP socket 127.0.0.1:"), "{text}");
}

#[test]
fn two_that_receive_from_each_others_posix_queue_are_a_deadlock() {
    let Some(scene) = scene(
        "class Attr(ctypes.Structure): _fields_ = [('all', ctypes.c_long * 8)]\n\
         attr = Attr(); attr.all[1] = 5; attr.all[2] = 64\n\
         names = [b'/ipclab-map-%d-%d' % (os.getpid(), n) for n in range(2)]\n\
         fds = [[libc.mq_open(n, f | os.O_CREAT, 0o600, ctypes.byref(attr))\n\
             for f in (os.O_RDONLY, os.O_WRONLY)] for n in names]\n\
         [libc.mq_unlink(n) for n in names]\nassert min(map(min, fds)) >= 0\n\
         def one(i):\n    r, w = fds[i][0], fds[1 - i][1]\n    close_all_but(r, w)\n    \
             libc.mq_receive(r, ctypes.create_string_buffer(64), 64, None)\n\
         child(lambda: one(0)); child(lambda: one(1))\nclose_all_but()\nready()\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both receive", |map| !cycles(map).is_empty());
    let mut both = scene.pids[1..].to_vec();
    both.sort_unstable();
    assert_eq!(cycles(&map), [("deadlock".to_owned(), both)]);
    assert_eq!(objects(&map, "posix-queue").len(), 2);
}

#[test]
fn two_that_receive_from_each_others_system_v_queue_are_a_possible_deadlock() {
    let Some(scene) = scene(
        "q = [libc.msgget(0, 0o600) for _ in range(2)]\n\
         buf = ctypes.create_string_buffer(64)\n\
         def one(i):\n    libc.msgsnd(q[1 - i], struct.pack('l', 1) + b'abcd', 4, 0)\n    \
             libc.msgrcv(q[i], buf, 56, 0, 0); libc.msgrcv(q[i], buf, 56, 0, 0)\n\
         child(lambda: one(0)); child(lambda: one(1))\nready(*q)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("both receive", |map| !cycles(map).is_empty());
    let mut both = scene.pids[1..].to_vec();
    both.sort_unstable();
    // Any process may send: the kernel notes only who did so last.
    assert_eq!(cycles(&map), [("possible".to_owned(), both)]);
    assert!(scene.text().contains(" used it last"));
    scene.names.iter().for_each(|id| remove("-q", id));
}

#[test]
fn without_the_right_to_ptrace_the_kernels_function_tells_who_sleeps() {
    if !nix::unistd::geteuid().is_root() {
        skip("mounting needs root");
        return;
    }
    let Some(scene) = scene(
        "r, w = os.pipe()\nchild(lambda: (os.close(w), os.read(r, 1)))\nos.close(r)\n\
         ready(w)\nforever()",
    ) else {
        return;
    };
    let child = scene.child(0);
    scene.map("the child reads", |map| sleeps(map, child, "read"));
    // What Yama's ptrace_scope forbids is this file, and the memory: a reader gets an error.
    let task = format!("/proc/{child}/task/{child}/syscall");
    let script = format!(
        "mount --bind /proc/$$/mem {task} && exec \"$0\" map {child} {} --json",
        scene.pids[0]
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).arg(support::program());
    let outcome = support::run(command, support::Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let map: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert!(sleeps(&map, child, "read"), "{map:#}");
    let pipe = behind(&map, scene.pids[0], scene.names[0].parse().unwrap());
    let processes = map["processes"].as_array().unwrap();
    let process = processes.iter().find(|it| it["pid"] == child).unwrap();
    assert_eq!(process["asleep"][0]["waits"][0]["object"], pipe["id"]);
    let not_seen = map["not_looked_into"].to_string();
    assert!(not_seen.contains("ptrace is refused"), "{not_seen}");
}

#[test]
fn what_is_in_flight_alone_is_in_no_list_of_descriptors() {
    let Some(scene) = scene(
        "a, b = socket.socketpair()\nr, w = os.pipe()\n\
         socket.send_fds(a, [b'x'], [w])\nos.close(w)\n\
         child(lambda: (a.close(), b.close(), os.read(r, 1)))\n\
         ready(a.fileno(), r, os.fstat(r).st_ino)\nforever()",
    ) else {
        return;
    };
    let map =
        scene.map("the child reads", |map| sleeps(map, scene.child(0), "read"));
    let [socket, r, inode] =
        [0, 1, 2].map(|at| scene.names[at].parse::<i64>().unwrap());
    // No process has the write end, and there is no end of file. lsof and lsfd have the two read
    // ends and leave it at that; the map tells where the third descriptor is.
    let pipe = behind(&map, scene.pids[0], r);
    assert!(holders(pipe).iter().all(|it| it["write"] == false), "{pipe:#}");
    let told = remarks(&map, "in-flight");
    assert!(told.len() == 1 && told[0].starts_with("1 descriptor"), "{told:?}");
    let pair = behind(&map, scene.pids[0], socket);
    let all = map["remarks"].as_array().unwrap();
    let told = all.iter().find(|remark| remark["about"] == "in-flight").unwrap();
    assert_eq!(told["object"], pair["id"]);
    if let Some(text) = other("lsof", &["-wnP", "-F", "pai"]) {
        let inode = format!("i{inode}");
        let lines: Vec<&str> = text.lines().collect();
        let those = (1..lines.len()).filter(|at| lines[*at] == inode);
        let modes: Vec<&str> = those.map(|at| lines[at - 1].trim()).collect();
        assert_eq!(modes, ["ar", "ar"], "lsof shows what is in flight");
    }
}
