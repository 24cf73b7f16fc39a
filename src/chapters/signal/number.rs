//! The names of signals, as `kill -l` prints them: `SIGUSR1`, `SIGRTMIN+3`.

use std::fmt;
use std::str::FromStr;

use nix::sys::signal::Signal;

/// A signal's number, 1 to 64, but never one that the C library keeps to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(i32);

impl Number {
    /// `SIGRTMIN+n`. The kernel's first real-time signal is 32, but glibc keeps two for
    /// its threads: its SIGRTMIN is 34.
    pub fn rtmin(n: i32) -> Number {
        Number(libc::SIGRTMIN() + n)
    }

    /// `SIGRTMAX`, 64: it is delivered after all others that wait.
    pub fn rtmax() -> Number {
        Number(libc::SIGRTMAX())
    }

    /// The number itself.
    pub fn get(self) -> i32 {
        self.0
    }

    /// This signal among the 64 bits of a mask in /proc/PID/status.
    pub fn is_in(self, mask: u64) -> bool {
        mask >> (self.0 - 1) & 1 == 1
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beyond = self.0 - libc::SIGRTMIN();
        match (Signal::try_from(self.0), beyond) {
            (Ok(signal), _) => f.write_str(signal.as_str()),
            _ if *self == Number::rtmax() => f.write_str("SIGRTMAX"),
            (_, 0) => f.write_str("SIGRTMIN"),
            (_, n) => write!(f, "SIGRTMIN+{n}"),
        }
    }
}

impl FromStr for Number {
    type Err = String;

    /// `USR1`, `SIGUSR1`, `sigusr1`, `10`, `RTMIN`, `RTMIN+3`, `RTMAX-1`.
    fn from_str(text: &str) -> Result<Number, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        let offset = |text: &str| text.parse::<u8>().ok().map(i32::from);
        let number = match name {
            "RTMIN" => Some(first),
            "RTMAX" => Some(last),
            _ => name
                .strip_prefix("RTMIN+")
                .and_then(offset)
                .map(|n| first + n)
                .or_else(|| {
                    name.strip_prefix("RTMAX-").and_then(offset).map(|n| last - n)
                })
                .filter(|number| (first..=last).contains(number))
                .or_else(|| offset(&upper))
                .or_else(|| {
                    Some(Signal::from_str(&format!("SIG{name}")).ok()? as i32)
                }),
        };
        match number {
            Some(n @ 1..32) => Ok(Number(n)),
            Some(n) if (first..=last).contains(&n) => Ok(Number(n)),
            Some(n @ 32..64) => Err(format!("signal {n} is the C library's own")),
            _ => Err("no such signal; `kill -l` lists them".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn a_signal_has_many_names() {
        for name in ["USR1", "SIGUSR1", "sigusr1", "10"] {
            assert_eq!(name.parse::<Number>().unwrap().to_string(), "SIGUSR1");
        }
        for (name, shown) in [
            ("RTMIN", "SIGRTMIN"),
            ("SIGRTMIN+3", "SIGRTMIN+3"),
            ("rtmax", "SIGRTMAX"),
            ("64", "SIGRTMAX"),
            ("RTMAX-30", "SIGRTMIN"),
            ("RTMAX-1", "SIGRTMIN+29"),
        ] {
            assert_eq!(name.parse::<Number>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "0", "32", "33", "65", "-1", "USR3", "RTMIN+31", "RTMAX-31"]
        {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
    }
}
