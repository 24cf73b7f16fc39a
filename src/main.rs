//! Parse, run, print the error once, leave with an honest exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    match ipclab::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ipclab: {}", ipclab::errors::line(&error));
            ExitCode::from(ipclab::errors::status(&error))
        }
    }
}
