//! How an end, an error and a payload are judged.

use anyhow::{Result, bail, ensure};

use process::Outcome;

/// Wants exit status 0.
pub(super) fn succeeded(name: &str, outcome: &Outcome) -> Result<()> {
    let Outcome { status, stderr, .. } = outcome;
    ensure!(status.success(), "{name} ended with {status}; it said:\n{stderr}");
    Ok(())
}

/// Wants exit status 1 and one clear line on stderr; returns that line.
///
/// # Errors
/// When the status is another one, or stderr is not one clear line.
pub fn failed_clearly(outcome: &Outcome) -> Result<String> {
    let Outcome { status, stderr, .. } = outcome;
    ensure!(status.code() == Some(1), "ended with {status}; it said:\n{stderr}");
    let lines: Vec<_> =
        stderr.lines().filter(|l| l.starts_with("ipclab: ")).collect();
    let [line] = lines.as_slice() else {
        bail!("wanted one line of error, got:\n{stderr}");
    };
    ensure!(!stderr.contains("panicked"), "it panicked:\n{stderr}");
    Ok((*line).to_owned())
}

/// Wants what arrived to be what was sent.
pub(super) fn same(arrived: &[u8], sent: &[u8]) -> Result<()> {
    if arrived == sent {
        return Ok(());
    }
    let index = arrived.iter().zip(sent).position(|(a, b)| a != b);
    let show =
        |bytes: &[u8]| bytes[..bytes.len().min(60)].escape_ascii().to_string();
    bail!(
        "{} bytes arrived of {} sent; first difference at {index:?}: {} / {}",
        arrived.len(),
        sent.len(),
        show(arrived),
        show(sent)
    )
}

/// Bytes that repeat nowhere soon, the same in every run.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64: Marsaglia 2003
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
