//! Parse, run, print the error once, leave with an honest exit status.
#![cfg_attr(target_env = "gnu", no_main)]

os::start!(run);

fn run() -> u8 {
    exercises::partner::tell_of_use();
    if let Some((program, main)) = bare::chosen() {
        return lab::bare::play(program, main);
    }
    match ipclab::cli::run() {
        Ok(()) => 0,
        Err(error) => {
            wire::say::complain(&error);
            wire::errors::status(&error)
        }
    }
}
