//! What every row must keep, and that each has its test and its place on the page.

use std::collections::BTreeSet;
use std::path::Path;

use experiments::ALL;
use experiments::row::{Experiment, Level};

use crate::pages::text_of;

fn each() -> impl Iterator<Item = (&'static str, &'static Experiment)> {
    ALL.iter().flat_map(|(chapter, list)| list.iter().map(|one| (*chapter, one)))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_chapters_are_those_of_the_book_in_its_order() {
    let book: Vec<_> = chapters::rows().iter().map(|row| row.name).collect();
    let places: Vec<_> = ALL
        .iter()
        .map(|(name, _)| {
            book.iter().position(|chapter| chapter == name).expect(name)
        })
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_name_is_kebab_case_and_stands_once() {
    let mut known = BTreeSet::new();
    for (chapter, one) in each() {
        let kebab =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(one.name.chars().all(kebab), "{chapter}/{}", one.name);
        assert!(known.insert((chapter, one.name)), "{chapter}/{} twice", one.name);
    }
}

#[test]
fn a_question_asks_and_has_two_to_four_answers_of_which_one_is_right() {
    for (chapter, one) in each() {
        let id = format!("{chapter}/{}", one.name);
        assert!(one.question.ends_with('?'), "{id}: {}", one.question);
        assert!((2..=4).contains(&one.answers.len()), "{id}");
        let right = one.answers.iter().filter(|answer| answer.right).count();
        assert_eq!(right, 1, "{id}");
        for answer in one.answers {
            assert!(answer.why.ends_with('.'), "{id}: {}", answer.why);
        }
        assert!(one.moral.ends_with('.') && !one.see.is_empty(), "{id}");
        assert!(one.title.len() <= 60, "{id}: {}", one.title);
    }
}

#[test]
fn each_chapter_has_three_to_five_experiments_of_level_first() {
    for (chapter, all) in ALL {
        let first = all.iter().filter(|one| one.level == Level::First).count();
        assert!((3..=5).contains(&first), "{chapter}: {first}");
    }
}

#[test]
fn the_place_of_an_answer_does_not_tell_that_it_is_right() {
    for most in [3, 4] {
        let rows: Vec<_> =
            each().filter(|(_, one)| one.answers.len() == most).collect();
        for number in 1..=most {
            let right = rows.iter().filter(|(_, one)| one.expected() == number);
            let right = right.count();
            assert!(
                right <= rows.len() / 2 && right * 10 >= rows.len(),
                "of {} with {most} answers, {right} have the right one at {number}",
                rows.len()
            );
        }
    }
}

#[test]
fn the_code_that_a_page_shows_is_the_code_that_runs() {
    for (chapter, one) in each() {
        let text = read(one.file);
        assert!(!one.shows.is_empty(), "{chapter}/{}", one.name);
        for anchor in one.shows {
            assert!(
                anchor.starts_with(one.name),
                "{chapter}/{}: {anchor}",
                one.name
            );
            for mark in ["ANCHOR", "ANCHOR_END"] {
                let mark = format!("// {mark}: {anchor}\n");
                assert_eq!(text.matches(&mark).count(), 1, "{}: {mark}", one.file);
            }
        }
    }
}

#[test]
fn an_experiment_that_another_names_is_there() {
    for (chapter, one) in each() {
        let whys = one.answers.iter().map(|answer| answer.why);
        let texts: Vec<_> =
            [one.question, one.moral].into_iter().chain(whys).collect();
        let names = texts.iter().flat_map(|text| {
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '-')
        });
        for (of, name) in names.filter_map(|word| word.split_once('/')) {
            let list = ALL.iter().find(|(chapter, _)| *chapter == of);
            assert!(
                list.is_none_or(|(_, list)| list.iter().any(|one| one.name == name)),
                "{chapter}/{}: {of}/{name}",
                one.name
            );
        }
    }
}

#[test]
fn each_has_a_test_of_what_it_observes() {
    for (chapter, one) in each() {
        let id = format!("\"{chapter}/{}\"", one.name);
        let tests = read(format!("tests/experiments/{chapter}.rs"));
        assert!(tests.contains(&id), "tests/experiments/{chapter}.rs: no {id}");
    }
}

#[test]
fn each_is_on_its_chapters_page_as_it_asks_and_was_answered() {
    for (chapter, list) in ALL {
        let page = text_of(chapter);
        for one in *list {
            let include =
                format!("{{{{#include experiments/{chapter}.md:{}}}}}", one.name);
            assert_eq!(page.matches(&include).count(), 1, "{chapter}.md: {include}");
        }
        let captured = read(format!("chapters/experiments/{chapter}.md"));
        let sections: Vec<&str> = captured.split("<!-- ANCHOR: ").skip(1).collect();
        assert_eq!(sections.len(), list.len(), "{chapter}: capture it again");
        for (section, one) in sections.iter().zip(*list) {
            let id = format!("{chapter}/{}", one.name);
            let again = format!("{id}: chapters/experiments/capture {chapter}");
            assert!(section.starts_with(&format!("{} -->", one.name)), "{again}");
            assert!(section.contains(one.title), "{again}");
            assert!(section.contains(one.question), "{again}");
            assert!(section.contains(&format!("ipclab experiment {id}")), "{again}");
            let right = one.answers[one.expected() - 1].why;
            let answered = format!("**Yes.** {right}");
            assert!(section.contains(&answered), "{again}");
            for answer in one.answers {
                // A fold's title is HTML.
                let shown = section.replace("<code>", "`").replace("</code>", "`");
                let shown = shown.replace("&lt;", "<").replace("&gt;", ">");
                let shown = shown.replace("&amp;", "&");
                assert!(shown.contains(answer.text), "{again}");
                assert!(section.contains(answer.why), "{again}");
            }
        }
    }
}
