//! System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use std::mem::{size_of, zeroed};

use libc::{c_int, c_long};
use nix::errno::Errno;

/// `struct msgbuf`: a message's type, and its text.
#[derive(Debug)]
pub struct Msgbuf {
    /// The type, then the text, as the kernel wants them: aligned as a long is.
    words: Vec<c_long>,
    length: usize,
}

impl Msgbuf {
    /// An empty message with room for a text of `bytes` bytes.
    pub fn with_room(bytes: usize) -> Msgbuf {
        let words = vec![0; 1 + bytes.div_ceil(size_of::<c_long>())];
        Msgbuf { words, length: 0 }
    }

    /// Makes it the message `text` of the type `mtype`.
    ///
    /// # Panics
    /// When there is no room for so long a text.
    pub fn set(&mut self, mtype: c_long, text: &[u8]) {
        self.words[0] = mtype;
        self.room()[..text.len()].copy_from_slice(text);
        self.length = text.len();
    }

    /// The message's type.
    pub fn mtype(&self) -> c_long {
        self.words[0]
    }

    /// The message's text.
    pub fn text(&self) -> &[u8] {
        let text = self.words[1..].as_ptr().cast();
        // SAFETY: `length` bytes of `words` after the first, checked where it is set.
        unsafe { std::slice::from_raw_parts(text, self.length) }
    }

    fn room(&mut self) -> &mut [u8] {
        let words = &mut self.words[1..];
        let bytes = size_of_val(words);
        // SAFETY: the same memory, as bytes; any byte is a good byte of a long.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), bytes) }
    }
}

/// `msgget(key, flags)`: the identifier of the queue with this key.
///
/// # Errors
/// EEXIST, ENOENT, EACCES; ENOSPC at the limit msgmni.
pub fn msgget(key: i32, flags: c_int) -> nix::Result<i32> {
    // SAFETY: takes plain numbers.
    Errno::result(unsafe { libc::msgget(key, flags) })
}

/// `msgsnd(id, message, size, flags)`: adds a message; sleeps while the queue is full.
///
/// # Errors
/// EAGAIN under IPC_NOWAIT; EINTR, never restarted; EIDRM, EINVAL when there is no such
/// queue (any more), or the text is over msgmax.
pub fn msgsnd(id: i32, message: &Msgbuf, flags: c_int) -> nix::Result<()> {
    let (buffer, size) = (message.words.as_ptr(), message.length);
    // SAFETY: the type and `size` bytes of text after it; the size counts the text alone.
    Errno::result(unsafe { libc::msgsnd(id, buffer.cast(), size, flags) }).map(drop)
}

/// `msgrcv(id, message, size, select, flags)`: takes the oldest message that `select`
/// selects; sleeps while there is none. Returns the length of its text, in bytes.
///
/// # Errors
/// E2BIG when there is no room for it; ENOMSG under IPC_NOWAIT; EINTR, never restarted;
/// EIDRM, EINVAL when there is no such queue (any more).
pub fn msgrcv(
    id: i32,
    message: &mut Msgbuf,
    select: c_long,
    flags: c_int,
) -> nix::Result<usize> {
    message.length = 0;
    let size = message.room().len();
    let buffer = message.words.as_mut_ptr();
    // SAFETY: room for the type and `size` bytes of text after it.
    let n = unsafe { libc::msgrcv(id, buffer.cast(), size, select, flags) };
    message.length = Errno::result(n)? as usize;
    Ok(message.length)
}

/// `msgctl(id, IPC_STAT)`: what a queue is like now.
///
/// # Errors
/// EACCES; EIDRM, EINVAL when there is no such queue (any more).
pub fn msgstat(id: i32) -> nix::Result<libc::msqid_ds> {
    // SAFETY: an out-parameter of the right type.
    unsafe {
        let mut now: libc::msqid_ds = zeroed();
        match libc::msgctl(id, libc::IPC_STAT, &mut now) {
            -1 => Err(Errno::last()),
            _ => Ok(now),
        }
    }
}
