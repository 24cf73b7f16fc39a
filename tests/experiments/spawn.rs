use serde_json::json;

use crate::seen;

#[test]
fn a_wait_returns_for_what_the_pipe_holds_and_not_for_a_byte_more() {
    let Some(saw) = seen("spawn/wait-then-read") else { return };
    assert_eq!(saw["waitpid would return"], json!([true, true, false]));
}

#[test]
fn rust_writes_its_line_and_c_and_python_hold_theirs_back() {
    let Some(saw) = seen("spawn/late-lines") else { return };
    assert_eq!(saw["bytes of C, Rust and Python"], json!([0, 4, 0]));
}

#[test]
fn a_parent_death_signal_ends_one_process_and_not_its_child() {
    let Some(saw) = seen("spawn/parent-killed") else { return };
    assert_eq!(saw["sh ended by"], "SIGKILL");
    assert_eq!(saw["sleep goes on"], true);
}

#[test]
fn ctrl_c_is_for_the_foreground_group() {
    let Some(saw) = seen("spawn/ctrl-c") else { return };
    assert_eq!(saw["the second child got it"], false);
}

#[test]
fn one_stream_after_the_other_deadlocks_and_both_at_once_do_not() {
    let Some(saw) = seen("spawn/two-streams") else { return };
    assert_eq!(saw["both would sleep"], true);
    assert_eq!(saw["read at once, in bytes"], json!([4, 65_537]));
}

#[test]
fn sort_answers_once_its_input_is_closed() {
    let Some(saw) = seen("spawn/open-stdin") else { return };
    assert_eq!(saw["bytes before the close"], 0);
    assert_eq!(saw["after the close"], "a\nb\n");
}

#[test]
fn a_pipe_ends_with_the_last_process_that_inherited_it() {
    let Some(saw) = seen("spawn/held-pipe") else { return };
    assert_eq!(saw["end of file while sleep runs"], false);
    assert_eq!(saw["end of file after it"], true);
}

#[test]
fn what_is_not_flushed_is_lost_when_a_signal_ends_the_program() {
    let Some(saw) = seen("spawn/lost-at-kill") else { return };
    assert_eq!((&saw["lines"], &saw["lines after fflush"]), (&json!(0), &json!(3)));
}

#[test]
fn what_is_not_flushed_before_fork_is_printed_twice() {
    let Some(saw) = seen("spawn/twice-after-fork") else { return };
    assert_eq!(saw["printed"], "one\none\n");
    assert_eq!(saw["after fflush"], "one\n");
}

#[test]
fn at_a_terminal_a_line_comes_at_once_with_a_carriage_return() {
    let Some(saw) = seen("spawn/at-a-terminal") else { return };
    assert_eq!(saw["the master's side read"], "one\r\n");
}

#[test]
fn stdbuf_reaches_a_c_program_through_a_shell() {
    let Some(saw) = seen("spawn/stdbuf-c") else { return };
    assert_eq!(saw["bytes without stdbuf"], 0);
    assert_eq!(saw["bytes with stdbuf -oL"], 4);
    assert_eq!(saw["bytes with stdbuf -oL before the shell"], 4);
}

#[test]
fn stdbuf_does_not_reach_python() {
    let Some(saw) = seen("spawn/stdbuf-python") else { return };
    assert_eq!(saw["bytes with stdbuf -oL"], 0);
    assert_eq!(saw["bytes with python3 -u"], 4);
}

#[test]
fn execve_keeps_the_mask_and_what_is_ignored() {
    let Some(saw) = seen("spawn/kept-by-exec") else { return };
    assert_eq!(saw["SIGUSR1 is caught"], false);
    assert_eq!(saw["SIGUSR2 is ignored"], true);
    assert_eq!(saw["SIGTERM is blocked"], true);
}

#[test]
fn a_child_that_ignores_sigpipe_says_epipe() {
    let Some(saw) = seen("spawn/ignored-sigpipe") else { return };
    assert_eq!(saw["ended by"], "exit status 1");
    assert_eq!(saw["it said something"], true);
    assert_eq!(saw["by Command it ends by"], "SIGPIPE");
}

#[test]
fn a_lock_that_another_thread_held_is_locked_for_ever_in_the_child() {
    let Some(saw) = seen("spawn/fork-beside-threads") else { return };
    assert_eq!(saw["the child sleeps"], true);
}

#[test]
fn a_new_session_is_a_new_group() {
    let Some(saw) = seen("spawn/left-the-group") else { return };
    assert_eq!(saw["the first ended"], true);
    assert_eq!(saw["the second goes on"], true);
}

#[test]
fn a_pidfd_is_readable_from_the_end_on() {
    let Some(saw) = seen("spawn/pidfd-readable") else { return };
    assert_eq!(saw["while it runs and is stopped"], json!([false, false]));
    assert_eq!(saw["as a zombie"], true);
    assert_eq!(saw["a late signal fails with ESRCH"], true);
}

#[test]
fn a_pipe_tells_a_worker_of_the_end_of_its_supervisor() {
    let Some(saw) = seen("spawn/pipe-for-life") else { return };
    assert_eq!(saw["the worker read the end"], true);
    assert_eq!(saw["the worker got SIGCHLD"], false);
}

#[test]
fn a_late_wish_is_about_the_next_parent() {
    let Some(saw) = seen("spawn/pdeathsig-late") else { return };
    assert_eq!(saw["getppid() tells"], true);
    assert_eq!(saw["ended before the subreaper"], false);
    assert_eq!(saw["ended by"], "SIGTERM");
}

#[test]
fn the_parent_of_a_parent_death_signal_is_a_thread() {
    let Some(saw) = seen("spawn/pdeathsig-thread") else { return };
    assert_eq!(saw["ended with the thread"], true);
    assert_eq!(saw["that of the first thread goes on"], true);
}

#[test]
fn a_background_job_that_reads_is_stopped() {
    let Some(saw) = seen("spawn/background-read") else { return };
    assert_eq!(saw["stopped by SIGTTIN"], true);
    assert_eq!(saw["read in the foreground"], "hi\n");
}

#[test]
fn a_hangup_ends_the_leader_and_then_the_foreground() {
    let Some(saw) = seen("spawn/hangup") else { return };
    let ends = &saw["the shell and the foreground job ended by"];
    assert_eq!(ends, &json!(["SIGHUP", "SIGHUP"]));
    assert_eq!(saw["the background job goes on"], true);
}

#[test]
fn a_new_session_has_no_terminal_and_keeps_its_descriptors() {
    let Some(saw) = seen("spawn/no-terminal") else { return };
    assert_eq!(saw["opened before setsid"], true);
    assert_eq!(saw["written after it"], true);
    assert_eq!(saw["opened after it"], false);
}

#[test]
fn a_group_leader_cannot_make_a_session() {
    let Some(saw) = seen("spawn/group-leader") else { return };
    assert_eq!(saw["it fails for the leader"], true);
    assert_eq!(saw["its child leads a session"], true);
}

#[test]
fn process_1_has_no_default_actions() {
    let Some(saw) = seen("spawn/process-1") else { return };
    assert_eq!(saw["SIGTERM ended it"], false);
    assert_eq!(saw["with a handler it did"], true);
}

#[test]
fn a_child_of_fork_sleeps_for_another_threads_print_and_a_command_does_not() {
    let Some(saw) = seen("spawn/locked-print") else { return };
    assert_eq!(saw["printed after fork"], "\n");
    assert_eq!(saw["printed by a Command"], "\nchild\n");
}
