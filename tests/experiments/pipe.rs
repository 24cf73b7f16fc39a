use serde_json::json;

use crate::seen;

#[test]
fn a_reader_that_holds_the_writing_end_never_sees_the_end() {
    let Some(saw) = seen("pipe/forgotten-end") else { return };
    assert_eq!(saw["the child sleeps"], true);
    assert_eq!(saw["ends that the child holds"], 2);
    assert_eq!(saw["with its write end closed"], "it ends");
}

#[test]
fn a_program_that_was_given_the_writing_end_by_exec_keeps_the_end_away() {
    let Some(saw) = seen("pipe/over-exec") else { return };
    assert_eq!(saw["ends that sleep holds, by pipe()"], 2);
    assert_eq!(saw["ends that sleep holds, by pipe2()"], 0);
    assert_eq!(saw["the second read, by pipe()"], 0);
    assert_eq!(saw["the second read, by pipe2()"], 0);
    assert_eq!(saw["the reader waits for sleep"], true);
    assert_eq!(saw["with O_CLOEXEC it waits"], false);
}

#[test]
fn sigpipe_ends_c_and_is_an_error_in_rust() {
    let Some(saw) = seen("pipe/sigpipe") else { return };
    assert_eq!(saw["Rust saw EPIPE"], true);
    assert_eq!(saw["C was ended by SIGPIPE"], true);
}

#[test]
fn a_filters_line_comes_at_its_end_unless_it_is_told_to_flush() {
    let Some(saw) = seen("pipe/stdio-buffer") else { return };
    assert_eq!(saw["one line comes at once"], false);
    assert_eq!(saw["bytes at the end, one"], 4);
    assert_eq!(saw["with --line-buffered it does"], true);
}

#[test]
fn three_writes_come_out_of_one_read() {
    let Some(saw) = seen("pipe/short-reads") else { return };
    assert_eq!(saw["got"], "onetwothree");
}

#[test]
fn writes_up_to_pipe_buf_are_not_mixed_and_longer_ones_are() {
    let Some(saw) = seen("pipe/atomic-writes") else { return };
    assert_eq!(saw["changes of writer at 4096 bytes"], 1);
    assert!(saw["changes of writer at 40,960 bytes"].as_u64().unwrap() > 1, "{saw}");
}

#[test]
fn two_that_write_first_wait_for_each_other() {
    let Some(saw) = seen("pipe/both-full") else { return };
    assert_eq!(saw["stuck in write"], 2);
}

#[test]
fn a_pipe_holds_the_next_power_of_two_pages_that_was_asked_for() {
    let Some(saw) = seen("pipe/capacity") else { return };
    assert_eq!(saw["bytes that a new one holds"], 65_536);
    assert_eq!(saw["bytes that it holds after F_SETPIPE_SZ"], 131_072);
}

#[test]
fn the_capacity_is_counted_in_pages() {
    let Some(saw) = seen("pipe/pages") else { return };
    assert_eq!(saw["writes of 2048 bytes"], 32);
    assert_eq!(saw["writes of 2049 bytes"], 16);
    assert_eq!(saw["writes of 3000 bytes"], 16);
}

#[test]
fn a_long_write_puts_in_what_fits_and_a_short_one_all_or_nothing() {
    let Some(saw) = seen("pipe/partial-write") else { return };
    assert_eq!(saw["written of 5000"], 4096);
    assert_eq!(saw["4096 without room"], "EAGAIN: Try again");
}

#[test]
fn vmsplice_does_not_copy() {
    let Some(saw) = seen("pipe/vmsplice") else { return };
    assert_eq!(
        [&saw["read after write"], &saw["read after vmsplice"]],
        [&json!("before"), &json!("after!")]
    );
}

#[test]
fn a_lent_page_that_was_moved_on_still_changes() {
    let Some(saw) = seen("pipe/moved-on") else { return };
    assert_eq!(saw["bytes left in the sender's pipe"], 0);
    assert_eq!(saw["read from the second pipe"], "after!");
}

#[test]
fn printing_to_nobody_is_a_signal_a_panic_or_an_exception() {
    let Some(saw) = seen("pipe/printed-to-nobody") else { return };
    assert_eq!(saw["C was ended by SIGPIPE"], true);
    assert_eq!(saw["println! panicked"], true);
    assert_eq!(saw["Python raised BrokenPipeError"], true);
}

#[test]
fn a_record_of_pipe_buf_bytes_is_in_the_pipe_whole_or_not() {
    let Some(saw) = seen("pipe/all-or-nothing") else { return };
    assert_eq!(saw["the record"], "EAGAIN: Try again");
    assert_eq!(saw["bytes of the record in the pipe"], 0);
    assert_eq!(saw["the longer one is written in part"], true);
}

#[test]
fn o_nonblock_stays_on_the_terminal_that_the_shell_has() {
    let Some(saw) = seen("pipe/shells-terminal") else { return };
    assert_eq!(saw["EAGAIN for read and write"], json!([true, true]));
    assert_eq!(saw["with an open file of its own"], json!([false, false]));
}
