//! Where the memory is that a target has published: five numbers and a newline, and nothing else.

use super::Published;

/// The file.
pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(published) = Published::parse(&text) {
        assert!(published.pid > 0 && published.offered >= 0 && published.taken >= 0);
        let again = Published::parse(&format!("{published}\n"));
        assert_eq!(again, Some(published));
    }
}
