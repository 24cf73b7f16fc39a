//! Message queues.

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_send, mq_unlink};
use nix::sys::stat::Mode;

use crate::answer::Answer;
use crate::probe::Probe;
use os::mqueue::{mq_open, mq_receive};
use os::sysv::{Msgbuf, msgget, msgrcv, msgsnd};
use os::sysv_control;
use wire::meet::key_of;

/// POSIX.
pub static POSIX: Probe = Probe {
    name: "posix-queue",
    chapters: &["posixmq"],
    what: "a POSIX message queue (mq_open, mq_send, mq_receive, mq_unlink)",
    loses: "posixmq has no queue",
    necessary: true,
    experiments: &[],
    run: |place| {
        let name = place.kernel_name();
        // As the roles make it: the kernel's own sizes.
        let flags = MQ_OFlag::O_RDWR
            | MQ_OFlag::O_CREAT
            | MQ_OFlag::O_EXCL
            | MQ_OFlag::O_CLOEXEC
            | MQ_OFlag::O_NONBLOCK;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let ours = MqAttr::new(0, 10, 8192, 0);
        let made = mq_open(&name, flags, mode, Some(&ours));
        let (queue, whole) = match made {
            Ok(queue) => (queue, true),
            // RLIMIT_MSGQUEUE: the roles have no queue, either.
            Err(error @ Errno::EMFILE) => {
                return Ok(Answer::missing(format!(
                    "mq_open of 10 messages of 8,192 bytes: {error}"
                ))
                .cure("ulimit -q 819200, as root, raises RLIMIT_MSGQUEUE"));
            }
            Err(Errno::EINVAL | Errno::ENOMEM) => {
                let small = MqAttr::new(0, 1, 64, 0);
                let queue = mq_open(&name, flags, mode, Some(&small));
                (queue.context("mq_open")?, false)
            }
            Err(error) => Err(error).context("mq_open")?,
        };
        let used = use_queue(&queue);
        mq_unlink(name.as_str()).context("mq_unlink")?;
        used?;
        Ok(match whole {
            true => Answer::ok("a queue of 10 messages of 8,192 bytes"),
            false => Answer::limited(
                "a queue of 1 message of 64 bytes; one of 10 times 8,192 bytes is refused",
            )
            .cure("sysctl fs.mqueue.msg_max=10 fs.mqueue.msgsize_max=8192, as root"),
        })
    },
};

fn use_queue(queue: &os::mqueue::Queue) -> Result<()> {
    mq_send(queue, b"ping", 3).context("mq_send")?;
    let mut text = Vec::new();
    let priority = mq_receive(&**queue, &mut text, 8192).context("mq_receive")?;
    ensure!(text == b"ping" && priority == 3, "another message came out");
    Ok(())
}

/// System V.
pub static SYSV: Probe = Probe {
    name: "sysv-queue",
    chapters: &["sysvmq"],
    what: "a System V message queue (msgget, msgsnd, msgrcv, msgctl)",
    loses: "sysvmq has no queue",
    necessary: true,
    experiments: &[],
    run: |place| {
        with_queue(&place.kernel_name(), |id| {
            let mut message = Msgbuf::with_room(4);
            message.set(2, b"ping");
            msgsnd(id, &message, libc::IPC_NOWAIT).context("msgsnd")?;
            msgrcv(id, &mut message, 2, libc::IPC_NOWAIT).context("msgrcv")?;
            ensure!(message.text() == b"ping", "another message came out");
            Ok(Answer::ok("4 bytes went through it"))
        })
    },
};

/// Uses a queue that is removed afterwards.
pub(super) fn with_queue(
    name: &str,
    part: impl FnOnce(i32) -> Result<Answer>,
) -> Result<Answer> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    let id = msgget(key_of(name), flags).context("msgget")?;
    let answer = part(id);
    sysv_control::remove(id).context("msgctl")?;
    answer
}
