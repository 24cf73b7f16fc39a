//! The picture, for those who know no style sheet's variables, and the numbers of arrows.

use super::*;

fn picture(subject: &Subject, args: &[&str]) -> (std::path::PathBuf, String) {
    let file = subject.dir().join("picture.svg");
    let args = [&["--svg", file.to_str().unwrap()], args].concat();
    let outcome = traced(subject, &args);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let text = std::fs::read_to_string(&file).unwrap();
    (file, text)
}

#[test]
fn every_element_says_its_colours_without_a_variable() {
    for chapter in ["fifo", "fdpass", "shm", "signal"] {
        let subject = subject(chapter);
        let (_, text) = picture(&subject, &[chapter]);
        let parsed = roxmltree::Document::parse(&text).expect("well-formed");
        let mut seen = std::collections::BTreeSet::new();
        for node in parsed.descendants().filter(roxmltree::Node::is_element) {
            let plain = |name: &str| {
                let value = node.attribute(name).unwrap_or_else(|| panic!("no {name}: {node:?}"));
                assert!(value == "none" || value.starts_with('#'), "{name}={value}");
                value.to_owned()
            };
            match node.tag_name().name() {
                "text" | "tspan" => drop(plain("fill")),
                "line" => drop(plain("stroke")),
                "path" if node.attribute("class") == Some("a") => {
                    assert_eq!(plain("fill"), "none");
                    assert_ne!(plain("stroke"), "none");
                }
                "path" => assert_ne!(plain("fill"), "none"),
                _ => continue,
            }
            seen.insert(node.tag_name().name());
        }
        assert_eq!(seen.len(), 4, "{chapter}: {seen:?}");
        let root = parsed.root_element();
        let space = ("http://www.w3.org/XML/1998/namespace", "space");
        assert_eq!(root.attribute(space), Some("preserve"));
        assert!(root.attribute("height").is_some());
    }
}

#[test]
fn outside_of_a_browser_the_arrows_and_the_colours_are_there() {
    if !have("rsvg-convert") || !have("convert") {
        return;
    }
    let subject = subject("fifo");
    let (file, text) = picture(&subject, &["fifo"]);
    let arrows = text.matches(r#"class="a""#).count();
    assert!(arrows > 2);
    for (program, between) in [("rsvg-convert", "-o"), ("convert", "")] {
        let png = subject.dir().join("picture.png");
        let mut command = std::process::Command::new(program);
        command.arg(&file).args(Some(between).filter(|word| !word.is_empty())).arg(&png);
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{program}: {}", outcome.stderr);
        let mut colours = std::process::Command::new("convert");
        colours.arg(&png).args(["-depth", "8", "-format", "%c", "histogram:info:-"]);
        let outcome = run(colours, Input::Nothing);
        let table = String::from_utf8(outcome.stdout).unwrap();
        let pixels = |colour: &str| -> usize {
            let lines = table.lines().filter(|line| line.contains(colour));
            lines.filter_map(|line| line.trim().split(':').next()?.parse::<usize>().ok()).sum()
        };
        // Lines and heads; both lanes' names.
        assert!(pixels("#57606A") > 20 * arrows, "{program}: {table}");
        for lane in ["#0B7285", "#8A5A00"] {
            assert!(pixels(lane) > 50, "{program} {lane}: {table}");
        }
    }
}

#[test]
fn a_number_that_stands_for_an_arrow_has_both_its_ends_at_any_width() {
    // Each of three wakes both others, again and again.
    let line = "mkfifo a b c; for i in 1 2 3 4 5 6; do echo $i > a & echo $i > b & echo $i > c & \
                cat a & cat b & cat c & done > /dev/null; wait; rm a b c";
    let subject = subject("fifo");
    // What the texts and the rows are like decides; every width is tried where they are made.
    for width in [60, 100, 146, 200] {
        let width = width.to_string();
        let args = ["--width", &width, "--", "sh", "-c", line];
        for args in [&args[..], &["--width", &width, "fdpass"]] {
            let outcome = traced(&subject, args);
            assert!(outcome.status.success(), "{}", outcome.stderr);
            let text = String::from_utf8(outcome.stdout).unwrap();
            // What the legend says is no arrow's.
            let text: String =
                text.lines().filter(|line| !line.contains("where it begins")).collect();
            let numbers = ('①'..='⑳').chain('ⓐ'..='ⓩ').chain('Ⓐ'..='Ⓩ');
            for number in numbers.filter(|number| text.contains(*number)) {
                let ends = [format!("{number}▶"), format!("▶{number}")];
                for end in ends {
                    assert_eq!(text.matches(&end).count(), 1, "{end} {width}: {text}");
                }
            }
        }
    }
}
