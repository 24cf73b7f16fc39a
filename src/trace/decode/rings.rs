//! Work that is handed to the kernel in heaps: io_uring and the older aio. What the entries
//! of a ring do is read and written in shared memory, where no call shows it.

use super::super::memory::i32_at;
use super::argument::{Arg, Cx, Names, hex, set};
use crate::event::Piece;

const SETUP: Names = &[
    (1 << 0, "IORING_SETUP_IOPOLL"),
    (1 << 1, "IORING_SETUP_SQPOLL"),
    (1 << 2, "IORING_SETUP_SQ_AFF"),
    (1 << 3, "IORING_SETUP_CQSIZE"),
    (1 << 4, "IORING_SETUP_CLAMP"),
    (1 << 5, "IORING_SETUP_ATTACH_WQ"),
    (1 << 6, "IORING_SETUP_R_DISABLED"),
    (1 << 7, "IORING_SETUP_SUBMIT_ALL"),
    (1 << 8, "IORING_SETUP_COOP_TASKRUN"),
    (1 << 9, "IORING_SETUP_TASKRUN_FLAG"),
    (1 << 10, "IORING_SETUP_SQE128"),
    (1 << 11, "IORING_SETUP_CQE32"),
    (1 << 12, "IORING_SETUP_SINGLE_ISSUER"),
    (1 << 13, "IORING_SETUP_DEFER_TASKRUN"),
    (1 << 14, "IORING_SETUP_NO_MMAP"),
    (1 << 15, "IORING_SETUP_REGISTERED_FD_ONLY"),
    (1 << 16, "IORING_SETUP_NO_SQARRAY"),
];
const ENTER: Names = &[
    (1, "IORING_ENTER_GETEVENTS"),
    (2, "IORING_ENTER_SQ_WAKEUP"),
    (4, "IORING_ENTER_SQ_WAIT"),
    (8, "IORING_ENTER_EXT_ARG"),
    (16, "IORING_ENTER_REGISTERED_RING"),
];
const REGISTER: Names = &[
    (0, "IORING_REGISTER_BUFFERS"),
    (1, "IORING_UNREGISTER_BUFFERS"),
    (2, "IORING_REGISTER_FILES"),
    (3, "IORING_UNREGISTER_FILES"),
    (4, "IORING_REGISTER_EVENTFD"),
    (5, "IORING_UNREGISTER_EVENTFD"),
    (6, "IORING_REGISTER_FILES_UPDATE"),
    (7, "IORING_REGISTER_EVENTFD_ASYNC"),
    (8, "IORING_REGISTER_PROBE"),
    (9, "IORING_REGISTER_PERSONALITY"),
    (10, "IORING_UNREGISTER_PERSONALITY"),
    (11, "IORING_REGISTER_RESTRICTIONS"),
    (12, "IORING_REGISTER_ENABLE_RINGS"),
    (13, "IORING_REGISTER_FILES2"),
    (14, "IORING_REGISTER_FILES_UPDATE2"),
    (15, "IORING_REGISTER_BUFFERS2"),
    (16, "IORING_REGISTER_BUFFERS_UPDATE"),
    (17, "IORING_REGISTER_IOWQ_AFF"),
    (18, "IORING_UNREGISTER_IOWQ_AFF"),
    (19, "IORING_REGISTER_IOWQ_MAX_WORKERS"),
    (20, "IORING_REGISTER_RING_FDS"),
    (21, "IORING_UNREGISTER_RING_FDS"),
    (22, "IORING_REGISTER_PBUF_RING"),
    (23, "IORING_UNREGISTER_PBUF_RING"),
    (24, "IORING_REGISTER_SYNC_CANCEL"),
    (25, "IORING_REGISTER_FILE_ALLOC_RANGE"),
];

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, Before, Fd, Hex, Set, Size, Word};
    const LONG: Arg = Before(super::files::long);
    Some(match name {
        "io_uring_setup" => &[Size, Before(parameters)],
        "io_uring_enter" => &[Fd, Size, Size, Set(ENTER), Hex, Size],
        "io_uring_register" => &[Fd, Word(REGISTER), Hex, Size],
        "io_setup" => &[Size, After(context)],
        "io_destroy" => &[Hex],
        "io_submit" => &[Hex, LONG, Hex],
        "io_cancel" => &[Hex, Hex, Hex],
        "io_getevents" => &[Hex, LONG, LONG, Hex, Before(super::data::timespec)],
        "io_pgetevents" => {
            &[Hex, LONG, LONG, Hex, Before(super::data::timespec), Hex]
        }
        _ => return None,
    })
}

/// `struct io_uring_params`: its flags.
fn parameters(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.memory().array::<12>(cx.args[index]) {
        Some(bytes) => {
            let flags = i32_at(&bytes, 8) as u32;
            Piece::text(format!("{{{}}}", set(u64::from(flags), SETUP)))
        }
        None => hex(cx.args[index]),
    }
}

fn context(cx: &mut Cx<'_>, index: usize) -> Piece {
    match cx.memory().u64(cx.args[index]) {
        Some(context) => Piece::text(format!("[{context:#x}]")),
        None => hex(cx.args[index]),
    }
}
