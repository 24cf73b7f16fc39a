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
