use serde_json::json;

use crate::seen;

#[test]
fn a_call_that_has_timed_out_is_done_and_answered_all_the_same() {
    let Some(saw) = seen("dbus/late-reply") else { return };
    assert_eq!(saw["a reply in time"], false);
    assert_eq!(saw["messages posted after the client gave up"], 1);
    assert_eq!(saw["the late reply came"], true);
}

#[test]
fn a_call_that_is_made_again_runs_twice_unless_it_has_a_key() {
    let Some(saw) = seen("dbus/at-most-once") else { return };
    assert_eq!(saw["posts, of a call that was made again"], 2);
    assert_eq!(saw["posts, with a key"], 1);
}

#[test]
fn a_reply_may_overtake_another_and_names_its_call() {
    let Some(saw) = seen("dbus/reply-order") else { return };
    assert_eq!(saw["the next message, where Slow is answered first"], "from Slow");
    assert_eq!(saw["where Quick is answered first"], "from Quick");
    assert_eq!(saw["by its serial, the reply to Slow"], "from Slow");
}

#[test]
fn an_argument_of_the_wrong_type_reaches_the_server() {
    let Some(saw) = seen("dbus/wrong-signature") else { return };
    assert_eq!(saw["the signature that reached the server"], "u");
    assert_eq!(saw["read as a string"], "7 of 0 bytes");
    assert_eq!(
        saw["when the server looks"],
        "org.freedesktop.DBus.Error.InvalidArgs"
    );
}

#[test]
fn the_bus_reports_its_own_error_to_who_wants_no_reply() {
    let Some(saw) = seen("dbus/no-reply-expected") else { return };
    assert_eq!(saw["without the flag"], "org.freedesktop.DBus.Error.ServiceUnknown");
    assert_eq!(saw["answers with the flag"], 1);
}

#[test]
fn the_bus_answers_for_a_server_that_was_killed_and_cannot_say_what_it_did() {
    let Some(saw) = seen("dbus/server-dies") else { return };
    assert_eq!(
        saw["on a bus, killed before the work"],
        "org.freedesktop.DBus.Error.NoReply"
    );
    assert_eq!(
        saw["on a bus, killed after the work"],
        "org.freedesktop.DBus.Error.NoReply"
    );
    assert_eq!(saw["who sent that"], "org.freedesktop.DBus");
    assert_eq!(saw["without a bus, the end of the stream"], true);
}

#[test]
fn a_name_that_is_taken_is_no_error_but_a_number() {
    let Some(saw) = seen("dbus/name-taken") else { return };
    assert_eq!(saw["RequestName with the flags 0"], "2");
    assert_eq!(saw["RequestName with DO_NOT_QUEUE"], "3");
    assert_eq!(saw["when the first has left, a signal"], "NameAcquired");
    assert_eq!(saw["then it is the owner"], true);
}

#[test]
fn a_name_is_taken_over_only_if_its_owner_has_allowed_that() {
    let Some(saw) = seen("dbus/take-over") else { return };
    assert_eq!(saw["the newcomer owns it"], false);
    assert_eq!(saw["the newcomer owns it, if the owner allowed that"], true);
    assert_eq!(saw["what the old owner heard then"], json!(["NameLost"]));
}

#[test]
fn a_call_to_nobody_is_an_error_at_once_or_starts_a_program() {
    let Some(saw) = seen("dbus/activation") else { return };
    assert_eq!(saw["without a file"], "org.freedesktop.DBus.Error.ServiceUnknown");
    assert_eq!(
        saw["with a file whose program is not there"],
        "org.freedesktop.DBus.Error.Spawn.ExecFailed"
    );
    assert_eq!(saw["with a file: the number of the post"], "1");
}

#[test]
fn a_signal_between_the_list_and_the_rule_is_lost() {
    let Some(saw) = seen("dbus/lost-signal") else { return };
    assert_eq!(saw["messages known, list first"], 0);
    assert_eq!(saw["messages known, rule first"], 1);
}

#[test]
fn two_rules_bring_one_signal_and_one_of_them_is_enough() {
    let Some(saw) = seen("dbus/two-rules") else { return };
    assert_eq!(saw["without a rule"], 0);
    assert_eq!(saw["with the rule twice"], 1);
    assert_eq!(saw["after one RemoveMatch"], 1);
}

#[test]
fn the_bus_keeps_what_a_listener_does_not_read_up_to_its_limit() {
    let Some(saw) = seen("dbus/slow-listener") else { return };
    assert_eq!(saw["received, of 1,000"], 1000);
    assert_eq!(saw["some lost where the limit is 1,000,000 bytes"], true);
}

#[test]
fn a_bus_writes_who_sent_a_message_and_without_one_nobody_does() {
    let Some(saw) = seen("dbus/forged-sender") else { return };
    assert_eq!(saw["on a bus, the client's own name"], true);
    assert_eq!(saw["without a bus"], "org.freedesktop.DBus");
}

#[test]
fn a_program_of_the_same_user_reads_a_call_between_two_others() {
    let Some(saw) = seen("dbus/monitor") else { return };
    assert_eq!(saw["the third program read"], "sesame");
    assert_eq!(saw["the client's reply is an error"], false);
}

#[test]
fn a_policy_is_about_a_connection_whatever_it_is_called() {
    let Some(saw) = seen("dbus/denied") else { return };
    let denied = "org.freedesktop.DBus.Error.AccessDenied";
    assert_eq!(saw["Post by its name"], denied);
    assert_eq!(saw["Post by its unique name"], denied);
    assert_eq!(saw["another method"], true);
    assert_eq!(saw["the first call that reached the server"], "Count");
    assert_eq!(saw["RequestName of a name with deny own"], denied);
}
