//! Lines that other processes have written, in files and down pipes: what is understood is
//! written again as it was.

use std::fmt::Display;
use std::str::FromStr;

use bench::servers::load::address::ServerAddress;
use bench::servers::load::order::Order;
use os::cleanup::notes::Noted;
use wire::address::resolve;
use wire::meet::{describe, parse};

/// A line.
pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(object) = parse(&text, "/") {
        assert_eq!(parse(&describe(&object), "/"), Some(object));
    }
    // Whatever a lock file says, what it names lies beside it or has a name of ours.
    if let Some(noted) =
        Noted::parse(input).filter(|it| it.can_be_of(b"x", b"/ours-"))
    {
        if let Noted::Path(name) | Noted::File(name) = noted {
            assert!(name.starts_with(b"x") && !name.contains(&b'/'));
        }
        if let Noted::Queue(name) | Noted::Segment(name) = noted {
            assert!(name == b"/ours-x" || name == b"/x");
        }
    }
    for (id, tried) in lab::progress::parse(&text, 0).experiments {
        assert!(text.contains(&id) && !id.contains(' '), "{id:?}: {tried:?}");
    }
    again::<Order>(&text);
    again::<ServerAddress>(&text);
    again::<chapters::signal::number::Number>(&text);
    if let Ok(time) = wire::roles::seconds(&text) {
        assert!(!time.is_zero());
    }
    // A host's name would be asked of the network.
    if text.bytes().all(|b| b.is_ascii_digit() || b".:[]".contains(&b))
        && let Ok(address) = resolve(&text)
    {
        assert_eq!(
            resolve(&address.to_string()).expect("as it was printed"),
            address
        );
    }
}

/// What is read of `text`, if anything is, is read again as it is printed.
pub(crate) fn again<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        assert!(
            printed.parse::<T>().is_ok_and(|again| again == value),
            "{printed:?}"
        );
    }
}
