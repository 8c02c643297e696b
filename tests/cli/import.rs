//! `import`: programs of several files.

use std::fs;

use ctp_tests::ctp::ctp;
use ctp_tests::unique::Scratch;

/// What `check` says of a program, a line each, without the folder.
fn check(scratch: &Scratch, files: &[&str]) -> (Option<i32>, String) {
    let paths: Vec<String> = files.iter().map(|file| format!("{}/{file}", scratch.path().display())).collect();
    let mut args = vec!["check", "--format", "short"];
    args.extend(paths.iter().map(String::as_str));
    let output = ctp(&args);
    (output.code, output.stdout.replace(&format!("{}/", scratch.path().display()), ""))
}

#[test]
fn files_import_each_other_and_each_is_there_once() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("lib")).unwrap();
    scratch
        .write("main.ctp", "import \"lib/text.ctp\"\nimport \"./lib/../lib/base.ctp\"\nprobe begin { hello(NAME) }\n");
    scratch
        .write("lib/text.ctp", "import \"base.ctp\"\nfn hello(who: str) { greeted[who]++; println(PREFIX . who) }\n");
    // A circle; and what only another program would use is no fault of an imported file.
    scratch.write(
        "lib/base.ctp",
        "import \"text.ctp\"\nconst PREFIX = \"hello \"\nconst NAME = \"web\"\nconst UNUSED = 1\nglobal greeted, spare\n",
    );
    assert_eq!(check(&scratch, &["main.ctp"]), (Some(0), String::new()));
    // Given itself, it is judged as a program.
    let (code, said) = check(&scratch, &["main.ctp", "lib/base.ctp"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("lib/base.ctp:4:7: warning[W0012]"), "{said}");
    assert!(said.contains("lib/base.ctp:5:17: warning[W0001]"), "{said}");
}

#[test]
fn faults_of_an_imported_file_are_shown_there() {
    let scratch = Scratch::new();
    scratch.write("main.ctp", "import \"other.ctp\"\nprobe begin { println(twice(\"2\")) }\n");
    scratch.write("other.ctp", "fn twice(n: int) -> int { return n * to }\n");
    let (code, said) = check(&scratch, &["main.ctp"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("other.ctp:1:38: error[E0106]"), "{said}");
    assert!(said.contains("main.ctp:2:29: error[E0201]"), "{said}");
}

#[test]
fn what_cannot_be_imported_is_said_where_it_is_named() {
    let scratch = Scratch::new();
    scratch.write("helpers.ctp", "");
    fs::create_dir(scratch.path().join("directory.ctp")).unwrap();
    scratch.write("main.ctp", "import \"helper.ctp\"\nimport \"directory.ctp\"\nimport \"none/x.ctp\"\n");
    let (code, said) = check(&scratch, &["main.ctp"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("main.ctp:1:8: error[E0115]: there is no file `helper.ctp`"), "{said}");
    assert!(said.contains("did you mean `helpers.ctp`?"), "{said}");
    assert!(said.contains("main.ctp:2:8: error[E0115]: `directory.ctp` cannot be read: it is a folder"), "{said}");
    assert!(said.contains("main.ctp:3:8: error[E0115]"), "{said}");
}

#[test]
fn imports_that_never_end_are_refused() {
    let scratch = Scratch::new();
    for number in 0..70 {
        scratch.write(&format!("{number}.ctp"), &format!("import \"{}.ctp\"\n", number + 1));
    }
    let (code, said) = check(&scratch, &["0.ctp"]);
    assert_eq!((code, said.lines().filter(|line| line.contains("E0115")).count()), (Some(1), 1), "{said}");
    assert!(said.contains("imports nest deeper than 64"), "{said}");
}
