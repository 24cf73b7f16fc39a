//! The C library's standard output, with the buffer that it has.

use std::ffi::CStr;

/// `puts(text)`: the text and a newline, into the buffer; when that is written, stdio(3) decides.
///
/// # Errors
/// As write(2), if it writes at once.
pub fn puts(text: &CStr) -> nix::Result<()> {
    // SAFETY: it ends with a zero.
    nix::errno::Errno::result(unsafe { libc::puts(text.as_ptr()) }).map(drop)
}

/// `fflush(NULL)`: writes what is in the buffers.
///
/// # Errors
/// As write(2).
pub fn flush() -> nix::Result<()> {
    // SAFETY: without a stream it means all.
    nix::errno::Errno::result(unsafe { libc::fflush(std::ptr::null_mut()) })
        .map(drop)
}
