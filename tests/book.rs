//! The book, the table, the tests and the sources name the same things.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wire::chapter::Side;
use wire::meet::Meets;

#[path = "support/pages.rs"]
mod pages;

use pages::{pages, text_of};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn names() -> Vec<&'static str> {
    chapters::rows().iter().map(|row| row.name).collect()
}

/// Whether a tracer can start a chapter's roles; mpiexec starts those of a world.
fn is_traced(name: &str) -> bool {
    chapters::find(name).unwrap().meets != Meets::World
}

/// Whether a chapter's page includes that file.
fn shows(name: &str, file: &str) -> bool {
    read(format!("chapters/{name}.md")).contains(&format!("{{{{#include {file}}}}}"))
}

/// The names of the files in `dir` that end with `end`, without it.
fn stems(dir: &str, end: &str) -> BTreeSet<String> {
    fs::read_dir(root().join(dir))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(end).map(str::to_owned)
        })
        .collect()
}

/// Every `{{#include …}}` of the book: page, file, anchor. (`rustdoc_include` would have the whole
/// file as hidden lines in each block.)
fn includes() -> Vec<(String, PathBuf, Option<String>)> {
    let mut found = Vec::new();
    for page in stems("chapters", ".md") {
        let text = read(format!("chapters/{page}.md"));
        for part in text.split("{{#").skip(1) {
            let (directive, _) = part.split_once("}}").expect("a closed directive");
            let (kind, what) =
                directive.split_once(' ').expect("a directive's file");
            assert_eq!(kind, "include", "{page}: {what}");
            let (file, anchor) = match what.split_once(':') {
                Some((file, anchor)) => (file, Some(anchor.to_owned())),
                None => (what, None),
            };
            found.push((page.clone(), PathBuf::from("chapters").join(file), anchor));
        }
    }
    found
}

/// The text between an anchor's two marks.
fn anchored(text: &str, anchor: &str) -> Option<String> {
    let (begin, end) =
        (format!("ANCHOR: {anchor}"), format!("ANCHOR_END: {anchor}"));
    let lines: Vec<_> = text.lines().collect();
    // In Markdown a mark stands in a comment.
    let marked = |mark: &str| {
        let whole =
            |line: &&str| line.trim_end_matches("-->").trim_end().ends_with(mark);
        lines.iter().position(whole)
    };
    let (from, to) = (marked(&begin)?, marked(&end)?);
    (from < to).then(|| lines[from + 1..to].join("\n"))
}

#[test]
fn the_summary_has_the_chapters_of_the_table_in_its_order() {
    let summary = read("chapters/SUMMARY.md");
    let mut listed: Vec<Vec<&str>> = Vec::new();
    for line in summary.lines() {
        let Some(entry) = line.trim_start().strip_prefix("- [") else { continue };
        let (_, link) = entry.split_once("](").expect("a link");
        let page = link.trim_end_matches(')').trim_end_matches(".md");
        match listed.last_mut() {
            Some(chapter) if line.starts_with(' ') => chapter.push(page),
            _ => listed.push(vec![page]),
        }
    }
    for chapter in &mut listed {
        chapter[1..].sort_unstable();
    }
    let all: Vec<_> = names().into_iter().map(pages).collect();
    assert_eq!(listed, all);
}

#[test]
fn each_chapter_has_its_source_its_page_its_test_and_its_transcript() {
    for name in names() {
        for path in [
            format!("src/chapters/{name}.rs"),
            format!("chapters/{name}.md"),
            format!("chapters/transcripts/{name}.txt"),
            format!("tests/{name}.rs"),
        ] {
            assert!(root().join(&path).is_file(), "{path} is missing");
        }
    }
}

#[test]
fn no_page_and_no_source_stands_outside_the_table() {
    let mut known: BTreeSet<String> =
        names().into_iter().map(str::to_owned).collect();
    let mut sources = stems("src/chapters", ".rs");
    assert!(sources.remove("lib"));
    assert_eq!(sources, known);
    assert_eq!(stems("chapters/transcripts", ".txt"), known);
    let traced = known.iter().filter(|name| is_traced(name)).cloned().collect();
    assert_eq!(stems("chapters/traces/bare", ".svg"), traced);
    let with_its_roles = |name: &&String| shows(name, &format!("traces/{name}.svg"));
    let drawn = known.iter().filter(with_its_roles).cloned().collect();
    assert_eq!(stems("chapters/traces", ".svg"), drawn);
    known.extend(names().into_iter().flat_map(pages));
    known.extend(
        [
            "SUMMARY",
            "introduction",
            "concepts",
            "choosing",
            "built-on",
            "trace",
            "map",
            "doctor",
            "bench",
            "using",
            "reading",
        ]
        .map(str::to_owned),
    );
    known.extend(
        ["exercises", "teaching", "removed", "errors", "elsewhere", "glossary"]
            .map(str::to_owned),
    );
    assert_eq!(stems("chapters", ".md"), known);
}

#[test]
fn each_include_and_anchor_exists_and_is_not_empty() {
    let includes = includes();
    assert!(includes.len() >= 3 * names().len(), "only {} includes", includes.len());
    for (page, file, anchor) in includes {
        let text = read(&file);
        let part = match &anchor {
            None => text,
            Some(anchor) => anchored(&text, anchor).unwrap_or_else(|| {
                panic!("{page}.md: no anchor {anchor} in {}", file.display())
            }),
        };
        assert!(!part.trim().is_empty(), "{page}.md: {} is empty", file.display());
    }
}

#[test]
fn each_anchor_of_a_chapter_is_on_its_page() {
    let mut shown: HashMap<PathBuf, BTreeSet<String>> = HashMap::new();
    for (_, file, anchor) in includes() {
        let file = root().join(file).canonicalize().unwrap();
        shown.entry(file).or_default().extend(anchor);
    }
    for file in sources(&root().join("src/chapters")) {
        let text = fs::read_to_string(&file).unwrap();
        let anchors =
            text.lines().filter_map(|line| line.trim().split_once("// ANCHOR: "));
        for (_, anchor) in anchors {
            let on_a_page = shown.get(&file).is_some_and(|set| set.contains(anchor));
            assert!(on_a_page, "{}: {anchor} is on no page", file.display());
        }
    }
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path().canonicalize().unwrap();
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn each_page_shows_code_of_both_roles_and_a_captured_run() {
    for name in names() {
        let page = read(format!("chapters/{name}.md"));
        assert!(page.contains(&format!("transcripts/{name}.txt")), "{name}: no run");
        let drawn = shows(name, &format!("traces/bare/{name}.svg"));
        assert_eq!(drawn, is_traced(name), "{name}: its trace");
        let roles = page.contains(&format!("`ipclab trace {name}`"));
        assert_eq!(roles, is_traced(name), "{name}: the trace of its roles");
        assert!(page.contains("## On the wire"), "{name}: no wire");
        let role = ["## The role", "## Run it"].map(|title| page.contains(title));
        assert!(role.contains(&true), "{name}: no command");
        let code = page.matches("{{#include ../src/chapters/").count();
        assert!(code >= 2, "{name}: shows {code} pieces of code");
    }
}

/// A heading's or a term's id, as mdBook makes it.
fn id_of(title: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " _-".contains(*c);
    let title = title.trim().to_lowercase();
    title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The places of a page to which a link can lead: headings, terms, questions, and written ids.
fn places(page: &str) -> BTreeSet<String> {
    let text = read(format!("chapters/{page}.md"));
    let (mut ids, mut fenced, mut before) = (BTreeSet::new(), false, "");
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if !fenced && heading.len() < line.len() {
            ids.insert(id_of(heading));
        }
        if line.starts_with(": ") {
            ids.insert(id_of(before));
        }
        if let Some(part) = line.strip_prefix("{{#include experiments/") {
            let name = part.trim_end_matches("}}").split_once(':');
            ids.extend(name.map(|(_, name)| format!("experiment-{name}")));
        }
        let written = line.split(" id=\"").skip(1);
        ids.extend(written.filter_map(|id| Some(id.split_once('"')?.0.to_owned())));
        before = line;
    }
    ids
}

#[test]
fn each_link_leads_to_a_place_that_is_there() {
    let all: HashMap<String, BTreeSet<String>> = stems("chapters", ".md")
        .into_iter()
        .map(|page| (page.clone(), places(&page)))
        .collect();
    let mut seen = 0;
    for page in all.keys() {
        let mut text = read(format!("chapters/{page}.md")).replace("href=\"", "](");
        if names().contains(&page.as_str()) {
            text += &read(format!("chapters/lacks/{page}.md"));
        }
        for part in text.split("](").skip(1) {
            let link = part.split([')', '"']).next().unwrap();
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let file = file.replace(".html", ".md");
            let to = match file.strip_suffix(".md") {
                Some(to) if !link.contains(':') => to,
                None if file.is_empty() => page,
                _ => continue,
            };
            let there =
                all.get(to).unwrap_or_else(|| panic!("{page}.md: no page {link}"));
            let found = place.is_empty() || there.contains(place);
            assert!(found, "{page}.md: {link} leads nowhere");
            seen += 1;
        }
    }
    assert!(seen > 500, "only {seen}");
}

#[test]
fn each_page_leads_to_the_next_one_of_the_summary() {
    let summary = read("chapters/SUMMARY.md");
    let pages: Vec<_> = summary
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    for pair in pages.windows(2) {
        let text = read(format!("chapters/{}", pair[0]));
        let (_, next) = text.rsplit_once("**Next:**").expect(pair[0]);
        let (_, link) = next.split_once("](").expect(pair[0]);
        assert!(
            link.starts_with(pair[1]),
            "{}: the next page is {}",
            pair[0],
            pair[1]
        );
    }
}

#[test]
fn each_term_of_the_glossary_ends_with_a_link_to_where_it_is_shown() {
    let glossary = read("chapters/glossary.md");
    let terms = glossary.lines().filter(|line| line.starts_with(": "));
    for term in terms.clone() {
        let shown = term.rsplit_once(" Shown: [").map(|(_, link)| link);
        let link = shown.and_then(|shown| shown.split_once("]("));
        let place = link.is_some_and(|(_, link)| link.contains(".md#"));
        assert!(place && term.ends_with(')'), "{term}");
    }
    assert!(terms.count() > 40);
}

#[test]
fn the_small_programs_of_the_concepts_print_what_the_page_says() {
    for name in stems("chapters/concepts", ".py") {
        let file = root().join(format!("chapters/concepts/{name}.py"));
        let output = Command::new("python3").arg(file).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, read(format!("chapters/concepts/{name}.txt")), "{name}");
    }
}

/// `chapters/pictures/draw.py` draws the pictures that are there.
#[test]
fn each_chapter_has_a_picture_as_the_generator_draws_it() {
    let dir = tempfile::tempdir().unwrap();
    let draw = root().join("chapters/pictures/draw.py");
    let drawn = Command::new("python3").arg(draw).arg(dir.path()).status();
    assert!(drawn.unwrap().success());
    let names = stems("chapters/pictures", ".svg");
    for name in &names {
        let drawn = fs::read_to_string(dir.path().join(format!("{name}.svg")));
        let kept = read(format!("chapters/pictures/{name}.svg"));
        assert_eq!(
            drawn.ok(),
            Some(kept),
            "{name}: python3 chapters/pictures/draw.py"
        );
    }
    let missing: Vec<_> =
        self::names().into_iter().filter(|name| !names.contains(*name)).collect();
    assert!(missing.is_empty(), "no picture of {missing:?}");
}

/// The map of a chapter's roles, where they can be captured idle: mpiexec starts those of a world,
/// and the bus of dbus is a process that is not ours.
#[test]
fn each_chapter_shows_the_map_of_its_roles() {
    let mapped = stems("chapters/map/roles", ".svg");
    for name in names() {
        let shown = read(format!("chapters/{name}.md"))
            .contains(&format!("{{{{#include map/roles/{name}.svg}}}}"));
        assert_eq!(shown, !matches!(name, "dbus" | "mpi"), "{name}");
        assert_eq!(mapped.contains(name), shown, "{name}: chapters/map/roles.py");
        let page = read(format!("chapters/{name}.md"));
        let says = format!("roles/{name}.svg}}}}\n\n<figcaption>");
        assert_eq!(
            page.contains(&says),
            shown,
            "{name}: what to look at in its map"
        );
    }
}

#[test]
fn each_transcript_is_a_captured_run_that_ended_well() {
    for name in names() {
        let text = read(format!("chapters/transcripts/{name}.txt"));
        assert!(text.starts_with(&format!("$ ipclab demo {name}\n")), "{name}");
        let verdict = text.lines().find(|line| line.starts_with("✓ "));
        assert!(
            verdict.is_some_and(|line| line.contains(name)),
            "{name}: {verdict:?}"
        );
        let row = chapters::find(name).unwrap();
        for (rank, part) in row.script.parts.iter().enumerate() {
            let lane = match row.meets {
                Meets::World => format!("rank {rank}"),
                _ => part.role.to_owned(),
            };
            assert!(text.contains(&format!("{lane:<8} │")), "{name}: no {lane}");
        }
    }
}

/// The files of a folder, sorted; none if there is no such folder.
fn files(dir: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(dir)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn each_session_was_captured_and_is_on_its_page() {
    for name in names() {
        let dir = format!("chapters/transcripts/{name}");
        let sessions = stems_of(&files(&dir), ".session");
        assert_eq!(stems_of(&files(&dir), ".txt"), sessions, "{name}");
        assert_eq!(files(&dir).len(), 2 * sessions.len(), "{name}: what else?");
        for session in sessions {
            let typed = read(format!("{dir}/{session}.session"));
            let seen = read(format!("{dir}/{session}.txt"));
            let prompts: Vec<_> =
                seen.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
            assert_eq!(
                prompts,
                typed.lines().collect::<Vec<_>>(),
                "{name}/{session}"
            );
            let include =
                format!("{{{{#include transcripts/{name}/{session}.txt}}}}");
            let page = text_of(name);
            assert!(page.contains(&include), "{name}: {session} is not on its page");
        }
    }
    let kept: BTreeSet<String> = names().into_iter().map(str::to_owned).collect();
    for entry in fs::read_dir(root().join("chapters/transcripts")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(!entry.path().is_dir() || kept.contains(&name), "{name}: whose?");
    }
}

fn stems_of(files: &BTreeSet<String>, end: &str) -> BTreeSet<String> {
    files
        .iter()
        .filter_map(|name| Some(name.strip_suffix(end)?.to_owned()))
        .collect()
}

#[test]
fn each_trace_is_a_captured_picture_of_all_roles() {
    for row in chapters::rows() {
        let name = row.name;
        if !is_traced(name) {
            continue;
        }
        let program = bare::Program::find(name).unwrap();
        let of_roles = row.script.parts.iter().map(|part| part.role).collect();
        let of_bare = program.parts.iter().map(|part| part.role).collect();
        let path = format!("traces/{name}.svg");
        if shows(name, &path) {
            is_picture(&path, &format!("ipclab trace {name}"), of_roles);
        }
        let path = format!("traces/bare/{name}.svg");
        is_picture(&path, &format!("ipclab trace {name} --bare"), of_bare);
    }
}

/// A captured picture has its title, and a lane for each role, with a number where there are more.
fn is_picture(path: &str, title: &str, roles: Vec<&str>) {
    let text = read(format!("chapters/{path}"));
    assert!(text.starts_with("<svg "), "{path}");
    assert!(text.contains(&format!("<title>{title}</title>")), "{path}");
    // Markdown ends a block of HTML at an empty line.
    assert!(!text.trim_end().contains("\n\n"), "{path}");
    let is_lane = |name: &str| text.contains(&format!(">{name}</text>"));
    for role in &roles {
        let alone = roles.iter().filter(|other| *other == role).count() == 1;
        assert!(
            is_lane(&if alone { (*role).to_owned() } else { format!("{role} 1") }),
            "{path}"
        );
        assert_eq!(is_lane(&format!("{role} 2")), !alone, "{path}");
    }
    // The same side on every page, whoever begins.
    let at = |role: &str| text.find(&format!(">{role}</text>"));
    if let (Some(receiver), Some(sender)) = (at("receiver"), at("sender")) {
        assert!(receiver < sender, "{path}");
    }
}

/// A row of what the bare program lacks tells what a question asks: so it comes after all of them.
#[test]
fn what_a_bare_program_lacks_comes_after_the_questions() {
    for name in names() {
        let page = read(format!("chapters/{name}.md"));
        let (before, after) = page
            .split_once(&format!("{{{{#include lacks/{name}.md}}}}"))
            .unwrap_or_else(|| panic!("{name}: not on its page"));
        assert!(before.contains("{{#include experiments/"), "{name}");
        assert!(
            !after.contains("{{#include experiments/"),
            "{name}: a question after it"
        );
    }
}

/// A role in a picture: its name, the number of its colour, and how far it is from the left.
type Placed = (String, usize, f64);

/// The roles in a drawing of `chapters/pictures`, in a trace and in a map.
fn placed(picture: &str) -> Vec<Placed> {
    let number = |text: &str| text.parse().unwrap_or(0.0);
    let tree = roxmltree::Document::parse(picture).unwrap();
    let of = |node: roxmltree::Node<'_, '_>| {
        let class = |node: roxmltree::Node<'_, '_>| {
            node.attribute("class").unwrap_or_default().to_owned()
        };
        let x = |node: roxmltree::Node<'_, '_>| {
            number(node.attribute("x").unwrap_or_default())
        };
        let first = |text: &str| {
            text.split([' ', ':']).next().unwrap_or_default().to_owned()
        };
        let colour = |words: [&str; 3], class: &str| {
            words.iter().position(|it| class.split(' ').any(|one| one == *it))
        };
        match node.tag_name().name() {
            // In a drawing, and in a trace.
            "text" => {
                let class = class(node);
                let bold = node.attribute("font-weight").is_some();
                let colour = colour(["f-r", "f-s", "f-g"], &class)
                    .or(colour(["l0", "l1", "l2"], &class));
                let colour = colour.filter(|_| bold)?;
                Some((first(node.text()?), colour, x(node)))
            }
            "rect" => {
                let colour = colour(["c0", "c1", "c2"], &class(node))?;
                let title = node.parent()?.first_element_child()?;
                Some((first(title.text()?), colour, x(node)))
            }
            _ => None,
        }
    };
    tree.descendants().filter_map(of).collect()
}

#[test]
fn a_role_has_its_side_and_its_colour_in_drawing_trace_and_map() {
    for row in chapters::rows() {
        let name = row.name;
        let files = ["pictures", "traces", "map/roles"];
        for file in files.map(|dir| format!("chapters/{dir}/{name}.svg")) {
            // What MPI's ranks do is in the library.
            if name == "mpi" || !root().join(&file).exists() {
                continue;
            }
            let all = placed(&read(&file));
            let mut sides: Vec<(Side, f64)> = Vec::new();
            for (role, colour, x) in &all {
                if let Some(side) = row.side(role) {
                    assert_eq!(*colour, side.colour(), "{file}: {role}");
                    sides.push((side, *x));
                }
            }
            let wrong = |(one, left): &(Side, f64)| {
                sides.iter().any(|(other, right)| one < other && left > right)
            };
            assert!(!sides.iter().any(wrong), "{file}: {all:?}");
            // The map of a semaphore has no poster: it posts, and ends.
            let parts = row.script.parts.iter().filter(|_| !file.contains("map/"));
            for part in parts {
                assert!(
                    all.iter().any(|(role, ..)| role == part.role),
                    "{file}: {}",
                    part.role
                );
            }
        }
    }
}

#[test]
fn the_map_was_captured_and_is_on_its_page() {
    let page = read("chapters/map.md");
    for (file, says) in [
        ("forgotten.txt", "no end of file while it does"),
        ("deadlock.txt", "deadlock"),
        ("forgotten.svg", "<title>ipclab map -- sh forgotten.sh</title>"),
    ] {
        let text = read(format!("chapters/map/{file}"));
        assert!(text.contains(says), "{file}: {text}");
        assert!(
            !text.trim_end().contains("\n\n") || file.ends_with(".txt"),
            "{file}"
        );
        let include = format!("{{{{#include map/{file}}}}}");
        assert!(page.contains(&include), "{file} is not on the page");
    }
}

#[test]
fn each_lie_was_captured_and_is_on_the_page_of_the_bench() {
    use bench::lies::Lie;
    use clap::ValueEnum;
    let page = read("chapters/bench.md");
    for lie in Lie::value_variants() {
        let name = lie.to_possible_value().unwrap().get_name().to_owned();
        let text = read(format!("chapters/bench/{name}.txt"));
        let prompt = format!("$ ipclab bench --lie {name}\n{name}: ");
        assert!(text.starts_with(&prompt), "{name}: {text}");
        assert!(
            text.contains("as published:") && text.contains("honest:"),
            "{name}"
        );
        let include = format!("{{{{#include bench/{name}.txt}}}}");
        assert!(page.contains(&include), "{name} is not on the page");
    }
}

#[test]
fn each_run_of_the_doctor_was_captured_and_is_on_its_page() {
    let page = read("chapters/doctor.md");
    for name in stems_of(&files("chapters/doctor"), ".txt") {
        let text = read(format!("chapters/doctor/{name}.txt"));
        assert!(text.starts_with("$ ipclab doctor"), "{name}: {text}");
        assert!(text.contains(" of the book ") || text.contains(" in chapter "));
        let include = format!("{{{{#include doctor/{name}.txt}}}}");
        assert!(page.contains(&include), "{name} is not on the page");
    }
}

#[test]
fn each_mechanism_that_is_measured_has_its_figures_on_its_page() {
    let measured: BTreeSet<String> = bench::subject::SUBJECTS
        .iter()
        .map(|subject| subject.chapter.to_owned())
        .collect();
    let written = stems("chapters/figures", ".md");
    assert!(measured.is_subset(&written), "{measured:?}, {written:?}");
    for name in written {
        let text = read(format!("chapters/figures/{name}.md"));
        assert!(text.starts_with("Captured by `ipclab bench "), "{name}: {text}");
        let page = read(format!("chapters/{name}.md"));
        let include = format!("{{{{#include figures/{name}.md}}}}");
        assert!(page.contains(&include), "{name}: its figures are not on its page");
    }
}

/// The commands of this program that a line of a page has, each as the words after its
/// name: up to what is the shell's, a launcher's, or a remark two blanks further on.
fn commands(line: &str) -> Vec<Vec<String>> {
    let starts = line.match_indices("ipclab ").filter(|(at, _)| {
        let before = &line[..*at];
        let launched = before.starts_with("mpiexec ") || before.starts_with("srun ");
        before.trim().is_empty() || before.ends_with("| ") || launched
    });
    starts.map(|(at, name)| words(&line[at + name.len()..])).collect()
}

fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let text = text.split_once("  ").map_or(text, |(command, _)| command);
    for c in text.chars().chain([' ']) {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, ' ') => words.extend(Some(std::mem::take(&mut word))),
            (None, c) => word.push(c),
        }
    }
    let shell = |word: &String| ["|", "<", ">", "&", ":"].contains(&word.as_str());
    let end = words.iter().position(shell).unwrap_or(words.len());
    words.truncate(end);
    words.retain(|word| !word.is_empty() && !word.starts_with('['));
    words
}

#[test]
fn the_commands_on_the_pages_and_in_the_readme_are_whole() {
    let pages = stems("chapters", ".md").into_iter();
    let pages = pages.map(|page| format!("chapters/{page}.md"));
    let mut seen = 0;
    for page in pages.chain(["README.md".into()]) {
        for line in read(&page).lines() {
            let Some(typed) = line.strip_prefix("    ") else { continue };
            for words in commands(typed.trim_end()) {
                let name = ["ipclab".to_owned()];
                let words = name.iter().chain(&words);
                let parsed = ipclab::cli::command().try_get_matches_from(words);
                let why = parsed.err().map(|error| error.to_string());
                assert_eq!(why, None, "{page}: {line}");
                seen += 1;
            }
        }
    }
    assert!(seen > 80, "only {seen}");
}

/// Outside of code mdBook makes a dash of two hyphens, of an option as of a file's mode.
#[test]
fn two_hyphens_stand_in_code_alone() {
    let folders = ["chapters", "chapters/experiments", "chapters/lacks"];
    for folder in folders {
        for page in stems(folder, ".md") {
            let text = read(format!("{folder}/{page}.md"));
            for (number, part) in text.split("```").enumerate() {
                // Of a part without fences, the odd ones between backticks are code.
                let prose = part.split('`').step_by(2).filter(|_| number % 2 == 0);
                let lines = prose.flat_map(str::lines);
                for line in lines.filter(|line| !line.starts_with("    ")) {
                    let line = line.replace("<!--", "").replace("-->", "");
                    let rule =
                        line.trim().trim_matches(['|', '-', ' ', ':']).is_empty();
                    let inside = line.split("<code>").map(|it| {
                        match it.split_once("</code>") {
                            Some((_, after)) => after,
                            None => it,
                        }
                    });
                    let found = inside.clone().any(|it| it.contains("--"));
                    assert!(rule || !found, "{page}: {line}");
                }
            }
        }
    }
}

#[test]
fn the_readme_shows_the_bare_program_as_it_is() {
    let (readme, program) = (read("README.md"), read("src/bare/fifo.rs"));
    let shown =
        readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let shown: Vec<_> = shown.lines().map(str::trim).collect();
    let program: Vec<_> = program.lines().map(str::trim).collect();
    assert!(program.windows(shown.len()).any(|lines| lines == shown), "{shown:?}");
}

#[test]
fn the_readme_names_every_chapter() {
    let readme = read("README.md");
    for name in names() {
        assert!(
            readme.contains(&format!("`{name}`")),
            "README does not name {name}"
        );
    }
}

#[test]
fn no_file_is_long() {
    for file in sources(&root().join("src")) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", file.display());
    }
}
