//! A message in words, for the commentary and for errors.

use std::fmt::Write;

use zbus::Message;
use zbus::message::Type;

/// A message's header in words: type, serial, destination and member, signature.
pub fn of(message: &Message) -> String {
    let header = message.header();
    let serial = header.primary().serial_num();
    let name = |given: Option<String>| given.unwrap_or_else(|| "?".into());
    let interface = header.interface().map(|i| format!("{i}.")).unwrap_or_default();
    let member = name(header.member().map(ToString::to_string));
    let path = name(header.path().map(ToString::to_string));
    let answered = name(header.reply_serial().map(|serial| serial.to_string()));
    let mut text = match message.message_type() {
        Type::MethodCall => {
            format!("method_call {serial}: {interface}{member} of {path}")
        }
        Type::MethodReturn => {
            format!("method_return {serial}, the reply to {answered}")
        }
        Type::Error => {
            let error = name(header.error_name().map(ToString::to_string));
            format!("error {serial}, the reply to {answered}: {error}")
        }
        Type::Signal => format!("signal {serial}: {interface}{member} of {path}"),
    };
    if let Some(sender) = header.sender() {
        let _ = write!(text, ", from {sender}");
    }
    if let Some(destination) = header.destination() {
        let _ = write!(text, ", to {destination}");
    }
    let body = message.body();
    if !body.is_empty() {
        let signature = body.signature().to_string_no_parens();
        let _ = write!(text, ", signature {signature:?}");
    }
    text
}
