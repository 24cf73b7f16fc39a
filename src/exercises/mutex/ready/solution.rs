//! Memory that is made once: shm_open(3), flock(2), ftruncate(2), mmap(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

//[
use std::io::stdout;

//]
use nix::fcntl::OFlag;
//[
use nix::fcntl::{Flock, FlockArg};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
//]
use nix::sys::mman::shm_open;
use nix::sys::stat::Mode;
//[
use nix::unistd::{ftruncate, write};

#[repr(C)]
struct Shared {
    magic: [u8; 4],
    number: u32,
}
//]

fn join(name: &str, number: u32) -> nix::Result<()> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let object = shm_open(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
    //[
    // Sleeps while another process makes it; the lock ends with that process.
    let object = Flock::lock(object, FlockArg::LockExclusive).map_err(|error| error.1)?;
    ftruncate(&*object, 8)?; // what it adds is 0
    let (size, access) = (8.try_into().unwrap(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    // SAFETY: any 8 bytes are a Shared, and these stay mapped; the lock is ours.
    let (made, number) = unsafe {
        let s = mmap(None, size, access, MapFlags::MAP_SHARED, &*object, 0)?;
        let s: *mut Shared = s.as_ptr().cast();
        let made = (*s).magic != *b"redy";
        if made {
            (*s).number = number;
            (&raw mut (*s).magic).write_volatile(*b"redy"); // last
        }
        (made, (*s).number)
    };
    object.unlock().map_err(|error| error.1)?;
    let what = if made { "made" } else { "found" };
    write(stdout(), format!("{what} {number}\n").as_bytes())?;
    //]
    //| // Here is your part.
    //| let _ = (object, number);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name, number] if role == "join" => join(name, number.parse()?)?,
        _ => {
            eprintln!("usage: join PLACE NUMBER");
            std::process::exit(2)
        }
    }
    Ok(())
}
