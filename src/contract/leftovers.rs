//! What a run may leave behind: nothing.

use std::path::Path;

use anyhow::{Context, Result};

use os::names::queue_exists;
use wire::meet::{kernel_prefix_of, key_of};

/// What of ours is in a runtime directory, and what kernel objects of these chapters go
/// with it.
///
/// # Errors
/// When /proc or the directory cannot be read.
pub fn left_behind(dir: &Path, chapters: &[&str]) -> Result<Vec<String>> {
    let mut left = names_in(dir)?;
    let prefix = kernel_prefix_of(Some(dir.as_os_str()));
    let prefix = prefix.trim_start_matches('/');
    for dir in ["/dev/shm", "/dev/mqueue"] {
        let names = names_in(Path::new(dir)).unwrap_or_default();
        // A POSIX semaphore's file is called `sem.` and its name (sem_overview(7)).
        let ours = |name: &String| {
            name.strip_prefix("sem.").unwrap_or(name).starts_with(prefix)
        };
        left.extend(names.into_iter().filter(ours));
    }
    for chapter in chapters {
        let name = format!("/{prefix}{chapter}");
        if queue_exists(&name) {
            left.push(format!("the queue {name}"));
        }
        let key = key_of(&name);
        for table in ["msg", "shm", "sem"] {
            if sysv_keys(table)?.contains(&key) {
                left.push(format!("the System V {table} with key {key:#x}"));
            }
        }
    }
    Ok(left)
}

fn names_in(dir: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("readdir {}", dir.display()))?;
    Ok(entries
        .filter_map(|entry| {
            Some(entry.ok()?.file_name().to_string_lossy().into_owned())
        })
        .collect())
}

fn sysv_keys(table: &str) -> Result<Vec<i32>> {
    let path = format!("/proc/sysvipc/{table}");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let first = |line: &str| line.split_whitespace().next()?.parse().ok();
    Ok(text.lines().skip(1).filter_map(first).collect())
}
