//! A filter whose output is not late: open(2), read(2), write(2).
//!
//! Cargo.toml: nix = "0.31"

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write, stdout};

fn number(name: &str) -> std::io::Result<()> {
    let lines = BufReader::new(File::open(name)?).split(b'\n');
    let mut output = BufWriter::new(stdout().lock());
    for (count, line) in lines.enumerate() { // sleeps until a line has come
        write!(output, "{} ", count + 1)?; // into the buffer of this process
        output.write_all(&line?)?;
        output.write_all(b"\n")?;
        //[
        output.flush()?; // into the pipe: write(2)
        //]
    }
    output.flush()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "number" => number(name)?,
        _ => {
            eprintln!("usage: number PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
