//! Whether a worker that is gone has used a connection that was passed to it.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use rustix::io::ioctl_fionread;

use os::proc_fd::holders;
use os::tcp;

// ANCHOR: was_used
/// Whether the worker that left had used `connection`, so that no other worker may have it: a
/// byte of it was read or written, or another process has it open. If not, it is as good as
/// new, whether its message lay unread or the worker ended with it.
pub(in super::super::super) fn was_used(connection: &TcpStream) -> bool {
    has_traffic(connection) || is_open_elsewhere(connection)
}

fn has_traffic(connection: &TcpStream) -> bool {
    let waiting = ioctl_fionread(connection);
    match (tcp::info(connection), waiting) {
        (Ok(traffic), Ok(waiting)) => {
            traffic.sent > 0 || traffic.received != waiting
        }
        _ => true, // nothing is known of it: so no other worker may have it
    }
}

fn is_open_elsewhere(connection: &TcpStream) -> bool {
    let about = connection.as_fd().try_clone_to_owned().map(std::fs::File::from);
    let Ok(about) = about.and_then(|file| file.metadata()) else { return true };
    let link = format!("socket:[{}]", about.ino());
    holders(&link).any(|pid| pid != std::process::id())
}
// ANCHOR_END: was_used

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_connection_is_as_good_as_new_until_a_byte_of_it_is_read_or_written() {
        let (mut client, mut server) = pair();
        assert!(!has_traffic(&server));
        client.write_all(b"hello").unwrap();
        server.peek(&mut [0; 5]).unwrap(); // until it is there
        assert!(!has_traffic(&server));
        server.read_exact(&mut [0; 2]).unwrap();
        assert!(has_traffic(&server));

        let (_client, mut server) = pair();
        server.write_all(b"!").unwrap();
        assert!(has_traffic(&server));
    }

    #[test]
    fn what_the_client_closed_is_as_good_as_new_until_it_is_read() {
        let (mut client, mut server) = pair();
        client.write_all(b"hello").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut read = [0; 6];
        while server.peek(&mut read).unwrap() < 5 {}
        assert!(!has_traffic(&server));
        assert_eq!(server.read(&mut read).unwrap(), 5);
        assert!(has_traffic(&server));
    }
}
