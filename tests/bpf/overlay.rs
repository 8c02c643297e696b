//! Files on overlays: what is probed is the layer's inode, whichever container's view it was opened through.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ctp::engine::Engine;
use ctp_lang::ir::*;
use ctp_lang::value::Value;

use crate::build::*;
use crate::target::{Binary, OwnCgroup, unique};

/// Two views of one lower folder, as two containers of one image have them.
struct Views {
    folder: PathBuf,
    merged: [PathBuf; 2],
}

impl Views {
    fn new(image: &Path) -> Views {
        let folder = std::env::temp_dir().join(unique("overlay"));
        // An overlay cannot be the upper layer of another: a file system of its own lies under it.
        fs::create_dir_all(&folder).unwrap();
        mount(&["-t", "tmpfs", "tmpfs", folder.to_str().unwrap()]);
        let lower = folder.join("lower");
        fs::create_dir(&lower).unwrap();
        fs::copy(image, lower.join("t")).unwrap();
        let merged = ["a", "b"].map(|name| {
            let [upper, work, merged] = ["upper", "work", "merged"].map(|part| {
                let path = folder.join(format!("{name}-{part}"));
                fs::create_dir(&path).unwrap();
                path
            });
            let options =
                format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
            mount(&["-t", "overlay", "overlay", "-o", &options, merged.to_str().unwrap()]);
            merged
        });
        Views { folder, merged }
    }

    fn binary(&self, view: usize) -> Binary {
        Binary::existing(self.merged[view].join("t"))
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        for mounted in self.merged.iter().chain([&self.folder]) {
            // The kernel lets go of a closed link's path a little later.
            for _ in 0..200 {
                if Command::new("umount").arg(mounted).stderr(Stdio::null()).status().is_ok_and(|done| done.success()) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

fn mount(arguments: &[&str]) {
    assert!(Command::new("mount").args(arguments).status().unwrap().success());
}

const CALLER: &str = r#"
#include <stdio.h>
#include <stdlib.h>
__attribute__((noipa)) void f(int n) { asm volatile("" :: "r"(n)); }
int main(int argc, char **argv) { getchar(); for (int i = 0; i < atoi(argv[1]); i++) f(i); return 0; }
"#;

#[test]
fn two_containers_of_one_image_share_one_link_and_count_apart() {
    let image = Binary::c(CALLER, &["-O2"]);
    let views = Views::new(&image.path);
    let (first, second) = (views.binary(0), views.binary(1));
    let (web, web2) = (OwnCgroup::new("web"), OwnCgroup::new("web2"));
    let mut running = [web.start(&first, &["1000"]), web2.start(&second, &["2000"])];
    let mut containers = vec![web.container(), web2.container()];
    for (container, running) in containers.iter_mut().zip(&running) {
        container.init_pid = running.child.id();
    }
    let case = Case::new(&[&first, &second], containers)
        .map("calls", &[Ty::Str], Ty::Int, None)
        .probe(&[(0, "f", &[0]), (1, "f", &[1])], vec![add(0, vec![context(Context::Container)], int(1))]);
    let mut engine = case.start();
    assert_eq!(engine.links(), 1);
    assert_eq!(case.warnings(&engine), []);
    running.iter_mut().for_each(crate::target::Running::go);
    running.into_iter().for_each(|running| drop(running.finish()));
    engine.stop().unwrap();
    let name = |text: &str| vec![Value::str(text.as_bytes())];
    assert_eq!(
        engine.entries(GlobalIndex(0)).unwrap(),
        [(name("web"), Value::Int(1000)), (name("web2"), Value::Int(2000))]
    );
    assert_eq!(engine.counters().unwrap()[0].hits(), 3000);
}

#[test]
fn a_file_that_was_copied_up_under_its_process_is_told_apart_and_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let image = Binary::c(CALLER, &["-O2"]);
    let views = Views::new(&image.path);
    let (web, web2) = (OwnCgroup::new("web"), OwnCgroup::new("web2"));
    let mut running = [web.start(&views.binary(0), &["1000"]), web2.start(&views.binary(1), &["2000"])];
    // The first one's file is changed while it runs: its path leads to a copy in its upper layer from now on.
    fs::set_permissions(views.merged[0].join("t"), fs::Permissions::from_mode(0o700)).unwrap();
    let (first, second) = (views.binary(0), views.binary(1));
    let mut containers = vec![web.container(), web2.container()];
    for (container, running) in containers.iter_mut().zip(&running) {
        container.init_pid = running.child.id();
    }
    let case = Case::new(&[&first, &second], containers)
        .map("calls", &[Ty::Str], Ty::Int, None)
        .probe(&[(0, "f", &[0]), (1, "f", &[1])], vec![add(0, vec![context(Context::Container)], int(1))]);
    let mut engine = case.start();
    assert_eq!(engine.links(), 2);
    let warned: Vec<_> = case.warnings(&engine).iter().map(|warning| (warning.file, warning.container)).collect();
    assert_eq!(warned, [(FileIndex(0), ContainerIndex(0))]);
    running.iter_mut().for_each(crate::target::Running::go);
    running.into_iter().for_each(|running| drop(running.finish()));
    engine.stop().unwrap();
    // The old inode of the first is the second's too, but the link there counts for the second alone.
    assert_eq!(engine.entries(GlobalIndex(0)).unwrap(), [(vec![Value::str(*b"web2")], Value::Int(2000))]);
}
