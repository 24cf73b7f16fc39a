//! The option `--lang`.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use bare::Language;

/// Takes the name of a language.
pub fn parser() -> impl TypedValueParser<Value = Language> {
    PossibleValuesParser::new(Language::ALL.map(Language::name)).map(|name| {
        let named =
            Language::ALL.into_iter().find(|language| language.name() == name);
        named.unwrap_or(Language::Rust)
    })
}
