use crate::seen;

#[test]
fn a_regular_file_is_always_ready_for_poll_and_refused_by_epoll() {
    let Some(saw) = seen("multiplex/regular-file") else { return };
    for what in ["a file at its end", "a directory", "/dev/null"] {
        assert_eq!(saw[format!("{what}: poll")], "1", "{what}");
        let refused = "EPERM: Operation not permitted";
        assert_eq!(saw[format!("{what}: epoll")], refused, "{what}");
    }
    assert_eq!(saw["an empty pipe: poll"], "0");
    assert_eq!(saw["an empty pipe: epoll"], "0");
}

#[test]
fn a_read_after_poll_may_sleep_unless_the_descriptor_is_non_blocking() {
    let Some(saw) = seen("multiplex/ready-then-blocks") else { return };
    assert_eq!(saw["the first read"], 1);
    assert_eq!(saw["the second sleeps in read"], true);
    assert_eq!(saw["with O_NONBLOCK it reads"], "EAGAIN: Try again");
}

#[test]
fn the_kernels_select_knows_no_fd_setsize() {
    let Some(saw) = seen("multiplex/fd-setsize") else { return };
    assert_eq!(saw["the descriptor"], 1500);
    assert_eq!(saw["select"], "1");
    assert_eq!(saw["its bit"], 1);
    assert_eq!(saw["bits in a C fd_set"], 1024);
}

#[test]
fn poll_writes_an_entry_for_each_and_epoll_for_what_is_ready() {
    let Some(saw) = seen("multiplex/one-of-many") else { return };
    for many in [10, 100, 1000] {
        assert_eq!(saw[format!("of {many}: to look at, by poll")], many);
        assert_eq!(saw[format!("of {many}: to look at, by epoll")], 1);
    }
}

#[test]
fn a_loop_that_only_logs_emfile_spins_and_a_spare_descriptor_cures_it() {
    let Some(saw) = seen("multiplex/accept-emfile") else { return };
    assert_eq!(saw["turns in a thousand"], 1000);
    assert_eq!(saw["of which accept failed"], 1000);
    assert_eq!(saw["turned away, the client reads"], "0");
    assert_eq!(saw["the listener is then ready"], false);
}

#[test]
fn a_level_is_told_as_long_as_it_lasts_and_an_edge_once() {
    let Some(saw) = seen("multiplex/level-or-edge") else { return };
    assert_eq!(saw["level: told of the 90 again"], true);
    assert_eq!(saw["level: times it was told after one more"], 10);
    assert_eq!(saw["edge: told of the 90 again"], false);
    assert_eq!(saw["edge: times it was told after one more"], 1);
    assert_eq!(saw["edge: bytes read then"], 10);
}

#[test]
fn an_edge_that_is_not_drained_hangs_with_a_peer_that_waits() {
    let Some(saw) = seen("multiplex/edge-not-drained") else { return };
    assert_eq!(saw["one read for each edge: both sleep"], true);
    assert_eq!(saw["until EAGAIN: bytes of the answer"], 6);
}

#[test]
fn only_epolloneshot_keeps_a_second_thread_away() {
    let Some(saw) = seen("multiplex/oneshot") else { return };
    assert_eq!(saw["B was told by default"], true);
    assert_eq!(saw["with EPOLLET"], true);
    assert_eq!(saw["with EPOLLONESHOT"], false);
    assert_eq!(saw["with EPOLLONESHOT, armed again"], true);
}

#[test]
fn epoll_tells_of_a_closed_descriptor_while_a_duplicate_is_open() {
    let Some(saw) = seen("multiplex/closed-but-watched") else { return };
    assert_eq!(saw["an event for the closed number"], true);
    assert_eq!(saw["the number is given to another"], true);
    assert_eq!(saw["DEL of the number"], "ENOENT: No such file or directory");
    assert_eq!(saw["DEL of the duplicate"], "ENOENT: No such file or directory");
    assert_eq!(saw["with the duplicate closed too"], "0");
}

#[test]
fn a_herd_is_woken_for_one_client_but_for_epollexclusive() {
    let Some(saw) = seen("multiplex/herd") else { return };
    assert_eq!(saw["woken"], 8);
    let exclusive = saw["woken with EPOLLEXCLUSIVE"].as_u64().expect("a number");
    assert!((1..8).contains(&exclusive), "{exclusive}");
}

#[test]
fn an_inherited_epoll_is_a_herd_by_level_and_none_by_edge() {
    let Some(saw) = seen("multiplex/inherited-epoll") else { return };
    assert_eq!(saw["woken by level"], 8);
    assert_eq!(saw["woken by edge"], 1);
}

#[test]
fn a_client_wakes_one_of_those_who_sleep_in_accept() {
    let Some(saw) = seen("multiplex/blocking-accept") else { return };
    assert_eq!(saw["processes that ran"], 1);
    assert_eq!(saw["still asleep in accept"], 7);
}

#[test]
fn one_that_does_not_read_keeps_the_messages_from_all() {
    let Some(saw) = seen("multiplex/slow-subscriber") else { return };
    assert!(saw["messages that a reader got"].as_u64().unwrap() < 2000, "{saw}");
    assert_eq!(saw["the server came to its end"], false);
    assert_eq!(saw["messages, with O_NONBLOCK"], 2000);
}

#[test]
fn what_a_client_does_not_read_stays_with_the_server() {
    let Some(saw) = seen("multiplex/without-a-bound") else { return };
    assert_eq!(saw["most are in the list"], true);
    assert_eq!(saw["none is lost"], true);
    assert_eq!(saw["with a bound, bytes in the list"], 0);
    assert_eq!(saw["with a bound, still connected"], false);
}

#[test]
fn one_call_hands_over_eight_reads_and_waits_for_them() {
    let Some(saw) = seen("multiplex/ring-one-call") else { return };
    assert_eq!(saw["calls"], 1);
    assert_eq!(saw["messages"], 8);
}

#[test]
fn what_comes_is_in_the_buffer_of_the_request_and_no_longer_in_the_pipe() {
    let Some(saw) = seen("multiplex/ring-reads") else { return };
    assert_eq!(saw["completions before the write"], 0);
    assert_eq!(saw["in the buffer"], "hello");
    assert_eq!(saw["in the pipe"], "EAGAIN: Try again");
}

#[test]
fn the_request_that_waits_is_complete_after_those_behind_it() {
    let Some(saw) = seen("multiplex/ring-order") else { return };
    assert_eq!(saw["the last one is"], "of A");
    assert_eq!(saw["A was among the first two"], false);
}

#[test]
fn a_poll_of_a_ring_tells_once() {
    let Some(saw) = seen("multiplex/ring-poll") else { return };
    assert_eq!(saw["told"], "POLLIN");
    assert_eq!(saw["told again by the first request"], 0);
    assert_eq!(saw["a new request"], true);
}

#[test]
fn the_kernel_reads_a_buffer_when_it_writes_and_not_when_it_is_asked() {
    let Some(saw) = seen("multiplex/ring-buffer") else { return };
    assert_eq!(saw["complete before the reader came"], 0);
    assert_eq!(saw["the write's result"], 5);
    assert_eq!(saw["the reader gets"], "other");
}
