//! Who may read another process's memory: PTRACE_MODE_ATTACH_REALCREDS of ptrace(2).

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::unistd::getppid;

use super::{address, copy, drop_capabilities};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

pub(super) const NOT_DUMPABLE: Experiment = Experiment {
    name: "not-dumpable",
    title: "A process that wants no core dump",
    level: Level::Later,
    question: "A target has called prctl(PR_SET_DUMPABLE, 0): it has secrets, and is to \
               leave no core dump. Its own parent, of the same user and without \
               capabilities, calls process_vm_readv(2). What does the call return?",
    answers: &[
        wrong(
            "8: it may read its own child",
            "To be the parent helps where Yama restricts who may trace. It overrides no \
             other rule.",
        ),
        wrong(
            "-1: with ESRCH, as if it had gone",
            "The process is there, and the kernel does not hide it.",
        ),
        right(
            "-1: with EPERM, as for a stranger",
            "The flag says for whom the memory is: for this process, and for CAP_SYS_PTRACE. \
             No core dump, no ptrace(2), no look at /proc/PID/mem, and none of these calls.",
        ),
    ],
    kind: Kind::Kernel,
    run: not_dumpable,
    moral: "An agent that keeps keys sets PR_SET_DUMPABLE to 0. The kernel does it for set-user-ID \
            programs, and for those whose file may be executed and not read.",
    see: "prctl(2), PR_SET_DUMPABLE(2const), ptrace(2)",
    file: file!(),
    shows: &["not-dumpable"],
};

// ANCHOR: not-dumpable
fn not_dumpable(stage: &Stage) -> Result<usize> {
    let text = *b"a secret";
    let reader = stage.fork("reader", |stage| {
        drop_capabilities()?;
        let (go, done, never) = (stage.gate()?, stage.gate()?, stage.gate()?);
        let target = stage.fork("target", |stage| {
            go.pass()?;
            let set = set_dumpable(false);
            stage.call("prctl(PR_SET_DUMPABLE, 0)", &set);
            done.open(1)?;
            never.pass()
        })?;
        let mut bytes = [0; 8];
        let before = copy(target.pid(), &mut bytes, address(&text));
        stage.call("process_vm_readv(target, copy, 8)", &before);
        go.open(1)?;
        done.pass()?;
        let after = copy(target.pid(), &mut bytes, address(&text));
        stage.call("process_vm_readv(target, copy, 8)", &after);
        Ok((before.ok(), after.err().map(|error| error as i32)))
    })?;
    let (before, after) = reader.join()?;
    stage.saw("before", before);
    stage.saw("after", after.map(|error| Errno::from_raw(error).to_string()));
    match after.map(Errno::from_raw) {
        None => Ok(1),
        Some(Errno::ESRCH) => Ok(2),
        Some(Errno::EPERM) => Ok(3),
        Some(other) => bail!("{other}"),
    }
}
// ANCHOR_END: not-dumpable

pub(super) const FEWER_CAPABILITIES: Experiment = Experiment {
    name: "fewer-capabilities",
    title: "Two processes of root",
    level: Level::Deep,
    question: "Reader and target both have the user id 0. The target has root's \
               capabilities; the reader has given up all of its own, as a process in a \
               container may have. What does the reader get from process_vm_readv(2)?",
    answers: &[
        right(
            "EPERM, as a stranger would",
            "The user ids agree, and then the capabilities are compared: whoever reads must \
             have all that the target has. Else it could take them by writing.",
        ),
        wrong(
            "8 bytes, as they are of one user",
            "That is the first rule of three. Dumpable is the second, capabilities the third.",
        ),
        wrong(
            "0 bytes, as if none were there",
            "The call does not hide what it refuses: it fails.",
        ),
    ],
    kind: Kind::Needs(&needs::OTHER_USER),
    run: fewer_capabilities,
    moral: "gdb and strace in a container fail in the same way. CAP_SYS_PTRACE overrides all three \
            rules: `docker run --cap-add SYS_PTRACE`.",
    see: "ptrace(2), capabilities(7), user_namespaces(7)",
    file: file!(),
    shows: &["fewer-capabilities"],
};

// ANCHOR: fewer-capabilities
fn fewer_capabilities(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::OTHER_USER)?;
    let text = *b"8 bytes.";
    // The target is this process: the reader's parent, which has what root has.
    let reader = stage.fork("reader", |stage| {
        let copied = || copy(getppid(), &mut [0; 8], address(&text));
        let before = copied();
        stage.call("process_vm_readv(target, copy, 8)", &before);
        drop_capabilities()?;
        stage.event("reader", "gives up all capabilities");
        let after = copied();
        stage.call("process_vm_readv(target, copy, 8)", &after);
        Ok((before.ok(), after.map_err(|error| error as i32)))
    })?;
    let (before, after): (Option<usize>, Result<usize, i32>) = reader.join()?;
    let after = after.map_err(Errno::from_raw);
    stage.saw("before", before.context("process_vm_readv")?);
    stage.saw("after", after.err().map(|error| error.to_string()));
    match after {
        Err(Errno::EPERM) => Ok(1),
        Ok(8) => Ok(2),
        Ok(0) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: fewer-capabilities
