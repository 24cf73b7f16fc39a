//! The pages of a chapter.

use std::fs;
use std::path::Path;

/// A chapter's own page, then those below it, sorted: `pipe`, `pipe-deeper`.
pub(crate) fn pages(chapter: &str) -> Vec<String> {
    let below = format!("{chapter}-");
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("chapters"));
    let mut nested: Vec<String> = files
        .unwrap()
        .filter_map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            let page = name.strip_suffix(".md")?;
            page.starts_with(&below).then(|| page.to_owned())
        })
        .collect();
    nested.sort();
    nested.insert(0, chapter.to_owned());
    nested
}

/// The text of all of them.
pub(crate) fn text_of(chapter: &str) -> String {
    let read = |page| {
        let path = format!("{}/chapters/{page}.md", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    pages(chapter).into_iter().map(read).collect()
}
