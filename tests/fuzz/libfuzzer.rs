//! One program for all targets; `IPCLAB_FUZZ` says which. `.ci/fuzz` builds and starts it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzing {
    use std::sync::OnceLock;

    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

    fn choose() {
        let name = std::env::var("IPCLAB_FUZZ").unwrap_or_default();
        let mut all = [
            ipclab::fuzz::TARGETS,
            bench::fuzz::TARGETS,
            chapters::fuzz::TARGETS,
            trace::fuzz::TARGETS,
            wire::fuzz::TARGETS,
        ]
        .concat();
        all.sort();
        let found = all.iter().find(|target| target.0 == name);
        let Some((_, run)) = found else {
            let names = all.iter().map(|target| target.0);
            let names: Vec<_> = names.collect();
            println!("{}", names.join("\n"));
            std::process::exit(2);
        };
        TARGET.get_or_init(|| *run);
    }

    libfuzzer_sys::fuzz_target!(
        init: choose(),
        |input: &[u8]| TARGET.get().expect("it is chosen first")(input)
    );
}

#[cfg(not(fuzzing))]
fn main() {}
