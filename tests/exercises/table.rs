//! The rows themselves.

use std::collections::BTreeSet;

use bare::{Language, Program};
use chapters::find as chapter;
use exercises::lacks::ASKED;
use exercises::row::Begin;
use exercises::{ALL, entries, find, id};

use super::programs::{Which, text};

#[test]
fn each_row_is_whole() {
    let mut ids = BTreeSet::new();
    for entry in entries() {
        let (id, exercise) = (id(entry), entry.1);
        assert!(ids.insert(id.clone()), "{id} is there twice");
        assert!(chapter(entry.0).is_some(), "{id}: no such chapter");
        assert!((5..=120).contains(&exercise.minutes), "{id}");
        assert!(exercise.title.len() <= 72, "{id}: {}", exercise.title);
        for (name, text) in [("task", exercise.task), ("reasons", exercise.reasons)]
        {
            assert!(text.len() > 80, "{id}: {name}");
        }
        for hint in exercise.hints {
            assert!(hint.len() > 20, "{id}: a hint");
        }
        assert!(
            exercise.solutions[Language::Rust as usize].is_some(),
            "{id}: no Rust"
        );
        for before in exercise.after {
            assert!(
                ids.contains(*before),
                "{id} comes before {before}, which it needs"
            );
        }
        if let Begin::Bare(name) = exercise.begin {
            assert!(Program::find(name).is_some(), "{id}: no bare program {name}");
        }
        let mut stages = BTreeSet::new();
        for stage in exercise.stages {
            assert!(stages.insert(stage.name), "{id}: two stages {}", stage.name);
            assert!(stage.name.len() <= 10, "{id}: {}", stage.name);
            assert!((1..=3).contains(&stage.hint), "{id}: {}", stage.name);
            let caught =
                exercise.wrong.iter().any(|wrong| wrong.stage == stage.name);
            assert!(caught, "{id}: no wrong solution is caught at {}", stage.name);
        }
        let mut wrongs = BTreeSet::new();
        for wrong in exercise.wrong {
            assert!(wrongs.insert(wrong.what), "{id}: twice wrong: {}", wrong.what);
            assert!(stages.contains(wrong.stage), "{id}: no stage {}", wrong.stage);
            text(&id, &Which::Wrong(wrong), wrong.language);
        }
    }
    for (chapter, all) in ALL {
        let easy = all.is_empty() || all.iter().any(|one| one.minutes <= 10);
        assert!(easy, "{chapter}: none is easy");
    }
    assert!(find("fifo/receiver").is_some());
}

#[test]
fn each_lack_that_an_exercise_asks_for_is_there_once() {
    for (exercise, begins) in ASKED {
        let (name, _) = find(exercise).unwrap_or_else(|| panic!("no {exercise}"));
        let row = chapter(name).expect("a chapter");
        let lacks = row.lacks.iter().filter(|lack| lack.what.starts_with(begins));
        assert_eq!(lacks.count(), 1, "{exercise}: {begins}");
    }
}

#[test]
fn what_people_ask_most_has_two_experiments_and_an_exercise_each() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/chapters/teaching.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.split("| what people ask |").nth(1).expect("the table");
    let rows: Vec<_> =
        table.lines().skip(2).take_while(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 14, "{rows:#?}");
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let &[_, asked, written] = cells.as_slice() else { panic!("{row}") };
        let (asked, written) = (names_in(asked), names_in(written));
        assert!(asked.len() >= 2 && !written.is_empty(), "{row}");
        for name in asked {
            assert!(experiments::find(name).is_some(), "no experiment {name}");
            let (_, short) = name.split_once('/').unwrap();
            let link = format!("[`{name}`](");
            let place = row.split(&link).nth(1).expect(name);
            assert!(place.contains(&format!("#experiment-{short})")), "{row}");
        }
        for name in written {
            assert!(find(name).is_some(), "no exercise {name}");
        }
    }
}

/// What stands in backquotes.
fn names_in(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}
