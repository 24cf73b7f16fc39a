//! What runs zbus: its tasks and its timers take turns in the thread that waits for them.
//!
//! The runtime that zbus brings along has an epoll instance, a pipe, a timer and at times a
//! thread of its own, each of which may be missing. Here a thread that sleeps needs none of
//! them: our sockets have threads that receive, and wake it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use zbus::runtime::traits::{self, PollIo, TaskHandle};
use zbus::runtime::{Interest, IoSource};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handle to what runs in the thread that made it.
#[derive(Clone)]
pub(super) struct Runtime(Arc<Shared>);

struct Shared {
    thread: Thread,
    /// A task may be able to continue: all are polled once more, since they are few.
    woken: AtomicBool,
    tasks: Mutex<Vec<Work>>,
    /// By when, and by the number of the sleep.
    timers: Mutex<BTreeMap<(Instant, u64), Waker>>,
    sleeps: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while it is held")
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Shared {
    /// Lets the thread sleep until something wakes it, or a timer is due.
    fn sleep(&self) {
        while !self.woken.swap(false, Ordering::Acquire) {
            let now = Instant::now();
            let next = lock(&self.timers).first_key_value().map(|(at, _)| at.0);
            match next {
                None => thread::park(),
                Some(next) if next > now => thread::park_timeout(next - now),
                Some(_) => {
                    let due = lock(&self.timers).pop_first();
                    if let Some((_, waker)) = due {
                        waker.wake();
                    }
                }
            }
        }
    }

    /// Polls each task, and drops the tasks that are done.
    fn run(&self, context: &mut Context<'_>) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        // Before the tasks that were spawned meanwhile.
        lock(&self.tasks).splice(..0, tasks);
    }
}

impl Runtime {
    /// A runtime for this thread.
    pub(super) fn new() -> Runtime {
        Runtime(Arc::new(Shared {
            thread: thread::current(),
            woken: AtomicBool::new(false),
            tasks: Mutex::default(),
            timers: Mutex::default(),
            sleeps: AtomicU64::new(0),
        }))
    }

    /// Runs `future` to its end, and meanwhile the tasks; tasks that are left are dropped
    /// then. It is called in the thread that made the runtime.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::clone(&self.0));
        let mut context = Context::from_waker(&waker);
        let output = loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                break output;
            }
            self.0.run(&mut context);
            self.0.sleep();
        };
        // The drop of a task may spawn another.
        loop {
            let left = std::mem::take(&mut *lock(&self.0.tasks));
            if left.is_empty() {
                return output;
            }
            drop(left);
        }
    }

    fn wake(&self) {
        Arc::clone(&self.0).wake();
    }
}

impl traits::Runtime for Runtime {
    type RegisteredIoSource = NoIoSource;
    type Sleep = Sleep;
    type Task<T>
        = Task<T>
    where
        T: Send + 'static;

    fn register_io_source(&self, _: IoSource) -> io::Result<NoIoSource> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let number = self.0.sleeps.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + duration;
        Sleep { runtime: self.clone(), at: (until, number) }
    }

    fn spawn<T>(
        &self,
        _: &str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T>
    where
        T: Send + 'static,
    {
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let its = Arc::clone(&outcome);
        let mut future = Box::pin(future);
        let work = std::future::poll_fn(move |context| {
            if lock(&its).cancelled {
                return Poll::Ready(());
            }
            let Poll::Ready(value) = future.as_mut().poll(context) else {
                return Poll::Pending;
            };
            let mut outcome = lock(&its);
            outcome.value = Some(value);
            if let Some(waker) = outcome.waker.take() {
                waker.wake();
            }
            Poll::Ready(())
        });
        lock(&self.0.tasks).push(Box::pin(work));
        self.wake();
        Task { outcome, runtime: Some(self.clone()) }
    }

    async fn connect_tcp(&self, _: SocketAddr) -> io::Result<IoSource> {
        Err(ErrorKind::Unsupported.into())
    }

    async fn connect_unix(&self, _: &Path) -> io::Result<IoSource> {
        Err(ErrorKind::Unsupported.into())
    }

    fn spawn_process(
        &self,
        _: Command,
        _: Stdio,
        _: Stdio,
        _: Stdio,
    ) -> io::Result<Pin<Box<dyn Future<Output = io::Result<ExitStatus>> + Send>>>
    {
        Err(ErrorKind::Unsupported.into())
    }

    fn spawn_blocking<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = T> + Send>>
    where
        T: Send + 'static,
    {
        Box::pin(std::future::ready(work()))
    }
}

/// zbus registers no socket: ours drive themselves.
pub(super) enum NoIoSource {}

impl PollIo for NoIoSource {
    fn poll_io<T>(
        &self,
        _: &mut Context<'_>,
        _: Interest,
        _: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match *self {}
    }
}

/// A wait for a time.
pub(super) struct Sleep {
    runtime: Runtime,
    at: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at.0 {
            return Poll::Ready(());
        }
        lock(&self.runtime.0.timers).insert(self.at, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.runtime.0.timers).remove(&self.at);
    }
}

/// The outcome of a task, for the code that awaits it.
struct Outcome<T> {
    value: Option<T>,
    waker: Option<Waker>,
    cancelled: bool,
}

impl<T> Default for Outcome<T> {
    fn default() -> Outcome<T> {
        Outcome { value: None, waker: None, cancelled: false }
    }
}

/// A task; it is cancelled when this handle is dropped, unless it was detached.
pub(super) struct Task<T> {
    outcome: Arc<Mutex<Outcome<T>>>,
    /// The runtime of the task; `None` once the task is detached.
    runtime: Option<Runtime>,
}

impl<T: Send + 'static> Future for Task<T> {
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut outcome = lock(&self.outcome);
        match outcome.value.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None => {
                outcome.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T: Send + 'static> TaskHandle<T> for Task<T> {
    fn detach(mut self) {
        self.runtime = None;
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(runtime) = &self.runtime {
            lock(&self.outcome).cancelled = true;
            runtime.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use zbus::runtime::traits::Runtime as _;

    use super::*;

    const SHORT: Duration = Duration::from_millis(2);

    /// Sets the flag when it is dropped.
    struct Held(Arc<AtomicBool>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn timers_end_and_those_that_were_given_up_are_forgotten() {
        let runtime = Runtime::new();
        runtime.block_on(async {
            let tasks = [3, 1, 2].map(|turn| {
                let sleep = runtime.sleep(SHORT * turn);
                runtime.spawn("sleeps", async move {
                    sleep.await;
                    turn
                })
            });
            let mut ends = Vec::new();
            let never = runtime.sleep(Duration::from_secs(3600));
            let given_up = runtime.spawn("sleeps on", never);
            for task in tasks {
                ends.push(task.await.unwrap());
            }
            assert_eq!(ends, [3, 1, 2]);
            assert_eq!(lock(&runtime.0.timers).len(), 1);
            drop(given_up);
        });
        assert_eq!(lock(&runtime.0.timers).len(), 0);
    }

    #[test]
    fn a_task_goes_when_its_handle_goes_and_a_detached_one_at_its_end_or_ours() {
        let runtime = Runtime::new();
        let dropped = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let spawn = |dropped: &Arc<AtomicBool>| {
            let held = Held(dropped.clone());
            runtime.spawn("never ends", async move {
                std::future::pending::<()>().await;
                drop(held);
            })
        };
        let is = |dropped: &AtomicBool| dropped.load(Ordering::Relaxed);
        runtime.block_on(async {
            drop(spawn(&dropped[0]));
            spawn(&dropped[1]).detach();
            runtime.sleep(SHORT).await;
            assert!(is(&dropped[0]) && !is(&dropped[1]));
        });
        assert!(is(&dropped[1]));
        assert_eq!(Arc::strong_count(&runtime.0), 1);
    }

    #[test]
    fn another_thread_wakes_it() {
        let runtime = Runtime::new();
        let (outcome, of_thread) =
            (Arc::new(Mutex::new(None)), thread::current().id());
        let mut other = None;
        runtime.block_on(std::future::poll_fn(|context| {
            if let Some(outcome) = lock(&outcome).take() {
                assert_ne!(outcome, of_thread);
                return Poll::Ready(());
            }
            let (waker, outcome) = (context.waker().clone(), outcome.clone());
            other.get_or_insert_with(|| {
                thread::spawn(move || {
                    *lock(&outcome) = Some(thread::current().id());
                    waker.wake();
                })
            });
            Poll::Pending
        }));
        other.expect("a thread").join().unwrap();
    }
}
