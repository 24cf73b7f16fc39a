//! `ipclab map`, what of all is shown, and how: selection, commands, text, picture, `--watch`.

use std::time::{Duration, Instant};

mod map_scenes;
mod support;

use map_scenes::{
    behind, cycles, held, holders, ipclab_map, named, objects, other, scene, sleeps,
    until_map,
};
use support::{have, offers, skip};

#[test]
fn another_users_processes_are_listed_as_not_looked_into() {
    if !offers("fdpass", "other-user") {
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
    let pid = scene.pids[0];
    let map = until_map(&[&pid.to_string()], "it is there", |_| true);
    // lsof is wrong: it takes the name's bracket for the end of the name, and leaves the process
    // out.
    if let Some(text) = other("lsof", &["-wnP", "-p", &pid.to_string(), "-F", "pf"])
    {
        assert!(!text.contains(&format!("p{pid}")), "lsof was mended: {text}");
    }
    assert_eq!(behind(&map, pid, scene.names[0].parse().unwrap())["kind"], "fifo");
    assert_eq!(behind(&map, pid, scene.names[1].parse().unwrap())["kind"], "unix");
    let memfd = behind(&map, pid, scene.names[2].parse().unwrap());
    assert!(holders(memfd).iter().any(|it| it["mapped"] == true), "{memfd:#}");
    let text = scene.text();
    assert!(
        !text.contains('\x1b') && text.contains("a\\n\\x1b[2J) Z \\xff"),
        "{text}"
    );
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

#[test]
fn a_picture_is_xml_with_a_title_for_each_box_and_line() {
    let Some(scene) = scene(
        "p = [os.pipe() for _ in range(2)]\n\
         def one(r, w): close_all_but(r, w); os.read(r, 1)\n\
         child(lambda: one(p[0][0], p[1][1])); child(lambda: one(p[1][0], p[0][1]))\n\
         libc.prctl(15, b'<&\\x1b\\xff>')\nclose_all_but()\nready()\nforever()",
    ) else {
        return;
    };
    scene.map("both sleep", |map| !cycles(map).is_empty());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("map.svg");
    let pids: Vec<String> = scene.pids.iter().map(i64::to_string).collect();
    let mut words: Vec<&str> = pids.iter().map(String::as_str).collect();
    words.extend(["--svg", file.to_str().unwrap()]);
    assert!(ipclab_map(&words).status.success());
    let text = std::fs::read_to_string(file).unwrap();
    let tree = roxmltree::Document::parse(&text).unwrap();
    for group in tree.descendants().filter(|it| it.has_tag_name("g")) {
        let titles = group.children().filter(|it| it.has_tag_name("title"));
        assert_eq!(titles.count(), 1, "{group:?}");
    }
    // They play no role.
    let boxes =
        tree.descendants().filter(|it| it.attribute("class") == Some("box l"));
    assert!(boxes.count() >= 3, "{text}");
    assert!(tree.descendants().any(|it| it.has_tag_name("desc")));
    // No program but browsers knows the style sheet's colours.
    for node in tree.descendants().filter(|it| it.has_tag_name("text")) {
        assert!(node.has_attribute("fill"), "{node:?}");
    }
    assert!(text.contains("deadlock"));
}

#[test]
fn what_comes_and_goes_is_told_every_second() {
    let Some(scene) = scene(
        "import signal\nr, w = os.pipe()\n\
         def more(*_): globals().update(x=os.dup(w))\n\
         signal.signal(signal.SIGUSR1, more)\nready(w)\nforever()",
    ) else {
        return;
    };
    let mut command = std::process::Command::new(support::program());
    command.args(["map", "--watch", &scene.pids[0].to_string()]);
    let watch =
        support::RoleProcess::start("watch", command, support::Input::Nothing)
            .unwrap();
    watch.wait_for_output(b"close-on-exec", support::deadline()).unwrap();
    let pid = nix::unistd::Pid::from_raw(scene.pids[0] as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).unwrap();
    watch.wait_for_output(b"+ python", support::deadline()).unwrap();
    let end =
        watch.stop(nix::sys::signal::Signal::SIGINT, support::deadline()).unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(end.status.signal(), Some(libc::SIGINT), "{}", end.stderr);
    let said = String::from_utf8(end.stdout).unwrap();
    assert!(said.contains(" holds pipe "), "{said}");
}

#[test]
fn without_arguments_it_is_this_terminals_processes() {
    // The terminal's end ends them both: SIGHUP. Until execve(2) they have the shell's name.
    let script = "sleep 100 | sleep 100 & \
                  until map=$(\"$0\" map) && case \"$map\" in \
                  (*'─▶ sleep'*'◀─ sleep'*|*'◀─ sleep'*'─▶ sleep'*) ;; (*) false ;; esac; \
                  do :; done; echo \"$map\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).arg(support::program()).current_dir("/");
    let Some(terminal) = support::terminal::Terminal::of(&command) else { return };
    let (_, said) = terminal.ends();
    let both = |pipe: &str| pipe.contains("─▶ sleep") && pipe.contains("◀─ sleep");
    assert!(said.split("\npipe ").any(both), "{said}");
}

#[test]
fn what_proc_hides_is_said() {
    if !nix::unistd::geteuid().is_root() {
        skip("mounting needs root");
        return;
    }
    let opened = std::fs::File::open(support::program()).unwrap();
    // A /proc of a PID namespace of its own: the options are no other's.
    let script = "mount -t proc -o hidepid=2 proc /proc || exit 9; sleep 1000 & \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups /dev/fd/3 map \
                  --all --json";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "-p", "-f", "--kill-child", "sh", "-c", script]);
    os::spawn::give(&mut command, opened.into(), 3).unwrap();
    let outcome = support::run(command, support::Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let map: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let not_seen = map["not_looked_into"].to_string();
    assert!(not_seen.contains("hidepid"), "{not_seen}");
}

#[test]
fn lsof_has_the_same_holders_of_a_pipe() {
    let Some(scene) = scene(
        "r, w = os.pipe()\nchild(forever); child(forever)\nready(r, w)\nforever()",
    ) else {
        return;
    };
    let map = scene.map("all sleep", |map| sleeps(map, scene.child(1), "nanosleep"));
    let w = scene.names[1].parse::<i64>().unwrap();
    let pipe = behind(&map, scene.pids[0], w);
    let inode = pipe["id"].as_str().unwrap().rsplit(':').next().unwrap();
    let pids: Vec<String> = scene.pids.iter().map(i64::to_string).collect();
    let Some(text) = other("lsof", &["-Fpfi", "-p", &pids.join(",")]) else {
        return;
    };
    let (mut pid, mut fd, mut all) = (0, 0, Vec::new());
    for line in text.lines() {
        match line.split_at_checked(1) {
            Some(("p", number)) => pid = number.parse().unwrap(),
            Some(("f", number)) => fd = number.parse().unwrap_or(-1),
            Some(("i", number)) if number == inode => all.push((pid, fd)),
            _ => {}
        }
    }
    all.sort_unstable();
    let ours: Vec<(i64, i64)> =
        held(pipe).into_iter().map(|(pid, fd, _)| (pid, fd.unwrap())).collect();
    assert_eq!(all, ours);
}

/// The picture of two roles of a chapter, once each sleeps in its call.
fn picture_of_roles(
    subject: &support::Subject,
    chapter: &str,
    roles: [(&str, &str); 2],
    shown: &str,
) -> String {
    let running = roles.map(|(role, _)| {
        let mut command = support::ipclab(subject, &[chapter, role]);
        command.arg("-q");
        // It sleeps in reading what never comes.
        let input = support::Input::Open;
        let running = support::RoleProcess::start(role, command, input).unwrap();
        let pid = running.pid().as_raw();
        let has_begun = |map: &serde_json::Value| {
            let all = map["processes"].as_array().unwrap();
            all.iter().any(|it| it["pid"] == pid && it["role"] == role)
                && sleeps(map, pid.into(), "")
        };
        until_map(&[&pid.to_string()], "it sleeps", has_begun);
        running
    });
    let pids = running.each_ref().map(|role| role.pid().to_string());
    until_map(&[&pids[0], &pids[1]], "both sleep", |map| {
        let mut all = running.iter().zip(roles);
        all.all(|(it, (_, call))| sleeps(map, it.pid().as_raw().into(), call))
    });
    let file = subject.dir().join("picture.svg");
    let deadline = Instant::now() + Duration::from_secs(60);
    // A ring's receiver wakes now and then, to look whether its peer lives.
    let both_sleep = |picture: &str| {
        let asleep =
            |role: &str, n| picture.contains(&format!("{role} {n} (asleep"));
        roles.iter().all(|(role, _)| asleep(role, 1) || asleep(role, 2))
    };
    let picture = loop {
        let mut command = support::ipclab(subject, &["map", "--plain-ids"]);
        command.args(shown.split(' ')).args(&pids);
        command.arg("--svg").arg(&file);
        let outcome = support::run(command, support::Input::Nothing);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let picture = std::fs::read_to_string(&file).unwrap();
        if both_sleep(&picture) {
            break picture;
        }
        assert!(Instant::now() < deadline, "{picture}");
    };
    std::fs::remove_file(file).unwrap();
    picture
}

#[test]
fn two_pictures_of_one_scene_are_equal() {
    for (chapter, roles, shown) in [
        ("fifo", [("receiver", "read"), ("sender", "read")], "--only fifo"),
        ("unix", [("server", "recvfrom"), ("client", "poll")], "--only unix"),
        ("shm", [("receiver", "futex"), ("sender", "read")], "--only segment"),
        (
            "sysvmq",
            [("sender", "read"), ("receiver", "msgrcv")],
            "--only sysv-queue",
        ),
        (
            "eventfd",
            [("waiter", "epoll_pwait"), ("notifier", "read")],
            "--only eventfd",
        ),
        (
            "mmap",
            [("receiver", "futex"), ("sender", "read")],
            "--only file --named mmap",
        ),
    ] {
        let subject = support::subject(chapter);
        let picture = picture_of_roles(&subject, chapter, roles, shown);
        let again = picture_of_roles(&subject, chapter, roles, shown);
        assert_eq!(picture, again);
        for (role, _) in roles {
            assert!(picture.contains(role), "{role}: {picture}");
        }
        let tree = roxmltree::Document::parse(&picture).unwrap();
        let svg = tree.root_element();
        let width: f64 = svg.attribute("width").unwrap().parse().unwrap();
        let height: f64 = svg.attribute("height").unwrap().parse().unwrap();
        assert!(width <= 720.0 && height <= 300.0, "{width} × {height}");
        assert_eq!(svg.attribute("font-size"), Some("12"));
        nothing_is_outside(svg);
        // Nothing else is drawn: the lock that the roles meet at, their input and output.
        let classes = svg.descendants().filter_map(|it| it.attribute("class"));
        let boxes: Vec<_> = classes.filter(|it| it.starts_with("box")).collect();
        // Who waits is on the left, whoever began.
        assert_eq!(boxes, ["box c0", "box c1"], "{picture}");
        assert!(!picture.contains(".lock"), "{picture}");
        // Both roles were killed, and have left what they had made.
        let command = support::ipclab(&subject, &["clean", "--pending"]);
        support::run(command, support::Input::Nothing);
        subject.nothing_is_left().unwrap();
    }
}

#[test]
fn chosen_ports_are_counted() {
    let text = || {
        let scene = scene(
            "s = socket.create_server(('127.0.0.1', 0))\n\
             c = socket.create_connection(s.getsockname()); k = s.accept()[0]\n\
             s.close()\nready()\nforever()",
        )?;
        scene.map("it sleeps", |map| sleeps(map, scene.pids[0], "nanosleep"));
        let pid = scene.pids[0].to_string();
        let outcome = ipclab_map(&[&pid, "--plain-ids", "--only", "tcp"]);
        Some(String::from_utf8(outcome.stdout).unwrap())
    };
    let (Some(one), Some(other)) = (text(), text()) else { return };
    assert_eq!(one, other);
    assert!(one.contains("TCP socket 127.0.0.1:50001 and 127.0.0.1:50002"), "{one}");
}

/// Each text begins in the picture, and ends in it where a character is as wide as most fonts
/// have it.
fn nothing_is_outside(svg: roxmltree::Node) {
    let number = |node: &roxmltree::Node, name| -> f64 {
        node.attribute(name).unwrap().parse().unwrap()
    };
    let (width, height) = (number(&svg, "width"), number(&svg, "height"));
    for text in svg.descendants().filter(|it| it.has_tag_name("text")) {
        let (x, y) = (number(&text, "x"), number(&text, "y"));
        let words = text.text().unwrap_or_default();
        let end = x + textwrap::core::display_width(words) as f64 * 7.2;
        assert!(x >= 0.0 && end <= width, "{words}: {x} to {end}");
        assert!((12.0..height).contains(&y), "{words}: {y}");
    }
}

#[test]
fn what_changes_while_the_map_is_made_is_marked() {
    let Some(scene) = scene(
        "r, w = os.pipe()\n\
         def busy():\n    \
             while True: a = os.dup(r); b = os.dup(r); os.close(a); os.close(b)\n\
         child(busy)\nready()\nforever()",
    ) else {
        return;
    };
    let pids: Vec<String> = scene.pids.iter().map(i64::to_string).collect();
    let moves = |map: &serde_json::Value, pid: i64| {
        let all = map["processes"].as_array().unwrap();
        all.iter().any(|it| it["pid"] == pid && it["moving"] == true)
    };
    let map = until_map(&[&pids[0], &pids[1]], "the child moves", |map| {
        let pipes = objects(map, "pipe");
        moves(map, scene.child(0)) && pipes.iter().any(|it| it["moving"] == true)
    });
    assert!(!moves(&map, scene.pids[0]), "{map:#}");
}

#[test]
fn what_has_changed_since_a_map_was_saved_is_told() {
    let Some(scene) = scene(
        "import signal\nr, w = os.pipe()\n\
         def less(*_): os.close(r); os.write(1, b'closed')\n\
         signal.signal(signal.SIGUSR1, less)\nready(r, w)\nforever()",
    ) else {
        return;
    };
    let pid = scene.pids[0].to_string();
    scene.map("it sleeps", |map| sleeps(map, scene.pids[0], "nanosleep"));
    let dir = tempfile::tempdir().unwrap();
    let before = dir.path().join("before.json");
    let before = before.to_str().unwrap();
    let told = || {
        let outcome = ipclab_map(&[&pid, "--diff", before]);
        assert!(outcome.status.success(), "{}", outcome.stderr);
        String::from_utf8(outcome.stdout).unwrap()
    };
    // Between fork(2) and execve(2) another test's child has our end of the scene's pipe, too.
    support::until("nothing has changed", || {
        let saved = ipclab_map(&[&pid, "--json"]);
        std::fs::write(before, &saved.stdout).unwrap();
        told() == "Nothing has come or gone.\n"
    });
    let process = nix::unistd::Pid::from_raw(scene.pids[0] as i32);
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGUSR1).unwrap();
    let end = format!(": {}rc", scene.names[0]);
    support::until("it has closed the read end", || {
        let said = told();
        let mut gone = said.lines().filter(|line| line.starts_with("- "));
        gone.any(|line| line.contains(" holds pipe ") && line.ends_with(&end))
    });
    // What is no map is told as such.
    for text in ["", "{}", "{\"schema\": 99}"] {
        std::fs::write(before, text).unwrap();
        let outcome = ipclab_map(&[&pid, "--diff", before]);
        assert!(!outcome.status.success() && outcome.stdout.is_empty());
        assert!(outcome.stderr.contains("before.json"), "{}", outcome.stderr);
    }
}

#[test]
fn a_picture_that_finds_no_room_leaves_the_old_one() {
    if !nix::unistd::geteuid().is_root() {
        skip("mounting needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=4k tmpfs . && cd \"$PWD\" && printf old > map.svg && \
                  \"$0\" map $$ --svg map.svg > /dev/null; echo $?; cat map.svg; ls -A";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(support::program());
    command.current_dir(dir.path());
    let outcome = support::run(command, support::Input::Nothing);
    let said = String::from_utf8(outcome.stdout).unwrap();
    assert_eq!(said, "1\noldmap.svg\n", "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ENOSPC"), "{}", outcome.stderr);
}
