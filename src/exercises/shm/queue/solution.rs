//! A bounded queue in shared memory: shm_open(3), mmap(2), sem_init(3), sem_wait(3), sem_post(3).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

//[
use std::cell::UnsafeCell;
use std::io::Write;
//]
use std::error::Error;

use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::unistd::ftruncate;
//[
use nix::errno::Errno;
use nix::libc::{sem_init, sem_post, sem_t, sem_wait};
//]

//[
const SIZE: u32 = 8;

#[repr(C)]
struct Place {
    length: usize,
    text: [u8; 200],
}

/// What the lock is for.
#[repr(C)]
struct Ring {
    put: u32,
    taken: u32,
    places: [Place; SIZE as usize],
}

#[repr(C)]
struct Queue {
    items: UnsafeCell<sem_t>,
    room: UnsafeCell<sem_t>,
    lock: UnsafeCell<sem_t>,
    ring: UnsafeCell<Ring>,
}
//]
//| #[repr(C)]
//| struct Queue {
//|     nothing: u32,
//| }

fn map_queue(name: &str, flags: OFlag) -> nix::Result<&'static Queue> {
    let object = shm_open(name, OFlag::O_RDWR | flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    if !flags.is_empty() {
        ftruncate(&object, 4096)?;
    }
    let (size, shared) = (4096.try_into().unwrap(), MapFlags::MAP_SHARED);
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: any bytes are a Queue, and these stay mapped.
    unsafe { Ok(mmap(None, size, access, shared, object, 0)?.cast().as_ref()) }
}

//[
fn wait(semaphore: &UnsafeCell<sem_t>) -> nix::Result<()> {
    // SAFETY: `make` has initialized it, and it stays mapped.
    Errno::result(unsafe { sem_wait(semaphore.get()) }).map(drop)
}

fn post(semaphore: &UnsafeCell<sem_t>) -> nix::Result<()> {
    // SAFETY: as in `wait`.
    Errno::result(unsafe { sem_post(semaphore.get()) }).map(drop)
}

/// Does `work` with the ring, while no other process does.
fn locked<T>(queue: &Queue, work: impl FnOnce(&mut Ring) -> T) -> nix::Result<T> {
    wait(&queue.lock)?;
    // SAFETY: the lock is ours.
    let done = work(unsafe { &mut *queue.ring.get() });
    post(&queue.lock)?;
    Ok(done)
}
//]

fn make(name: &str) -> nix::Result<()> {
    let queue = map_queue(name, OFlag::O_CREAT | OFlag::O_EXCL)?;
    //[
    for (semaphore, value) in [(&queue.items, 0), (&queue.room, SIZE), (&queue.lock, 1)] {
        // SAFETY: nobody uses it yet.
        Errno::result(unsafe { sem_init(semaphore.get(), 1, value) })?;
    }
    //]
    //| let _ = queue.nothing; // what does an empty queue hold?
    Ok(())
}

fn put(name: &str, messages: &[String]) -> Result<(), Box<dyn Error>> {
    let queue = map_queue(name, OFlag::empty())?;
    //[
    for message in messages {
        wait(&queue.room)?; // sleeps while the queue is full
        locked(queue, |ring| {
            let place = &mut ring.places[(ring.put % SIZE) as usize];
            ring.put = ring.put.wrapping_add(1);
            place.length = message.len();
            place.text[..message.len()].copy_from_slice(message.as_bytes());
        })?;
        post(&queue.items)?;
    }
    Ok(())
    //]
    //| Err(format!("put {messages:?}, {}: not written yet", queue.nothing).into())
}

fn take(name: &str, count: u32) -> Result<(), Box<dyn Error>> {
    let queue = map_queue(name, OFlag::empty())?;
    //[
    for _ in 0..count {
        wait(&queue.items)?; // sleeps while the queue is empty
        let mut message = locked(queue, |ring| {
            let place = &ring.places[(ring.taken % SIZE) as usize];
            ring.taken = ring.taken.wrapping_add(1);
            place.text[..place.length].to_vec()
        })?;
        post(&queue.room)?;
        message.push(b'\n');
        std::io::stdout().write_all(&message)?;
    }
    Ok(())
    //]
    //| Err(format!("take {count}, {}: not written yet", queue.nothing).into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "make" => make(name)?,
        [role, name, messages @ ..] if role == "put" => put(name, messages)?,
        [role, name, count] if role == "take" => take(name, count.parse()?)?,
        [role, name] if role == "remove" => shm_unlink(name.as_str())?,
        _ => {
            eprintln!("usage: make PLACE | put PLACE MESSAGE... | take PLACE COUNT | remove PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
