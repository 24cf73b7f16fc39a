//! Where meeting places lie and what they are called.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use super::Meets;
use crate::dirs;
use crate::errors::{Advise, usage};

/// The program as the user called it, quoted for a shell.
pub fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_else(|| "ipclab".into());
    quoted(&called.to_string_lossy())
}

/// The runtime directory that the user chose, by `IPCLAB_DIR`.
pub(super) fn chosen_dir() -> Option<OsString> {
    dirs::set("IPCLAB_DIR")
}

/// `$IPCLAB_DIR`, else `$XDG_RUNTIME_DIR/ipclab`, else `/tmp/ipclab-UID`.
pub fn runtime_dir() -> PathBuf {
    dirs::runtime()
}

/// The System V key of a kernel name: its 31-bit FNV-1a hash.
pub fn key_of(kernel_name: &str) -> i32 {
    let hash = fnv1a(kernel_name.as_bytes());
    ((hash ^ (hash >> 31)) & 0x7fff_ffff).max(1) as i32
}

/// How the names of our kernel objects begin: `/ipclab-UID-`, and under `IPCLAB_DIR`
/// eight hexadecimal digits of the directory's name as well.
pub fn kernel_prefix() -> String {
    kernel_prefix_of(chosen_dir().as_deref())
}

/// [`kernel_prefix`] as a process sees it that has this `IPCLAB_DIR`.
pub fn kernel_prefix_of(dir: Option<&OsStr>) -> String {
    let uid = geteuid();
    match dir {
        None => format!("/ipclab-{uid}-"),
        Some(dir) => {
            let hash = fnv1a(dir.as_encoded_bytes());
            format!("/ipclab-{uid}-{:08x}-", (hash ^ (hash >> 32)) as u32)
        }
    }
}

pub(super) fn make_runtime_dir(dir: &Path) -> Result<()> {
    let shown = dir.display();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let about = match (std::fs::symlink_metadata(dir), made) {
        (Ok(about), _) => about,
        (Err(_), Err(error)) => {
            return Err(error)
                .with_context(|| format!("mkdir {shown}"))
                .advise(|_| Some("set IPCLAB_DIR to a directory of yours"));
        }
        (Err(error), Ok(())) => {
            return Err(error).with_context(|| format!("stat {shown}"));
        }
    };
    let refuse = |why: String| {
        Err(anyhow::anyhow!("{shown} {why}"))
            .advise(|_| Some("set IPCLAB_DIR to a directory of yours alone"))
    };
    if !about.is_dir() {
        return refuse("is not a directory, or is a link to one".into());
    }
    if about.uid() != geteuid().as_raw() {
        return refuse(format!("belongs to uid {}", about.uid()));
    }
    if about.mode() & 0o022 != 0 {
        let mode = about.mode() & 0o7777;
        return refuse(format!("may be written by others (mode {mode:04o})"));
    }
    Ok(())
}

pub(super) fn check_name(meets: Meets, name: &str) -> Result<()> {
    let bare = match meets {
        Meets::Kernel => name.strip_prefix('/').unwrap_or(name),
        _ => name,
    };
    let bad = match meets {
        Meets::Path => {
            name.is_empty() || name.ends_with('/') || name.ends_with("/..")
        }
        Meets::Kernel => bare.is_empty() || bare.contains('/') || bare.len() > 200,
        Meets::Address | Meets::Nowhere | Meets::World => name.is_empty(),
    };
    if bad || name.contains(['\0', '\n']) || matches!(bare, "." | "..") {
        return Err(usage(format!("--at {}: not a name", quoted(name))));
    }
    Ok(())
}

/// `path` with `suffix` after its last component.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A word as a shell would take it.
///
/// ```
/// use ipclab::wire::meet::quoted;
/// assert_eq!(quoted("fifo"), "fifo");
/// assert_eq!(quoted("my fifo"), "'my fifo'");
/// ```
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
