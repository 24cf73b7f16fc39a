//! Crash points and faults: what becomes of a role, and of the roles around it, when it is
//! killed or interrupted at any system call, or when a call fails.
//!
//! `cargo test --test faults -- --ignored --nocapture`; the variables are in `run.rs`.

// The registers that it changes are this processor's.
#![cfg(target_arch = "x86_64")]
// Its tables are what it is for.
#![allow(clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod columns;
mod crash;
mod fresh;
mod look;
mod matrix;
mod rows;
mod run;
mod scene;
mod struck;

#[test]
fn each_chapter_has_its_rows() {
    // mpi's processes are its launcher's: mpiexec starts, joins and ends them.
    let wanted = chapters::rows().iter().map(|row| row.name);
    for chapter in wanted.filter(|name| *name != "mpi") {
        let row = chapters::find(chapter).expect("it is in the table");
        for role in row.roles {
            let has = rows::ROWS
                .iter()
                .filter(|row| row.chapter == chapter)
                .any(|row| row.parts.iter().any(|part| part.role == role.name));
            assert!(has, "{chapter} {} is struck nowhere", role.name);
        }
    }
}

#[test]
#[ignore = "thousands of processes, some minutes: .ci/run runs it"]
fn a_place_works_again_whatever_call_a_role_is_ended_at() {
    run::crash_points();
}

#[test]
#[ignore = "thousands of processes, some minutes: .ci/run runs it"]
fn a_fault_is_told_in_one_line_and_loses_nothing_silently() {
    run::fault_matrix();
}
