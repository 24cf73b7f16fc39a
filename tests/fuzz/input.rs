//! What is fuzzed: each decoder of bytes that another process, another program or another
//! user has written, with what must hold of its result whatever they are.
//!
//! A target is a function of some bytes, and panics where something does not hold. With
//! `--cfg fuzzing` libFuzzer looks for such bytes (`.ci/fuzz`); in a test build each target
//! runs over its corpus, tests/fuzz/corpus/NAME, where also each input stays that has once
//! found something (its name begins with `found-`).
//!
//! Each crate has the targets for its own decoders, in the file here that is named after it.
//! Decoders that are private to a module have their target in a child module of it.

macro_rules! targets {
    ($($name:ident: $run:path;)*) => {
        /// All targets, by name.
        pub const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $run)),*];

        #[cfg(test)]
        mod holds_over_its_corpus {
            $(#[test]
            fn $name() {
                super::input::replay(stringify!($name));
            })*
        }
    };
}

/// Runs a target over its corpus; the name of an input that fails is in the output.
#[cfg(test)]
pub(crate) fn replay(name: &str) {
    let (_, target) = super::TARGETS.iter().find(|target| target.0 == name).unwrap();
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut corpora = crates.map(|dir| dir.join("tests/fuzz/corpus"));
    let dir = corpora.find(|dir| dir.is_dir()).expect("a corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no input in {}", dir.display());
    for path in paths {
        println!("{}", path.display());
        target(&std::fs::read(&path).unwrap());
    }
}

/// An input, from which a target takes what it needs; zeros once there is no more.
#[derive(Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next bytes, `most` if so many are left.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    /// A byte.
    pub fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// Whether something is left.
    pub fn has_more(&self) -> bool {
        !self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }
}
