//! What the object, its interface and the bus are called.

/// The object: where calls go, in whichever process has it.
pub const OBJECT: &str = "/org/ipclab/Board";

/// The interface: what it can be asked for. The 1 is its version.
pub const INTERFACE: &str = "org.ipclab.Board1";

/// The name that its connection owns on a bus, unless `--at` says otherwise.
pub const NAME: &str = "org.ipclab.Board";

/// The object that a bus itself is.
pub const DAEMON_OBJECT: &str = "/org/freedesktop/DBus";

/// The name at which the bus's own object is called.
pub const DAEMON: &str = "org.freedesktop.DBus";
