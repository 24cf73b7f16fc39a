//! Nothing but a build script (build.rs): it stops a build for another system. The crates that
//! depend on no other of ipclab's depend on this one, so that it comes first.
