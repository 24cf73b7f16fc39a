//! Every call that this kernel has, by its name and with all its arguments.

use super::*;
use syscalls::Sysno;

/// How many arguments the kernel says that a call has.
fn arguments(tracefs: &Tracefs, name: &str) -> Option<usize> {
    // The kernel's own function is called otherwise.
    let function = match name {
        "fstat" => "newfstat",
        "stat" => "newstat",
        "lstat" => "newlstat",
        "uname" => "newuname",
        "sendfile" => "sendfile64",
        "umount2" => "umount",
        name => name,
    };
    let format = format!("events/syscalls/sys_enter_{function}/format");
    let text = std::fs::read_to_string(tracefs.dir.join(format)).ok()?;
    let offset = |line: &str| -> Option<u32> {
        line.split("offset:").nth(1)?.split(';').next()?.parse().ok()
    };
    // Before the arguments stand what all events have, and the call's number.
    let fields = text.lines().filter(|line| line.contains("field:"));
    Some(fields.filter_map(offset).filter(|offset| *offset >= 16).count())
}

#[test]
fn every_call_of_this_kernel_has_its_name_and_as_many_arguments_as_it_takes() {
    let Some(tracefs) = Tracefs::find() else { return };
    let subject = subject("fifo");
    let Some(program) = built(&subject, "calls.c") else { return };
    let events = events(&subject, &["--all", "--", program.to_str().unwrap(), "38"]);
    let refused: Vec<_> =
        events.iter().filter(|event| event["error"] == "ENOSYS").collect();
    let (mut compared, mut wrong) = (0, Vec::new());
    for event in &refused {
        let name = event["call"].as_str().unwrap();
        let shown = event["args"].as_array().unwrap().len();
        match (arguments(&tracefs, name), name) {
            // Without a device there is no number of one: a mode of -1 is none.
            (Some(2..), "mknod" | "mknodat") => {}
            (Some(takes), _) if takes != shown => {
                wrong.push(format!("{name}: {shown} of {takes}"));
            }
            (takes, _) => compared += usize::from(takes.is_some()),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 300, "only {compared} of {}", refused.len());
    // Those that the kernel names, and we do not.
    let named = |name: &str| refused.iter().any(|event| event["call"] == *name);
    let entries = std::fs::read_dir(tracefs.dir.join("events/syscalls")).unwrap();
    let unnamed: Vec<String> = entries
        .flatten()
        .filter_map(|e| {
            let name = e.file_name().into_string().ok()?;
            let name = name.strip_prefix("sys_enter_")?;
            let known = [
                "newfstat",
                "newstat",
                "newlstat",
                "newuname",
                "sendfile64",
                "umount",
                // They end who calls them without a probe.
                "uprobe",
                "uretprobe",
            ];
            (!known.contains(&name) && !named(name)).then(|| name.to_owned())
        })
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn rubbish_in_every_argument_and_struct_is_shown_and_ends_nobody() {
    let subject = subject("fifo");
    let Some(program) = built(&subject, "calls.c") else { return };
    let program = program.to_str().unwrap();
    for seed in 1..=6 {
        // Refused, and done: what comes out is read after a success alone.
        for error in ["22", "0"] {
            let seed = seed.to_string();
            let args = ["--json", "--all", "--", program, error, &seed, "6000"];
            let outcome = traced(&subject, &args);
            let told = format!("calls {error} {seed}: {}", outcome.stderr);
            assert_eq!(outcome.stderr, "ipclab: calls ended with exit status 7\n");
            assert!(read(&outcome).len() > 5900, "{told}");
        }
    }
}

#[test]
fn what_a_learner_of_ipc_meets_is_told_by_name() {
    let Some(python) = python() else { return };
    let subject = subject("fifo");
    let code = r#"
import ctypes, os, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
syscall = libc.syscall
def call(number, *args):
    return syscall(ctypes.c_long(number), *[a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in args])
how = struct.pack('QQQ', os.O_RDONLY | os.O_CLOEXEC, 0, 8)
call(openat2, -100, b'/', how, 24)
call(io_uring_setup, 4, ctypes.create_string_buffer(120))
call(close_range, 900, 2**32 - 1, 4)
call(pidfd_open, os.getpid(), 0)
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
text = ctypes.create_string_buffer(b'hello', 5)
iov = ctypes.create_string_buffer(struct.pack('QQ', ctypes.addressof(text), 5))
head = struct.pack('QIIQQQQI4xI4x', 0, 0, 0, ctypes.addressof(iov), 1, 0, 0, 0, 0)
call(sendmmsg, one.fileno(), ctypes.create_string_buffer(head * 2), 2, 0)
room = ctypes.create_string_buffer(64)
iov2 = ctypes.create_string_buffer(struct.pack('QQ', ctypes.addressof(room), 64))
head2 = struct.pack('QIIQQQQI4xI4x', 0, 0, 0, ctypes.addressof(iov2), 1, 0, 0, 0, 0)
call(recvmmsg, other.fileno(), ctypes.create_string_buffer(head2 * 2), 2, 0x40, 0)
event = ctypes.create_string_buffer(struct.pack('Qii', 0, signal.SIGUSR1, 0), 64)
call(mq_notify, 99, event)
time = ctypes.create_string_buffer(struct.pack('qqqq', 0, 0, 5, 500000000))
fd = call(timerfd_create, 1, 0)
call(timerfd_settime, fd, 0, time, 0)
call(process_vm_readv, os.getpid(), iov, 1, iov2, 1, 0)
"#;
    let numbers = [
        Sysno::openat2,
        Sysno::io_uring_setup,
        Sysno::close_range,
        Sysno::pidfd_open,
        Sysno::sendmmsg,
        Sysno::recvmmsg,
        Sysno::mq_notify,
        Sysno::timerfd_create,
        Sysno::timerfd_settime,
        Sysno::process_vm_readv,
    ];
    let numbers = numbers.map(|call| format!("{call} = {}\n", call.id())).concat();
    let code = &(numbers + code);
    let args = ["--all", "--width", "400", "--", python, "-c", code];
    let outcome = traced(&subject, &args);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    for wanted in [
        "openat2(AT_FDCWD, \"/\", {O_RDONLY|O_CLOEXEC, RESOLVE_BENEATH}, 24)",
        "io_uring_setup(4, {0}) = ",
        "close_range(900, 4294967295, CLOSE_RANGE_CLOEXEC) = 0",
        "[{[\"hello\"]}, {[\"hello\"]}], 2, 0) = 2",
        "2, MSG_DONTWAIT, NULL) = 2",
        "mq_notify(99, {SIGEV_SIGNAL, SIGUSR1}) = EBADF",
        "timerfd_create(CLOCK_MONOTONIC, 0) = ",
        "0, {5.5 s}, NULL) = 0",
        "[\"hello\"], 1, [64 at 0x",
    ] {
        assert!(text.contains(wanted), "no {wanted}: {text}");
    }
}
