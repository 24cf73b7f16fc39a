//! The signals of one connection, and the end of it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use zbus::connection::Connection;
use zbus::export::futures_core::Stream;
use zbus::object_server::SignalEmitter;
use zbus::{Message, MessageStream};

use super::board::{Board, Post, SignalQueue};
use super::names::OBJECT;

// ANCHOR: deliver
/// What [`deliver`] waits for.
enum Delivery {
    Posted(Post),
    /// There were more signals than the queue holds.
    Overflow,
    Closed,
}

/// Sends the signals of the queue, until `messages` end. Meanwhile zbus, in this thread,
/// answers the calls. `inspect` sees each message that comes.
///
/// # Errors
/// Why a signal could not be sent.
pub(super) async fn deliver(
    connection: &Connection,
    mut messages: MessageStream,
    signals: &SignalQueue,
    mut inspect: impl FnMut(&Message),
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, OBJECT)?;
    loop {
        let delivery = poll_fn(|context| {
            while let Poll::Ready(next) = Pin::new(&mut messages).poll_next(context)
            {
                match next {
                    Some(Ok(message)) => inspect(&message),
                    Some(Err(_)) => {}
                    None => return Poll::Ready(Delivery::Closed),
                }
            }
            signals.poll(context).map(|post| match post {
                Some(post) => Delivery::Posted(post),
                None => Delivery::Overflow,
            })
        });
        match delivery.await {
            Delivery::Posted((number, text)) => {
                Board::posted(&emitter, number, &text).await?;
            }
            Delivery::Overflow => {
                let text = "it does not read its signals".to_owned();
                return Err(zbus::Error::Failure(text));
            }
            Delivery::Closed => return Ok(()),
        }
    }
}
// ANCHOR_END: deliver
