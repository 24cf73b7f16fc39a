//! One type of error number. rustix passes descriptors: what nobody takes out of its buffer,
//! it closes. The rest of the program speaks of errors as nix does.

/// The same error number, as nix has it.
pub(super) fn nix_errno(error: rustix::io::Errno) -> nix::errno::Errno {
    nix::errno::Errno::from_raw(error.raw_os_error())
}
