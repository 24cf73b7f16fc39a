//! Addresses as text, every address of a name, and the process that listens at one.

use super::holder::open_to_all;
use super::*;

#[test]
fn the_holder_of_a_port_is_found() {
    type Bind = fn(&Addresses) -> Result<(OwnedFd, SocketAddr)>;
    let binds: [(_, Bind); 2] =
        [(Protocol::Tcp, listen), (Protocol::Udp, udp::bind_udp)];
    for ((protocol, bind), host) in binds
        .into_iter()
        .flat_map(|it| ["127.0.0.1:0", "[::1]:0"].map(|at| (it, at)))
    {
        let Ok((_socket, address)) = bind(&resolve(host).unwrap()) else {
            continue; // a machine without IPv6
        };
        let pid = std::process::id();
        let found = holder(protocol, address).map(|holder| holder.to_string());
        let ours = format!("pid {pid} (");
        assert!(found.as_ref().is_some_and(|it| it.starts_with(&ours)), "{found:?}");
        let error = bind(&address.into()).unwrap_err();
        let line = crate::errors::line(&error);
        assert!(line.contains("EADDRINUSE"), "{line}");
        assert!(line.contains(&format!("pid {pid} ")), "{line}");
        assert!(line.contains(":0 takes any free port"), "{line}");
    }
}

/// A port where no process listens, of a loopback address that no other test uses.
fn nobody() -> SocketAddr {
    "127.9.0.1:9".parse().unwrap()
}

fn list(text: &str, all: &[SocketAddr]) -> Addresses {
    Addresses { text: text.to_owned(), all: all.to_vec() }
}

#[test]
fn each_address_of_a_name_is_tried_until_one_answers() {
    let (listener, there) = listen(&resolve("127.0.0.1:0").unwrap()).unwrap();
    let unroutable: SocketAddr = "[fe80::1]:9".parse().unwrap(); // of no interface
    for before in [
        vec![],
        vec![nobody()],
        vec![unroutable],
        vec![nobody(), unroutable, nobody()],
    ] {
        let all = list("name:1", &[&before[..], &[there]].concat());
        let (_, address) = connect(&all).unwrap().unwrap();
        assert_eq!(address, there, "after {before:?}");
    }
    drop(listener);
    // A server may come to one of them: it is worth to wait.
    let waits =
        connect(&list("name:1", &[unroutable, nobody()])).unwrap().unwrap_err();
    let said = waits.to_string();
    assert!(said.contains("connect([fe80::1]:9) = E"), "{said}");
    assert!(said.contains("connect(127.9.0.1:9) = ECONNREFUSED"), "{said}");
    // No server ever will: each address is named.
    let error = connect(&list("name:1", &[unroutable, unroutable])).unwrap_err();
    let said = crate::errors::line(&error);
    assert_eq!(said.matches("[fe80::1]:9").count(), 2, "{said}");
    assert!(said.starts_with("connect name:1 (") && !said.contains('\n'), "{said}");
}

#[test]
fn a_server_takes_the_first_address_that_the_machine_has() {
    let absent: SocketAddr = "[2001:db8::1]:0".parse().unwrap(); // documentation's
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (_held, taken) = listen(&list("name:0", &[absent, here])).unwrap();
    assert_eq!(taken.ip(), here.ip());
    // An address that another server has is not skipped: clients would connect there.
    let error = listen(&list("name:0", &[taken, here])).unwrap_err();
    assert!(crate::errors::line(&error).contains("EADDRINUSE"), "{error:#}");
    let error = listen(&list("name:0", &[absent, absent])).unwrap_err();
    let said = crate::errors::line(&error);
    assert_eq!(said.matches("[2001:db8::1]:0").count(), 2, "{said}");
}

#[test]
fn an_address_has_a_host_and_a_port() {
    for (text, all) in [
        ("127.0.0.1:7", "127.0.0.1:7"),
        ("[::1]:7", "[::1]:7"),
        ("[fe80::1%1]:7", "[fe80::1%1]:7"),
        ("[fe80::1%lo]:7", "[fe80::1%1]:7"),
        ("127.1:7", "127.0.0.1:7"),
    ] {
        let found = resolve(text).unwrap_or_else(|e| panic!("{text}: {e:#}")).all;
        assert_eq!(found, [all.parse().unwrap()], "{text}");
    }
    for text in [
        "",
        ":",
        ":7",
        "host",
        "host:",
        "host:x",
        "host:70000",
        "[::1]",
        "::1:7",
        "[]:7",
        "[host]:7",
        "a b:7",
        "[::1]7",
        "\x1b[:7",
        "h/:7",
    ] {
        let error = resolve(text).expect_err(text);
        assert!(error.is::<crate::errors::Usage>(), "{text:?}: {error:#}");
    }
}

#[test]
fn what_is_not_listening_is_not_a_listener() {
    assert_eq!(open_to_all("sl local_address rem_address st", Protocol::Tcp), None);
    let line = "0: 0100007F:1E61 00000000:0000 01 0:0 00:00 00 0 0 42 1 0";
    assert_eq!(open_to_all(line, Protocol::Tcp), None);
}
