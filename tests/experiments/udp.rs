use serde_json::json;

use crate::seen;

#[test]
fn a_full_buffer_loses_and_no_call_says_so() {
    let Some(saw) = seen("udp/full-buffer") else { return };
    assert_eq!(saw["sends that returned 100"], 1000);
    assert!(saw["datagrams received"].as_u64().unwrap() < 1000);
    assert_eq!(saw["some were dropped"], true);
}

#[test]
fn a_short_buffer_cuts_and_the_rest_is_gone() {
    let Some(saw) = seen("udp/short-buffer") else { return };
    assert_eq!(saw["the first"], "hello");
    assert_eq!(saw["MSG_TRUNC at the first"], true);
    assert_eq!(saw["the second"], "next");
}

#[test]
fn where_nobody_is_the_second_send_tells_of_the_first() {
    let Some(saw) = seen("udp/nobody-there") else { return };
    assert_eq!(saw["connect"], "0");
    assert_eq!(saw["the first send"], "3");
    assert_eq!(saw["the second send"], "ECONNREFUSED: Connection refused");
}

#[test]
fn what_is_sent_again_is_carried_out_again_unless_it_has_a_number() {
    let Some(saw) = seen("udp/twice") else { return };
    assert_eq!(saw["the balance"], 20);
    assert_eq!(saw["with a number in each request"], 10);
}

#[test]
fn a_late_answer_is_taken_for_another_unless_it_has_a_number() {
    let Some(saw) = seen("udp/late-answer") else { return };
    assert_eq!(saw["taken for the price of gold"], "3 euros");
    assert_eq!(saw["with numbers"], "90 euros");
}

#[test]
fn an_empty_datagram_is_no_end() {
    let Some(saw) = seen("udp/empty-datagram") else { return };
    assert_eq!(saw["the first"], 0);
    assert_eq!(saw["the second"], "after");
    assert_eq!(saw["the third"], "EAGAIN: Try again");
}

#[test]
fn a_datagram_has_65_507_bytes_at_most() {
    let Some(saw) = seen("udp/too-large") else { return };
    assert_eq!(saw["65,507 bytes: received"], 65_507);
    assert_eq!(saw["65,508 bytes: send"], "EMSGSIZE: Message too long");
}

#[test]
fn what_comes_after_a_gap_is_there_at_once() {
    let Some(saw) = seen("udp/gap") else { return };
    assert_eq!(saw["received first"], "2");
    assert_eq!(saw["received next"], "3");
}

#[test]
fn a_socket_that_is_not_connected_is_told_nothing_unless_it_asks() {
    let Some(saw) = seen("udp/unconnected") else { return };
    assert_eq!(saw["the sends succeed"], json!([true, true, true]));
    assert_eq!(saw["recv"], "EAGAIN: Try again");
    let refused = "ECONNREFUSED: Connection refused";
    assert_eq!(saw["with IP_RECVERR, the second send"], refused);
}

#[test]
fn a_client_is_bound_by_its_first_send() {
    let Some(saw) = seen("udp/unbound-client") else { return };
    assert_eq!(saw["port before"], 0);
    assert_eq!(saw["the server sees the port that it has after"], true);
    assert_eq!(saw["the client got"], "answer");
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let Some(saw) = seen("udp/third-party") else { return };
    assert_eq!(saw["the stranger's sendto"], "13");
    assert_eq!(saw["the client got"], "the answer");
    assert_eq!(saw["and then"], "EAGAIN: Try again");
    let refused = "ECONNREFUSED: Connection refused";
    assert_eq!(saw["the stranger, if connected, is told"], refused);
}

#[test]
fn an_answer_leaves_from_the_address_of_the_route() {
    let Some(saw) = seen("udp/wildcard-answer") else { return };
    assert_eq!(saw["the answer comes from"], "127.0.0.1");
    assert_eq!(saw["the client reads first"], "with IP_PKTINFO");
}

#[test]
fn reuseaddr_gives_all_to_the_last() {
    let Some(saw) = seen("udp/reuseaddr") else { return };
    assert_eq!(saw["received"], json!([0, 6]));
    assert_eq!(saw["without the option"], "EADDRINUSE: Address already in use");
}

#[test]
fn reuseport_divides_by_client() {
    let Some(saw) = seen("udp/reuseport") else { return };
    assert_eq!(saw["clients heard by both"], 0);
    assert_eq!(saw["each server has some"], true);
    assert_eq!(saw["datagrams in all"], 80);
}

#[test]
fn a_broadcast_needs_its_option() {
    let Some(saw) = seen("udp/broadcast-flag") else { return };
    assert_eq!(saw["as it was made"], "EACCES: Permission denied");
    assert_eq!(saw["with SO_BROADCAST"], "6");
    assert_eq!(saw["the server got"], "to all");
}

#[test]
fn each_member_of_a_group_has_a_copy() {
    let Some(saw) = seen("udp/multicast-copies") else { return };
    assert_eq!(saw["got"], json!([true, true]));
}

#[test]
fn a_send_that_returns_an_old_error_has_sent_nothing() {
    let Some(saw) = seen("udp/spent-error") else { return };
    assert_eq!(saw["send of b"], "ECONNREFUSED: Connection refused");
    assert_eq!(saw["send of c"], "1");
    assert_eq!(saw["the server gets"], "c");
}

#[test]
fn connect_throws_nothing_away() {
    let Some(saw) = seen("udp/queued-before") else { return };
    assert_eq!(saw["received"], "early");
}

#[test]
fn fionread_is_the_next_datagrams_length() {
    let Some(saw) = seen("udp/next-length") else { return };
    assert_eq!(saw["FIONREAD"], 3);
}

#[test]
fn a_receive_buffer_is_cut_down_to_the_limit_in_silence() {
    let Some(saw) = seen("udp/larger-buffer") else { return };
    assert_eq!(saw["twice the limit"], true);
}

#[test]
fn a_broadcast_is_heard_where_the_bound_address_fits() {
    let Some(saw) = seen("udp/broadcast-bound") else { return };
    assert_eq!(saw["heard"], json!([false, true, true]));
}

#[test]
fn who_has_joined_nothing_hears_the_groups_of_others() {
    let Some(saw) = seen("udp/uninvited") else { return };
    assert_eq!(saw["heard"], json!([true, true, false, false]));
}

#[test]
fn recvmmsg_sleeps_over_its_timeout() {
    let Some(saw) = seen("udp/mmsg-timeout") else { return };
    assert_eq!(saw["it slept over its timeout"], true);
    assert_eq!(saw["datagrams"], 1);
}

#[test]
fn what_may_not_be_fragmented_is_emsgsize() {
    let Some(saw) = seen("udp/path-mtu") else { return };
    assert_eq!(saw["4,000 bytes"], true);
    let refused = "EMSGSIZE: Message too long";
    assert_eq!(saw["4,000 bytes, with IP_PMTUDISC_DO"], refused);
    assert_eq!(saw["1,472 bytes, with IP_PMTUDISC_DO"], true);
}

#[test]
fn a_source_address_is_what_the_sender_writes() {
    let Some(saw) = seen("udp/forged-source") else { return };
    assert_eq!(saw["the client got"], "of the server");
    assert_eq!(saw["the server saw as source"], "192.0.2.53:53");
}

#[test]
fn a_damaged_datagram_is_as_good_as_lost() {
    let Some(saw) = seen("udp/bad-checksum") else { return };
    assert_eq!(saw["the server got"], "undamaged");
    assert_eq!(saw["counted"], 1);
    assert_eq!(saw["without a checksum"], "unsummed");
}

#[test]
fn what_was_sent_first_may_come_last() {
    let Some(saw) = seen("udp/overtaken") else { return };
    assert_eq!(saw["the speed in the end"], "10");
    assert_eq!(saw["with numbers"], "20");
}
