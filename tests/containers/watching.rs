//! What becomes of a container that was found.

use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;

use ctp::container::Settings;
use ctp::container::watch::{State, alive, events, state, successor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::fixture::{Docker, run, wait_for};

#[test]
fn a_killed_container_is_ended_and_its_restart_a_successor() {
    let web = Docker::sleeping();
    let found = web.found();
    assert_eq!(state(&found), State::Running);
    assert!(alive(&found));
    run("docker", &["kill", &web.id]);
    wait_for("the end to be seen", || (state(&found) == State::Ended).then_some(()));
    assert_eq!(successor(&Settings::from_env(), &found).unwrap(), None);
    run("docker", &["start", &web.id]);
    // The same path, another cgroup.
    assert_eq!(state(&found), State::Ended);
    let new = successor(&Settings::from_env(), &found).unwrap().unwrap();
    assert_eq!((new.container.id.as_str(), new.container.init_pid), (web.id.as_str(), web.pid()));
    assert_ne!(new.init, found.init);
    assert!(alive(&new));
}

#[test]
fn a_container_made_anew_under_the_name_is_a_successor() {
    let web = Docker::sleeping();
    let found = web.found();
    run("docker", &["rm", "-f", &web.id]);
    let id = run("docker", &["run", "-d", "--network", "none", "--name", &web.name, web.image.name(), "/app/test_app"]);
    let new = successor(&Settings::from_env(), &found).unwrap();
    run("docker", &["rm", "-f", &id]);
    assert_eq!(new.unwrap().container.id, id);
}

#[test]
fn a_container_that_still_runs_is_its_own_successor() {
    let web = Docker::sleeping();
    let found = web.found();
    // Not ended: the same container is still what one looks for.
    let same = successor(&Settings::from_env(), &found).unwrap().unwrap();
    assert_eq!(same, found);
}

#[test]
fn the_end_wakes_a_poll_on_its_events() {
    let web = Docker::sleeping();
    let mut file = events(&web.found()).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert!(text.contains("populated 1"));
    run("docker", &["kill", &web.id]);
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
    assert_eq!(poll(&mut fds, PollTimeout::from(5_000_u16)).unwrap(), 1);
    assert!(fds[0].revents().unwrap().contains(PollFlags::POLLPRI));
    text.clear();
    // The folder may be gone by now: reading then fails with ENODEV, which says the same.
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    assert!(read.is_err() || text.contains("populated 0"), "{text}");
}

#[test]
fn a_paused_container_lives() {
    let web = Docker::sleeping();
    let found = web.found();
    run("docker", &["pause", &web.id]);
    let paused = alive(&found);
    let listed = web.found();
    run("docker", &["unpause", &web.id]);
    assert!(paused);
    assert_eq!(listed, found);
}
