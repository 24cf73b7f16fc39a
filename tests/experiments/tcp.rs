use crate::seen;

#[test]
fn two_sends_are_one_recv_and_one_send_is_many() {
    let Some(saw) = seen("tcp/two-sends") else { return };
    assert_eq!(saw["one recv(): after two sends"], "one\ntwo\n");
    assert!(saw["one recv(): of 100,000"].as_u64().expect("bytes") < 100_000);
    assert_eq!(saw["until a newline: after two sends"], "one\n");
    assert_eq!(saw["until a newline: of 100,000"], 100_000);
}

#[test]
fn a_second_client_is_connected_and_heard_before_the_server_accepts_it() {
    let Some(saw) = seen("tcp/second-client") else { return };
    assert_eq!(saw["state before accept"], "ESTABLISHED");
    assert_eq!(saw["sent before accept"], true);
    assert_eq!(saw["answer before accept"], "EAGAIN: Try again");
    assert_eq!(saw["meanwhile the server waits for the first"], true);
    assert_eq!(saw["then the second gets"], "answer");
}

#[test]
fn a_full_backlog_leaves_the_third_client_in_syn_sent() {
    let Some(saw) = seen("tcp/full-backlog") else { return };
    assert_eq!(saw["connected"], 2);
    assert_eq!(saw["the next one is"], "SYN_SENT");
    assert_eq!(saw["the server's kernel dropped its request"], true);
}

#[test]
fn without_an_end_both_sleep_and_after_shutdown_the_answer_comes_the_other_way() {
    let Some(saw) = seen("tcp/half-close") else { return };
    assert_eq!(saw["without an end, asleep in recv"], 2);
    assert_eq!(saw["after shutdown(SHUT_WR) the answer is"], "6");
}

#[test]
fn after_the_end_one_send_succeeds_and_the_next_is_epipe_and_sigpipe() {
    let Some(saw) = seen("tcp/once-server") else { return };
    assert_eq!(saw["after the answer, recv"], 0);
    assert_eq!(saw["the first send"], "3");
    assert_eq!(saw["poll then says"], "POLLERR | POLLHUP");
    assert_eq!(saw["SO_ERROR is"], "EPIPE: Broken pipe");
    assert_eq!(saw["recv still says"], 0);
    assert_eq!(saw["the second send"], "EPIPE: Broken pipe");
    assert_eq!(saw["states"], serde_json::json!(["CLOSE_WAIT", "CLOSE"]));
    assert_eq!(saw["C, without flags, is killed by SIGPIPE"], true);
    assert_eq!(saw["by its second send"], true);
}

#[test]
fn closing_with_unread_data_cuts_off_the_answer_by_a_reset() {
    let Some(saw) = seen("tcp/unread-data") else { return };
    let number = |what: &str| saw[what].as_u64().expect("a number");
    assert!(number("bytes that came") > 0);
    assert!(number("bytes that came") < number("bytes that send took"));
    assert_eq!(saw["and the last recv"], "ECONNRESET: Connection reset by peer");
    assert_eq!(saw["read to the end, all came"], true);
    assert_eq!(saw["and then the last recv"], "the end");
}

#[test]
fn a_parent_that_keeps_the_connection_keeps_the_end_away_unless_it_is_shut_down() {
    let Some(saw) = seen("tcp/forgotten-close") else { return };
    assert_eq!(saw["A slept while the parent kept it"], true);
    assert_eq!(saw["once it was closed, recv"], 0);
    assert_eq!(saw["after shutdown in the child, recv"], 0);
    assert_eq!(saw["with the parent's copy closed, recv"], 0);
}

#[test]
fn zombies_stay_unless_all_are_waited_for_or_sigchld_is_ignored() {
    let Some(saw) = seen("tcp/zombies") else { return };
    assert_eq!(saw["never waits"], 3);
    assert_eq!(saw["waits once a signal"], 2);
    assert_eq!(saw["ignores SIGCHLD"], 0);
    assert_eq!(saw["waits in a loop"], 0);
}

#[test]
fn an_orphan_serves_on_and_goes_to_the_nearest_subreaper() {
    let Some(saw) = seen("tcp/orphan") else { return };
    assert_eq!(saw["the orphan's parent is"], "the subreaper");
    assert_eq!(saw["the subreaper could wait for it"], true);
}

#[test]
fn so_reuseaddr_must_have_been_on_the_old_socket_too() {
    let Some(saw) = seen("tcp/time-wait") else { return };
    let in_use = "EADDRINUSE: Address already in use";
    assert_eq!(saw["bind(), SO_REUSEADDR on neither"], in_use);
    assert_eq!(saw["bind(), SO_REUSEADDR on the new one only"], in_use);
    assert_eq!(saw["bind(), SO_REUSEADDR on both"], "0");
    let client_first =
        "bind(), SO_REUSEADDR on neither, and the client closed first";
    assert_eq!(saw[client_first], "0");
}

#[test]
fn a_client_at_the_port_that_it_asks_for_is_connected_to_itself() {
    let Some(saw) = seen("tcp/self-connect") else { return };
    assert_eq!(saw["connect"], "0");
    assert_eq!(saw["it is its own peer"], true);
    assert_eq!(saw["it hears"], "hello?");
    assert_eq!(saw["its server's bind"], "EADDRINUSE: Address already in use");
}

#[test]
fn nagle_holds_the_second_small_send_back_and_joins_the_third_to_it() {
    let Some(saw) = seen("tcp/nagle") else { return };
    assert_eq!(saw["packets"], 2);
    assert_eq!(saw["packets with TCP_NODELAY"], 3);
}

#[test]
fn who_reads_only_sleeps_on_when_its_peer_has_vanished_and_keepalive_ends_that() {
    let Some(saw) = seen("tcp/vanished") else { return };
    assert_eq!(saw["without a cut, recv"], "0");
    assert_eq!(saw["with SO_KEEPALIVE, recv"], TIMED_OUT);
    assert_eq!(saw["by then the other one sleeps in recv"], true);
}

const TIMED_OUT: &str = "ETIMEDOUT: Connection timed out";

#[test]
fn keepalive_does_not_ask_while_data_waits_and_the_user_timeout_ends_that() {
    let Some(saw) = seen("tcp/keepalive-and-data") else { return };
    assert_eq!(saw["A"], TIMED_OUT);
    assert_eq!(saw["B"], "ESTABLISHED");
    assert_eq!(saw["bytes of B that wait"], 7);
    assert_eq!(saw["C"], TIMED_OUT);
}

#[test]
fn what_a_cut_has_swallowed_is_sent_again_once_the_link_is_mended() {
    let Some(saw) = seen("tcp/mended-link") else { return };
    assert_eq!(saw["while it is cut, recv"], "EAGAIN: Try again");
    assert_eq!(saw["then recv"], "one");
}

#[test]
fn a_timeout_of_each_recv_is_none_of_all_and_a_deadline_is() {
    let Some(saw) = seen("tcp/now-and-then") else { return };
    assert_eq!(saw["with SO_RCVTIMEO, bytes"], "12");
    assert_eq!(saw["after more than its two seconds"], true);
    assert_eq!(saw["with a deadline"], TIMED_OUT);
}

#[test]
fn a_send_that_times_out_returns_the_part_that_it_has_sent() {
    let Some(saw) = seen("tcp/timed-out-send") else { return };
    assert_eq!(saw["the first send returned a part"], true);
    assert_eq!(saw["the last send"], "EAGAIN: Try again");
    assert_eq!(saw["what arrived is what they returned"], true);
}

#[test]
fn of_two_servers_at_one_port_each_gets_some_and_not_in_turn() {
    let Some(saw) = seen("tcp/two-servers") else { return };
    let got: Vec<_> =
        (0..2).map(|n| saw["of 64 clients, A and B got"][n].as_u64()).collect();
    assert!(got.iter().all(|got| got.is_some_and(|got| got > 0)), "{got:?}");
    assert_eq!(saw["turn and turn about"], false);
}

#[test]
fn the_backlog_of_a_server_that_ends_is_reset_though_another_has_its_port() {
    let Some(saw) = seen("tcp/ended-server") else { return };
    assert_eq!(saw["the client's recv"], "ECONNRESET: Connection reset by peer");
    assert_eq!(saw["B serves the next one"], true);
}

#[test]
fn a_backlog_outlives_the_servers_whose_listening_socket_another_has_open() {
    let Some(saw) = seen("tcp/lent-listener") else { return };
    assert_eq!(saw["the two get"], serde_json::json!(["answer", "answer"]));
    let reset = "ECONNRESET: Connection reset by peer";
    assert_eq!(saw["without a manager, the one who waited gets"], reset);
    assert_eq!(saw["and the next one"], "ECONNREFUSED: Connection refused");
}

#[test]
fn a_connect_whose_time_is_over_goes_on_without_its_program() {
    let Some(saw) = seen("tcp/connect-timeout") else { return };
    assert_eq!(saw["connect"], "EINPROGRESS: Operation now in progress");
    assert_eq!(saw["the socket was in"], "SYN_SENT");
    assert_eq!(saw["SO_ERROR in the end is 0"], true);
    assert_eq!(saw["the socket is in"], "ESTABLISHED");
}
