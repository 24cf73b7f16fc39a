use crate::seen;

#[test]
fn a_reader_sleeps_in_open_until_a_writer_comes() {
    let Some(saw) = seen("fifo/open-sleeps") else { return };
    assert_eq!(saw["the reader slept in"], "openat");
}

#[test]
fn a_writer_that_will_not_wait_gets_enxio_until_there_is_a_reader() {
    let Some(saw) = seen("fifo/no-reader-enxio") else { return };
    assert_eq!(saw["without a reader"], "ENXIO: No such device or address");
    assert_eq!(saw["with a reader"], true);
}

#[test]
fn an_empty_fifo_is_eagain_and_an_ended_one_is_0() {
    let Some(saw) = seen("fifo/empty-or-ended") else { return };
    assert_eq!(saw["empty"], "EAGAIN: Try again");
    assert_eq!(saw["ended"], 0);
}

#[test]
fn opening_two_fifos_in_opposite_order_deadlocks_and_in_the_same_order_does_not() {
    let Some(saw) = seen("fifo/wrong-order") else { return };
    assert_eq!(saw["asleep in their first open"], 2);
    assert_eq!(saw["in the same order"], "both through");
}

#[test]
fn poll_hangs_up_only_once_a_writer_has_come_and_gone() {
    let Some(saw) = seen("fifo/never-a-writer") else { return };
    assert_eq!(saw["read says"], serde_json::json!([0, 0]));
    assert_eq!(saw["POLLHUP before"], false);
    assert_eq!(saw["POLLHUP after"], true);
}

#[test]
fn a_server_between_two_clients_reads_0_for_ever_unless_it_writes_too() {
    let Some(saw) = seen("fifo/dummy-writer") else { return };
    assert_eq!(saw["reads of 0 in a thousand"], 1000);
    assert_eq!(saw["with a dummy writer it sleeps"], true);
}

#[test]
fn the_bytes_go_with_the_last_descriptor_and_the_name_stays() {
    let Some(saw) = seen("fifo/name-stays") else { return };
    assert_eq!(saw["st_size while 100 bytes waited"], 0);
    assert_eq!(saw["found afterwards"], 0);
    assert_eq!(saw["the name is there"], true);
}

#[test]
fn two_readers_tear_one_message_apart() {
    let Some(saw) = seen("fifo/two-readers") else { return };
    assert_eq!(saw["A got"], " all");
    assert_eq!(saw["B got"], "hello");
}

#[test]
fn a_reply_goes_to_whoever_waited_longest_unless_each_has_a_fifo() {
    let Some(saw) = seen("fifo/reply-fifo") else { return };
    assert_eq!(saw["client A got"], "for client B");
    assert_eq!(saw["client B got"], "");
    let each = serde_json::json!(["for client A", "for client B"]);
    assert_eq!(saw["with a FIFO each"], each);
}

#[test]
fn with_o_creat_nobody_opens_anothers_fifo_in_a_sticky_directory() {
    let Some(saw) = seen("fifo/anothers-in-tmp") else { return };
    assert_eq!(saw["with O_CREAT"], "EACCES: Permission denied");
    assert_eq!(saw["without O_CREAT"], true);
}
