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

/// Whether a path is the same on every machine, and so tells nothing of this one's users.
fn is_common(path: &str) -> bool {
    let path = path.trim_end_matches([',', ';', ':', '.', ')']);
    ["/dev/shm", "/dev/mqueue", "/proc", "/proc/self"].contains(&path)
        || ["/proc/self/", "/proc/sys/", "/sys/"]
            .iter()
            .any(|dir| path.starts_with(dir))
}

/// `text` without paths of the user's, and without the user's name.
fn without_names(text: &str) -> String {
    let user = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let named = |word: &str| {
        user.as_deref().is_some_and(|user| {
            word.split(|c: char| !c.is_alphanumeric()).any(|part| part == user)
        })
    };
    let words = text.split(' ').map(|word| match word.find('/') {
        Some(at) if !is_common(&word[at..]) => "...",
        _ if named(word) => "...",
        _ => word,
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
