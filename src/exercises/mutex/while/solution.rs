//! A worker that waits for a condition: shm_open(3), mmap(2), pthread_cond_wait(3).
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::io::stdout;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::*;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open};
use nix::sys::stat::Mode;
use nix::unistd::write;

#[repr(C, align(64))]
struct Place<T>(T);

#[repr(C)]
struct Shared {
    mutex: Place<pthread_mutex_t>,
    changed: Place<pthread_cond_t>,
    items: u32,
    taken: u32,
    closed: u32,
}

/// pthread_*(3) return the error, and leave errno alone.
fn ok(number: i32) -> nix::Result<()> {
    if number == 0 { Ok(()) } else { Err(Errno::from_raw(number)) }
}

fn worker(name: &str) -> nix::Result<()> {
    let object = shm_open(name, OFlag::O_RDWR, Mode::empty())?;
    let (size, access) = (4096.try_into().unwrap(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    // SAFETY: mapped for as long as the process lives; what is there belongs to whoever has the
    // mutex.
    unsafe {
        let s = mmap(None, size, access, MapFlags::MAP_SHARED, &object, 0)?;
        let s: *mut Shared = s.as_ptr().cast();
        let (mutex, changed) = (&raw mut (*s).mutex.0, &raw mut (*s).changed.0);
        loop {
            ok(pthread_mutex_lock(mutex))?; // sleeps while another process has it
            //[
            while (*s).items == 0 && (*s).closed == 0 {
                ok(pthread_cond_wait(changed, mutex))?; // sleeps; then it looks again
            }
            if (*s).items == 0 {
                break;
            }
            //]
            //| if (*s).items == 0 && (*s).closed == 0 {
            //|     ok(pthread_cond_wait(changed, mutex))?; // sleeps
            //| }
            //| if (*s).items == 0 && (*s).closed == 1 {
            //|     break;
            //| }
            (*s).items = (*s).items.wrapping_sub(1);
            (*s).taken += 1;
            ok(pthread_mutex_unlock(mutex))?;
            write(stdout(), b"took one\n")?;
        }
        ok(pthread_mutex_unlock(mutex))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "worker" => worker(name)?,
        _ => {
            eprintln!("usage: worker PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
