//! Which task is whose: pids, names and files as the container, the host and docker know them.

use std::path::Path;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image, docker};
use ctp_tests::unique;

/// Removes what a test had to put where a container has its program.
struct OnTheHost(String);

impl Drop for OnTheHost {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn the_host_has_another_program_under_that_path() {
    let folder = OnTheHost(format!("/{}", unique::name()));
    let path = format!("{}/test_app", folder.0);
    std::fs::create_dir(&folder.0).unwrap();
    std::fs::copy(Binary::compile("namesake.c", Compiler::Gcc, &["-g"]).path(), &path).unwrap();
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), &path);
    let mut web = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):{path}.fn("my_function") {{ printf("my_function was called with %d\n", $arg) }}"#,
        web.name()
    ));
    web.call(5);

    assert_eq!(ctp.interrupt().lines(), web.printed());
    assert!(Path::new(&path).exists());
}

#[test]
fn the_task_as_the_host_and_as_the_container_see_it() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let mut web = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):exe.fn("my_function") {{
            printf("%d %d %d %s %s\n", pid(), tid(), ns_pid(), comm(), container())
        }}"#,
        web.name()
    ));
    web.call(1);

    let pid = web.pid();
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(ctp.interrupt().stdout, format!("{pid} {pid} 1 {} {}\n", comm.trim(), web.name()));
}

/// A second process of the container counts too, and is no other container.
#[test]
fn docker_exec_belongs_to_the_container() {
    let image = Image::new(&Binary::compile("twins.c", Compiler::Gcc, &["-g"]), "/app/test_app");
    let (web, web2) = (Container::driven(&image), Container::driven(&image));

    let mut ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/test_app.fn("my_function") {{ printf("%d\n", ns_pid()) }}"#,
        web.name()
    ));
    for container in [&web2, &web] {
        docker(&["exec", "--detach", container.name(), "/app/test_app", "1000"]);
    }
    let seen = ctp.wait_for_stdout(|line| line != "1");
    assert!(seen.parse::<u32>().unwrap() > 1);
    assert!(ctp.interrupt().stdout.lines().all(|line| line == seen));
}
