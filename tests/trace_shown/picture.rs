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

const LINE: (&str, &str) = ("http://www.w3.org/2000/svg", "line");

#[test]
fn every_element_says_its_colours_without_a_variable() {
    for chapter in ["fifo", "fdpass", "shm", "signal"] {
        let subject = subject(chapter);
        let (_, text) = picture(&subject, &[chapter]);
        let parsed = roxmltree::Document::parse(&text).expect("well-formed");
        let mut seen = std::collections::BTreeSet::new();
        let style = parsed.descendants().find(|it| it.tag_name().name() == "style");
        let style = style.and_then(|it| it.text()).expect("a style");
        for node in parsed.descendants().filter(roxmltree::Node::is_element) {
            // In a dark theme a colour of the element's own would win over an inherited one: so it
            // stands where the class is.
            let plain = |name: &str| {
                let says = |it: &roxmltree::Node| it.has_attribute(name);
                let by = node.ancestors().find(says);
                let by = by.unwrap_or_else(|| panic!("no {name}: {node:?}"));
                let value = by.attribute(name).unwrap().to_owned();
                assert!(value == "none" || value.starts_with('#'), "{name}={value}");
                let class = by.attribute("class").unwrap_or_default();
                let rule = |class: &str| {
                    style.contains(&format!(".ipclab-trace .{class}{{{name}:var("))
                };
                let ruled = class.split(' ').any(rule) || node.has_tag_name(LINE);
                assert!(value == "none" || ruled, "{name}: {by:?}");
                value
            };
            match node.tag_name().name() {
                "text" | "tspan" => {
                    assert_ne!(plain("fill"), "none");
                    assert_eq!(plain("stroke"), "none", "{node:?}");
                }
                "line" => assert_ne!(plain("stroke"), "none"),
                "path" => {
                    let head = node.attribute("class") == Some("p");
                    assert_eq!(plain("fill") != "none", head, "{node:?}");
                    assert_eq!(plain("stroke") == "none", head, "{node:?}");
                }
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
    // ImageMagick's `identify`: other programs are called `convert`, too.
    if !have("rsvg-convert") || !have("identify") {
        return;
    }
    let subject = subject("fifo");
    let (file, text) = picture(&subject, &["fifo"]);
    let arrows = text.matches("<path d=").count();
    assert!(arrows > 2);
    for (program, between) in [("rsvg-convert", "-o"), ("convert", "")] {
        let png = subject.dir().join("picture.png");
        let mut command = std::process::Command::new(program);
        command
            .arg(&file)
            .args(Some(between).filter(|word| !word.is_empty()))
            .arg(&png);
        let outcome = run(command, Input::Nothing);
        assert!(outcome.status.success(), "{program}: {}", outcome.stderr);
        let mut colours = std::process::Command::new("convert");
        colours.arg(&png).args(["-depth", "8", "-format", "%c", "histogram:info:-"]);
        let outcome = run(colours, Input::Nothing);
        assert!(outcome.status.success(), "convert: {}", outcome.stderr);
        let table = String::from_utf8(outcome.stdout).unwrap();
        // `12: (11,114,133,255) #0B7285FF …`: how many, and of what.
        let rows = table.lines().filter_map(|line| {
            let (count, rest) = line.trim().split_once(": (")?;
            let mut parts =
                rest.split([',', ')']).map(|part| part.trim().parse::<i32>());
            let [red, green, blue] = std::array::from_fn(|_| parts.next());
            Some((
                count.parse::<usize>().ok()?,
                [red?.ok()?, green?.ok()?, blue?.ok()?],
            ))
        });
        let rows: Vec<_> = rows.collect();
        let pixels = |like: &dyn Fn([i32; 3]) -> bool| -> usize {
            rows.iter()
                .filter(|(_, colour)| like(*colour))
                .map(|(count, _)| count)
                .sum()
        };
        // Lines and heads, both lanes' names, an error: smoothed, they are still of that hue.
        let arrow = pixels(&|colour| colour == [0x57, 0x60, 0x6a]);
        assert!(arrow > 10 * arrows, "{program}: {arrow}");
        let teal = pixels(&|[red, _, blue]| blue > red + 60);
        let brown =
            pixels(&|[red, green, blue]| red > blue + 60 && green > blue + 30);
        assert!(teal > 50 && brown > 50, "{program}: {teal} {brown}");
    }
}

#[test]
fn a_number_that_stands_for_an_arrow_has_both_its_ends_at_any_width() {
    // Two lanes, and more arrows between them than a gutter has room for.
    let line = "seq 9 | while read x; do echo $x; done | sort | while read x; do kill -0 $$; done";
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
                text.lines().filter(|line| !line.contains("── A number")).collect();
            let numbers = ('①'..='⑳').chain('ⓐ'..='ⓩ').chain('Ⓐ'..='Ⓩ');
            for number in numbers.filter(|number| text.contains(*number)) {
                let ends = [format!("{number}▶"), format!("▶{number}")];
                for end in ends {
                    assert_eq!(
                        text.matches(&end).count(),
                        1,
                        "{end} {width}: {text}"
                    );
                }
            }
        }
    }
}
