//! One block to paste into an issue: no user names, no paths of the user's.

use std::fmt::Write;

use super::answer::Mark;
use super::finding::Finding;
use super::text::sections;
use nix::unistd::{User, geteuid};

/// The block: what runs where, each section's marks, and what is not ok.
pub(crate) fn block(found: &[Finding], sentence: &str) -> String {
    let mut text = format!("```text\nipclab {}\n", env!("CARGO_PKG_VERSION"));
    let kernel = nix::sys::utsname::uname();
    let kernel = kernel.map_or(String::new(), |about| {
        format!(
            "{} {} {}",
            about.sysname().to_string_lossy(),
            about.release().to_string_lossy(),
            about.machine().to_string_lossy()
        )
    });
    let _ =
        writeln!(text, "kernel: {kernel}; C library: {}", os::calls::c_library());
    for (name, section) in sections(found, None) {
        let marks: Vec<String> = section
            .iter()
            .filter(|one| one.mark != Mark::Ok)
            .map(|one| match one.mark {
                Mark::Limited => format!("limited {}", one.name),
                _ => format!("missing {}", one.name),
            })
            .collect();
        let marks =
            if marks.is_empty() { "ok".to_owned() } else { marks.join(", ") };
        let _ = writeln!(text, "{name}: {marks}");
    }
    for one in found.iter().filter(|one| one.mark != Mark::Ok) {
        let _ = writeln!(text, "{}: {}", one.name, without_names(&one.found));
    }
    for one in
        found.iter().filter(|one| one.chapters.is_empty() && one.took_us.is_none())
    {
        if one.mark == Mark::Ok {
            let _ = writeln!(text, "{}: {}", one.name, without_names(&one.found));
        }
    }
    let _ = writeln!(text, "{}\n```", sentence.replace(['✓', '✗'], "x"));
    text
}

/// The directories whose names are the same everywhere.
const COMMON: [&str; 4] = ["/dev", "/proc", "/sys", "/etc"];

/// `text` without paths of the user's, and without the user's name.
fn without_names(text: &str) -> String {
    let user = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let home = std::env::var("HOME").unwrap_or_default();
    let text =
        if home.len() > 1 { text.replace(&home, "...") } else { text.to_owned() };
    let words = text.split(' ').map(|word| {
        let path = word.find('/').map(|at| &word[at..]);
        let is_common = |path: &str| {
            COMMON
                .iter()
                .any(|dir| path == *dir || path.starts_with(&format!("{dir}/")))
        };
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        match path {
            Some(path) if !is_common(path) => "...".to_owned(),
            _ if user.as_deref() == Some(bare) => "...".to_owned(),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_users_is_left_out_and_one_of_the_systems_stays() {
        assert_eq!(
            without_names(
                "mkdir in /tmp/ipclab-0/x: EACCES; see /proc/self, /dev/shm"
            ),
            "mkdir in ... EACCES; see /proc/self, /dev/shm"
        );
    }
}
