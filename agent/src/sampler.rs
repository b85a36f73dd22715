//! The sampler's loop: one plain thread that wakes on the absolute grid of boot time, on hints of the kernel and on
//! messages, and that alone pets the watchdog. No async runtime here.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};
use rustix::process::setpriority_process;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::inbox::Inbox;
use crate::io::clock::boot_ns;
use crate::limits::INBOX_TAKEN_MAX;
use crate::meter::{Flow, Meter};
use crate::service::Service;

/// Why the sampler can't go on.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// No timer.
    #[error("no timer on boot time: {0}")]
    Timer(Errno),
    /// No waiting.
    #[error("waiting for the next sample failed: {0}")]
    Wait(Errno),
}

/// Runs until the process is asked to end, then closes the last window. Whether a connection stood then, on which that
/// window can still go.
pub fn run(mut meter: Meter, inbox: &Inbox, service: &mut Service) -> Result<bool, SamplerError> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Boottime, flags).map_err(SamplerError::Timer)?;
    hurry();
    meter.start();
    service.ready(&meter);
    loop {
        arm(&timer, wake_at(&meter, service)).map_err(SamplerError::Timer)?;
        let ready = wait(&timer, &meter, inbox).map_err(SamplerError::Wait)?;
        if ready.hints {
            meter.take_hints();
        }
        if ready.messages && take_messages(&mut meter, inbox) == Flow::Stop {
            service.stopping();
            let is_connected = meter.link.as_ref().is_some_and(|link| link.connected);
            meter.stop();
            return Ok(is_connected);
        }
        let now_ns = boot_ns();
        if now_ns >= meter.next_sweep_ns() {
            meter.sweep();
        } else if meter.next_look_ns().is_some_and(|at| now_ns >= at) {
            meter.look_at_networks();
        }
        service.turned(&mut meter);
    }
}

/// Puts this thread before others, where that is allowed: an ended container can be read for a few milliseconds only.
fn hurry() {
    /// Before ordinary work, behind what the system can't do without.
    const NICE: i32 = -10;
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!(%error, "the sampler runs at ordinary priority; a service manager can raise it (`Nice=`)");
    }
}

fn wake_at(meter: &Meter, service: &Service) -> u64 {
    let sweep = meter.next_sweep_ns();
    let dues = [meter.next_look_ns(), service.next_pet_ns()];
    dues.into_iter().flatten().fold(sweep, u64::min)
}

fn take_messages(meter: &mut Meter, inbox: &Inbox) -> Flow {
    inbox.clear();
    for _ in 0..INBOX_TAKEN_MAX {
        let Some(input) = inbox.take() else {
            return Flow::On;
        };
        if meter.take(input) == Flow::Stop {
            return Flow::Stop;
        }
    }
    // What is left is taken at the next turn.
    inbox.wake_again();
    Flow::On
}

struct Ready {
    hints: bool,
    messages: bool,
}

fn wait(timer: &OwnedFd, meter: &Meter, inbox: &Inbox) -> Result<Ready, Errno> {
    let mut fds = [
        PollFd::new(timer, PollFlags::IN),
        PollFd::from_borrowed_fd(meter.watch().as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(inbox.as_fd(), PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error),
    }
    let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    let (ticked, hints, messages) = (is_ready(&fds[0]), is_ready(&fds[1]), is_ready(&fds[2]));
    if ticked {
        // How often it rang does not matter: the clock is asked.
        let _ = read(timer, &mut [0u8; 8]);
    }
    Ok(Ready { hints, messages })
}

fn arm(timer: &OwnedFd, at_ns: u64) -> Result<(), Errno> {
    let at = Duration::from_nanos(at_ns.max(1));
    let it_value = Timespec {
        tv_sec: i64::try_from(at.as_secs()).expect("boot time fits"),
        tv_nsec: i64::from(at.subsec_nanos()),
    };
    let it_interval = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let when = Itimerspec {
        it_interval,
        it_value,
    };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &when).map(drop)
}
