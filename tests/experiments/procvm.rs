use serde_json::json;

use crate::seen;

#[test]
fn an_address_is_looked_up_in_the_target() {
    let Some(saw) = seen("procvm/its-own-copy") else { return };
    assert_eq!(saw["copied"], 2);
    assert_eq!(saw["the parent's own"], 1);
}

#[test]
fn a_stopped_target_is_read_and_stays_stopped() {
    let Some(saw) = seen("procvm/stopped") else { return };
    assert_eq!(saw["copied"], "abcdefgh");
    assert_eq!(saw["it is stopped still"], true);
}

#[test]
fn a_copy_in_the_middle_of_a_change_is_seen_by_its_version() {
    let Some(saw) = seen("procvm/torn-copy") else { return };
    assert_eq!(saw["copied"], "bbbbaaaa");
    assert_eq!(saw["with a version"], json!(null));
    assert_eq!(saw["with a version, later"], "bbbbbbbb");
}

#[test]
fn what_is_there_is_copied_and_the_rest_left_alone() {
    let Some(saw) = seen("procvm/half-there") else { return };
    assert_eq!(saw["returned"], 4096);
    assert_eq!(saw["the rest of the buffer is as it was"], true);
    assert_eq!(saw["behind it: EFAULT"], true);
}

#[test]
fn a_store_from_outside_wakes_no_sleeper() {
    let Some(saw) = seen("procvm/wakes-nobody") else { return };
    assert_eq!(saw["the word"], 1);
    assert_eq!(saw["it sleeps on"], true);
}

#[test]
fn a_page_without_a_frame_is_made_of_zeros() {
    let Some(saw) = seen("procvm/never-touched") else { return };
    assert_eq!(saw["the bytes"], json!([0, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn a_look_at_a_bad_address_is_an_error_and_no_signal() {
    let Some(saw) = seen("procvm/probe-own") else { return };
    assert_eq!(saw["a load ended it"], true);
    assert_eq!(saw["the call returned"], "EFAULT: Bad address");
}

#[test]
fn a_list_is_copied_up_to_its_first_bad_place() {
    let Some(saw) = seen("procvm/second-of-three") else { return };
    assert_eq!(saw["the buffer"], "first...xxxxxxxxxxxxxxxx");
}

#[test]
fn no_more_is_copied_than_there_is_room_for() {
    let Some(saw) = seen("procvm/less-room") else { return };
    assert_eq!(saw["copied"], "abcd");
}

#[test]
fn iov_max_is_a_limit_of_the_call() {
    let Some(saw) = seen("procvm/too-many") else { return };
    assert_eq!(saw["1024 places"], 1024);
}

#[test]
fn a_store_into_a_page_that_is_shared_since_fork_is_the_childs_alone() {
    let Some(saw) = seen("procvm/whose-page") else { return };
    assert_eq!(saw["the child's"], 7);
    assert_eq!(saw["the parent's"], 1);
}

#[test]
fn a_read_only_page_is_not_written_to() {
    let Some(saw) = seen("procvm/read-only") else { return };
    assert_eq!(saw["read"], 9);
    assert_eq!(saw["stored"], json!(null));
}

#[test]
fn a_process_that_is_not_dumpable_is_not_read() {
    let Some(saw) = seen("procvm/not-dumpable") else { return };
    assert_eq!(saw["before"], 8);
    assert_eq!(saw["after"], "EPERM: Operation not permitted");
}

#[test]
fn a_process_with_more_capabilities_is_not_read() {
    let Some(saw) = seen("procvm/fewer-capabilities") else { return };
    assert_eq!(saw["before"], 8);
    assert_eq!(saw["after"], "EPERM: Operation not permitted");
}

#[test]
fn a_zombie_has_no_memory() {
    let Some(saw) = seen("procvm/has-ended") else { return };
    assert_eq!(saw["error"], "ESRCH: No such process");
}

#[test]
fn execve_takes_the_memory_and_leaves_the_process() {
    let Some(saw) = seen("procvm/after-exec") else { return };
    assert_eq!(saw["before"], 8);
    assert_eq!(saw["pid, start and pidfd are as before"], true);
    assert_eq!(saw["the message is there"], false);
}

#[test]
fn a_pid_that_is_given_out_again_is_another_processs_memory() {
    let Some(saw) = seen("procvm/pid-reuse") else { return };
    assert_eq!(saw["copied"], 8);
    assert_eq!(saw["the pidfd tells"], true);
}

#[test]
fn a_fetched_descriptor_shares_the_offset() {
    let Some(saw) = seen("procvm/one-offset") else { return };
    assert_eq!(saw["read"], "def");
}

#[test]
fn a_fetched_descriptor_is_closed_by_execve() {
    let Some(saw) = seen("procvm/its-flag") else { return };
    assert_eq!(saw["of the target's"], false);
    assert_eq!(saw["of the copy"], true);
}

#[test]
fn a_fetched_writing_end_keeps_a_pipe_open() {
    let Some(saw) = seen("procvm/kept-open") else { return };
    assert_eq!(saw["it sleeps"], true);
    assert_eq!(saw["once the copy is closed, it returns"], 0);
}
