//! rustix passes descriptors, since it closes those that are not taken out of its buffer. The
//! rest of the program has the error numbers of nix.

/// The same error number, as nix has it.
pub(super) fn nix_errno(error: rustix::io::Errno) -> nix::errno::Errno {
    nix::errno::Errno::from_raw(error.raw_os_error())
}
