use serde_json::json;

use crate::seen;

#[test]
fn three_writes_are_one_read_of_their_sum() {
    let Some(saw) = seen("eventfd/several-writes") else { return };
    assert_eq!(saw["the first read"], 12);
    assert_eq!(saw["the second read"], "EAGAIN: Try again");
}

#[test]
fn as_a_semaphore_each_read_takes_1() {
    let Some(saw) = seen("eventfd/takes-one") else { return };
    assert_eq!(saw["reads"], json!([1, 1, 1]));
}

#[test]
fn after_the_last_writer_a_pipe_ends_and_an_eventfd_does_not() {
    let Some(saw) = seen("eventfd/last-writer") else { return };
    assert_eq!(saw["the second read of the pipe"], 0);
    assert_eq!(saw["the second read of the eventfd sleeps"], true);
}

#[test]
fn a_child_shares_the_counter_and_not_the_variable() {
    let Some(saw) = seen("eventfd/one-counter") else { return };
    assert_eq!(saw["in the eventfd"], 2);
    assert_eq!(saw["in the variable"], 0);
}

#[test]
fn seven_bytes_are_too_few_and_take_nothing() {
    let Some(saw) = seen("eventfd/seven-bytes") else { return };
    assert_eq!(saw["with room for 7"], "EINVAL: Invalid argument");
    assert_eq!(saw["left"], 3);
}

#[test]
fn a_larger_buffer_gets_one_number() {
    let Some(saw) = seen("eventfd/hundred-bytes") else { return };
    assert_eq!(saw["returned"], 8);
}

#[test]
fn digits_are_taken_as_an_integer() {
    let Some(saw) = seen("eventfd/text-is-no-number") else { return };
    assert_eq!(saw["it is the bytes as an integer"], true);
    assert_eq!(saw["more than 10^18"], true);
}

#[test]
fn the_counter_can_be_seen_in_proc_and_stays() {
    let Some(saw) = seen("eventfd/look") else { return };
    assert_eq!(saw["st_size"], 0);
    assert_eq!(saw["FIONREAD"], libc::ENOTTY);
    assert_eq!(saw["eventfd-count"], "1e");
    assert_eq!(saw["left"], 30);
}

#[test]
fn a_write_that_nobody_will_read_is_no_error() {
    let Some(saw) = seen("eventfd/reader-gone") else { return };
    assert_eq!(saw["into the pipe: EPIPE"], true);
    assert_eq!(saw["into the eventfd"], 8);
}

#[test]
fn what_a_killed_process_has_added_stays() {
    let Some(saw) = seen("eventfd/number-stays") else { return };
    assert_eq!(saw["found"], 3);
}

#[test]
fn an_eventfd_cannot_be_opened_through_proc() {
    let Some(saw) = seen("eventfd/no-name") else { return };
    assert_eq!(saw["the link"], "anon_inode:[eventfd]");
    assert_eq!(saw["open"], "ENXIO: No such device or address");
}

#[test]
fn one_of_two_readers_takes_all() {
    let Some(saw) = seen("eventfd/two-readers") else { return };
    assert_eq!(saw["read"], json!([2]));
    assert_eq!(saw["one sleeps on"], true);
}

#[test]
fn two_readers_of_a_semaphore_take_one_each() {
    let Some(saw) = seen("eventfd/two-readers-of-a-semaphore") else { return };
    assert_eq!(saw["read"], json!([1, 1]));
    assert_eq!(saw["one sleeps on"], false);
}

#[test]
fn what_poll_reports_to_two_is_taken_by_one() {
    let Some(saw) = seen("eventfd/two-ready-one-takes") else { return };
    assert_eq!(saw["told POLLIN"], 2);
    assert_eq!(saw["B slept"], true);
    assert_eq!(saw["with EFD_NONBLOCK it slept"], false);
    assert_eq!(saw["with EFD_NONBLOCK were read"], json!([1]));
}

#[test]
fn o_nonblock_is_set_for_both_sides() {
    let Some(saw) = seen("eventfd/nonblock-is-shared") else { return };
    assert_eq!(saw["the notifier's write"], "EAGAIN: Try again");
}

#[test]
fn by_default_epoll_tells_until_the_counter_is_read() {
    let Some(saw) = seen("eventfd/level-is-told-again") else { return };
    assert_eq!(saw["told, of 1000, if it never reads"], 1000);
    assert_eq!(saw["told, of 1000, if it reads"], 1);
}

#[test]
fn with_epollet_each_write_is_told_without_a_read() {
    let Some(saw) = seen("eventfd/edge-never-read") else { return };
    assert_eq!(saw["told, twice after each write"], json!([1, 0, 1, 0, 1, 0]));
    assert_eq!(saw["left"], 3);
}

#[test]
fn with_epollet_many_writes_are_told_once() {
    let Some(saw) = seen("eventfd/edge-merges") else { return };
    assert_eq!(saw["told"], 1);
    assert_eq!(saw["in the counter"], 1000);
}

#[test]
fn what_is_ready_when_it_is_added_is_told() {
    let Some(saw) = seen("eventfd/ready-at-add") else { return };
    assert_eq!(saw["told"], json!([1, 0]));
}

#[test]
fn a_pipe_becomes_full_and_an_eventfd_does_not() {
    let Some(saw) = seen("eventfd/never-full") else { return };
    assert_eq!(saw["the pipe took all"], false);
    assert_eq!(saw["the eventfd took"], 100_000);
    assert_eq!(saw["in the counter"], 100_000);
}

#[test]
fn a_number_that_does_not_fit_waits_for_a_read() {
    let Some(saw) = seen("eventfd/does-not-fit") else { return };
    assert_eq!(saw["the write slept"], true);
    assert_eq!(saw["then it added"], 1);
}

#[test]
fn a_number_that_never_fits_is_refused() {
    let Some(saw) = seen("eventfd/one-too-many") else { return };
    assert_eq!(saw["the write"], "EINVAL: Invalid argument");
}

#[test]
fn pollout_says_that_1_fits() {
    let Some(saw) = seen("eventfd/room-for-one") else { return };
    assert_eq!(saw["POLLOUT"], true);
    assert_eq!(saw["write(9)"], "EAGAIN: Try again");
    assert_eq!(saw["nothing was added"], true);
}

#[test]
fn a_write_of_0_wakes_nobody() {
    let Some(saw) = seen("eventfd/adds-zero") else { return };
    assert_eq!(saw["it sleeps on"], true);
}

#[test]
fn one_read_need_not_sleep() {
    let Some(saw) = seen("eventfd/nowait") else { return };
    assert_eq!(saw["preadv2"], "EAGAIN: Try again");
}
