//! A look through the processes of a Linux machine, for all plugins that are being ended.

use std::collections::HashSet;
use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, child_subreaper, getpid, test_kill_process, waitid,
};

use super::command::LAUNCH_MARKER;
use super::environ::{Environment, Reader};
use super::exit::Unseen;
use super::marker::supervisor;
use super::processes::{Processes, is_this_users, kill};
use super::stat::Stat;
use super::sweep::{Found, Sweep};

/// What is needed for a look.
#[derive(Debug)]
pub(super) struct Eyes {
    reader: Reader,
    /// Killed, and perhaps to be reaped by us.
    killed: HashSet<(i32, u64)>,
}

impl Eyes {
    /// Starts a thread to read with.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { reader: Reader::start()?, killed: HashSet::new() })
    }

    /// One look for all of them.
    pub(super) fn look(&mut self, sweeps: &mut [&mut Sweep]) {
        let processes = Processes::read();
        let first = sweeps.iter().map(|sweep| sweep.group().started()).min().unwrap_or(0);
        // Members of a group need no marker, and what is dying has shown it.
        let known = |process: &Stat| {
            sweeps
                .iter()
                .any(|sweep| sweep.group().owns(process) || sweep.dying.contains(&process.name()))
        };
        let is_candidate = |process: &&Stat| {
            process.started >= first && !process.kernel && !known(process) && is_this_users(process)
        };
        let candidates: Vec<_> = processes.alive.iter().filter(is_candidate).cloned().collect();
        let mut read = candidates.iter().map(Stat::name).zip(self.reader.read(candidates.clone()));
        let mut next = read.next();
        // In the order of the processes: those that are no candidates have none.
        let environments = processes.alive.iter().map(|process| match &next {
            Some((name, _)) if *name == process.name() => {
                std::mem::replace(&mut next, read.next()).map(|it| it.1)
            }
            _ => None,
        });
        let environments: Vec<_> = environments.collect();
        let adopts = getpid() == Pid::INIT || child_subreaper().is_ok_and(|is| is.is_some());
        for sweep in sweeps.iter_mut() {
            let mut found = self.look_for(sweep, &processes, &environments);
            found.unburied = self.bury(sweep, &processes.dead, adopts);
            sweep.looked(found);
            sweep.longer_pause();
        }
        self.bury_others(&processes);
    }

    /// What is left of one plugin; kills it.
    fn look_for(
        &mut self,
        sweep: &mut Sweep,
        processes: &Processes,
        environments: &[Option<Environment>],
    ) -> Found {
        let mut found = Found { unseen: processes.unseen.clone(), ..Found::default() };
        let mut members = 0;
        for (process, environment) in processes.alive.iter().zip(environments) {
            let pid = process.pid.as_raw_pid();
            if process.started < sweep.group().started() {
                continue;
            }
            if sweep.group().owns(process) {
                members += 1;
                continue;
            }
            if sweep.dying.contains(&process.name()) {
                found.alive += 1;
                continue;
            }
            match environment {
                Some(environment) if environment.has(sweep.group().marker()) => {
                    found.alive += 1;
                    if told(kill(process), process) {
                        sweep.dying.insert(process.name());
                        self.killed.insert(process.name());
                        sweep.progress().one_more();
                    }
                }
                Some(Environment::Unclear) => found.unseen = Some(Unseen::Starting { pid }),
                Some(Environment::Hung) => found.unseen = Some(Unseen::Hung { pid }),
                Some(Environment::Want) => found.unseen = Some(Unseen::Want),
                Some(Environment::NoThread) => found.unseen = Some(Unseen::NoThread),
                Some(Environment::Markers(_) | Environment::Gone) | None => {}
            }
        }
        if members > 0 {
            found.alive += members;
            sweep.group().kill();
        }
        found
    }

    /// Reaps what is dead of a plugin, if it has become our child: as the first process of a
    /// container, or its substitute, we inherit it. Says how much of it still has another parent.
    fn bury(&mut self, sweep: &mut Sweep, dead: &[Stat], adopts: bool) -> usize {
        let mut waiting = 0;
        for process in dead {
            let is_member = sweep.group().owns(process) && process.pid != sweep.group().pid();
            if !is_member && !sweep.dying.contains(&process.name()) {
                continue;
            }
            if process.parent == getpid().as_raw_pid() {
                reap(process);
                sweep.dying.remove(&process.name());
                self.killed.remove(&process.name());
            } else if adopts {
                waiting += 1;
            }
        }
        waiting
    }

    /// The same for what was killed as an orphan, or by a sweep that has ended.
    fn bury_others(&mut self, processes: &Processes) {
        if processes.unseen.is_some() || self.killed.is_empty() {
            return;
        }
        let us = getpid().as_raw_pid();
        for process in processes.dead.iter().filter(|process| process.parent == us) {
            if self.killed.remove(&process.name()) {
                reap(process);
            }
        }
        let alive: HashSet<_> = processes.alive.iter().map(Stat::name).collect();
        let dead: HashSet<_> = processes.dead.iter().map(Stat::name).collect();
        self.killed.retain(|name| alive.contains(name) || dead.contains(name));
    }

    /// Kills what supervisors of this user have left behind because they were killed themselves: the
    /// kernel ends their plugins, but not the plugins' descendants, which could hold files and ports
    /// that the next launch needs.
    pub(super) fn orphans(&mut self) {
        let processes = Processes::read();
        if let Some(why) = &processes.unseen {
            tracing::warn!(%why, "what killed supervisors have left could not be looked for");
        }
        // What carries the marker that we carry ourselves has started us.
        let ours = std::env::var_os(LAUNCH_MARKER).unwrap_or_default();
        let Ok(namespace) = fs::read_link("/proc/self/ns/pid") else { return };
        let candidates = processes.alive.iter().filter(|it| !it.kernel && is_this_users(it));
        let candidates: Vec<_> = candidates.cloned().collect();
        let environments = self.reader.read(candidates.clone());
        let mut killed = 0;
        for (process, environment) in candidates.iter().zip(environments) {
            let markers = match environment {
                Environment::Markers(markers) => markers,
                Environment::Hung => {
                    let pid = process.pid.as_raw_pid();
                    tracing::warn!(pid, "a process does not answer when its environ is read");
                    continue;
                }
                _ => continue,
            };
            let Some(marker) = markers.into_iter().next().and_then(|it| String::from_utf8(it).ok())
            else {
                continue;
            };
            if ours.to_str() == Some(&marker) {
                continue;
            }
            // In another namespace the supervisor's number means another process.
            let place = format!("/proc/{}/ns/pid", process.pid.as_raw_pid());
            let is_here = fs::read_link(place).is_ok_and(|of| of == namespace);
            if is_here
                && supervisor(&marker).is_some_and(|(pid, started)| is_dead(pid, started))
                && told(kill(process), process)
            {
                self.killed.insert(process.name());
                killed += 1;
            }
        }
        if killed > 0 {
            tracing::warn!(killed, "descendants of plugins whose supervisor was killed are killed");
        }
    }
}

/// Whether the process was killed; a failure goes to the log.
fn told(killed: io::Result<bool>, process: &Stat) -> bool {
    killed.unwrap_or_else(|error| {
        let pid = process.pid.as_raw_pid();
        tracing::debug!(pid, %error, "a descendant of a plugin could not be killed");
        false
    })
}

/// Reaps a dead child of ours. As long as nobody has, its number means no other process.
fn reap(process: &Stat) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    if let Err(error) = waitid(WaitId::Pid(process.pid), options) {
        let pid = process.pid.as_raw_pid();
        tracing::debug!(pid, %error, "a descendant of a plugin was reaped by somebody else");
    }
}

/// Whether the process that had this number, and started then, is gone. In doubt it is not.
fn is_dead(pid: Pid, started: u64) -> bool {
    match test_kill_process(pid) {
        Err(Errno::SRCH) => true,
        Ok(()) if started > 0 => {
            Stat::of(pid).is_ok_and(|stat| stat.is_some_and(|s| s.dead || s.started != started))
        }
        _ => false,
    }
}
