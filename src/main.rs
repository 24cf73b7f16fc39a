//! Parse, run, print the error once, leave with an honest exit status.
#![cfg_attr(target_env = "gnu", no_main)]

ipclab::start!(run);

fn run() -> u8 {
    match ipclab::cli::run() {
        Ok(()) => 0,
        Err(error) => {
            if !ipclab::errors::is_told(&error) {
                eprintln!("ipclab: {}", ipclab::errors::line(&error));
            }
            ipclab::errors::status(&error)
        }
    }
}
