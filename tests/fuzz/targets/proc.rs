//! Files of /proc, in which names are whatever somebody chose.

use crate::address::holder::{Protocol, open_to_all};
use os::process_identity;

/// A program's name; and a line of a table.
pub(crate) fn run(input: &[u8]) {
    let name = String::from_utf8_lossy(input);
    let fields = "S 1 2 3 4";
    let line = [b"4711 (", input, b") ", fields.as_bytes(), b"\n"].concat();
    assert_eq!(
        process_identity::after_name(&line).as_deref(),
        Some(fields),
        "{name:?}"
    );
    let _ = process_identity::after_name(input);
    if let Some((_, uid, inode)) = open_to_all(&name, Protocol::Tcp) {
        assert!(name.contains(uid) && name.contains(inode));
    }
}
