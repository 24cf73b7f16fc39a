//! A solution and what the learner begins with, in one text.
//!
//! Between a line `//[` and a line `//]` (`#[` and `#]` in Python) stands what only the solution
//! has. A line that begins with `//|` (`#|`) is for the beginning alone, where it stands without
//! these characters.

use bare::Language;

fn comment(language: Language) -> &'static str {
    match language {
        Language::Python => "#",
        Language::Rust | Language::C => "//",
    }
}

/// The line behind this mark, with its indentation, if it has the mark.
fn marked<'a>(line: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let text = line.trim_start();
    Some((&line[..line.len() - text.len()], text.strip_prefix(mark)?))
}

/// What the learner begins with.
pub fn beginning(text: &str, language: Language) -> String {
    pick(text, language, true)
}

/// The solution.
pub fn solution(text: &str, language: Language) -> String {
    pick(text, language, false)
}

fn pick(text: &str, language: Language, beginning: bool) -> String {
    let comment = comment(language);
    let [open, close, only] = ["[", "]", "|"].map(|mark| format!("{comment}{mark}"));
    let (mut picked, mut inside) = (String::new(), false);
    for line in text.lines() {
        if line.trim() == open {
            inside = true;
        } else if line.trim() == close {
            inside = false;
        } else if let Some((indentation, rest)) = marked(line, &only) {
            if beginning {
                let rest = rest.strip_prefix(' ').unwrap_or(rest);
                picked += format!("{indentation}{rest}").trim_end();
                picked.push('\n');
            }
        } else if !(beginning && inside) {
            picked += line;
            picked.push('\n');
        }
    }
    picked
}

/// `text` with each part replaced.
///
/// # Errors
/// Naming a part that does not stand in it exactly once.
pub fn edited(text: &str, edits: &[(&str, &str)]) -> Result<String, String> {
    let mut text = text.to_owned();
    for (from, to) in edits {
        if text.matches(from).count() != 1 {
            return Err(format!("{from:?} does not stand in it exactly once"));
        }
        text = text.replacen(from, to, 1);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_solution_are_told_apart() {
        let text = "a\n  //[\n  b\n  //]\n  //| c\nd\n";
        assert_eq!(beginning(text, Language::C), "a\n  c\nd\n");
        assert_eq!(solution(text, Language::C), "a\n  b\nd\n");
        let text = "#[\nb\n#]\n#| c\n";
        assert_eq!(beginning(text, Language::Python), "c\n");
        assert_eq!(solution(text, Language::Python), "b\n");
        assert!(edited("x x", &[("x", "y")]).is_err());
        assert_eq!(edited("x z", &[("x", "y")]).unwrap(), "y z");
    }
}
